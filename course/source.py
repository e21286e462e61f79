"""Reading the notebooks: cells, their marks, and what they define."""

import ast
import re
from functools import cache
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
SOLUTIONS, NOTEBOOKS, LIBRARY = ROOT / "solutions", ROOT / "notebooks", ROOT / "gpt2lib"

EXPORT = re.compile(r"\A#\| export (\w+)[ \t]*\n")
GAP = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION$", re.M | re.S)
MARKS = re.compile(r"^[ \t]*### (?:BEGIN|END) SOLUTION\n?", re.M)
STUB = ("# YOUR CODE HERE", "raise NotImplementedError")


class CourseError(Exception):
    """Say which cell of which notebook breaks which rule of the course."""


def chapters(only: str = "") -> list[Path]:
    """Return the solution notebooks in order, or the one whose name starts with `only`."""
    paths = [path for path in sorted(SOLUTIONS.glob("[0-9][0-9]_*.ipynb")) if path.name.startswith(only)]
    if not paths:
        raise CourseError(f"no notebook in {SOLUTIONS.name}/ starts with {only!r}")
    return paths


def read(path: Path) -> nbformat.NotebookNode:
    """Return a notebook; its format is checked."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the cells that hold code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def module_of(cell: nbformat.NotebookNode) -> str | None:
    """Return the module of the library that a cell goes into, or None."""
    match = EXPORT.match(cell.source)
    return match[1] if match else None


def body(cell: nbformat.NotebookNode) -> str:
    """Return a cell's code without the marks."""
    return MARKS.sub("", EXPORT.sub("", cell.source))


def parsed(cell: nbformat.NotebookNode) -> list[ast.stmt]:
    """Return the statements of a cell; lines for IPython (% and !) count as nothing."""
    text = re.sub(r"^([ \t]*)[%!].*$", r"\1pass", body(cell), flags=re.M)
    return ast.parse(text).body


def names_of(statement: ast.stmt) -> list[str]:
    """Return the names that a top-level statement defines (imports define none)."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return [
            node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name)
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
