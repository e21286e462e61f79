"""Make the training text of `tales`: download 40 Project Gutenberg books, clean them, cut them into stories.

    python benchmarks/tales_text.py OUT                 # download what is not there yet, write the texts
    python benchmarks/tales_text.py OUT --from FOLDER   # use the files pgN.txt in FOLDER and no network

Writes OUT/train.txt and OUT/validation.txt (every twentieth story), and OUT/digests.json with the sha256 of
every book, so that a later run can say which of them has changed.
"""

import argparse
import hashlib
import json
import re
import sys
import time
import unicodedata
import urllib.request
from pathlib import Path

from gpt2lib.files import replacing
from gpt2lib.tokenizer import END_OF_TEXT

ADDRESS = "https://www.gutenberg.org/cache/epub/{number}/pg{number}.txt"
BOOKS = (
    11, 12, 16, 54, 55, 113, 225, 236, 289, 420, 485, 486, 500, 503, 517, 540, 640, 641, 708, 778, 955, 1448,
    1597, 1874, 2435, 2591, 2781, 3027, 3282, 3454, 3536, 4018, 5314, 5615, 6746, 7128, 7277, 7439, 7885,
    27826,
)  # fmt: skip
PAUSE = 2.0  # seconds between two downloads
SHORTEST = 600  # characters in a story
HELD_OUT = 20  # every twentieth story is for validation
ASCII = {
    **dict.fromkeys("‘’‚‛′`", "'"),
    **dict.fromkeys("“”„‟″", '"'),
    **dict.fromkeys("–‒‑", "-"),
    **{"—": "--", "―": "--", "…": "...", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ß": "ss", "\xa0": " "},
}
# words that no child should learn from this model, by the first 16 digits of their sha256
SLURS = {
    "0058beda64c0e33e",
    "120f6e5b4ea32f65",
    "1c4bfd100aa92982",
    "469c0fdb6020d4bf",
    "6122fdf4ae1474fb",
    "6939937b0ac62334",
    "ad6cacf3af98d07b",
    "b0f4cf9f5573be14",
    "b3cec2f6ece2cef2",
    "bb87adf8aa783887",
    "e7b98c6aa5b944e0",
}
HEADING = re.compile(r"(CHAPTER|BOOK|PART|STORY)\b.{0,80}|[IVXLC]+\.?|[^a-z]{3,80}")


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


def book(text: str, name: str) -> str:
    """Return what stands between Project Gutenberg's header and footer. Raises ValueError without them."""
    match = re.search(r"^\*\*\* ?START OF.*?\*\*\*$(.*?)^\*\*\* ?END OF", text, re.M | re.S)
    if not match:
        raise ValueError(
            f"{name} has no lines *** START OF and *** END OF; pass a text from Project Gutenberg"
        )
    return match[1]


def plain(text: str) -> str:
    """Return a text in ASCII: quotes and dashes replaced, accents taken off, the rest left out."""
    text = text.translate(str.maketrans(ASCII))
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def is_heading(paragraph: str) -> bool:
    """Tell whether a paragraph is a heading: capitals only, a Roman numeral, or CHAPTER and the like."""
    return bool(HEADING.fullmatch(paragraph)) and any(c.isalpha() for c in paragraph)


def is_contents(lines: list[str]) -> bool:
    """Tell whether a paragraph is part of a table of contents or another list: short lines, no sentence."""
    return len(lines) > 2 and all(len(line) < 60 and not re.search(r"[.!?,;]['\"]?$", line) for line in lines)


def has_slur(paragraph: str) -> bool:
    """Tell whether a paragraph holds one of the words in SLURS, singular or plural."""
    words = set(re.findall(r"[a-z]+", paragraph.lower()))
    words |= {word.removesuffix("s") for word in words}
    return any(hashlib.sha256(word.encode()).hexdigest()[:16] in SLURS for word in words)


def stories(text: str) -> list[str]:
    """Return the stories of a book, one paragraph a line with an empty line between.

    A heading ends a story. Illustrations, notes in brackets, contents, paragraphs with slurs and
    stories that are too short are left out.
    """
    text = re.sub(r"\[[^\[\]]*\]", "", plain(text))  # [Illustration: ...], [Footnote 1: ...], [1]
    found, story = [], []
    for block in [*re.split(r"\n\s*\n", text), "THE END"]:
        lines = [line.strip() for line in block.strip().splitlines()]
        paragraph = re.sub(r"\s+", " ", " ".join(lines)).replace("_", "").strip()
        if is_heading(paragraph):
            found.append("\n\n".join(story))
            story = []
        elif paragraph and not is_contents(lines) and not has_slur(paragraph):
            story.append(paragraph)
    return [story for story in found if len(story) >= SHORTEST]


def report_changes(folder: Path, digests: dict[str, str]) -> list[str]:
    """Store the digests of the books; return the names of those that were others when last stored."""
    path = folder / "digests.json"
    before = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    with replacing(path) as new:
        new.write_text(json.dumps(before | digests, indent=1) + "\n", "utf-8")
    return [name for name, digest in digests.items() if before.get(name, digest) != digest]


def make(out: Path, source: Path | None, numbers: list[int]) -> tuple[int, int]:
    """Write train.txt and validation.txt; return how many stories are in each.

    Raises FileNotFoundError for a book that is not in source, ValueError for one that is not laid out
    like Project Gutenberg's, or if no story is left.
    """
    folder = source or out / "books"
    (out / "books" if source is None else out).mkdir(parents=True, exist_ok=True)
    every, digests = [], {}
    for number in numbers:
        path = folder / f"pg{number}.txt"
        if source is None:
            path = download(number, folder)
        elif not path.is_file():
            raise FileNotFoundError(f"{folder} has no {path.name}; put it there, or leave out --from")
        data = path.read_bytes()
        digests[path.name] = hashlib.sha256(data).hexdigest()
        print(digests[path.name], path.name)
        every += stories(book(data.decode("utf-8-sig").replace("\r\n", "\n"), path.name))
    for name in report_changes(out, digests):
        print(f"{name} is not the file that it was in the last run")
    held_out, kept = every[HELD_OUT - 1 :: HELD_OUT], [s for i, s in enumerate(every, 1) if i % HELD_OUT]
    if not kept:
        raise ValueError(f"no story of {SHORTEST} characters or more is in {len(numbers)} books; pass others")
    for name, part in [("train.txt", kept), ("validation.txt", held_out)]:
        with replacing(out / name) as new:
            new.write_text(END_OF_TEXT.join(story + "\n" for story in part), "utf-8", newline="\n")
    return len(kept), len(held_out)


def main(arguments: list[str] | None = None) -> None:
    """Make the texts as the command line says; errors end the program with one sentence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--from", dest="source", type=Path, help="a folder with pgN.txt; no network is used")
    parser.add_argument("--numbers", type=int, nargs="+", default=BOOKS, help="other books")
    options = parser.parse_args(arguments)
    try:
        kept, held_out = make(options.out, options.source, list(options.numbers))
    except (OSError, ValueError) as error:
        sys.exit(f"tales_text: {error}")
    print(f"{kept} stories in train.txt, {held_out} in validation.txt")


if __name__ == "__main__":
    main()
