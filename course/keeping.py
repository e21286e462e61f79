"""The learner's code becomes the library, and back: keep, restore, update, graduate."""

import ast
import json
import re
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import nbformat

from course.build import Module, dumps, learners_edition, library, normalise, ruff
from course.exercise import exercises
from course.source import (
    GAP,
    HERE,
    STUB,
    Course,
    CourseError,
    body,
    code_cells,
    is_definition,
    module_of,
    names_of,
    parsed,
    read,
)
from gpt2lib.files import replacing

YOURS = re.compile(r"^Yours: (.+?)\.$", re.M)


def save(path: Path, course: Course) -> None:
    """Put a copy of a file into saved/, under a name that is not taken."""
    if not path.exists():
        return
    course.saved.mkdir(exist_ok=True)
    numbers = [name.stem.rsplit("-", 1)[1] for name in course.saved.glob(f"{path.stem}-*{path.suffix}")]
    last = max((int(number) for number in numbers if number.isdecimal()), default=0)
    with replacing(course.saved / f"{path.stem}-{last + 1}{path.suffix}") as copy:
        copy.write_bytes(path.read_bytes())


def write(path: Path, text: str, course: Course) -> bool:
    """Write a file whole, saving what was there; return whether anything changed."""
    if path.exists() and path.read_text("utf-8") == text:
        return False
    save(path, course)
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8", newline="\n")
    return True


def kept_names(course: Course = HERE) -> dict[str, list[str]]:
    """Return, for each module of the library, what in it is the learner's."""
    found = {}
    for path in sorted(course.library.glob("*.py")):
        docstring = path.read_text("utf-8").partition('"""')[2].partition('"""')[0]
        if match := YOURS.search(docstring):
            found[path.stem] = match[1].split(", ")
    return found


def is_unwritten(cell: nbformat.NotebookNode) -> bool:
    """Tell whether a gap of a cell is still open."""
    return STUB[1] in [line.strip() for line in cell.source.split("\n")]


def is_untouched(cell: nbformat.NotebookNode, solution: nbformat.NotebookNode) -> bool:
    """Tell whether each gap of a cell is still as the course made it."""
    lines = [line.strip() for line in cell.source.split("\n")]
    return list(pairwise(lines)).count(STUB) >= len(GAP.findall(solution.source))


def defined(cell: nbformat.NotebookNode) -> set[str]:
    """Return the functions and classes that a cell defines; none if it is not code, or not Python."""
    if cell.cell_type != "code":
        return set()
    try:
        return {s.name for s in parsed(cell) if isinstance(s, (ast.FunctionDef, ast.ClassDef))}
    except SyntaxError:
        return set()


def answers_in(
    notebook: nbformat.NotebookNode, solution: nbformat.NotebookNode, unfinished: bool = False
) -> dict[str, nbformat.NotebookNode]:
    """Return the learner's cell for each cell of the solution with a gap, under the solution's cell id.

    Cells are matched by the names that they define, for some front ends drop ids; of several cells
    that define a name the last one counts. Unwritten ones are left out. Unfinished ones, with some of
    the gaps filled or not yet Python, are there if they are asked for.
    """
    found = {}
    for cell in code_cells(solution):
        if "### BEGIN SOLUTION" not in cell.source:
            continue
        names = set(exercise_names(defined(cell)))
        mine = [c for c in code_cells(notebook) if names & defined(c)]
        written = [c for c in mine if not is_unwritten(c)]
        if unfinished and not written:
            mine += [c for c in code_cells(notebook) if c.id == cell.id and not defined(c)]
            written = [c for c in mine if not is_untouched(c, cell)]
        if names and written:
            found[cell.id] = written[-1]
    return found


def with_helpers(
    module: str, cells: list, notebook: nbformat.NotebookNode, chapter: str, docstring: str = ""
) -> str:
    """Return a module's text; what its cells use and only other cells of the learner's define comes along.

    Raises CourseError if a name is defined nowhere.
    """
    helpers: list = []
    while True:
        try:
            text = Module(module, chapter, [cells[0], *helpers, *cells[1:]]).text()
            return ruff({module: text}, rules="F821")[module]
        except CourseError as error:
            missing = re.findall(r"Undefined name `(\w+)`", str(error))
            added = False
            for name in missing:
                for cell in reversed(code_cells(notebook)):
                    statement = defining(cell, name)
                    if statement and statement not in [h.source for h in helpers]:
                        helpers.insert(0, nbformat.v4.new_code_cell(statement))
                        added = True
                        break
            if not added:
                raise


def defining(cell: nbformat.NotebookNode, name: str) -> str | None:
    """Return the text of the statement in a cell that defines or imports a name, or None."""
    try:
        statements = parsed(cell)
    except SyntaxError:
        return None
    for statement in statements:
        imported = [
            alias.asname or alias.name.split(".")[0]
            for alias in getattr(statement, "names", [])
            if isinstance(statement, (ast.Import, ast.ImportFrom))
        ]
        if name in imported or (name in names_of(statement)):
            return lines_of(cell, statement) if is_definition(statement) or name.isupper() else None
    return None


def lines_of(cell: nbformat.NotebookNode, statement: ast.stmt) -> str:
    """Return the lines of a statement in a cell, decorators and comments on them included."""
    first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
    return "\n".join(body(cell).split("\n")[first - 1 : statement.end_lineno])


def keep(only: str = "", course: Course = HERE) -> str:
    """Write the modules of a chapter (or of all) from the learner's notebooks; return what became of them.

    Their answers go in where they pass, the reference where they do not. What was there before is
    saved.
    """
    report = []
    for path in course.chapters(only):
        mine = course.notebooks / path.name
        if mine.exists():
            report += keep_chapter(read(path), read(mine), path.name[:2], course)
    if not report:
        return "nothing to keep: no exercise of this chapter goes into the library"
    return "\n".join([*report, "Restart the kernel of notebooks that are open, and they run your code."])


