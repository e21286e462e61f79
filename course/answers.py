"""The learner's answers in a notebook, however it was saved, and why one of them can't be taken along."""

import ast
import contextlib
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import nbformat

from course.build import Module, ruff
from course.source import (
    GAP,
    STUB,
    Course,
    CourseError,
    body,
    code_cells,
    is_definition,
    names_of,
    parsed,
    read,
)

# what a constant may call: nothing that takes long, prints, or depends on when it is called
PURE = {"float", "int", "str", "bytes", "tuple", "list", "set", "frozenset", "dict", "range", "len", "sum"}
PURE |= {"min", "max", "abs", "sorted", "math", "re", "regex", "torch.finfo", "torch.tensor"}
PURE_METHODS = {
    "join",
    "format",
    "split",
    "encode",
    "decode",
    "replace",
    "strip",
    "lower",
    "upper",
    "copy",
    "union",
}
NOT_WRITTEN, NOT_THERE = "not written yet", "no cell of the notebook defines it"
NOT_PLAIN = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr, ast.Lambda)


@dataclass(frozen=True)
class Answer:
    """What a notebook holds for one exercise: the cell and the definition, or why there is none."""

    name: str
    cell: nbformat.NotebookNode | None = None
    definition: ast.stmt | None = None
    reason: str = ""

    @property
    def text(self) -> str:
        """The definition, decorators and comments in it included."""
        return lines_of(self.cell, self.definition)


def exercise_names(names: set[str]) -> list[str]:
    """Return those of the names that an exercise has."""
    from course.exercise import exercises  # here, because restore must work where the library doesn't import

    return sorted(names & {exercise.name for exercise in exercises().values()})


def statements(cell: nbformat.NotebookNode) -> list[ast.stmt]:
    """Return the statements of a cell; none if it is not code, or not Python."""
    try:
        return parsed(cell) if cell.cell_type == "code" else []
    except (SyntaxError, ValueError):
        return []


def defined(cell: nbformat.NotebookNode) -> set[str]:
    """Return the functions and classes that a cell defines; none if it is not code, or not Python."""
    return {s.name for s in statements(cell) if isinstance(s, (ast.FunctionDef, ast.ClassDef))}


def gaps_of(solution: nbformat.NotebookNode) -> dict[str, nbformat.NotebookNode]:
    """Return the cells of a solution that an answer goes into, under the exercise's name."""
    cells = [cell for cell in code_cells(solution) if "### BEGIN SOLUTION" in cell.source]
    return {name: cell for cell in cells for name in exercise_names(defined(cell))}


def is_unwritten(text: str) -> bool:
    """Tell whether a gap in a text is still open."""
    return STUB[1] in [line.strip() for line in text.split("\n")]


def is_untouched(cell: nbformat.NotebookNode, solution: nbformat.NotebookNode) -> bool:
    """Tell whether each gap of a cell is still as the course made it."""
    lines = [line.strip() for line in cell.source.split("\n")]
    return list(pairwise(lines)).count(STUB) >= len(GAP.findall(solution.source))


def lines_of(cell: nbformat.NotebookNode, definition: ast.stmt) -> str:
    """Return the lines of a function or class in a cell, decorators included."""
    first = min([definition.lineno, *(d.lineno for d in getattr(definition, "decorator_list", []))])
    return "\n".join(body(cell).split("\n")[first - 1 : definition.end_lineno])


def find_answer(name: str, notebook: nbformat.NotebookNode) -> Answer:
    """Return the last written definition of an exercise in a notebook, or the reason why none counts."""
    reason = NOT_THERE
    for cell in reversed(code_cells(notebook)):
        try:
            found = parsed(cell)
        except (SyntaxError, ValueError) as error:
            if re.search(rf"^[ \t]*(?:async +)?(?:def|class)[ \t]+{name}\b", cell.source, re.M):
                reason = f"its cell is not Python: {type(error).__name__}: {error}".splitlines()[0]
            continue
        if (magic := re.match(r"\s*(%%\w+)", cell.source)) and not any(map(is_definition, found)):
            if re.search(rf"^(?:def|class)[ \t]+{name}\b", cell.source, re.M):
                reason = f"its cell begins with {magic[1]}, which hides it; take that line out"
        for definition in reversed(found):
            if name in names_of(definition) and is_definition(definition):
                answer = Answer(name, cell, definition)
                if not is_unwritten(answer.text):
                    return answer
                reason = NOT_WRITTEN
            elif said := elsewhere(name, definition):
                reason = said
    return Answer(name, reason=reason)


