"""The learner's code becomes the library, and back: keep and restore."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import nbformat
from filelock import Timeout

from course.answers import (
    Answer,
    defined,
    find_answer,
    gaps_of,
    holds,
    learners_notebook,
    spliced,
    with_helpers,
)
from course.build import Module, library
from course.source import HERE, Course, CourseError, code_cells, locked, module_of, read, write_whole
from course.trial import try_out

RESTART = "Restart the kernel of any open notebook to use your code."
SAVE = "save the notebook (Ctrl+S, or Cmd+S on a Mac), then keep again"


@contextlib.contextmanager
def alone(course: Course, patience: float = 60) -> Iterator[None]:
    """Let one process at a time change a copy of the course. Raises CourseError if another one goes on doing so."""
    try:
        with locked(course.root / ".course.lock", patience):
            yield
    except Timeout:
        raise CourseError(
            "another keep, restore or update is at work on this copy of the course; try again when it is done"
        ) from None


def save(path: Path, course: Course) -> Path | None:
    """Put a copy of a file into saved/, under a name that is not taken; return its path."""
    if not path.exists():
        return None
    course.saved.mkdir(exist_ok=True)
    numbers = [name.stem.rsplit("-", 1)[1] for name in course.saved.glob(f"{path.stem}-*{path.suffix}")]
    last = max((int(number) for number in numbers if number.isdecimal()), default=0)
    copy = course.saved / f"{path.stem}-{last + 1}{path.suffix}"
    write_whole(copy, path.read_bytes())
    return copy


def write(path: Path, text: str, course: Course) -> bool:
    """Write a file whole, saving what was there; return whether anything changed."""
    if path.exists() and path.read_bytes() == text.encode():
        return False
    save(path, course)
    write_whole(path, text)
    return True


def modules_of(solution: nbformat.NotebookNode, chapter: str) -> list[Module]:
    """Return the modules that a chapter builds."""
    found: dict[str, Module] = {}
    for cell in code_cells(solution):
        if name := module_of(cell):
            found.setdefault(name, Module(name, chapter)).cells.append(cell)
    return list(found.values())


def keep(only: str | int = "", course: Course = HERE) -> str:
    """Write the modules of a chapter (or of all) from the learner's notebooks; return what became of them.

    only names a chapter ("03", "attention") or is the path of a notebook. The learner's answers go in
    where they pass, the reference where they don't. What was there before is saved.
    """
    report = []
    with alone(course):
        if str(only).endswith(".ipynb") and (path := found_at(str(only), course)):
            chapter = chapter_of(path, course)
            return keep_notebook(chapter, read(path), course, [f"read {course.where(path)}"])
        chosen = course.chapters(only)
        for chapter in chosen:
            if not modules_of(read(chapter), chapter.name[:2]):
                continue
            try:
                path, remark = learners_notebook(course, chapter)
                report.append(keep_notebook(chapter, read(path), course, [remark] if remark else []))
            except CourseError as error:
                if len(chosen) == 1:
                    raise
                report.append(f"chapter {int(chapter.name[:2])}: {error}")
    if not report:
        return f"nothing to keep: no exercise of {chosen[0].stem} goes into the library"
    lines = "\n".join(report).splitlines()
    return "\n".join([line for line in lines if line != RESTART] + [RESTART] * (RESTART in lines))


def found_at(text: str, course: Course) -> Path | None:
    """Return the notebook that a path means, from the folder one is in or from the course's."""
    places = [Path(text).expanduser(), course.root / text, course.notebooks / text]
    found = next((path.resolve() for path in places if path.is_file()), None)
    if found is None and len(Path(text).parts) > 1:
        raise CourseError(f"there is no notebook {text}")
    return found


def chapter_of(path: Path, course: Course) -> Path:
    """Return the chapter that a notebook is a copy of. Raises CourseError if it is none."""
    notebook = read(path)
    for chapter in sorted(course.chapters(), key=lambda chapter: chapter.name != path.name):
        if holds(notebook, read(chapter)):
            return chapter
    raise CourseError(f"{course.where(path)} is not a copy of any chapter: it has none of their exercises")


