"""Where the parts of the course are, and reading the notebooks: cells, their marks, and what they define."""

import ast
import contextlib
import errno
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import nbformat
from filelock import FileLock
from IPython.core.inputtransformer2 import TransformerManager

EXPORT = re.compile(r"\A#\| (exporti?) (\w+)[ \t]*\n")  # exporti: into the module, but not offered by gpt2lib
GAP = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION$", re.M | re.S)
MARKS = re.compile(r"^[ \t]*### (?:BEGIN|END) SOLUTION\n?", re.M)
STUB = ("# YOUR CODE HERE", "raise NotImplementedError")
TRANSPARENT = re.compile(r"\A\s*%%(?:time|capture)\b.*\n")  # cell magics that run the cell as it stands


class CourseError(Exception):
    """Say which cell of which notebook breaks which rule of the course."""


@dataclass(frozen=True)
class Course:
    """One copy of the course, and where its parts are."""

    root: Path

    @property
    def solutions(self) -> Path:
        """The notebooks with the answers: the one source."""
        return self.root / "solutions"

    @property
    def notebooks(self) -> Path:
        """The learner's notebooks."""
        return self.root / "notebooks"

    @property
    def library(self) -> Path:
        """The package that the notebooks become."""
        return self.root / "gpt2lib"

    @property
    def saved(self) -> Path:
        """What keep, restore and update replaced."""
        return self.root / "saved"

    @property
    def progress(self) -> Path:
        """The file with the last state of each exercise."""
        return self.root / ".progress.json"

    def chapters(self, only: str | int = "") -> list[Path]:
        """Return the solution notebooks in order, or the one that `only` names.

        only is a number (3, "03"), a name ("masked_attention", "03_masked_attention.ipynb") or an
        exercise's number ("3.2"). Raises CourseError if it fits no chapter, or several.
        """
        paths = sorted(self.solutions.glob("[0-9][0-9]_*.ipynb"))
        if not paths:
            raise CourseError(f"no notebooks in {self.solutions}")
        text = str(only).strip()
        if not text:
            return paths
        if number := re.fullmatch(r"0*(\d+)(\.\d+)?|0*(\d+)_\w*(\.ipynb)?", Path(text).name):
            found = [path for path in paths if int(path.name[:2]) == int(number[1] or number[3])]
        else:
            word = Path(text).stem.lower()
            found = [path for path in paths if word in path.stem.lower()]
        if len(found) == 1:
            return found
        names = ", ".join(path.stem for path in found or paths)
        raise CourseError(f"{'more than one' if found else 'no'} notebook fits {text!r}; there are {names}")

    def where(self, path: Path) -> str:
        """Return a path as the course's folder shows it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


ROOT = Path(__file__).resolve().parent.parent
HERE = Course(ROOT)  # the copy that this module belongs to


def chapters(only: str | int = "") -> list[Path]:
    """Return the solution notebooks of this copy of the course, or one of them."""
    return HERE.chapters(only)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, whoever else is writing it; it gets an ordinary file's mode."""
    content = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # on the disk before it gets its name
        mask = os.umask(0)
        os.umask(mask)
        with contextlib.suppress(OSError):  # a drive that knows no modes
            temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, patience: float) -> Iterator[None]:
    """Let one process at a time into the block; a drive that knows no locks lets all of them in.

    The twin of gpt2lib.files.locked, for `restore` must work where the library doesn't. Raises
    filelock.Timeout after so many seconds, OSError if the file can't be written.
    """
    lock = FileLock(path, timeout=patience)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise
    try:
        yield
    finally:
        lock.release()


def read(path: Path) -> nbformat.NotebookNode:
    """Return a notebook, whatever wrote it, with an id for each cell. Raises CourseError if it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what is mended below
            notebook = nbformat.reads(path.read_text("utf-8-sig"), as_version=4)
        cells, notebook.nbformat_minor = notebook.cells, max(5, notebook.nbformat_minor)
        for cell in cells:
            if not (isinstance(cell["cell_type"], str) and isinstance(cell.get("source") or "", str)):
                raise TypeError("a cell has a type or a source that is no text")
            cell["source"] = re.sub(r"\r\n?", "\n", cell.get("source") or "")  # as Windows ends lines
            cell["metadata"] = nbformat.from_dict(dict(cell.get("metadata") or {}))
    except (
        OSError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        RecursionError,  # nested too deep to read
        nbformat.ValidationError,
    ) as error:
        line = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise CourseError(f"{path} is no notebook that can be read ({line})") from None
    known: set[str] = set()
    for cell in cells:
        empty = {"source": "", "metadata": nbformat.NotebookNode()}
        empty |= {"outputs": [], "execution_count": None} if cell.get("cell_type") == "code" else {}
        for key, value in empty.items():
            cell[key] = cell.get(key) or value
        ids = [cell.get("id"), cell.metadata.get("id")]  # Colab has it in the metadata
        usable = [
            i for i in ids if isinstance(i, str) and re.fullmatch(r"[\w-]{1,64}", i, re.A) and i not in known
        ]
        cell["id"] = usable[0] if usable else nbformat.v4.nbbase.random_cell_id()
        known.add(cell["id"])
    return notebook


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the cells that hold code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def module_of(cell: nbformat.NotebookNode) -> str | None:
    """Return the module of the library that a cell goes into, or None."""
    match = EXPORT.match(cell.source)
    return match[2] if match else None


def is_public(cell: nbformat.NotebookNode) -> bool:
    """Tell whether gpt2lib offers what a cell defines."""
    match = EXPORT.match(cell.source)
    return bool(match) and match[1] == "export"


def body(cell: nbformat.NotebookNode) -> str:
    """Return a cell's code without the marks, as Python: IPython itself decides what it means by % ! ?"""
    return as_python(MARKS.sub("", EXPORT.sub("", cell.source)))


@lru_cache(maxsize=4096)
def as_python(text: str) -> str:
    """Return the Python that IPython makes of a cell's text."""
    return TransformerManager().transform_cell(TRANSPARENT.sub("\n", text)).rstrip("\n")


@lru_cache(maxsize=4096)
def _statements(text: str) -> list[ast.stmt]:
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # a cell may await
    return compile(text, "<cell>", "exec", flags).body


def parsed(cell: nbformat.NotebookNode) -> list[ast.stmt]:
    """Return the statements of a cell. Raises SyntaxError where IPython would."""
    return list(_statements(body(cell)))


def names_of(statement: ast.stmt) -> list[str]:
    """Return the names that a top-level statement defines (imports define none)."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return [
            node.id
            for target in statement.targets
            for node in ast.walk(target)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    return []


def is_definition(statement: ast.stmt) -> bool:
    """Tell whether running a statement only makes a function, a class or a name from another module."""
    return isinstance(
        statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    )


@cache
def definitions(path: Path) -> dict:
    """Run the imports and definitions of a notebook, and nothing else; return what they make."""
    statements = []
    for cell in code_cells(read(path)):
        exported = module_of(cell) is not None
        statements += [s for s in parsed(cell) if is_definition(s) or (exported and names_of(s))]
    namespace = {"__name__": f"reference.{path.stem}"}
    exec(compile(ast.Module(statements, []), f"<{path.name}>", "exec"), namespace)
    return namespace
