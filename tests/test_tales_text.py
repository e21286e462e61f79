"""The scripts that make the text of `tales`: one small book for each rule, laid out like Project Gutenberg's."""

import csv
import io
import json

import numpy as np
import pytest
import tales_clean
import tales_text as script
import tales_words
from wording import run_hashes, word_hashes

LINE = "The {} had three sons, and the youngest of them was called Dummling because he was slow.\n"
BAD = frozenset({"knave", "coon"})  # stand in for what is really filtered


def tale(word, paragraphs=2):
    """Paragraphs of five lines, about 440 characters each, whose lines are broken."""
    return "\n".join(LINE.format(f"{word}{'abcdefghij'[i]}") * 5 for i in range(paragraphs)).rstrip()


def gutenberg(*parts, between="\n\n\n"):
    """The bytes of a book: parts are set two empty lines apart."""
    text = "The Project Gutenberg eBook of Tales\n\nTitle: Tales\n\n*** START OF THE PROJECT GUTENBERG EBOOK TALES ***\n\n\n"
    text += between.join(parts) + "\n\n\n*** END OF THE PROJECT GUTENBERG EBOOK TALES ***\nThe full license\n"
    return b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()


def cleaned(*parts, words=BAD, between="\n\n\n"):
    """The stories of a book."""
    return tales_clean.stories(script.decode(gutenberg(*parts, between=between)), "pg1.txt", words)[0]


def paragraphs(*parts, **options):
    """The paragraphs of a book with one story."""
    (story,) = cleaned("THE KING", *parts, **options)
    return story.split("\n\n")


def about(stories):
    """What each story is about: the words that `tale` was given."""
    return [story.split()[1] for story in stories]


def test_a_book_becomes_stories_of_one_paragraph_a_line():
    first, second = cleaned("THE QUEEN", tale("queen"), "THE GIANT", tale("giant", 3))
    assert first.count("\n") == 2 and second.count("\n") == 4
    assert first.startswith("The queena had three sons, and the youngest") and "slow. The queena had" in first


@pytest.mark.parametrize(
    "start, end",
    [
        ("*** START OF THE PROJECT GUTENBERG EBOOK TALES ***", "*** END OF THE PROJECT GUTENBERG EBOOK TALES ***"),
        ("***START OF THE PROJECT GUTENBERG EBOOK TALES***", "***END OF THE PROJECT GUTENBERG EBOOK TALES***"),
        ("*** START OF THIS PROJECT GUTENBERG EBOOK\nTALES ***", "End of the Project Gutenberg EBook of Tales"),
        ("*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*", "End of Project Gutenberg's Tales"),
        ("*END THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.10.05.01*END*", "End of The Project Gutenberg Etext of Tales"),
    ],
)  # fmt: skip
def test_the_old_wordings_of_the_marker_lines(start, end):
    text = f"A header about money\n\n{start}\n\n\n{tale('king')}\n\n{end}\n\nA license\n"
    (story,) = tales_clean.stories(text, "pg1.txt", BAD)[0]
    assert story.startswith("The kinga") and story.endswith("slow.") and "icense" not in story


def test_a_file_without_marker_lines_is_an_error():
    with pytest.raises(ValueError, match="pg1.txt has no lines"):
        tales_clean.stories(tale("king"), "pg1.txt", BAD)


@pytest.mark.parametrize("data", ["café".encode(), "café".encode("latin-1"), b"\xef\xbb\xbfcaf\xc3\xa9"])
def test_files_are_utf_8_or_latin_1(data):
    assert script.decode(data) == "café"


def test_text_becomes_ascii():
    said = "“It’s the café—come,” said she… [=a] ½ Æsop"
    assert tales_clean.plain(said) == '"It\'s the cafe--come," said she... a  1/2 AEsop'


def test_brackets_footnotes_and_page_numbers_are_out():
    found = paragraphs(
        tale("king"),
        "[Illustration: A bird, [drawn]\nby hand]",
        "He came,[1] {12} he saw,(2) and [Pg 13] he sang [Sidenote: a song] about it.",
        "[1] A footnote about coming, which goes\non in a second line.",
        "[Illustration: never closed",
        "  14\nThe rest of it was very short and nobody heard it.",
    )
    assert found[2:] == [
        "He came, he saw, and he sang about it.",
        "The rest of it was very short and nobody heard it.",
    ]


