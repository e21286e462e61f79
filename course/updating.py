"""A newer edition of the course, with the learner's answers in it: update."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from course.answers import (
    NoNotebook,
    defined,
    exercise_names,
    gaps_of,
    is_untouched,
    is_unwritten,
    learners_notebook,
)
from course.build import dumps, kept_names, learners_edition, normalise
from course.keeping import alone, write
from course.source import HERE, Course, CourseError, code_cells, read


def update(folder: Path | None = None, only: str | int = "", course: Course = HERE) -> list[str]:
    """Carry the answers in a folder of filled-in notebooks into the course's present edition.

    folder is the course's own notebooks/ by default. The learner's own cells come along, each after the
    cell that it followed. Returns a line for each notebook. What was there is saved. Raises CourseError if
    there is no notebook of the course in the folder.
    """
    folder = Path(folder or course.notebooks)
    if not folder.is_dir():
        raise CourseError(f"there is no folder {folder}; pass the one with your filled-in notebooks")
    report, found = [], False
    with alone(course):
        for chapter in course.chapters(only):
            try:
                path, remark = learners_notebook(course, chapter, folder.resolve(), strict=False)
                old = read(path)
            except NoNotebook:
                continue
            except CourseError as error:
                report.append(str(error))
                continue
            found = True
            new, answers, own = carried(chapter, old)
            write(course.notebooks / chapter.name, dumps(normalise(new)), course)
            report.append(
                f"notebooks/{chapter.name}: {answers} answers and {own} cells of your own carried over"
                + (f" ({remark})" if remark else "")
            )
    if not found:
        none = f"no notebook of the course is in {folder}; its chapters are called 00_….ipynb and so on"
        raise CourseError("\n".join(report) or none)
    return report


def carried(chapter: Path, old: nbformat.NotebookNode) -> tuple[nbformat.NotebookNode, int, int]:
    """Return the learner's edition of a chapter with what is in an old copy, and how many answers and cells that is."""
    solution = read(chapter)
    answers = cells_of_answers(old, solution)
    new = learners_edition(solution, chapter.stem)
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
        elif not (is_unwritten(cell.source) and exercise_names(defined(cell))):
            extras.setdefault(after, []).append(cell)
            own += 1
    cells = list(extras.get(-1, []))
    for i, cell in enumerate(new.cells):
        cells += [cell, *extras.get(i, [])]
    new.cells = cells
    return new, len(answers), own


def cells_of_answers(
    notebook: nbformat.NotebookNode, solution: nbformat.NotebookNode
) -> dict[str, nbformat.NotebookNode]:
    """Return the learner's cell for each cell of the solution with a gap, under the solution's cell id.

    Cells are matched by the names that they define, because some front ends drop ids; of several cells
    that define a name the last one counts. Cells with some of the gaps filled, or that are not Python
    yet, count too, if they still have their id.
    """
    found = {}
    for cell in {cell.id: cell for cell in gaps_of(solution).values()}.values():
        names = set(exercise_names(defined(cell)))
        mine = [c for c in code_cells(notebook) if names & defined(c)]
        full = [c for c in mine if not is_unwritten(c.source)]
        if not full:
            mine += [c for c in code_cells(notebook) if c.id == cell.id and not defined(c)]
            full = [c for c in mine if not is_untouched(c, cell)]
        if full:
            found[cell.id] = full[-1]
    return found


def newest(course: Course = HERE) -> list[str]:
    """Bring the newer edition of the whole course by git, then carry the answers into it; return a line for each step.

    What the learner changed, in notebooks or elsewhere, is saved first: it is what `git pull` would refuse
    to overwrite. Without git, or without a newer edition, only the answers are carried.
    """
    report, kept = [], kept_names(course)
    upstream = git(course, "rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}")
    top = git(course, "rev-parse", "--show-toplevel")
    if upstream and top and Path(top).resolve() == course.root.resolve():
        if git(course, "fetch", "--quiet") is None:
            report.append("the newer edition could not be fetched (is there a network?); yours stays")
        elif git(course, "merge-base", "--is-ancestor", "HEAD", upstream) is None:
            raise CourseError(
                f"this copy has commits that {upstream} has not; `git pull --rebase` first, then update again"
            )
        elif git(course, "rev-parse", "HEAD") != git(course, "rev-parse", upstream):
            saved, changed = forward(course, upstream)
            report.append(
                f"the newer edition is here; your {len(changed)} changed files are in {course.where(saved)}"
            )
            if (saved / "notebooks").is_dir():  # by the new edition's own update
                command = [sys.executable, "-m", "course", "update", str(saved / "notebooks")]
                done = subprocess.run(command, cwd=course.root, capture_output=True, text=True)
                report += (done.stdout + done.stderr).strip().splitlines()
            if kept:
                report.append(
                    "gpt2lib/ is the course's own again; `python -m course keep` puts your answers back in"
                )
            return report
    return [*report, *update(course=course)]


def forward(course: Course, upstream: str) -> tuple[Path, list[str]]:
    """Move a clone to a newer commit; return where the files that the learner changed are saved, and which they are.

    If git refuses, everything is again as it was.
    """
    tracked = (git(course, "diff", "--name-only", "-z", "HEAD") or "").split("\0")
    new = (git(course, "diff", "--name-only", "-z", "--diff-filter=A", "HEAD", upstream) or "").split("\0")
    changed = [name for name in [*tracked, *new] if name and (course.root / name).is_file()]
    number = 1
    while (saved := course.saved / f"update-{number}").exists():
        number += 1
    own = git(course, "ls-files", "--others", "--exclude-standard", "-z", "notebooks") or ""
    renamed = [name for name in own.split("\0") if name.endswith(".ipynb") and name not in changed]
    for name in changed + renamed:
        (saved / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(course.root / name, saved / name)
    for name in set(new) & set(changed):
        (course.root / name).unlink()
    if (
        git(course, "checkout", "--quiet", "HEAD", "--", ".") is None
        or git(course, "merge", "--quiet", "--ff-only", upstream) is None
    ):
        for name in changed:
            shutil.copy2(saved / name, course.root / name)
        raise CourseError(
            f"git could not move this copy to {upstream}; your files are as they were, copies in {saved}"
        )
    return saved, changed


def git(course: Course, *arguments: str) -> str | None:
    """Return what a git command prints, or None if it fails or there is no git."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=course.root,
            env=os.environ | {"GIT_TERMINAL_PROMPT": "0"},  # no question that nobody sees
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=300,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
