"""How far the learner has come: a small file of theirs, a map of the course."""

import html
import json
import os
from dataclasses import dataclass
from pathlib import Path

from course.exercise import Exercise, exercises
from course.source import HERE
from gpt2lib.files import replacing

FILE = HERE.progress
BOX = "display:inline-block;width:26px;line-height:22px;margin:1px;text-align:center;color:white;border-radius:3px"
COLOURS = {"✓": "#009E73", "✗": "#D55E00", "○": "#9ca3af"}


def recorded() -> dict[str, str]:
    """Return the last state of each exercise that was ever checked: ✓, ✗ or ○ under its name."""
    try:
        states = json.loads(FILE.read_text("utf-8"))
        return {name: state for name, state in states.items() if state in list(COLOURS)}
    except (OSError, ValueError, AttributeError):  # not there, not readable, not JSON, not a dict
        return {}


def record(name: str, state: str) -> None:
    """Remember the state of an exercise, if it is a learner's notebook that was checked."""
    states = recorded()
    if Path.cwd() != HERE.notebooks or os.environ.get("PYTEST_CURRENT_TEST") or states.get(name) == state:
        return
    with replacing(FILE) as path:
        path.write_text(json.dumps(states | {name: state}), "utf-8")


@dataclass(frozen=True)
class Progress:
    """The map of the course with what is done, as a picture in a notebook and as text elsewhere."""

    states: dict[str, str]
    theirs: dict[str, list[str]]  # module -> the learner's names in it

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
        for chapter, row in self.chapters().items():
            boxes = "".join(
                f"<span title='{e.number} {html.escape(e.name)}, {e.minutes} minutes' style='{BOX};"
                f"background:{COLOURS[self.states.get(e.name, '○')]}'>{self.states.get(e.name, '○')}</span>"
                for e in row
            )
            rows.append(
                f"<tr><td style='text-align:left'><b>{chapter}</b></td><td style='text-align:left'>{boxes}</td></tr>"
            )
        return f"<table>{''.join(rows)}</table><p>{html.escape(self.summary())}</p>"


def progress() -> Progress:
    """Return the map of the course: ✓ right, ✗ not yet right, ○ not written."""
    from course.keeping import kept_names

    return Progress(recorded(), kept_names())