@pytest.mark.parametrize(
    "lines, joined",
    [
        (["a well-", "known fox--", "or was it", "--no"], "a well-known fox--or was it--no"),
        (["_Oh_ . . . . no ,", "said he ."], "Oh ... no, said he."),
        (["''Yes,''   said", "  he"], '"Yes," said he'),
    ],
)
def test_lines_are_joined(lines, joined):
    assert tales_clean.join(lines) == joined


def test_a_paragraph_with_a_picture_in_it_is_one():
    found = paragraphs(
        tale("king"), "He went into the wood\nand there", "[Illustration]", "he met a bear--", "a big one."
    )
    assert found[2:] == ["He went into the wood and there he met a bear--", "a big one."] or found[2:] == [
        "He went into the wood and there he met a bear--a big one."
    ]


@pytest.mark.parametrize(
    "heading",
    ["CHAPTER II", "Chapter 2. The Frog", "STORY TWO", "II. The Frog", "2. THE FROG", "THE FROG", "\nThe Golden Frog"],
)  # fmt: skip
def test_a_heading_ends_a_story(heading):
    assert about(cleaned("THE KING", tale("king"), heading, tale("frog"), "THE CAT", tale("cat"))) == [
        "kinga",
        "froga",
        "cata",
    ]


def test_capitals_are_captions_where_headings_are_set_off():
    parts = (
        "THE KING",
        tale("king") + "\n\nBEWARE OF THE DOG\n\nHe read it.",
        "THE FROG",
        tale("frog"),
        "THE CAT",
        tale("cat"),
    )
    first, *others = cleaned(*parts)
    assert len(others) == 2 and first.endswith("He read it.") and "BEWARE" not in first
    # and not elsewhere
    assert len(cleaned(*parts[:2], "Nobody came.\n\nTHE CAT\n\n" + tale("cat"), between="\n\n")) == 2


def test_a_title_in_a_story_is_a_caption():
    assert paragraphs(tale("king"), "The Bear and His Hat", "So they went home.\n", between="\n\n")[2:] == [
        "So they went home."
    ]


def test_bare_numbers_count_the_parts_of_a_short_story_and_the_chapters_of_a_long_one():
    short = cleaned(
        "THE KING", "I.", tale("king"), "II.", tale("queen"), "THE CAT", tale("cat"), "THE DOG", tale("dog")
    )
    assert about(short) == ["kinga", "cata", "doga"] and "queena" in short[0]
    long = cleaned(
        "1", tale("king", 10), "2", tale("queen", 10), "77", "3", tale("cat", 10), "A BOY", tale("boy")
    )
    assert about(long) == ["kinga", "queena", "cata", "boya"]


@pytest.mark.parametrize(
    "heading", ["PREFACE", "TO MY READERS", "A NOTE FOR MOTHERS", "INTRODUCTION", "TABLE OF CONTENTS", "THE BEDTIME SERIES"]
)  # fmt: skip
def test_what_a_preface_and_the_like_open_is_no_story(heading):
    assert about(cleaned(heading, tale("writer"), "THE KING", tale("king"), "THE CAT", tale("cat"))) == [
        "kinga",
        "cata",
    ]


def test_the_little_before_the_first_of_many_chapters_goes_but_a_prologue_stays():
    chapters = [part for n in ("ONE", "TWO", "THREE", "FOUR") for part in (f"CHAPTER {n}", tale("king", 5))]
    assert about(cleaned("FOR ALICE", tale("alice", 1), *chapters)) == ["kinga"] * 4
    assert about(cleaned("PROLOGUE", tale("alice", 1), *chapters)) == ["alicea"] + ["kinga"] * 4
    # not so little
    assert about(cleaned("THE ALICE", tale("alice", 9), *chapters)) == ["alicea"] + ["kinga"] * 4


