"""A whole class's notebooks, examined: who has solved what, and which mistake how many made."""

import argparse
import contextlib
import csv
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import nbformat

from course.answers import NOT_THERE, NOT_WRITTEN, find_answer, is_plain, lines_of, statements
from course.keeping import chapter_of
from course.source import (
    GAP,
    HERE,
    Course,
    CourseError,
    code_cells,
    definitions,
    is_definition,
    names_of,
    read,
)

if TYPE_CHECKING:
    from course.exercise import Exercise

RIGHT, OPEN = "right", ""
SECONDS = 300  # for one notebook
FILE_SIZE = 64 * 2**20  # the largest file that an answer may write
NAME_AROUND = re.compile(r"^[\W_]+|[\W_]+$")


@dataclass(frozen=True)
class Mark:
    """What came of one person's answer to one exercise."""

    person: str
    number: str
    state: str  # "right", the id of a mistake, another word for what is wrong, or "" if it isn't written
    message: str = ""


@dataclass(frozen=True)
class Grades:
    """The marks of a class, and what could not be read."""

    marks: list[Mark]
    people: list[str]
    problems: list[str]

    def rows(self) -> list[list[str]]:
        """Return a table: a head, then one row a person with one column an exercise."""
        states = {(mark.person, mark.number): mark.state for mark in self.marks}
        numbers = self.numbers()
        rows = [["person", "right", *numbers]]
        for person in self.people:
            row = [states.get((person, number), OPEN) for number in numbers]
            rows.append([person, str(row.count(RIGHT)), *row])
        return rows

    def mistakes(self) -> list[list[str]]:
        """Return a table: which mistake how many people made, the most frequent of an exercise first."""
        wrong = [mark for mark in self.marks if mark.state not in (RIGHT, OPEN)]
        counts = Counter((mark.number, mark.state) for mark in wrong)
        says = {(mark.number, mark.state): mark.message for mark in wrong}
        order = sorted(counts, key=lambda key: (in_order(key[0]), -counts[key], key[1]))
        head = ["exercise", "mistake", "people", "what the check says"]
        return [head, *([*key, str(counts[key]), says[key]] for key in order)]

    def numbers(self) -> list[str]:
        """Return the exercises of every chapter that somebody handed in, in order."""
        from course.exercise import exercises

        chapters = {mark.number.split(".")[0] for mark in self.marks}
        return [number for number in exercises() if number.split(".")[0] in chapters]


def in_order(number: str) -> list[int]:
    """Return what exercise numbers are sorted by: "3.10" comes after "3.9"."""
    return [int(part) for part in number.split(".")]


