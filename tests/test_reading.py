"""The rules of benchmarks/reading.py, each on a text small enough to be checked by hand."""

import numpy as np
import pytest
import reading as script
import torch
from wording import longest_shared, run_hashes, unseen, word_hashes, words

from gpt2lib import GPT2, GPT2Config, Sampler, Tokenizer, complete, save_pretrained

# ten characters, each three times in mid-sentence and once as the subject of a verb
CAST = ["Anna", "Bob", "Carla", "Mr. Dodd", "Ella", "Old Frog", "Gus", "Hilda", "Ivor", "Jill"]
INTRODUCED = " ".join(f"One day {who} said no, so all of them met {who} and {who}." for who in CAST)
STORY = f'{INTRODUCED}\n\n"Where is my hat?" asked Bob, and all day long Anna looked for it. It was Bob who found it.'


def gap_of(story, right):
    """The gap of a story whose right answer is this name."""
    (gap,) = [
        gap
        for gap in script.gaps_of(story, {"asked", "was", "with", "for", "long", "and"})
        if gap.name == right
    ]
    return gap


def test_words_are_lowercase_letters_with_their_apostrophes():
    assert words("Don't--the dog's 3 well-known HATS.") == ["don't", "the", "dog's", "well", "known", "hats"]


def test_runs_have_the_same_hash_where_the_words_are_the_same():
    one, two = (run_hashes(word_hashes(text), 3) for text in ("a b c d", "x b, C D"))
    assert len(one) == 2 and len(set(one) & set(two)) == 1 and one[1] == two[1]
    assert len(run_hashes(word_hashes("a b"), 3)) == 0


@pytest.mark.parametrize(
    "samples, shared",
    [
        (
            ["the fox ran over the hill", "so the king had three sons and a cat"],
            "the king had three sons and a",
        ),
        (["and a daughter", "the king"], "and a daughter"),  # at the end of the text
        (["three sons and", "a daughter"], "three sons and"),  # not from one sample into the next
        (["nothing", ""], ""),
    ],
)
def test_the_longest_shared_run_of_words(samples, shared):
    assert longest_shared(samples, word_hashes("Once the King had three sons, and a daughter.")) == shared


def test_held_out_stories_that_share_runs_with_a_training_text_are_left_out():
    copied = "once there was a little red hen who lived by herself in a wood near the sea"
    own = "a bear and a pig went down to the river to look for a boat that was not there"
    training = [word_hashes("nothing of the kind"), word_hashes(f"The end. {copied.upper()}! The end.")]
    assert unseen([copied, own, "too short"], training, 0.1) == [own]
    assert unseen([f"{own} {copied}"], training, 0.1) == []
    assert len(unseen([f"{own} {copied}"], training, 0.5)) == 1


def test_the_last_mention_of_a_name_is_the_gap_and_the_characters_of_its_story_are_the_candidates():
    gap = gap_of(STORY, "Bob")
    assert gap.before.endswith("It was") and gap.after == " who found it."
    assert set(gap.candidates) == set(CAST)
    assert list(gap.candidates) == sorted(CAST)  # the order doesn't tell which one is right
    assert gap.mentioned_last == "Anna"
    assert gap_of(STORY.replace("asked Bob", "asked Bob of Bob"), "Bob").mentioned_most == "Bob"


@pytest.mark.parametrize(
    "change, why",
    [
        (
            ("It was Bob who", "It was little Bob who"),
            "'little the king' is no English: not all candidates fit",
        ),
        (
            ("It was Bob who found it", "It was Bob and not Jill who found it"),
            "a candidate in the rest of the sentence",
        ),
        (
            ("It was Bob", f"{'So it went on and on. ' * 30}It was Bob"),
            "the name isn't among the 150 words before",
        ),
        (("Hilda", "Bob"), "only nine candidates"),
    ],
)
def test_what_is_no_gap(change, why):
    assert "Bob" in [gap.name for gap in script.gaps_of(STORY, {"was"})]
    assert "Bob" not in [gap.name for gap in script.gaps_of(STORY.replace(*change), {"was"})], why


def test_who_is_no_character():
    found = {gap.name for gap in script.gaps_of(STORY, {"was", "long"})}
    assert found == {"Anna", "Bob"}
    never_does = STORY.replace("day Anna said", "day, Anna, no").replace("long Anna looked", "long Anna, it")
    assert "Anna" not in {gap.name for gap in script.gaps_of(never_does, {"was", "long"})}
    starts = STORY.replace("all day long Anna looked", "all sat. Anna looked")  # not in mid-sentence
    assert "Anna" not in {gap.name for gap in script.gaps_of(starts, {"was", "long"})}
    assert "Bob" not in {gap.name for gap in script.gaps_of(STORY.replace("was Bob", "was Bob's"), {"was"})}


def test_names_that_share_a_word_are_not_candidates_together():
    names = gap_of(STORY.replace("Old Frog", "Mr. Bob").replace("met", "met the dog and"), "Bob").candidates
    assert "Mr. Bob" not in names and "the dog" in names