def is_check(statement: ast.stmt) -> bool:
    """Tell whether a statement is the line below an exercise, name = check(name)."""
    called = getattr(getattr(statement, "value", None), "func", None)
    return isinstance(called, ast.Name) and called.id == "check"


def elsewhere(name: str, statement: ast.stmt) -> str:
    """Return how a statement gives a name a value without defining it at the left margin, or nothing."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        if name in [alias.asname or alias.name for alias in statement.names]:
            return "it is imported; write it into the notebook"
        return ""
    if name in names_of(statement):
        return "" if is_check(statement) else f"it is assigned, not defined; write `def {name}(...):`"
    if not is_definition(statement):
        for inner in ast.walk(statement):
            if isinstance(inner, (ast.FunctionDef, ast.ClassDef)) and inner.name == name:
                return "it is defined inside another statement; move it to the left margin"
    return ""


def spliced(solution: nbformat.NotebookNode, answers: dict[str, Answer]) -> nbformat.NotebookNode:
    """Return a cell of the solution with the learner's definitions, and the imports beside them, in it."""
    lines = body(solution).split("\n")
    cells = []
    for statement in reversed(parsed(solution)):
        answer = (
            answers.get(statement.name) if isinstance(statement, (ast.FunctionDef, ast.ClassDef)) else None
        )
        if answer:
            first = min([statement.lineno, *(d.lineno for d in statement.decorator_list)])
            lines[first - 1 : statement.end_lineno] = answer.text.split("\n")
            cells.append(answer.cell)
    imports = [
        ast.unparse(s) for cell in cells for s in parsed(cell) if isinstance(s, (ast.Import, ast.ImportFrom))
    ]
    return nbformat.v4.new_code_cell("\n".join([*lines, "", *imports]))


def with_helpers(module: Module, notebook: nbformat.NotebookNode) -> str:
    """Return a module's text; what its cells use and only other cells of the learner's define comes along.

    Raises CourseError if a name is defined nowhere, or by more than a definition.
    """
    helpers: list[str] = []
    while True:
        cells = [module.cells[0], *map(nbformat.v4.new_code_cell, helpers), *module.cells[1:]]
        try:
            text = Module(module.name, module.chapter, cells, module.yours).text()
            return ruff({module.name: text}, rules="F821")[module.name]
        except CourseError as error:
            missing = dict.fromkeys(re.findall(r"Undefined name `(\w+)`", str(error)))
            found = [text for name in missing if (text := helper(name, notebook)) and text not in helpers]
            if not found:
                if missing:
                    names = " and ".join(f"`{name}`" for name in missing)
                    says = f"it uses {names}, which no cell defines at the left margin"
                    if star := star_import(notebook):
                        says += f"; if it comes from `{star}`, import it by its name"
                    raise CourseError(says) from None
                raise
            helpers[:0] = found


def star_import(notebook: nbformat.NotebookNode) -> str:
    """Return the text of an import of everything in a notebook, or nothing."""
    every = [s for cell in code_cells(notebook) for s in statements(cell) if isinstance(s, ast.ImportFrom)]
    return next((ast.unparse(s) for s in every if s.names[0].name == "*"), "")


