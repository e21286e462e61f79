"""The machinery of the course: what the notebooks call, and what builds them."""

from course.checking import check, hint
from course.figures import show
from course.verdicts import Verdict, examine

__all__ = ["Verdict", "check", "examine", "hint", "show"]