def test_contents_are_left_out():
    contents = "   The Gold Bird ......... 12\n   The Glass Hill ........ 30\n\nThe Frog\nThe Giant\nThe Well"
    assert about(cleaned("CONTENTS", contents, "THE KING", tale("king"))) == ["kinga"]
    assert "Gold" not in " ".join(cleaned("THE KING", tale("king") + "\n\n" + contents))


@pytest.mark.parametrize(
    "end", ["THE END", "Finis.", "NOTES", "GLOSSARY", "INDEX OF ANIMALS", "BOOKS BY THE SAME AUTHOR"]
)
def test_the_end_of_the_book(end):
    book = "THE KING", tale("king", 10), "THE CAT", tale("cat", 10)
    assert about(cleaned(*book, end, tale("advertisement", 3))) == ["kinga", "cata"]


def test_the_end_of_a_story_early_in_a_book_does_not_end_the_book():
    assert about(cleaned("THE KING", tale("king"), "THE END", "THE CAT", tale("cat"))) == ["kinga", "cata"]


def test_advertisements_go():
    offer = (
        "Handsomely illustrated, 12mo, cloth bound. Price per volume, 50 cents net. The story of a bear who goes to town. "
        "By the author of \"The Fox.\" Published by Smith & Co. For sale by all booksellers, or sent postpaid. "
    )  # fmt: skip
    assert about(cleaned("THE BEAR", offer * 3, "THE KING", tale("king"))) == ["kinga"]
    assert paragraphs(tale("king"), "Copyright, 1905, by Smith & Co.", "He ran.")[2:] == ["He ran."]
    assert paragraphs(tale("king"), "Produced by a Distributed Proofreading Team", "He ran.")[2:] == [
        "He ran."
    ]


def test_essays_about_books_go():
    essay = (
        "The reader of this volume will find these tales in other versions, which the editor has translated anew. "
        * 4
    )
    assert about(cleaned("THE WORLD OF CHILDREN", essay, "THE KING", tale("king"))) == ["kinga"]


def test_plays_go():
    play = "\n\n".join(
        f"{who}: I have come to see you about the hat that you bought." for who in ["KING", "Fox"] * 6
    )
    assert about(cleaned("THE HAT", play, "THE KING", tale("king"))) == ["kinga"]
    assert len(cleaned("THE HAT", play.replace(": I", " said: I"), "THE KING", tale("king"))) == 2


SONG = "  Ride a cock-horse\n  To Banbury Cross,\n  To see a fine lady\n  Upon a white horse."


def test_short_verse_stays_as_paragraphs():
    found = paragraphs(
        f"{tale('king')}\n\nThen she sang:\n\n{SONG}\n\n{SONG.replace('Ride', 'Sing')}\n\nSo they rode home."
    )
    ride = "Ride a cock-horse To Banbury Cross, To see a fine lady Upon a white horse."
    assert found[2:] == ["Then she sang:", ride, ride.replace("Ride", "Sing"), "So they rode home."]


def test_long_verse_goes():
    stanzas = "\n\n".join([SONG] * 3)
    found = paragraphs(f"{tale('king')}\n\nThen she sang:\n\n{stanzas}\n\nSo they rode home.")
    assert found[2:] == ["Then she sang.", "So they rode home."]


def test_poems_and_mottoes_go():
    assert about(
        cleaned("A POEM", "\n\n".join([SONG] * 9) + "\n\n" + tale("bard", 1), "THE KING", tale("king"))
    ) == ["kinga"]
    assert paragraphs(f"{SONG}\n\n{tale('king')}")[0].startswith("The kinga")


@pytest.mark.parametrize(
    "single, double",
    [
        ("'Come in,' said the fox, 'and don't be shy.'", '"Come in," said the fox, "and don\'t be shy."'),
        (
            "He said 'twas late, and the boys' hats were gone.",
            "He said 'twas late, and the boys' hats were gone.",
        ),
        ("'And this goes on in the next paragraph.", '"And this goes on in the next paragraph.'),
        ("'Oh,' he said, \"no.\"", "'Oh,' he said, \"no.\""),  # there are others
        # it doesn't come out even
        (
            "He said, 'Come. And then he left.",
            "He said, 'Come. And then he left.",
        ),
        ("'Tis late, and he's at the dogs' house.", "'Tis late, and he's at the dogs' house."),
    ],
)
def test_speech_in_single_quotes(single, double):
    assert tales_clean.double_quotes(single) == double


