"""Files that are written whole or not at all. Built in chapter 01."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and move it to `path` once the block ends well.

    If anything goes wrong in between, a full disk or a power cut, `path` is as it was. Every writer has
    a temporary file of its own: of several at once, the last one wins, whole. The new file gets the mode
    that the umask asks for. Raises OSError if nothing can be written next to `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")  # a killed writer leaves it
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # some libraries would make it 0600
        temporary.unlink()  # so that a block that writes nothing fails
        yield temporary
        temporary.chmod(mode)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # on the disk before it gets its name
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
