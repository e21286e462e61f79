"""Stories by people: a book to train on, and others to hold what a model does against what people write."""

from pathlib import Path

DATA = Path(__file__).parent / "data"
END = "<|endoftext|>"


def held_out_stories() -> list[str]:
    """Return the beginnings of eleven stories that `tales` never saw, of up to 800 of its tokens each.

    They are every 24th of the 246 that were held out when it was trained, from books published before 1929
    (`benchmarks/tales_books.tsv`).
    """
    return (DATA / "held_out.txt").read_text("utf-8").removesuffix("\n").split(f"\n{END}\n")


def wizard_of_oz() -> str:
    """Return *The Wonderful Wizard of Oz* (L. Frank Baum, 1900), a paragraph a line with a blank line between.

    The text is Project Gutenberg's (book 55), without headings, cleaned as the text of `tales` is
    (`benchmarks/tales_clean.py`). It comes with the course, so that everybody trains on the same.
    """
    return (DATA / "wizard_of_oz.txt").read_text("utf-8").strip()


def held_back(text: str) -> tuple[str, str]:
    """Cut a text into pieces of 20 paragraphs; return what to train on, and every tenth piece to judge by."""
    paragraphs = text.split("\n\n")
    pieces = ["\n\n".join(paragraphs[i : i + 20]) for i in range(0, len(paragraphs), 20)]
    return END.join(piece for i, piece in enumerate(pieces) if i % 10 != 9), END.join(pieces[9::10])
