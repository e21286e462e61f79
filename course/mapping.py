"""How far the learner has come: a small file of theirs, a map of the course."""

import html
import json
import os
from dataclasses import dataclass
from pathlib import Path

from IPython import get_ipython

from course.build import kept_names
from course.exercise import Exercise, exercises
from course.source import HERE, Course, locked, write_whole

# white text on each has a contrast of 4.5 : 1 or more (WCAG 2.2, 1.4.3)
COLORS = {"✓": "#007a59", "✗": "#b84e00", "○": "#5b6470"}
MEANINGS = {"✓": "right", "✗": "not yet right", "○": "not written yet"}
BOX = (
    "display:inline-block;min-width:44px;line-height:24px;margin:1px;padding:0 4px;text-align:center;"
    "color:white;border-radius:3px;text-decoration:none"
)
STARTED_IN = Path.cwd()  # where the kernel was, whatever an answer does to its folder
# exercise -> state, and how many cells had run; of this kernel
checked: dict[str, tuple[str, int]] = {}
told: set[Path] = set()  # copies of the course whose progress can't be saved


def recorded(course: Course = HERE) -> dict[str, str]:
    """Return the last state of each exercise that was ever checked: ✓, ✗ or ○ under its name."""
    try:
        states = json.loads(course.progress.read_text("utf-8"))
        return {name: state for name, state in states.items() if isinstance(state, str) and state in COLORS}
    except (OSError, ValueError, AttributeError, RecursionError):  # not there, or not what `record` writes
        return {}


def record(name: str, state: str, course: Course = HERE) -> None:
    """Remember the state of an exercise, if a learner checked it. Says where that can't be written, and never raises."""
    shell = get_ipython()
    checked.pop(name, None)
    checked[name] = (state, len(shell.history_manager.input_hist_raw) if shell else 0)
    off = os.environ.get("PYTEST_CURRENT_TEST") or os.environ.get("COURSE_PROGRESS") == "off"
    if off or STARTED_IN == course.solutions or recorded(course).get(name) == state:
        return
    try:
        with locked(
            course.progress.with_name(f"{course.progress.name}.lock"), 5
        ):  # other notebooks record too
            states = recorded(course) | {name: state}
            write_whole(course.progress, json.dumps(states, ensure_ascii=False, indent=1))
    except (OSError, ValueError) as error:  # a full disk, a folder that can't be written, a lock that stays
        if course.root not in told:
            print(f"Your progress can't be saved here ({error}). Everything else works.")
            told.add(course.root)


@dataclass(frozen=True)
class Progress:
    """The map of the course with what is done, as a picture in a notebook and as text elsewhere."""

    states: dict[str, str]
    theirs: dict[str, list[str]]  # module -> the learner's names in it
    folder: str = ""  # of the notebooks, as a link from the one that shows the map

    def chapters(self) -> dict[str, list[Exercise]]:
        """Return the exercises of each chapter."""
        rows: dict[str, list[Exercise]] = {}
        for exercise in exercises().values():
            rows.setdefault(exercise.number.split(".")[0].zfill(2), []).append(exercise)
        return rows

    def summary(self) -> str:
        """Return how much is done, left, and theirs, in one line."""
        every = list(exercises().values())
        done = [exercise for exercise in every if self.states.get(exercise.name) == "✓"]
        spent = sum(exercise.minutes for exercise in done)
        left = sum(exercise.minutes for exercise in every) - spent
        kept = sum(map(len, self.theirs.values()))
        return (
            f"{len(done)} of {len(every)} exercises done: about {spent} minutes, with {left} left; "
            f"{kept} of the library's pieces are yours"
        )

    def __repr__(self) -> str:
        lines = [
            f"{chapter}  " + "  ".join(f"{self.states.get(e.name, '○')} {e.number}" for e in row)
            for chapter, row in self.chapters().items()
        ]
        return "\n".join([*lines, self.summary()])

    def _repr_html_(self) -> str:
        rows = []
        for row in self.chapters().values():
            name = row[0].chapter
            boxes = "".join(self._box(exercise) for exercise in row)
            title = (
                f"<a href='{self.folder}{name.name}'><b>{html.escape(name.stem.replace('_', ' '))}</b></a>"
            )
            rows.append(
                f"<tr><td style='text-align:left'>{title}</td><td style='text-align:left'>{boxes}</td></tr>"
            )
        legend = ", ".join(f"{sign} {text}" for sign, text in MEANINGS.items())
        return f"<table>{''.join(rows)}</table><p>{html.escape(self.summary())}. {legend}.</p>"

    def _box(self, exercise: Exercise) -> str:
        state = self.states.get(exercise.name, "○")
        label = f"{exercise.number} {exercise.name}, {exercise.minutes} minutes: {MEANINGS[state]}"
        return (
            f"<a href='{self.folder}{exercise.chapter.name}' title='{html.escape(label)}' "
            f"aria-label='{html.escape(label)}' style='{BOX};background:{COLORS[state]}'>{state} {exercise.number}</a>"
        )


def progress(course: Course = HERE) -> Progress:
    """Return the map of the course: ✓ right, ✗ not yet right, ○ not written."""
    # also where no file can be
    states = recorded(course) | {name: state for name, (state, _) in checked.items()}
    try:
        folder = "" if STARTED_IN == course.notebooks else f"{os.path.relpath(course.notebooks, STARTED_IN)}/"
    except ValueError:  # another drive of Windows
        folder = f"{course.notebooks.as_uri()}/"
    return Progress(states, kept_names(course), folder.replace(os.sep, "/"))
