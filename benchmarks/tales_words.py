"""Words that no paragraph of the training text of `tales` may hold: slurs, and old names for peoples.

    python benchmarks/tales_words.py               # show them
    python benchmarks/tales_words.py add WORD ...  # add some
    python benchmarks/tales_words.py has WORD ...  # say which of these are filtered, plurals too

They hurt, so tales_words.txt has them in rot13, one a line in the order of the alphabet: nobody reads one by
accident, and everybody can check the list, add to it and see in a diff what changed.
"""

import argparse
import codecs
import re
import sys
from pathlib import Path

from gpt2lib.files import replacing

FILE = Path(__file__).with_name("tales_words.txt")


def load(path: Path = FILE) -> frozenset[str]:
    """Return the words. Raises ValueError for a line that is not one word in lowercase letters."""
    words = path.read_text("utf-8").split("\n")[:-1]
    for number, word in enumerate(words, start=1):
        if not re.fullmatch("[a-z]+", word):
            raise ValueError(
                f"line {number} of {path} is {word!r}, but a line is one word in lowercase letters"
            )
    return frozenset(codecs.decode(word, "rot13") for word in words)


def add(words: list[str], path: Path = FILE) -> None:
    """Write words into the list, in the singular. Raises ValueError for one that is not lowercase letters."""
    for word in words:
        if not re.fullmatch("[a-z]+", word):
            raise ValueError(f"{word!r} is not one word in lowercase letters; add it that way")
    with replacing(path) as new:
        lines = (codecs.encode(word, "rot13") for word in sorted(load(path) | set(words)))
        new.write_text("".join(f"{line}\n" for line in lines), "utf-8", newline="\n")


def singulars(word: str) -> set[str]:
    """Return a word and what it may be the plural of."""
    return {word, word.removesuffix("s"), word.removesuffix("es"), re.sub("ies$", "y", word)}


def is_filtered(word: str, words: frozenset[str]) -> bool:
    """Tell whether a word in lowercase, in the singular or the plural, is in the list."""
    return not singulars(word).isdisjoint(words)


def main(arguments: list[str] | None = None) -> None:
    """Show, change or ask the list; errors end the program with one sentence."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", nargs="?", choices=["show", "add", "has"], default="show")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args(arguments)
    try:
        if options.action == "add":
            add(options.words, FILE)
        words = load(FILE)
    except ValueError as error:
        sys.exit(f"tales_words: {error}")
    if options.action == "show":
        print("\n".join(sorted(words)))
    if options.action == "has":
        for word in options.words:
            print(f"{word}: {'yes' if is_filtered(word.lower(), words) else 'no'}")


if __name__ == "__main__":
    main()
