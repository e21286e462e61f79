"""What an exercise is: the cases that an answer must get right, and the mistakes that it may make."""

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import course.exercises
from course.edits import Answer, EditedMistake, answer_in
from course.source import CourseError, chapters, definitions

TITLE = re.compile(r"# (\d+\.\d+) (\w+) · level ([123]) · (\d+) minutes")
TITLE_LIKE = "# 3.4 attend · level 1 · 5 minutes"
HEADINGS = "headings are `## Hints`, `## Mistakes` and ones like `### no-scale · hint 1 · looks-finished`"
FROM_CODE = (
    "cases",
    "run",
    "styles",
    "arguments",
    "tolerance",
    "differentiable",
    "wishes",
    "at_scale",
    "fields",
)
HEADING = re.compile(r"### ([a-z0-9][a-z0-9-]*) · hint ([123]) · ([a-z-]+)")
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that learners write, and what to tell them."""

    id: str
    wrong: Callable  # the wrong answer itself, runnable
    says: str | Callable[..., str] = ""  # or a function of (got, want); "": as for its id in the .md
    hint: int = 1  # the hint that helps most: 1, 2 or 3
    why: str = ""  # the reason for which it is tempting, one of `reasons()`


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise: where it stands in the course, and how an answer is told from a mistake."""

    number: str  # "3.2": chapter and place
    name: str  # of the function or class that the learner writes
    level: int  # 1 easy, 2 some thought, 3 hard
    minutes: int
    done: str  # one sentence on what a right answer gives the learner
    hints: tuple[str, str, str]
    cases: Callable[[], Sequence[tuple]]  # makes fresh arguments for each case, the smallest case first
    mistakes: Sequence[Mistake | EditedMistake]
    styles: Sequence[Callable | str] = ()  # right answers written in other ways; text stands in the gap
    run: Callable[..., Any] = field(default=lambda answer, *arguments: answer(*arguments))
    arguments: tuple[str, ...] = ()  # what the parts of a case are called, where `run` takes other ones
    tolerance: float = 1e-5  # for floats, absolute and relative
    differentiable: bool = False  # training has to send gradients through the answer
    wishes: Callable[[], Sequence[tuple[tuple, str]]] = list  # cases that may fail, and what to say then
    at_scale: Callable[[], Sequence[tuple]] = list  # cases of real size on the device meta, for the memory
    fields: Mapping[str, Callable] = field(default_factory=dict)  # {name} in a message: name(got, want)

    @property
    def chapter(self) -> Path:
        """The notebook in solutions/ that it stands in."""
        return notebook_of(self.number)

    @property
    def reference(self) -> Callable:
        """The answer in solutions/."""
        return definitions(self.chapter)[self.name]

    def right_answers(self) -> list[Callable]:
        """Return the answer in solutions/ and those in other styles."""
        others = bases(self.number, self.name, tuple(written(self.styles)))[1:]
        made = [base.run(base.text) for base in others]
        return [self.reference, *made, *(style for style in self.styles if callable(style))]


def written(styles: Sequence[Callable | str]) -> list[str]:
    """Return those of the right answers that are text."""
    return [style for style in styles if isinstance(style, str)]


def notebook_of(number: str) -> Path:
    """Return the notebook in solutions/ of an exercise's number."""
    return chapters(f"{int(number.split('.')[0]):02}_")[0]


@cache
def bases(number: str, name: str, styles: tuple[str, ...]) -> list[Answer]:
    """Return the right answers that a diff may change: that in solutions/ first, then other styles."""
    answer = answer_in(notebook_of(number), name)
    return [answer, *(answer.with_gap(dedent(style).strip("\n") + "\n") for style in styles)]


@cache
def exercises() -> dict[str, Exercise]:
    """Return every exercise of the course, in order, under its number."""
    root = Path(course.exercises.__path__[0])
    found = [read_exercise(path) for path in root.glob("ch*/*.md")]
    found.sort(key=lambda exercise: [int(part) for part in exercise.number.split(".")])
    return {exercise.number: exercise for exercise in found}