def grade(folder: Path, seconds: float = SECONDS, jobs: int | None = None, course: Course = HERE) -> Grades:
    """Examine every notebook in a folder and in the folders in it.

    A notebook is somebody's if it has the exercises of a chapter; whose it is, `person_of` says. Each runs in a
    process of its own for at most `seconds`; of one that takes longer, what was examined by then counts.
    If somebody handed in a chapter several times, the newest counts. `folder` may be one notebook. Raises CourseError
    if there are no notebooks, or for a number that can't be.
    """
    for name, number in (("--seconds", seconds), ("--jobs", 1 if jobs is None else jobs)):
        if not 0 < number < 10**6:
            raise CourseError(f"{name} is {number}, but it must be above 0 and below a million")
    single, folder = [folder] if folder.is_file() else [], folder.parent if folder.is_file() else folder
    paths = single or [p for p in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]
    if not paths:
        there = "there are no notebooks in" if folder.is_dir() else "there is no folder"
        raise CourseError(
            f"{there} {folder}; it should hold one folder a person, or files like anna_03_masked_attention.ipynb"
        )
    problems, newest = [], {}
    for path in sorted(paths, key=lambda path: path.lstat().st_mtime):  # of a broken link, too
        try:
            chapter = chapter_of(path, course)
        except (CourseError, OSError) as error:
            problems.append(f"{path.relative_to(folder)}: {error}")
            continue
        newest[person_of(path.relative_to(folder), chapter.stem), chapter] = path
    pool, running = ThreadPoolExecutor(jobs or max(1, (os.cpu_count() or 2) // 2)), Running()
    try:
        found = list(pool.map(lambda item: examined(*item, seconds, course, running), newest.items()))
    finally:  # after Ctrl+C nobody waits for the rest of the class
        running.stop()
        pool.shutdown(cancel_futures=True)
    problems += [
        f"{newest[key].relative_to(folder)}: {said}" for key, (_, said) in zip(newest, found) if said
    ]
    return Grades(
        [mark for marks, _ in found for mark in marks], sorted({person for person, _ in newest}), problems
    )


def person_of(path: Path, chapter: str) -> str:
    """Return whose a notebook is: the folder it's in, or what its name has beside the chapter's.

    Of anna/03_masked_attention.ipynb, anna_03_masked_attention.ipynb and 03_masked_attention-anna.ipynb it is anna.
    """
    if len(path.parts) > 1:
        return path.parts[0]
    return NAME_AROUND.sub("", path.stem.replace(chapter, "")) or path.stem


class Running(set):
    """The processes that examine notebooks just now."""

    stopped = False

    def stop(self) -> None:
        """End all of them; no others are to be started."""
        self.stopped = True
        for process in list(self):
            stop(process)


def examined(
    whose: tuple[str, Path], path: Path, seconds: float, course: Course, running: Running
) -> tuple[list[Mark], str]:
    """Return the marks of one notebook, made in processes of their own, and what went wrong beside them.

    An answer that ends its process is marked so, and another process goes on with the next exercise.
    """
    person, chapter = whose
    marks: dict[str, Mark] = {}
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as home:
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LANG") if name in os.environ}
        kept |= {"HOME": home, "TMPDIR": home, "PYTHONPATH": str(course.root), "OMP_NUM_THREADS": "1"}
        while True:
            sign, before = secrets.token_hex(8), len(marks)
            command = [sys.executable, "-m", "course.grading", str(path.resolve()), str(chapter), *marks]
            process = subprocess.Popen(
                [*alone(), *command],
                cwd=home,
                env=kept,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            running.add(process)
            try:
                out, _ = process.communicate(sign, timeout=max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                stop(process)
                out, _ = process.communicate()
            stop(process)  # what an answer has started may still run
            running.remove(process)
            done = False
            for line in out.splitlines():
                with contextlib.suppress(json.JSONDecodeError, TypeError, KeyError):
                    found = json.loads(line)
                    if found["sign"] != sign:
                        continue
                    if done := found.get("done", False):
                        break
                    number = found["number"]
                    marks[number] = Mark(person, number, found["state"], found["message"])
            if running.stopped:
                said = "interrupted"
            elif time.monotonic() >= until:
                said = f"stopped after {seconds:g} seconds; what was examined by then counts"
            elif done:
                said = ""
            elif len(marks) == before:
                said = f"the examination ended with exit code {process.returncode}"
            else:
                continue  # an answer ended the process
            return list(marks.values()), said


@cache
def alone() -> list[str]:
    """Return what a command has to begin with to run without a network, where the system has that.

    Whatever the command starts ends with it, also what detaches itself.
    """
    command = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"]
    works = shutil.which("unshare") and not subprocess.run([*command, "true"], capture_output=True).returncode
    return command if works else []


def stop(process: subprocess.Popen) -> None:
    """End a process and those that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()


def verdicts(notebook: nbformat.NotebookNode, chapter: Path, but: list[str]) -> Iterator[dict]:
    """Examine the answers of a notebook but for some; only definitions of it run, never its other lines.

    What comes last for an exercise counts: before an answer runs, it is said that it didn't come back.
    """
    from course.exercise import exercises

    given = {cell.source for cell in code_cells(read(chapter)) if not GAP.search(cell.source)}
    # without the course's own cells, for some define wrong answers for show
    notebook.cells = [cell for cell in notebook.cells if cell.source not in given]
    own = [e for e in exercises().values() if e.chapter.name == chapter.name]
    names = {exercise.name for exercise in own}
    for exercise in own:
        if exercise.number in but:
            continue
        found = find_answer(exercise.name, notebook)
        if found.cell is None:
            state = OPEN if found.reason in (NOT_WRITTEN, NOT_THERE) else "unreadable"
            yield {"number": exercise.number, "state": state, "message": found.reason}
            continue
        lost = "It ends Python, or doesn't come back."
        yield {"number": exercise.number, "state": "never-returns", "message": lost}
        state, message = verdict(exercise, found.text, notebook, chapter, names)
        yield {"number": exercise.number, "state": state, "message": message}


def verdict(
    exercise: "Exercise", text: str, notebook: nbformat.NotebookNode, chapter: Path, names: set[str]
) -> tuple[str, str]:
    """Return the state of an answer and what the check says of it; `names` are the chapter's exercises."""
    from course.verdicts import examine

    namespace = dict(definitions(chapter))
    for cell in code_cells(notebook):
        for statement in statements(cell):
            helper = is_definition(statement) or is_plain(getattr(statement, "value", None))
            if helper and names_of(statement) and not names & set(names_of(statement)):
                with contextlib.suppress(Exception):  # what an answer lacks will be said with the answer
                    exec(compile(lines_of(cell, statement), "<notebook>", "exec"), namespace)
    try:
        exec(compile(text, f"<{exercise.name}>", "exec"), namespace)
        found = examine(exercise, namespace[exercise.name])
    except Exception as error:
        return "raises", f"{type(error).__name__}: {error}"
    if found.passed:
        return RIGHT, ""
    if not found.written:
        return OPEN, ""
    return found.diagnosis or "wrong", found.message.splitlines()[0]


def limit_what_it_may() -> None:
    """Keep the learners' code from filling the disk, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def write_csv(grades: Grades, path: Path) -> list[Path]:
    """Write both tables; return the two files."""
    other = path.with_name(f"{path.stem}-mistakes{path.suffix or '.csv'}")
    for where, rows in ((path, grades.rows()), (other, grades.mistakes())):
        with where.open(
            "w", newline="", encoding="utf-8-sig", errors="replace"
        ) as file:  # the mark tells Excel that it's UTF-8
            csv.writer(file).writerows([[harmless(cell) for cell in row] for row in rows])
    return [path, other]


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in tuple("=+-@\t\r") else cell


def printed(rows: list[list[str]]) -> None:
    """Print a table in columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def main() -> None:
    """Examine one notebook: a line of JSON for each exercise, with the sign that came on standard input."""
    parser = argparse.ArgumentParser(prog="python -m course.grading", description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("chapter", type=Path)
    parser.add_argument("but", nargs="*", help="exercises to leave out")
    options = parser.parse_args()
    sign, out = sys.stdin.read(), own_output()
    limit_what_it_may()
    for found in verdicts(read(options.notebook), options.chapter, options.but):
        print(json.dumps({"sign": sign, **found}), file=out, flush=True)
    print(json.dumps({"sign": sign, "done": True}), file=out, flush=True)
    os._exit(0)  # without waiting for threads that an answer has started


def own_output() -> TextIO:
    """Return standard output, and let everything else that is printed go nowhere."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return out


if __name__ == "__main__":
    main()