def test_opening_words_in_capitals():
    opening = "ONCE UPON A TIME PETER RABBIT and I met. They saw Peter, and a rabbit called out to Peter."
    found = paragraphs(opening, tale("king"))
    assert found[0].startswith("Once upon a time Peter rabbit and I met.")
    assert paragraphs("MR. FOX and Fox, my MR. FOX.", tale("king"))[0].startswith("Mr. Fox and")


@pytest.mark.parametrize(
    "unkind",
    [
        "Those Knaves! he said.",
        "The colored people laughed, and the black cook laughed too.",
        '"Gwine home, chillun," said he, "fo\' de nebber."',
    ],
)
def test_unkind_paragraphs_go(unkind):
    assert paragraphs(tale("king", 8), unkind, "Knavery is fine, and so is a black dog.")[8:] == [
        "Knavery is fine, and so is a black dog."
    ]


def test_a_story_that_is_torn_by_what_is_left_out_goes():
    torn = "\n\n".join([tale("fox", 3), "You knave.", "You knaves."])
    assert about(cleaned("THE FOX", torn, "THE KING", tale("king"))) == ["kinga"]


def test_unkind_tales_about_jews_go_and_their_own_tales_stay():
    tales = [
        tale("king") + f"\n\nThe Jew saw the Jew, {end}."
        for end in ("and then the Jew ran", "a Jew and a Rabbi")
    ]
    assert about(cleaned("THE JEW", tales[0], "THE QUEEN", tale("queen"))) == ["queena"]
    assert about(cleaned("THE JEW", tales[1], "THE QUEEN", tale("queen"))) == ["kinga", "queena"]


def test_an_animal_may_have_a_name_that_is_a_slur_elsewhere():
    for kind in ("Bobby Coon ran.", "The coon, a raccoon, ran.", "The coon met a coon and a coon."):
        assert len(paragraphs(tale("king", 8), kind)) == 9
    assert len(paragraphs(tale("king", 8), "The coon ran.")) == 8


def test_short_pieces_and_lists_and_figures_go():
    assert cleaned("THE KING", "It was too short to be a story.") == []
    assert cleaned("THE KING", "\n\n".join(["In 1901 there were 1,345 of 22,456."] * 20)) == []
    assert cleaned("THE KING", "\n\n".join(["the words of the lesson which has no sentence"] * 20)) == []


def test_a_piece_as_long_as_a_book_is_cut_at_paragraphs():
    parts = cleaned("THE KING", "\n".join(tale(f"king{n}", 10) for n in "abcdefghijklmnop"))
    assert len(parts) > 2 and all(len(part) < 25_000 for part in parts)
    assert sum(part.count("three sons") for part in parts) == 16 * 10 * 5


# words


@pytest.fixture
def word_list(tmp_path, monkeypatch):
    path = tmp_path / "words.txt"
    path.write_text("xanir\n")
    monkeypatch.setattr(tales_words, "FILE", path)
    return path


def test_words_are_shown_added_and_asked_for(word_list, capsys):
    tales_words.main(["add", "rogue", "imp"])
    assert word_list.read_text() == "vzc\nxanir\nebthr\n"
    tales_words.main([])
    assert capsys.readouterr().out == "imp\nknave\nrogue\n"
    tales_words.main(["has", "Rogues", "fairies", "imps", "rogu"])
    assert capsys.readouterr().out == "Rogues: yes\nfairies: no\nimps: yes\nrogu: no\n"


@pytest.mark.parametrize("word", ["two words", "Capital", "x1", ""])
def test_a_word_that_cannot_be_filtered_is_an_error(word_list, word):
    with pytest.raises(SystemExit, match="is not one word in lowercase letters"):
        tales_words.main(["add", word])
    assert word_list.read_text() == "xanir\n"