def find(key: str) -> Exercise:
    """Return the exercise of a number ("3.2") or a name ("causal_mask")."""
    for exercise in exercises().values():
        if key in (exercise.number, exercise.name):
            return exercise
    alike = [
        number for number in exercises() if number.split(".")[0] == key.strip().lstrip("0").split(".")[0]
    ]
    raise KeyError(
        f"no exercise is called {key!r:.60}; there are {', '.join(alike) or '0.1 to ' + [*exercises()][-1]}"
    )


def read_exercise(path: Path) -> Exercise:
    """Return the exercise in NAME.md and NAME.py. course/exercises/README.md describes the two.

    Raises CourseError where the text has another form.
    """
    module = importlib.import_module(f"course.exercises.{path.parent.name}.{path.stem}")
    code = {name: getattr(module, name) for name in FROM_CODE if hasattr(module, name)}
    blocks: list[tuple[str, str]] = []

    def put_away(match: re.Match) -> str:  # a line of code may look like a heading
        blocks.append(match.groups())
        return f"\0{len(blocks) - 1}\0"

    beginning, *sections = re.split(r"^(?=##)", FENCED.sub(put_away, path.read_text("utf-8")), flags=re.M)
    title, _, done = beginning.partition("\n")
    if not (match := TITLE.fullmatch(title)):
        raise CourseError(f"{path.name} begins with {title!r}, but should begin like `{TITLE_LIKE}`")
    number, name, level, minutes = match.groups()
    hints: list[str] = []
    mistakes: list[Mistake | EditedMistake] = []
    right = partial(bases, number, name, tuple(written(code.get("styles", ()))))
    for section in sections:
        heading, _, body = section.partition("\n")
        if heading == "## Hints":
            hints = [one_line(hint) for hint in re.split(r"^\d\. ", body, flags=re.M)[1:]]
        elif match := HEADING.fullmatch(heading):
            says = one_line(re.sub(r"\0\d+\0", "", body))
            found = [blocks[int(i)] for i in re.findall(r"\0(\d+)\0", body)]
            spellings = [(kind, text) for kind, block in found for text in alternatives(block)]
            if not says or not spellings or {kind for kind, _ in spellings} - {"diff", "python"}:
                raise CourseError(f"{path.name}, {heading!r}: needs ```diff or ```python, and a message")
            mistakes += [
                EditedMistake(
                    match[1], says, int(match[2]), reason(match[3], path), text, kind == "diff", right
                )
                for kind, text in spellings
            ]
        elif heading != "## Mistakes":
            raise CourseError(f"{path.name} has the heading {heading!r}; {HEADINGS}")
    told = {mistake.id: mistake for mistake in reversed(mistakes)}
    for extra in getattr(module, "extra", ()):
        if not (like := extra if extra.says else told.get(extra.id)):
            raise CourseError(
                f"{path.stem}.py has {extra.id!r} without a message, and {path.name} no such heading"
            )
        mistakes.append(replace(extra, says=like.says, hint=like.hint, why=reason(like.why, path)))
    return Exercise(
        number, name, int(level), int(minutes), one_line(done), tuple(hints), mistakes=mistakes, **code
    )


@cache
def reasons() -> dict[str, tuple[str, str]]:
    """Return why mistakes are tempting: for each word that ends a heading a title, and what is said about it."""
    text = (Path(course.exercises.__path__[0]) / "why.md").read_text("utf-8")
    found = re.findall(r"^## ([a-z-]+) · (.+)\n\n((?:.+\n)+)", text, re.M)
    return {word: (title, one_line(says)) for word, title, says in found}


def reason(word: str, path: Path) -> str:
    """Return the word of a reason. Raises CourseError if there is no such reason."""
    if word not in reasons():
        raise CourseError(
            f"{path.name}: {word!r} says why a mistake is tempting, but why.md has {', '.join(reasons())}"
        )
    return word


def alternatives(block: str) -> list[str]:
    """Return the spellings in a block, which lines `or` part.

    One that only adds lines takes away the lines that the first one does.
    """
    first, *others = re.split(r"^or\n", block, flags=re.M)
    away = "".join(re.findall(r"^-.*\n", first, re.M))
    return [first, *(text if re.search(r"^[^+]", text, re.M) else away + text for text in others)]


def one_line(text: str) -> str:
    """Return a text without its line breaks."""
    return " ".join(text.split())
