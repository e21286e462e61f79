"""The script that makes the fairy tales' text: on books that are laid out like Project Gutenberg's."""

import io
import json

import pytest
import tales_text as script

from course.source import ROOT

LINE = "The king had three sons, and the youngest of them was called Dummling because he was so slow.\n"


def tale(word, lines=8):
    """A story of about 750 characters whose lines are wrapped, in two paragraphs."""
    half = "".join(LINE.replace("king", word) for _ in range(lines // 2))
    return f"{half}\n{half}"


def gutenberg(*parts):
    text = "The Project Gutenberg eBook of Tales\n\nTitle: Tales\n\n*** START OF THE PROJECT GUTENBERG EBOOK TALES ***\n"
    text += "\n\n".join(parts) + "\n\n*** END OF THE PROJECT GUTENBERG EBOOK TALES ***\nThe full license\n"
    return b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "books"
    folder.mkdir()
    return folder


def run(folder, out, *numbers):
    script.main([str(out), "--from", str(folder), "--numbers", *map(str, numbers)])
    return (out / "train.txt").read_text(), (out / "validation.txt").read_text()


def test_a_book_becomes_stories(folder, tmp_path):
    (folder / "pg1.txt").write_bytes(
        gutenberg(
            "CONTENTS",
            "The Gold Bird\nThe Glass Hill\nThe Frog",
            "THE GOLD BIRD",
            "[Illustration:\nA bird, drawn\nby hand]",
            tale("queen") + "\n“It’s the café—come,” said she…[1]",
            "CHAPTER II",
            tale("giant"),
            "IV.",
            "Too short to be a story.",
        )
    )
    train, validation = run(folder, tmp_path / "out", 1)
    first, second = train.split("<|endoftext|>")
    paragraphs = first.rstrip("\n").split("\n\n")
    assert len(paragraphs) == 3 and all("\n" not in paragraph for paragraph in paragraphs)
    assert paragraphs[2] == '"It\'s the cafe--come," said she...'
    assert "giant" in second and second.endswith("\n")
    for gone in (
        "Illustration",
        "CHAPTER",
        "GOLD BIRD",
        "Glass Hill",
        "license",
        "Title",
        "short",
        "[1]",
        "\r",
    ):
        assert gone not in train
    assert train.isascii() and validation == ""


def test_every_twentieth_story_is_held_out_and_nothing_depends_on_the_day(folder, tmp_path):
    names = [f"king{chr(97 + i)}" for i in range(25)]
    for number in (3, 4):
        parts = [part for name in names for part in ("A TALE", tale(f"{name}{'xy'[number - 3]}"))]
        (folder / f"pg{number}.txt").write_bytes(gutenberg(*parts))
    train, validation = run(folder, tmp_path / "out", 3, 4)
    assert len(train.split("<|endoftext|>")) == 48
    held_out = validation.split("<|endoftext|>")
    assert ["kingtx" in held_out[0], "kingoy" in held_out[1], len(held_out)] == [True, True, 2]
    assert "kingtx" not in train and "kingoy" not in train
    assert (train, validation) == run(folder, tmp_path / "again", 3, 4)


def test_paragraphs_with_slurs_are_dropped(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "SLURS", {script.hashlib.sha256(b"knave").hexdigest()[:16]})
    (folder / "pg1.txt").write_bytes(
        gutenberg("A TALE", tale("queen"), "Those Knaves! he said.", "Knavery is fine.")
    )
    train, _ = run(folder, tmp_path / "out", 1)
    assert "Those" not in train and "Knavery is fine." in train


def test_a_changed_book_is_reported(folder, tmp_path, capsys):
    (folder / "pg1.txt").write_bytes(gutenberg("A TALE", tale("queen")))
    run(folder, tmp_path / "out", 1)
    digest = json.loads((tmp_path / "out" / "digests.json").read_text())["pg1.txt"]
    said = capsys.readouterr().out
    assert f"{digest} pg1.txt" in said and "not the file" not in said
    (folder / "pg1.txt").write_bytes(gutenberg("A TALE", tale("princess")))
    run(folder, tmp_path / "out", 1)
    assert "pg1.txt is not the file that it was in the last run" in capsys.readouterr().out


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
        (gutenberg("A TALE", "Short."), "no story of 600 characters or more"),
    ],
)
def test_bad_input_ends_with_one_sentence(folder, tmp_path, content, reason):
    if content:
        (folder / "pg1.txt").write_bytes(content)
    with pytest.raises(SystemExit, match=reason):
        run(folder, tmp_path / "out", 1)


def test_the_list_of_books_is_the_one_of_the_card():
    card = (ROOT / "gpt2lib" / "data" / "tales" / "README.md").read_text("utf-8")
    assert ", ".join(map(str, script.BOOKS)) in card