def helper(name: str, notebook: nbformat.NotebookNode) -> str | None:
    """Return the text of the last statement in a notebook that defines or imports a name, or None.

    `name = check(name)` is neither, so that an answer may call an earlier one. Raises CourseError if that statement
    runs something.
    """
    for cell in reversed(code_cells(notebook)):
        for statement in reversed(statements(cell)):
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                if name in [alias.asname or alias.name.split(".")[0] for alias in statement.names]:
                    return ast.unparse(statement)
            elif isinstance(statement, ast.AugAssign) and ast.unparse(statement.target) == name:
                raise CourseError(
                    f"it uses `{name}`, which `{ast.unparse(statement)}` changes; give it its last value at once"
                )
            elif name in names_of(statement) and not is_check(statement):
                if is_definition(statement):
                    return lines_of(cell, statement)
                if is_plain(statement.value):
                    return ast.unparse(statement)
                raise CourseError(
                    f"it uses `{name}`, and `{ast.unparse(statement).splitlines()[0]}` runs code that a library "
                    f"should not run when it is imported; move it into the function"
                )
    return None


def is_plain(value: ast.expr | None) -> bool:
    """Tell whether computing a value takes no time, prints nothing and comes out the same every time."""
    for node in ast.walk(value) if value else ():
        if isinstance(node, NOT_PLAIN):
            return False
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            method = getattr(node.func, "attr", "")
            if not ({called, called.split(".")[0]} & PURE or method in PURE_METHODS):
                return False
    return value is not None


def holds(notebook: nbformat.NotebookNode, solution: nbformat.NotebookNode) -> bool:
    """Tell whether a notebook is a copy of a chapter: it has most of its exercises, or of its cells."""
    names = set(gaps_of(solution))
    text = "\n".join(cell.source for cell in code_cells(notebook))
    found = {name for name in names if re.search(rf"^(?:def|class)[ \t]+{name}\b", text, re.M)}
    ids = {cell.id for cell in solution.cells}
    return 2 * len(found) >= len(names) > 0 or 2 * len(ids & {cell.id for cell in notebook.cells}) > len(ids)


def written(notebook: nbformat.NotebookNode, solution: nbformat.NotebookNode) -> list[str]:
    """Return the exercises of a chapter that a notebook has an answer to."""
    return [name for name in gaps_of(solution) if find_answer(name, notebook).cell is not None]


def copies(folder: Path, chapter: Path) -> list[Path]:
    """Return the notebooks in a folder that are copies of a chapter under another name."""
    solution, found = read(chapter), []
    for path in sorted(folder.glob("*.ipynb")):
        if (chapter.parent / path.name).exists():  # this chapter or another one, under its own name
            continue
        with contextlib.suppress(CourseError):  # not a notebook
            if holds(read(path), solution):
                found.append(path)
    return found


class NoNotebook(CourseError):
    """Say that a chapter's notebook is nowhere."""


def learners_notebook(
    course: Course, chapter: Path, folder: Path | None = None, strict: bool = True
) -> tuple[Path, str]:
    """Return the notebook with the learner's answers to a chapter, and a remark if it is not the usual one.

    Raises NoNotebook if there is none, and CourseError if it could be one of several; also, if strict, where
    the usual one has no answers and a copy of it has.
    """
    folder = folder or course.notebooks
    usual, others = folder / chapter.name, copies(folder, chapter)
    where = course.where(usual)
    names = " and ".join(course.where(path) for path in others)
    if not usual.exists():
        if len(others) == 1:
            return others[0], f"read {names}, because {where} is not there"
        if others:
            raise CourseError(f"{where} is not there, and {names} are copies of it; pass the one you want")
        raise NoNotebook(
            f"{where} is not there, and no other notebook in {course.where(folder)} has its exercises; "
            f"if yours is somewhere else, pass its path"
        )
    solution = read(chapter)
    full = [path for path in others if written(read(path), solution)]
    if full and strict and not written(read(usual), solution):
        names = " and ".join(course.where(path) for path in full)
        pick = course.where(full[0])
        raise CourseError(
            f"{where} has no answers, but {names} {'has' if len(full) == 1 else 'have'}; to take them from there: "
            f'keep("{pick}"), or `python -m course keep {pick}`'
        )
    newer = [path for path in full if path.stat().st_mtime > usual.stat().st_mtime]
    if newer:
        return usual, f"read {where}; {course.where(newer[0])}, which is newer, was not read"
    return usual, ""
