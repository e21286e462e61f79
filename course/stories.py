"""Stories by people, for chapters that hold what a model does against what people write."""

from pathlib import Path

HELD_OUT = Path(__file__).parent / "data" / "held_out.txt"


def held_out_stories() -> list[str]:
    """Return the beginnings of eleven stories that `tales` never saw, of up to 800 of its tokens each.

    They are every 24th of the 246 that were held out when it was trained, from books published before 1929
    (`benchmarks/tales_books.tsv`).
    """
    return HELD_OUT.read_text("utf-8").removesuffix("\n").split("\n<|endoftext|>\n")
