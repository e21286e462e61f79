"""Files that are written whole or not at all. Built in chapter 01."""

import contextlib
import errno
import filecmp
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ABANDONED = 24 * 3600  # seconds without a change, after which an unfinished file is one of a killed run
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)  # what network drives say


@contextmanager
def replacing_together(
    directory: str | Path, *, key: str | None = None, stale: tuple[str, ...] = ()
) -> Iterator[Path]:
    """Yield a temporary folder to write files to, and move them into `directory` once the block ends well.

    key is the file that readers of such a set begin with. If more than one file differs from what is
    there, it leaves first and comes back last, so nobody can read a mixture of two sets. stale are
    patterns for files of an earlier set that would be read along with the new ones; they are removed.
    If anything goes wrong, a full disk or a power cut, `directory` is as it was. The files get the
    mode that the umask says, and each writer has a folder of its own.
    """
    directory = Path(directory)
    for left in directory.glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED and not any(left.glob("kept/*")):
                shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=directory))
    kept = folder / "kept"
    try:
        kept.mkdir()
        mode = kept.stat().st_mode & 0o666
        yield folder
        new = [path for path in folder.iterdir() if path.is_file()]
        for path in new:
            with contextlib.suppress(OSError):  # a drive that knows no modes
                path.chmod(mode)
            with path.open("rb+") as file:
                os.fsync(file.fileno())  # on the disk before it gets its name
        old = {path.name for pattern in stale for path in directory.glob(pattern) if path.is_file()}
        names = old - {path.name for path in new}
        names |= {path.name for path in new if key is None or not _same(path, directory / path.name)}
        if key is not None and len(names) > 1:
            names.add(key)
        _exchange(directory, folder, sorted(names, key=lambda name: name == key))
        shutil.rmtree(kept, ignore_errors=True)
    finally:
        if not any(kept.glob("*")):  # old files that could not be moved back are not thrown away
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(path: str | Path, patience: float = -1) -> Iterator[None]:
    """Let one process at a time into the block; it locks the file `path`, which is made if need be.

    Others wait for `patience` seconds, -1 for as long as it takes. A drive that knows no locks lets all of
    them in. Raises filelock.Timeout if the wait is over, OSError if the file cannot be written.
    """
    from filelock import FileLock  # here, because a tokenizer that is only used needs no lock

    lock = FileLock(path, timeout=patience)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()


def _same(path: Path, other: Path) -> bool:
    """Tell whether the other file is there and has the same content."""
    return other.is_file() and filecmp.cmp(path, other, shallow=False)


def _exchange(directory: Path, folder: Path, names: list[str]) -> None:
    """Move these files from folder to directory, the last one last, and remove those that folder lacks.

    The old ones wait in folder/kept, and come back if anything goes wrong.
    """
    moved = []
    try:
        for name in reversed(names) if len(names) > 1 else ():  # a single file is replaced in one step
            if (directory / name).is_file():
                (directory / name).replace(folder / "kept" / name)
        for name in names:
            if (folder / name).exists():
                moved.append(name)
                (folder / name).replace(directory / name)
            else:
                (directory / name).unlink(missing_ok=True)
    except BaseException:  # Ctrl+C, too
        for name in names:
            if (folder / "kept" / name).exists():
                (folder / "kept" / name).replace(directory / name)
            elif name in moved and len(names) > 1:
                (directory / name).unlink(missing_ok=True)
        raise


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and move it to `path` once the block ends well.

    If anything goes wrong in between, a full disk or a power cut, `path` is as it was. Of several
    writers at once the last one wins, whole. Raises OSError if nothing was or can be written.
    """
    path = Path(path)
    with replacing_together(path.parent) as folder:
        yield folder / path.name
        (folder / path.name).stat()
