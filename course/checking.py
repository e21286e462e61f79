"""What the notebooks call: `check` an answer, ask for a `hint`."""

import html
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from IPython import get_ipython
from IPython.display import display

from course.exercise import find
from course.failing import Failed, watch
from course.mapping import record
from course.verdicts import Verdict, examine

handed_out = []  # the references that `check` has returned: not the learner's own work
hints_given = Counter()
checked = []  # the numbers of the exercises that were checked, latest last
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

    That is the answer itself if it is right, and the reference if it is not.
    """
    exercise = find(answer.__name__)
    title = f"{exercise.number} {exercise.name}"
    if any(answer is reference for reference in handed_out):
        text = "this is the library's; run the cell with your own code again, then this one"
        display(Note("○", title, text))
        return answer
    checked.append(exercise.number)
    if isinstance(answer, Failed):
        verdict = Verdict(False, "failed", answer.reason())
    else:
        verdict = examine(exercise, answer)
    record(exercise.name, "✓" if verdict.passed else "✗" if verdict.written else "○")
    if verdict.passed:
        display(Note("✓", title, verdict.message))
        if verdict.goes_on:
            return answer
    elif not verdict.written:
        display(Note("○", title, "not written yet; going on with the library's"))
    else:
        ask = f'"{exercise.number}", {verdict.hint}' if verdict.hint else f'"{exercise.number}"'
        more = f"hint({ask}) helps on; going on with the library's until then."
        display(Note("✗", title, f"{verdict.message}\n\n{more}"))
    reference = exercise.reference
    handed_out.append(reference)
    return reference


def hint(number: str, which: int | None = None) -> None:
    """Show the next hint of an exercise; each call goes one further, and after the last one to the answer.

    which is the hint to show, 1 for the first; the calls after it go on from there. Raises ValueError if
    there is no such hint.
    """
    exercise = find(str(number))
    if which is not None and which not in range(1, len(exercise.hints) + 1):
        raise ValueError(
            f"which is {which}, but exercise {exercise.number} has hints 1 to {len(exercise.hints)}"
        )
    hints_given[exercise.number] = which or hints_given[exercise.number] + 1
    given = min(hints_given[exercise.number], len(exercise.hints))
    title = f"{exercise.number} {exercise.name}, hint {given} of {len(exercise.hints)}"
    text = exercise.hints[given - 1]
    if hints_given[exercise.number] > given:
        answer = f"solutions/{exercise.chapter.name}"
        text += f"\n\nThis was the last hint. The worked answer is in {answer}, at this exercise."
    display(Note("?", title, text))


def keep(chapter: str = "") -> None:
    """Write the chapter's modules of gpt2lib from your saved notebook: your answers where they pass.

    chapter is "03", say; by default the one whose exercise was checked last.
    """
    from course.keeping import keep as keep_now

    chapter = chapter or (checked[-1].split(".")[0] if checked else "")
    if not chapter:
        raise ValueError('no exercise was checked yet, so pass the chapter: keep("03")')
    print(keep_now(f"{int(chapter):02}_"))


if get_ipython():
    watch(get_ipython())