def keep_chapter(
    solution: nbformat.NotebookNode, notebook: nbformat.NotebookNode, chapter: str, course: Course
) -> list[str]:
    """Write the modules of one chapter; return a line for each."""
    answers = answers_in(notebook, solution)
    modules: dict[str, list] = {}
    for cell in code_cells(solution):
        if module_of(cell):
            modules.setdefault(module_of(cell), []).append(cell)
    report = []
    for module, cells in modules.items():
        chosen = {cell.id: exported(answers[cell.id], module) for cell in cells if cell.id in answers}
        rejected = []
        together = [chosen.get(cell.id, cell) for cell in cells]
        names = {name for cell in chosen.values() for name in defined(cell)}
        if chosen and why_not(module, together, notebook, chapter, names):
            every, chosen, names = chosen, {}, set()
            for key, cell in every.items():  # one more at a time: a wrong one does not cost the others
                more = chosen | {key: cell}
                both = [more.get(c.id, c) for c in cells]
                if reason := why_not(module, both, notebook, chapter, names | defined(cell)):
                    rejected.append(f"  {', '.join(exercise_names(defined(cell)))}: {reason}")
                else:
                    chosen, names = more, names | defined(cell)
        yours = [name for cell in cells if cell.id in chosen for name in exercise_names(defined(cell))]
        both = [chosen.get(cell.id, cell) for cell in cells]
        text = with_helpers(module, both, notebook, chapter)
        if yours:
            text = text.replace('."""\n', f'.\n\nYours: {", ".join(yours)}.\n"""\n', 1)
            text = ruff({module: text}, rules="F821")[module]
        changed = write(course.library / f"{module}.py", text, course)
        gaps = [
            n for cell in cells if "### BEGIN SOLUTION" in cell.source for n in exercise_names(defined(cell))
        ]
        state = f"{len(yours)} of {len(gaps)} pieces yours" if gaps else "given"
        report += [f"gpt2lib/{module}.py: {state}{'' if changed else ', as before'}", *rejected]
    return report


def exercise_names(names: set[str]) -> list[str]:
    """Return those of the names that an exercise has."""
    return sorted(names & {exercise.name for exercise in exercises().values()})


def exported(cell: nbformat.NotebookNode, module: str) -> nbformat.NotebookNode:
    """Return a learner's cell as an export cell: imports and definitions, no experiments below them."""
    parts = [
        lines_of(cell, statement)
        for statement in parsed(cell)
        if is_definition(statement) or names_of(statement)
    ]
    return nbformat.v4.new_code_cell(f"#| export {module}\n" + "\n\n".join(parts))


def why_not(
    module: str, cells: list, notebook: nbformat.NotebookNode, chapter: str, names: set[str]
) -> str | None:
    """Return why a module with these cells can't be kept, or None: it must import, and its answers pass."""
    try:
        text = with_helpers(module, cells, notebook, chapter)
    except (CourseError, SyntaxError) as error:
        return str(error).strip().splitlines()[0]
    numbers = [exercise.number for exercise in exercises().values() if exercise.name in names]
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / f"trial_{module}.py"
        trial.write_text(text, "utf-8")
        code = (
            f"import json, sys; sys.path.insert(0, {folder!r}); import trial_{module} as m\n"
            "from course import examine; from course.exercise import find\n"
            f"for number in {numbers!r}:\n"
            "    verdict = examine(number, getattr(m, find(number).name))\n"
            "    if not verdict.passed: print(); print(json.dumps(verdict.message)); break"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE.root)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it stops Python"])[-1]
    said = done.stdout.strip().splitlines()
    return json.loads(said[-1]).splitlines()[0] if said and said[-1].startswith('"') else None


def restore(course: Course = HERE) -> list[str]:
    """Bring the reference library back; return the modules that changed. What was there is saved."""
    return [path.stem for path, text in library(course).items() if write(path, text, course)]


def update(folder: Path, only: str = "", course: Course = HERE) -> list[str]:
    """Carry the answers in a folder of filled-in notebooks into the course's present edition.

    The learner's own cells come along, each after the cell that it followed. Returns a line for each
    notebook. What was there is saved.
    """
    report = []
    for path in course.chapters(only):
        old_path, solution = folder / path.name, read(path)
        if not old_path.exists():
            continue
        old, new = read(old_path), learners_edition(read(path))
        answers = answers_in(old, solution, unfinished=True)
        place = {cell.source: i for i, cell in enumerate(new.cells)}  # some front ends drop ids
        place |= {cell.id: i for i, cell in enumerate(new.cells)}
        for i, cell in enumerate(new.cells):
            if cell.id in answers:
                place[answers[cell.id].id] = i
                cell.source = answers[cell.id].source
        extras: dict[int, list] = {}
        after, own = -1, 0
        for cell in old.cells:
            if cell.id in place or cell.source in place:
                after = place.get(cell.id, place.get(cell.source))
            elif not (is_unwritten(cell) and exercise_names(defined(cell))):
                extras.setdefault(after, []).append(cell)
                own += 1
        cells = list(extras.get(-1, []))
        for i, cell in enumerate(new.cells):
            cells += [cell, *extras.get(i, [])]
        new.cells = cells
        write(course.notebooks / path.name, dumps(normalise(new)), course)
        report.append(
            f"notebooks/{path.name}: {len(answers)} answers and {own} cells of your own carried over"
        )
    return report
