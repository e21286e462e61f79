"""Make the training text of `tales`: download Project Gutenberg books, clean them, cut them into stories.

    python benchmarks/tales_text.py OUT                 # download what is not there yet, write the texts
    python benchmarks/tales_text.py OUT --from FOLDER   # use the files pgN.txt in FOLDER and no network

The books are those of tales_books.tsv; tales_clean.py has the rules for cleaning one, tales_words.py the
words that no paragraph may hold. Of a story that is told twice the first telling stays: one that shares more
than 30% of its runs of eight words with an earlier one is a copy. Every fortieth story is for validation, if
it shares at most 5% of these runs with all others; else the next one that does.

Writes OUT/train.txt (in random order, the same in every run), OUT/validation.txt, and OUT/digests.json with
the sha256 of every book, so that a later run can say which of them has changed.
"""

import argparse
import csv
import hashlib
import json
import random
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
from tales_clean import stories
from wording import run_hashes, unseen, word_hashes

from gpt2lib.files import replacing
from gpt2lib.tokenizer import END_OF_TEXT

ADDRESS = "https://www.gutenberg.org/cache/epub/{number}/pg{number}.txt"
BOOKS = Path(__file__).with_name("tales_books.tsv")  # number, title, author; "simple" if the language is
PAUSE = 2.0  # seconds between two downloads
HELD_OUT = 40  # every fortieth story is for validation
COPY, APART, ALONE = 0.3, 0.05, 0.05  # shares of 8-word runs: a copy's, with --apart, a held-out story's


def book_numbers() -> list[int]:
    """Return the numbers of the books in the list."""
    with BOOKS.open(encoding="utf-8", newline="") as file:
        return [int(row["number"]) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def download(number: int, folder: Path) -> Path:
    """Return the file of a book, fetched if it is not there; a broken download leaves nothing behind.

    Raises OSError, with what to do instead, if it cannot be fetched.
    """
    path = folder / f"pg{number}.txt"
    if not path.is_file():
        try:
            with urllib.request.urlopen(ADDRESS.format(number=number), timeout=60) as answer:
                data = answer.read()
        except OSError as error:
            raise OSError(
                f"book {number} could not be fetched ({error}); try again later, or put pg{number}.txt "
                f"into a folder and pass it with --from"
            ) from error
        with replacing(path) as new:
            new.write_bytes(data)
        time.sleep(PAUSE)
    return path


def decode(data: bytes) -> str:
    """Return the text of a file of Project Gutenberg; old ones are not UTF-8 but Latin-1."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n")


def report_changes(folder: Path, digests: dict[str, str]) -> list[str]:
    """Store the digests of the books; return the names of those that were others when last stored."""
    path = folder / "digests.json"
    before = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    with replacing(path) as new:
        new.write_text(json.dumps(before | digests, indent=1) + "\n", "utf-8")
    return [name for name, digest in digests.items() if before.get(name, digest) != digest]


def shared(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return which share of each text's 8-word runs an earlier text has, and which share any other has.

    A text without such a run shares nothing.
    """
    runs = [run_hashes(word_hashes(text)) for text in texts]
    owner = np.repeat(np.arange(len(texts)), [len(own) for own in runs])
    every = np.concatenate([*runs, np.zeros(0, dtype=np.uint64)])
    _, first, where = np.unique(every, return_index=True, return_inverse=True)
    last = np.zeros(len(first), dtype=np.int64)
    np.maximum.at(last, where, owner)
    # of each run, the first and the last text that has it
    earliest, latest = (owner[first][where], last[where])
    size = np.maximum(1, np.bincount(owner, minlength=len(texts)))
    earlier = np.bincount(owner, weights=earliest < owner, minlength=len(texts)) / size
    other = np.bincount(owner, weights=(earliest < owner) | (latest > owner), minlength=len(texts)) / size
    return earlier, other


def without_copies(texts: list[str], apart: list[str]) -> list[str]:
    """Return the texts that are no copies of earlier ones and share hardly anything with those in apart."""
    earlier, _ = shared(texts)
    texts = [text for text, share in zip(texts, earlier) if share <= COPY]
    return unseen(texts, [word_hashes(text) for text in apart], APART) if apart else texts


def split(texts: list[str]) -> tuple[list[str], list[str]]:
    """Return the training and the validation texts: the last of every forty, or the next that is alone."""
    _, other = shared(texts)
    chosen = set()
    for start in range(HELD_OUT - 1, len(texts), HELD_OUT):
        alone = (i for i in range(start, min(start + HELD_OUT, len(texts))) if other[i] <= ALONE)
        chosen.update([next(alone, None)])
    held_out = [text for i, text in enumerate(texts) if i in chosen]
    return [text for i, text in enumerate(texts) if i not in chosen], held_out


def make(out: Path, source: Path | None, numbers: list[int], apart: list[str]) -> tuple[int, int, Counter]:
    """Write train.txt and validation.txt; return how many stories are in each, and what was left out.

    Raises FileNotFoundError for a book that is not in source, ValueError for one that is not laid out
    like Project Gutenberg's, or if no story is left.
    """
    folder = source or out / "books"
    (out / "books" if source is None else out).mkdir(parents=True, exist_ok=True)
    every, digests, left_out = [], {}, Counter()
    for number in numbers:
        path = folder / f"pg{number}.txt"
        if source is None:
            path = download(number, folder)
        elif not path.is_file():
            raise FileNotFoundError(f"{folder} has no {path.name}; put it there, or leave out --from")
        data = path.read_bytes()
        digests[path.name] = hashlib.sha256(data).hexdigest()
        found, lost = stories(decode(data), path.name)
        print(digests[path.name], path.name, len(found), "stories")
        every += found
        left_out += lost
    for name in report_changes(out, digests):
        print(f"{name} is not the file that it was in the last run")
    once = without_copies(every, apart)
    left_out["a copy"] = sum(map(len, every)) - sum(map(len, once))
    kept, held_out = split(once)
    if not kept:
        raise ValueError(f"no story is in {len(numbers)} books; pass others")
    random.Random(0).shuffle(kept)
    for name, part in [("train.txt", kept), ("validation.txt", held_out)]:
        with replacing(out / name) as new:
            new.write_text(END_OF_TEXT.join(story + "\n" for story in part), "utf-8", newline="\n")
    return len(kept), len(held_out), left_out


def main(arguments: list[str] | None = None) -> None:
    """Make the texts as the command line says; errors end the program with one sentence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--from", dest="source", type=Path, help="a folder with pgN.txt; no network is used")
    parser.add_argument("--numbers", type=int, nargs="+", help="other books than those in tales_books.tsv")
    parser.add_argument(
        "--apart", type=Path, nargs="+", default=[], help="texts of which nothing may be in it"
    )
    options = parser.parse_args(arguments)
    try:
        apart = [path.read_text("utf-8") for path in options.apart]
        kept, held_out, left_out = make(options.out, options.source, options.numbers or book_numbers(), apart)
    except (OSError, ValueError) as error:
        sys.exit(f"tales_text: {error}")
    for why, size in left_out.most_common():
        print(f"left out as {why}: {size:,} characters")
    print(f"{kept} stories in train.txt, {held_out} in validation.txt")


if __name__ == "__main__":
    main()
