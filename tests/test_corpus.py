"""Large texts: cut where no token can cross, tokenized once, mapped by everybody."""

import hashlib
import json
import multiprocessing
import os
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpt2lib import GPT2, GPT2Config, Tokenizer, TrainingConfig, corpus, train
from gpt2lib.corpus import open_corpus, read_pieces, read_text

END = "<|endoftext|>"
TEXT = (
    "the cat sat on the mat, and the dog's log. Don't!\n\n\tIt was 1999: žluťoučký kůň.   " * 30
    + END
    + " x\n"
)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Pieces of 64 bytes, so that small texts have many."""
    monkeypatch.setattr(corpus, "PIECE", 64)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXT, 320)


def write(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@given(
    st.lists(
        st.sampled_from(["a", "'s", "'", " ", "\n", "\xa0", "\u3000", "é", "7", ".", "漢", END, "<|", " the"])
    )
)
@example(list("a" * 300))
@example(list(" " * 300 + "b" * 100))
def test_the_pieces_encoded_one_by_one_are_the_text_encoded(tmp_path_factory, words):
    text = "x" + "".join(words)
    tokenizer = Tokenizer.train("the cat's end <|endoftext|>", 280)
    path = write(tmp_path_factory.mktemp("text") / "t.txt", text)
    pieces = list(read_pieces([path]))
    assert "".join(pieces) == text
    ids = [i for piece in pieces for i in tokenizer.encode(piece, allow_special=True)]
    assert ids == tokenizer.encode(text, allow_special=True)


def test_a_text_is_read_in_many_pieces(tmp_path):
    path = write(tmp_path / "t.txt", TEXT)
    pieces = list(read_pieces([path]))
    assert len(pieces) > 20 and max(map(len, pieces)) < 200 and "".join(pieces) == TEXT


def test_a_folder_is_read_in_order_with_ends_between(tmp_path):
    (tmp_path / "b" / "folder.txt").mkdir(parents=True)
    write(tmp_path / "b" / "two.txt", "two" * 50)
    write(tmp_path / "a.txt", "one")
    write(tmp_path / "c.md", "not this")
    write(tmp_path / "merges.txt", "#version: 0.2")  # of a run whose --out is in here
    assert read_text(tmp_path) == f"one{END}{'two' * 50}"


def test_line_ends_and_a_byte_order_mark_are_read_as_python_reads_them(tmp_path):
    text = "﻿" + "one\r\ntwo\rthree\n" * 40  # a line end falls on every place of a piece
    path = write(tmp_path / "t.txt", text)
    assert read_text(path) == path.read_text("utf-8-sig")


@pytest.mark.parametrize("mark", [b"", "﻿".encode()])
@pytest.mark.parametrize("place", [0, 3, 63, 64, 200])
def test_what_is_not_utf_8_is_found_at_its_byte(tmp_path, place, mark):
    path = write(tmp_path / "t.txt", mark + b"a" * place + "é".encode()[:1] + b"b" * 100)
    with pytest.raises(ValueError, match=rf"t.txt is not UTF-8 \(byte {place + len(mark)}\)"):
        read_text(path)


def test_half_a_character_at_the_end_is_not_utf_8(tmp_path):
    with pytest.raises(ValueError, match="not UTF-8"):
        read_text(write(tmp_path / "t.txt", "aé".encode()[:-1]))


def test_only_a_few_pieces_are_in_memory(monkeypatch):
    monkeypatch.setattr(corpus, "_processors", lambda: 2)
    asked = 0

    def pieces():
        nonlocal asked
        for i in range(100):
            asked += 1
            yield str(i)

    with ThreadPoolExecutor(2) as pool:
        for done, number in enumerate(corpus._in_order(pool, int, pieces()), start=1):
            assert number == done - 1 and asked <= done + 4
    assert asked == 100


def test_places_may_be_strings_and_sizes_numbers_of_numpy(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a ü.txt").write_text("the cat sat", "utf-8")
    assert read_text("~/a ü.txt") == read_text(str(tmp_path)) == "the cat sat"
    assert open_corpus("~/a ü.txt", "~/out", np.int64(262)).tokenizer.vocab_size == 262
    for other in (None, "262", 262.0):
        with pytest.raises(TypeError, match=f"tokenizer is a {type(other).__name__}"):
            open_corpus("~/a ü.txt", "~/other", other)
    assert not (tmp_path / "other").exists()


def test_a_corpus_is_the_text_encoded(tmp_path, tokenizer):
    path = write(tmp_path / "t.txt", TEXT + " " * 3000 + "end")
    found = open_corpus(path, tmp_path / "out", tokenizer)
    ids = tokenizer.encode(path.read_text("utf-8"), allow_special=True)
    assert found.tokens.dtype == np.uint16 and found.tokens.tolist() == ids
    assert isinstance(found.tokens, np.memmap) and found.largest == max(ids)
    assert found.text_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("few", [True, False], ids=["one process", "several processes"])
def test_a_tokenizer_learned_from_pieces_is_that_of_the_whole_text(tmp_path, few, monkeypatch):
    if few:
        monkeypatch.setattr(corpus, "PIECE", 2**20)
    path = write(tmp_path / "t.txt", TEXT)
    found = open_corpus(path, tmp_path, 320)
    assert found.tokenizer.merges == Tokenizer.train(TEXT, 320).merges
    assert open_corpus(path, tmp_path, 320).tokenizer.merges == found.tokenizer.merges


def test_a_tokenizer_learned_from_one_long_word_takes_no_longer_than_its_letters(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "PIECE", 2**22)
    word = "".join(random.Random(0).choices("abcdefghij", k=3000))
    (tmp_path / "text.txt").write_text(word)
    monkeypatch.setattr(
        "gpt2lib.tokenizer.train_merges", lambda *_: pytest.fail("the plain way takes their square")
    )
    learned = corpus.train_tokenizer([tmp_path / "text.txt"], 300)
    assert learned.merges == Tokenizer.train(word, 300).merges and len(learned.merges) == 43


def test_of_a_large_text_pieces_all_over_it_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "ENOUGH", 200)
    monkeypatch.setattr(corpus, "PIECE", 50)
    path = write(tmp_path / "t.txt", "aaa " * 100 + "bbb " * 100 + "ccc " * 100)
    merges = corpus.train_tokenizer([path], 263).merges
    assert {b"a", b"b", b"c"} <= {part for pair in merges for part in pair}


def made(folder):
    """When tokens.bin was made."""
    return (folder / "tokens.bin").stat().st_mtime_ns


def test_tokens_are_made_once(tmp_path, tokenizer):
    path = write(tmp_path / "t.txt", TEXT)
    first = open_corpus(path, tmp_path, tokenizer)
    before = made(tmp_path)
    path.touch()  # the time changes, the digest does not
    again = open_corpus(path, tmp_path, tokenizer)
    assert made(tmp_path) == before and again.tokens.tolist() == first.tokens.tolist()
    (tmp_path / "moved").mkdir()
    for name in ("tokens.bin", "tokens.json"):
        write(tmp_path / "moved" / name, (tmp_path / name).read_bytes())
    before = made(tmp_path / "moved")
    assert open_corpus(path, tmp_path / "moved", tokenizer).largest == first.largest
    assert made(tmp_path / "moved") == before


def damaged(folder):
    tokens = bytearray((folder / "tokens.bin").read_bytes())
    tokens[7] ^= 1
    (folder / "tokens.bin").write_bytes(tokens)


CHANGES = {
    "another text": lambda folder: write(folder / "t.txt", TEXT.replace("cat", "cow")),
    "another file": lambda folder: write(folder / "u.txt", "more"),
    "a bit": damaged,
    "cut short": lambda folder: write(folder / "tokens.bin", (folder / "tokens.bin").read_bytes()[:-2]),
    "gone": lambda folder: (folder / "tokens.bin").unlink(),
    "no record": lambda folder: (folder / "tokens.json").unlink(),
    "half a record": lambda folder: write(folder / "tokens.json", '{"asked": null'),
    "another record": lambda folder: write(folder / "tokens.json", "[1, 2]"),
    "a killed writer": lambda folder: [
        write(folder / ".tokens.bin.12ab34cd.part", "half"),
        (folder / "tokens.bin").unlink(),
    ],
}


@pytest.mark.parametrize("change", CHANGES)
def test_tokens_are_made_again_when_something_has_changed(tmp_path, tokenizer, change):
    write(tmp_path / "t.txt", TEXT)
    open_corpus(tmp_path, tmp_path, tokenizer)
    CHANGES[change](tmp_path)
    found = open_corpus(tmp_path, tmp_path, tokenizer)
    assert found.tokens.tolist() == tokenizer.encode(read_text(tmp_path), allow_special=True)
    assert not list(tmp_path.glob(".*.part"))


def test_another_tokenizer_makes_its_own_tokens(tmp_path, tokenizer):
    path = write(tmp_path / "t.txt", TEXT)
    open_corpus(path, tmp_path, tokenizer)
    other = Tokenizer.train(TEXT, 270)
    assert open_corpus(path, tmp_path, other).tokens.tolist() == other.encode(TEXT, allow_special=True)
    assert open_corpus(path, tmp_path, 300).largest <= 299


def opened(path, folder, results):
    found = open_corpus(path, folder, 300)
    results.put((made(folder), hashlib.sha256(found.tokens.tobytes()).hexdigest()))


def test_of_several_processes_one_makes_the_tokens(tmp_path):
    path = write(tmp_path / "t.txt", TEXT * 5)
    spawn = multiprocessing.get_context("spawn")
    results = spawn.Queue()
    processes = [spawn.Process(target=opened, args=(path, tmp_path, results)) for _ in range(3)]
    for process in processes:
        process.start()
    assert len({results.get(timeout=120) for _ in processes}) == 1
    for process in processes:
        process.join()
    assert json.loads((tmp_path / "tokens.json").read_text())["asked"] == 300


@pytest.mark.parametrize("text, reason", [("", "empty"), (" \n\n", "empty"), (None, "no file or folder")])
def test_a_text_that_is_none_is_refused(tmp_path, tokenizer, text, reason):
    if text is not None:
        write(tmp_path / "t.txt", text)
    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        open_corpus(tmp_path / "t.txt", tmp_path / "out", tokenizer)
    assert not list(tmp_path.glob("out/tokens.bin"))


@pytest.mark.skipif(os.name == "nt", reason="a file with a hole takes room there")
def test_a_model_trains_on_ten_billion_mapped_tokens(tmp_path):
    path = tmp_path / "tokens.bin"
    with path.open("wb") as file:
        file.truncate(2 * 10**10)
    model = GPT2(GPT2Config(16, 8, 8, 1, 2))
    progress = next(
        train(model, np.memmap(path, "<u2", mode="r"), TrainingConfig(1, batch_size=2, context=8))
    )
    assert progress.loss == pytest.approx(np.log(16), abs=0.2)