def keep_notebook(
    chapter: Path,
    notebook: nbformat.NotebookNode,
    course: Course,
    remarks: list[str],
    excuse: Callable[[Answer], str] | None = None,
) -> str:
    """Write the modules of one chapter from a notebook; return the report.

    excuse may know a better reason why there is no answer.
    """
    solution = read(chapter)
    gaps, report = gaps_of(solution), list(remarks)
    excuse = excuse or unsaved(course)
    kept = False
    for module in modules_of(solution, chapter.name[:2]):
        names = [name for name, cell in gaps.items() if module_of(cell) == module.name]
        answers = {name: find_answer(name, notebook) for name in names}
        left_out = {name: excuse(answer) for name, answer in answers.items() if answer.cell is None}
        answers = {name: answer for name, answer in answers.items() if answer.cell is not None}
        text, yours, rejected = chosen_text(module, answers, notebook, course)
        state = f"{len(yours)} of {len(names)} pieces yours" if names else "given"
        changed, trouble = put_in_place(module, yours, text, course)
        if trouble:
            report.append(
                f"gpt2lib/{module.name}.py: as before, because with your answers in place {trouble}"
            )
            continue
        kept |= bool(yours)
        report.append(f"gpt2lib/{module.name}.py: {state}{'' if changed else ', as before'}")
        report += [f"  {name}: {reason}" for name, reason in (rejected | left_out).items()]
    if len(report) == len(remarks):
        return f"nothing to keep: no exercise of {chapter.stem} goes into the library"
    if kept:
        report.append(RESTART)
    return "\n".join(report)


def unsaved(course: Course) -> Callable[[Answer], str]:
    """Return a function that tells why an answer is missing: one that has passed its check was not saved."""
    from course.mapping import recorded

    states = recorded(course)

    def excuse(answer: Answer) -> str:
        if states.get(answer.name) == "✓" and not answer.reason.startswith("its cell is not Python"):
            return f"it passed its check, but the saved notebook has no answer to it; {SAVE}"
        return answer.reason

    return excuse


def chosen_text(
    module: Module, answers: dict[str, Answer], notebook: nbformat.NotebookNode, course: Course
) -> tuple[str, list[str], dict[str, str]]:
    """Return a module's text with the answers that pass, their names, and the reasons against the others."""

    def text_with(chosen: dict[str, Answer]) -> str:
        cells = []
        for cell in module.cells:
            mine = {name: answer for name, answer in chosen.items() if name in defined(cell)}
            cells.append(spliced(cell, mine) if mine else cell)
        return with_helpers(replace(module, cells=cells, yours=list(chosen)), notebook)

    def why_not(chosen: dict[str, Answer]) -> str | None:
        try:
            text = text_with(chosen)
        except (CourseError, SyntaxError) as error:
            return str(error).strip().splitlines()[0]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{module.name}.py"
            path.write_text(text, "utf-8")
            return verdict(try_out(course, module.name, numbers_of(list(chosen)), path))

    chosen, rejected = largest_passing(answers, why_not)
    if rejected and not chosen and (trouble := why_not({})):
        raise CourseError(
            f"gpt2lib/ does not import as it is ({trouble}), so nothing was kept; "
            f"`python -m course restore` brings the course's own library back"
        )
    return text_with(chosen), list(chosen), rejected


def numbers_of(names: list[str]) -> list[str]:
    """Return the numbers of exercises."""
    from course.exercise import find

    return [find(name).number for name in names]


def verdict(said: dict) -> str | None:
    """Return what is wrong according to a trial, in one line, or None."""
    return said["reason"] or next(iter(said["wrong"].values()), None)


def largest_passing(
    answers: dict[str, Answer], why_not: Callable[[dict[str, Answer]], str | None]
) -> tuple[dict[str, Answer], dict[str, str]]:
    """Return the answers that pass together, and the reason against each of the others.

    If not all pass, they are added one at a time: a wrong one does not cost the others.
    """
    if not answers or why_not(answers) is None:
        return answers, {}
    chosen: dict[str, Answer] = {}
    rejected: dict[str, str] = {}
    for name, answer in answers.items():
        if reason := why_not(chosen | {name: answer}):
            rejected[name] = reason
        else:
            chosen[name] = answer
    return chosen, rejected


def put_in_place(module: Module, yours: list[str], text: str, course: Course) -> tuple[bool, str | None]:
    """Write a module and try it where it is; return whether it changed, and what is wrong.

    If anything is, the module is again as it was.
    """
    path = course.library / f"{module.name}.py"
    before = path.read_bytes() if path.exists() else None
    if before == text.encode():
        return False, None
    copy = save(path, course)
    write_whole(path, text)
    trouble = verdict(try_out(course, module.name, numbers_of(yours))) if yours else None
    if trouble:
        if before is None:
            path.unlink()
        else:
            write_whole(path, before)
            copy.unlink()
    return not trouble, trouble


def restore(course: Course = HERE) -> list[str]:
    """Bring the reference library back; return the modules that changed. What was there is saved."""
    with alone(course):
        return [path.stem for path, text in library(course).items() if write(path, text, course)]