def test_a_line_that_is_no_word_is_an_error(word_list):
    word_list.write_text("xanir\n# a remark\n")
    with pytest.raises(SystemExit, match="line 2 of .* is '# a remark'"):
        tales_words.main([])


@pytest.mark.parametrize(
    "plural, word", [("knaves", "knave"), ("negatives", "negative"), ("fairies", "fairy"), ("heroes", "hero")]
)
def test_plurals_are_filtered_too(plural, word):
    assert tales_words.is_filtered(plural, frozenset({word})) and not tales_words.is_filtered(
        "kna", frozenset({word})
    )


def test_the_list_is_sorted_and_filters(tmp_path):
    words = tales_words.load()
    lines = tales_words.FILE.read_text().split()
    assert len(words) == len(lines) > 11 and not words & set(lines)  # nobody reads one by accident
    copy = tmp_path / "copy.txt"
    copy.write_text(tales_words.FILE.read_text())
    tales_words.add([], copy)
    assert copy.read_text() == tales_words.FILE.read_text()
    said = f"He called him a {sorted(words)[0]}."
    assert len(paragraphs(tale("king", 8), said, words=None)) == 8


# the corpus


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "books"
    folder.mkdir()
    return folder


def run(folder, out, *numbers, apart=()):
    options = ["--apart", *map(str, apart)] if apart else []
    script.main([str(out), "--from", str(folder), "--numbers", *map(str, numbers), *options])
    return (out / "train.txt").read_text(), (out / "validation.txt").read_text()


def own_tale(seed, words=120):
    """A story that shares nothing with the others."""
    letters = np.random.default_rng(seed).integers(0, 26, (words, 6)) + ord("a")
    return "\n".join(
        " ".join(bytes(w.tolist()).decode() for w in letters[i : i + 10]) + "." for i in range(0, words, 10)
    )


def test_the_corpus_is_in_random_order_and_the_same_in_every_run(folder, tmp_path):
    for number in (1, 2):
        parts = [
            part
            for i in range(60)
            for part in (f"THE TALE OF {'ABCDEFGHIJ'[i % 10]}", own_tale(100 * number + i))
        ]
        (folder / f"pg{number}.txt").write_bytes(gutenberg(*parts))
    train, validation = run(folder, tmp_path / "out", 1, 2)
    assert (train, validation) == run(folder, tmp_path / "again", 1, 2)
    held_out, kept = (text.rstrip("\n").split("\n<|endoftext|>") for text in (validation, train))
    every = [" ".join(own_tale(100 * n + i).split()) for n in (1, 2) for i in range(60)]
    assert held_out == every[39::40] and len(kept) == 117 and train.isascii()
    assert set(kept) | set(held_out) == set(every) and kept != [story for story in every if story in kept]


def test_of_copies_the_first_stays(folder, tmp_path):
    lines = own_tale(1).split("\n")
    near = "\n".join(lines[:8] + own_tale(2).split("\n")[:4])  # shares two thirds
    far = "\n".join(lines[:3] + own_tale(3).split("\n"))  # shares a fifth
    (folder / "pg1.txt").write_bytes(gutenberg("A TALE", own_tale(1), "THE COPY", near, "A NEW ONE", far))
    train, _ = run(folder, tmp_path / "out", 1)
    assert sorted(train.rstrip("\n").split("\n<|endoftext|>")) == sorted(
        " ".join(x.split()) for x in (own_tale(1), far)
    )


def test_shares_of_runs():
    a, b = ("one two three four five six seven eight nine ten", "five six seven eight nine ten one two three")
    earlier, other = script.shared([a, "no run here", a, b, f"{b} {a}", ""])
    assert earlier.tolist() == [0, 0, 1, 0, pytest.approx(5 / 12), 0] and other.tolist() == [
        1,
        0,
        1,
        1,
        earlier[4],
        0,
    ]