def test_things_fill_up_where_there_are_too_few_characters():
    few = STORY.replace("Ivor", "the hat").replace("Jill", "the coat of arms")
    names = gap_of(few, "Bob").candidates
    assert len(names) == 10 and {"the coat", "the hat"} <= set(names)
    more = few.replace("Where is my", "No, it was Kim, and Kim said that it was Kim. Where is my")
    assert "the coat" not in gap_of(more, "Bob").candidates  # it does nothing, so those who do come first


def test_a_long_story_has_a_gap_in_each_passage():
    longer = STORY + "\n\n" + "One day more went by. " * (script.PASSAGE // 22 + 1) + STORY
    assert len([gap for gap in script.gaps_of(longer, {"was"}) if gap.name == "Bob"]) == 2


def test_gaps_are_thinned_out_evenly(monkeypatch):
    monkeypatch.setattr(script, "GAPS", 3)
    monkeypatch.setattr(script, "can_precede_the", lambda stories: {"was"})
    stories = [STORY.replace("It was Bob", f"It was {n}, it was Bob") for n in "123456789"]
    assert [gap.before[-9] for gap in script.gaps_in(stories)] == ["1", "5", "9"]


def test_words_that_stand_before_the():
    stories = ["He saw the cat. " * 3, "He saw the dog. " * 2 + "A little the. " * 4]
    assert script.can_precede_the(stories) == {"saw"}


def test_the_answers_are_the_most_likely_ending_and_the_one_that_the_story_raises_most():
    gap = script.Gap("A fox came. It was", "Cleo", " who ran.", ("Anna", "Bob", "Cleo"), "Bob", "Bob")
    tokenizer = Tokenizer([])
    seen = []

    def score(context, endings):
        seen.append((tokenizer.decode(context), *map(tokenizer.decode, endings)))
        return [-2.0, -4.0, -5.0] if len(seen) == 1 else [-2.5, -3.0, -9.0]

    found = script.answers([gap], tokenizer, score)
    assert found == [("Anna", "Cleo")]
    assert [script.share_right([gap], names) for names in zip(*found)] == ["0.0%", "100.0%"]
    endings = " Anna who ran.", " Bob who ran.", " Cleo who ran."
    assert seen == [("<|endoftext|>A fox came. It was", *endings), ("<|endoftext|> It was", *endings)]


def test_a_model_that_knows_nothing_gains_nothing_from_ties():
    gaps = [
        script.Gap("It was", name, "", ("Anna", "Bob", "Cleo", "Dora"), "", "")
        for name in ("Anna", "Bob", "Cleo", "Dora")
    ]
    found = script.answers(gaps, Tokenizer([]), lambda context, endings: [0.0] * len(endings))
    assert {script.share_right(gaps, names) for names in zip(*found)} == {"25.0%"}


@pytest.mark.parametrize("length", [1, 5, 60])  # 60 is more than the model can read
def test_a_score_is_the_log_probability_of_the_ending(small, length):
    context = [(7 * i) % 311 for i in range(length)]
    endings = [[5, 6, 7], [9], [300, 2, 2, 4, 1]]
    scores = script.model_scorer(small)(context, endings)
    room = small.config.n_positions - 5
    for ending, score in zip(endings, scores):
        text = torch.tensor([context[-room:] + ending])
        with torch.no_grad():
            each = small(text).log_softmax(-1)[0]
        first = text.shape[1] - len(ending) - 1
        expected = sum(each[first + i, token].item() for i, token in enumerate(ending))
        assert score == pytest.approx(expected, abs=1e-3)


def test_an_ngram_scores_the_ending_after_the_end_of_the_context():
    ngram = script.KneserNey(np.array([0, 1, 2, 3] * 9 + [0, 1, 3]), 4, 3)
    score = script.ngram_scorer(ngram, 3)
    sure, unsure = score([3, 3, 3, 0, 1], [[2], [3, 0]])
    text = np.array([3, 3, 3, 0, 1, 3, 0])
    assert unsure == pytest.approx(np.log(ngram.probabilities(text, 3)[-2:]).sum()) and sure > unsure


def test_prompts_name_an_animal_and_no_pair_twice():
    found = script.prompts()
    assert len(found) == len(set(found)) == script.SAMPLES
    pairs = set()
    for prompt, name in found:
        (animal,) = [
            animal for animal in script.ANIMALS if f"{animal} " in prompt.replace(",", " ").replace(".", " ")
        ]
        assert name in prompt
        pairs.add((name, animal))
    assert len(pairs) == script.SAMPLES and len({name for name, _ in pairs}) == len(script.NAMES)


def test_a_sample_is_what_complete_draws_with_its_seed(small, monkeypatch):
    monkeypatch.setattr(script, "LENGTH", 10)
    tokenizer = Tokenizer([(bytes([97 + i // 26]), bytes([97 + i % 26])) for i in range(54)])
    texts = ["abc", "x", "yz ", "q"]
    drawn = script.draw(small, [tokenizer.encode(text) for text in texts], tokenizer.end_of_text)
    for i, (text, ids) in enumerate(zip(texts, drawn)):
        sampler = Sampler(script.TEMPERATURE, script.TOP_K, generator=torch.Generator().manual_seed(i))
        assert complete(small, tokenizer, text, 10, sampler=sampler) == tokenizer.decode(
            tokenizer.encode(text) + ids
        )


def test_the_end_of_the_text_stops_a_sample_or_is_never_drawn(small, monkeypatch):
    monkeypatch.setattr(script, "LENGTH", 12)
    with torch.no_grad():  # one token is likely everywhere
        small.ln_f.bias.copy_(50 * small.wte.weight[3] / small.wte.weight[3].norm())
    assert script.draw(small, [[1, 2], [4]], 3) == [[], []]
    going_on = script.draw(small, [[1, 2], [4]], 3, stop=False)
    assert all(len(text) == 12 and 3 not in text for text in going_on)


@pytest.mark.parametrize(
    "early, late, expected",
    [
        ("He ran.", "Then Billy sat down.", True),
        ("Billy ran.", "Then he sat down.", False),  # no longer named
        ("He ran.", 'Then Tom and Anna came. "Good day, Billy," said Tom.', False),  # somebody else's story
        ("He ran.", "Then Tom came, and Billy saw Tom. Billy hid.", True),  # as often as the other one
        ("He ran.", "Then the King saw Billy and the King ran.", True),  # "King" is a common word
        ("He ran.", "Billy's hat was gone.", True),
        ("He ran.", "Billybob sat down.", False),
        ("One day he went down to the old mill again.", "One day he went down to a mill with Billy.", True),
        (
            "One day he went down to the old mill again.",
            "Billy! One day he went down to the old mill again.",
            False,
        ),
    ],
)
def test_who_stays(early, late, expected):
    prompt = "Once there was a fox named Billy."
    assert script.stays("Billy", prompt, early, late, lambda word: word not in ("King", "Then")) is expected


def test_names_in_the_prompt_are_no_rivals():
    assert script.stays("Billy", "Tom met Billy.", "", "So Tom and old Tom saw Billy.", lambda word: True)


def test_a_name_is_a_word_that_is_rarely_in_lowercase(tmp_path):
    (tmp_path / "a.txt").write_text(
        "The king of Rose and the King. " + "Billy and " * 10 + "a billy. A rose."
    )
    training = script.Training.read([tmp_path / "a.txt"])
    assert [training.is_name(word) for word in ("Billy", "Rose", "King", "Unheard")] == [
        True,
        False,
        False,
        True,
    ]
    assert {"billy", "king", "the"} <= training.known


def test_invented_words_are_those_that_no_training_text_has():
    samples = ["The olderairs sat. The kin", "a cat's hat saw the olderairs today", ""]
    number, total, unknown = script.invented(samples, {"the", "sat", "a", "cat", "saw", "hat"})
    assert (number, total, dict(unknown)) == (2, 10, {"olderairs": 2})


@pytest.fixture
def texts(tmp_path):
    """Two tiny corpora and a model's directory."""
    (tmp_path / "train.txt").write_text(
        "<|endoftext|>".join(f"{name} had a hat and a coat." for name in CAST)
    )
    held_out = [
        f"It was the end. {STORY}".replace("hat", thing) for thing in ("hat", "coat", "shoe", "boat", "ball")
    ]
    (tmp_path / "validation.txt").write_text(
        "<|endoftext|>".join([*held_out, "Anna had a hat and a coat. Bob had"])
    )
    return tmp_path


def test_the_table_has_a_column_for_each_model_and_the_details_every_answer(texts, monkeypatch, capsys):
    for setting, value in dict(LENGTH=6, LATER=3, SAMPLES=4, COMPARED=2).items():
        monkeypatch.setattr(script, setting, value)
    small = GPT2(GPT2Config(vocab_size=311, n_positions=96, n_embd=24, n_layer=1, n_head=3))
    save_pretrained(
        small, Tokenizer([(bytes([97 + i // 26]), bytes([97 + i % 26])) for i in range(54)]), texts / "model"
    )
    name, file = (
        str(texts / "model"),
        {x: str(texts / f"{x}.txt") for x in ("train", "validation", "details")},
    )
    script.main(
        [
            name,
            "--train",
            file["train"],
            "--validation",
            file["validation"],
            "--ngram",
            "--details",
            file["details"],
        ]
    )
    head, rule, *rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert (
        head.startswith(f"|  | {name} | ") and head.endswith("-gram of tokens |") and rule == "|---|---|---|"
    )
    assert [row.split(" | ")[0].strip("| ") for row in rows] == [
        script.BITS, script.CLOZE, script.RAISED, script.STAYS, script.INVENTED, script.OVERLAP,
    ]  # fmt: skip
    details = (texts / "details.txt").read_text()
    assert details.count("right: Bob; most likely: ") == 5 and details.count("|| ") == 4


def test_a_text_without_names_ends_with_one_sentence(texts):
    (texts / "validation.txt").write_text("a b c d e f g h i j k")
    with pytest.raises(SystemExit, match="no stories from which a name can be taken"):
        script.main(
            ["tales", "--train", str(texts / "train.txt"), "--validation", str(texts / "validation.txt")]
        )
