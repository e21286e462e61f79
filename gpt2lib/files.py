"""Files that are written whole or not at all. Built in chapter 01."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and move it to `path` once the block ends well.

    If anything goes wrong in between, a full disk or a lost power cord, `path` is as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.part")  # a killed run leaves it; the next one replaces it
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # on the disk before it gets its name
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