def test_held_out_stories_share_hardly_anything_with_the_others(monkeypatch):
    monkeypatch.setattr(script, "HELD_OUT", 4)
    tales = [own_tale(n) for n in range(12)]
    # so it doesn't stand alone, and the next one does
    tales[3] = tales[3] + "\n" + "\n".join(tales[0].split("\n")[:2])
    tales[11] = tales[0]  # and after this none does
    train, validation = script.split(tales)
    assert validation == [tales[4], tales[7]] and len(train) == 10
    seen = np.concatenate([run_hashes(word_hashes(text)) for text in train])
    assert all(np.isin(run_hashes(word_hashes(text)), seen).mean() <= script.ALONE for text in validation)


def test_texts_that_are_to_be_apart(folder, tmp_path):
    (folder / "pg1.txt").write_bytes(gutenberg("A TALE", own_tale(1), "A STORY", own_tale(2)))
    apart = tmp_path / "apart.txt"
    apart.write_text(own_tale(3) + "<|endoftext|>" + "\n".join(own_tale(2).split("\n")[:3]))
    train, _ = run(folder, tmp_path / "out", 1, apart=[apart])
    assert train == " ".join(own_tale(1).split()) + "\n"


def test_a_changed_book_is_reported(folder, tmp_path, capsys):
    (folder / "pg1.txt").write_bytes(gutenberg("A TALE", tale("queen")))
    run(folder, tmp_path / "out", 1)
    digest = json.loads((tmp_path / "out" / "digests.json").read_text())["pg1.txt"]
    said = capsys.readouterr().out
    assert f"{digest} pg1.txt" in said and "not the file" not in said
    (folder / "pg1.txt").write_bytes(gutenberg("A TALE", tale("princess")))
    run(folder, tmp_path / "out", 1)
    assert "pg1.txt is not the file that it was in the last run" in capsys.readouterr().out


def test_what_is_left_out_is_counted(folder, tmp_path, capsys):
    (folder / "pg1.txt").write_bytes(
        gutenberg("PREFACE", tale("me"), "A TALE", tale("queen"), "AGAIN", tale("queen"))
    )
    run(folder, tmp_path / "out", 1)
    said = capsys.readouterr().out
    assert f"not a story by its heading: {len(tale('me')) - 2} characters" in said
    assert f"a copy: {len(tale('queen'))} characters" in said
    assert "1 stories in train.txt, 0 in validation.txt" in said


def test_downloads_are_whole_or_not_there_and_made_once(tmp_path, monkeypatch):
    asked = []

    def opened(address, timeout):
        asked.append(address)
        return io.BytesIO(gutenberg("A TALE", tale("queen")))

    monkeypatch.setattr(script, "PAUSE", 0)
    monkeypatch.setattr(script.urllib.request, "urlopen", opened)
    for _ in range(2):
        script.main([str(tmp_path), "--numbers", "7"])
    assert asked == ["https://www.gutenberg.org/cache/epub/7/pg7.txt"]

    class Broken(io.BytesIO):
        def read(self, *size):
            raise ConnectionResetError("the line went dead")

    monkeypatch.setattr(script.urllib.request, "urlopen", lambda address, timeout: Broken())
    with pytest.raises(SystemExit, match="book 8 could not be fetched .*the line went dead.*--from"):
        script.main([str(tmp_path), "--numbers", "8"])
    assert [path.name for path in (tmp_path / "books").iterdir()] == ["pg7.txt"]


@pytest.mark.parametrize(
    "content, reason",
    [
        (None, "has no pg1.txt; put it there"),
        (b"just a text", "has no lines \\*\\*\\* START OF"),
        (gutenberg("A TALE", "Short."), "no story is in 1 books"),
    ],
)
def test_bad_input_ends_with_one_sentence(folder, tmp_path, content, reason):
    if content:
        (folder / "pg1.txt").write_bytes(content)
    with pytest.raises(SystemExit, match=reason):
        run(folder, tmp_path / "out", 1)


def test_the_list_of_books():
    with script.BOOKS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    numbers = script.book_numbers()
    assert numbers == sorted(set(numbers)) and len(numbers) == 403
    assert all(row["title"] and row["author"] and row["language"] in ("", "simple") for row in rows)
    assert sum(row["language"] == "simple" for row in rows) == 264
