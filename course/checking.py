"""What the notebooks call: `check` an answer, ask for a `hint`."""

import html
import inspect
import linecache
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from IPython import get_ipython
from IPython.display import display

from course.exercise import Exercise, find
from course.failing import Failed, watch
from course.mapping import record
from course.telling import a
from course.verdicts import Verdict, examine

handed_out = []  # the references that `check` has returned: not the learner's own work
hints_given = Counter()
COLOURS = {"✓": "#009E73", "✗": "#D55E00", "○": "#6b7280", "?": "#0072B2"}


@dataclass(frozen=True)
class Note:
    """A message to the learner, with a coloured edge in a notebook and plain anywhere else."""

    sign: str
    title: str
    text: str

    def __repr__(self) -> str:
        return f"{self.sign} {self.title} – {self.text}"

    def _repr_html_(self) -> str:
        first, _, rest = self.text.partition("\n")
        table = f"<pre style='margin:6px 0 0 0'>{html.escape(rest)}</pre>" if rest else ""
        return (
            f"<div style='border-left:4px solid {COLOURS[self.sign]};padding:4px 10px'>"
            f"<b>{self.sign} {html.escape(self.title)}</b> – {html.escape(first)}{table}</div>"
        )


def check(answer: Callable) -> Callable:
    """Tell what is right or wrong with an answer, and return what the notebook goes on with.

    That is the answer itself if it is right, and the reference if it is not. Which exercise it is follows from the
    name in the call, as in check(causal_mask), or else from the answer's own name.
    """
    named = name_in_call(inspect.currentframe().f_back)
    exercise = exercise_of(named, answer)
    if exercise is None:
        text = "check can't tell which exercise this is. Pass the function or class by its name: check(causal_mask)."
        display(Note("?", named or a(answer), text))
        return answer
    title = f"{exercise.number} {exercise.name}"
    if any(answer is reference for reference in handed_out):
        text = "This is the library's version. Run the cell with your own code again, then this one."
        display(Note("○", title, text))
        return answer
    verdict = verdict_on(exercise, answer)
    display(note(title, exercise, verdict))
    remember(exercise, "✓" if verdict.passed else "✗" if verdict.written else "○")
    if verdict.passed and verdict.goes_on:
        return answer
    reference = exercise.reference
    handed_out.append(reference)
    return reference


def name_in_call(frame: FrameType | None) -> str | None:
    """Return the name that stands in the line's check(...), or None."""
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno) if frame else ""
    match = re.search(r"\bcheck\(\s*(\w+)\s*\)", line)
    return match[1] if match else None


def exercise_of(*clues: Any) -> Exercise | None:
    """Return the exercise that one of these is the name of, or has the name of; None if none is."""
    for clue in clues:
        try:
            return find(clue if isinstance(clue, str) else clue.__name__)
        except Exception:  # it has no name, or none of an exercise
            pass
    return None


def verdict_on(exercise: Exercise, answer: Any) -> Verdict:
    """Return the verdict on anything that can be passed to `check`."""
    if isinstance(answer, Failed):
        return Verdict(False, "failed", answer.reason())
    if not callable(answer):
        says = f"`{exercise.name}` is {a(answer)} here. Pass the function or class itself: check({exercise.name})."
        return Verdict(False, "failed", says)
    try:
        return examine(exercise, answer)
    except Exception as error:  # whatever an answer is or does, the notebook goes on
        return Verdict(False, "failed", f"The check couldn't examine this: {type(error).__name__}: {error}")


def note(title: str, exercise: Exercise, verdict: Verdict) -> "Note":
    """Return a verdict as the learner sees it."""
    if verdict.passed:
        return Note("✓", title, verdict.message)
    if not verdict.written:
        return Note("○", title, "not written yet. Until then the notebook uses the library's version.")
    ask = f'"{exercise.number}", {verdict.hint}' if verdict.hint else f'"{exercise.number}"'
    then = f"For a nudge, run hint({ask}). Until your answer is right, the notebook uses the library's."
    return Note("✗", title, f"{verdict.message}\n\n{then}")


def remember(exercise: Exercise, sign: str) -> None:
    """Write the state of an exercise down; where that is not possible, say so and go on."""
    try:
        record(exercise.name, sign)
    except Exception as error:
        display(Note("?", "progress", f"Your progress couldn't be saved ({type(error).__name__}: {error})."))


def hint(number: str | Callable, which: int | None = None) -> None:
    """Show the next hint of an exercise; each call goes one further, and after the last one to the answer.

    number may be the exercise's name, or the answer itself. which is the hint to show, 1 for the first; the calls
    after it go on from there. Raises KeyError if there is no such exercise, ValueError if there is no such hint.
    """
    exercise = exercise_of(number) or find(str(number))
    if which is not None and (not isinstance(which, int) or not 1 <= which <= len(exercise.hints)):
        raise ValueError(
            f"which is {which!r}, but exercise {exercise.number} has hints 1 to {len(exercise.hints)}"
        )
    hints_given[exercise.number] = which or hints_given[exercise.number] + 1
    given = min(hints_given[exercise.number], len(exercise.hints))
    title = f"{exercise.number} {exercise.name}, hint {given} of {len(exercise.hints)}"
    text = exercise.hints[given - 1]
    if hints_given[exercise.number] > given:
        answer = f"solutions/{exercise.chapter.name}"
        text += f"\n\nThis was the last hint. The worked answer is in {answer}, at this exercise."
    display(Note("?", title, text))


if get_ipython():
    watch(get_ipython())
