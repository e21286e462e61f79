"""What an exercise is: the cases that an answer must get right, and the mistakes that it may make."""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import course.exercises
from course.source import chapters, definitions


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that learners write, and what to tell them."""

    id: str
    wrong: Callable  # the wrong answer itself, runnable
    says: str | Callable[..., str]  # two sentences; or a function of (got, want) that returns them
    hint: int = 1  # the hint that helps most: 1, 2 or 3


@dataclass(frozen=True)
class Exercise:
    """One exercise: where it stands in the course, and how an answer is told from a mistake."""

    number: str  # "3.2": chapter and place
    name: str  # of the function or class that the learner writes
    level: int  # 1 easy, 2 some thought, 3 hard
    minutes: int
    done: str  # one sentence on what a right answer gives the learner
    hints: tuple[str, str, str]
    cases: Callable[[], Sequence[tuple]]  # makes fresh arguments for each case, the smallest case first
    mistakes: Sequence[Mistake]
    styles: Sequence[Callable] = ()  # right answers written in other ways, for the tests
    run: Callable[..., Any] = field(default=lambda answer, *arguments: answer(*arguments))
    arguments: tuple[str, ...] = ()  # what the parts of a case are called, where `run` takes other ones
    tolerance: float = 1e-5  # for floats, absolute and relative
    differentiable: bool = False  # training has to send gradients through the answer

    @property
    def chapter(self) -> Path:
        """The notebook in solutions/ that it stands in."""
        return chapters(f"{int(self.number.split('.')[0]):02}_")[0]

    @property
    def reference(self) -> Callable:
        """The answer in solutions/."""
        return definitions(self.chapter)[self.name]


@cache
def exercises() -> dict[str, Exercise]:
    """Return every exercise of the course, in order, under its number."""
    found = []
    for module in pkgutil.iter_modules(course.exercises.__path__):
        found += importlib.import_module(f"course.exercises.{module.name}").EXERCISES
    found.sort(key=lambda exercise: [int(part) for part in exercise.number.split(".")])
    return {exercise.number: exercise for exercise in found}


def find(key: str) -> Exercise:
    """Return the exercise of a number ("3.2") or a name ("causal_mask")."""
    for exercise in exercises().values():
        if key in (exercise.number, exercise.name):
            return exercise
    raise KeyError(f"no exercise is called {key!r}; there are {', '.join(exercises())}")
