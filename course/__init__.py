"""The machinery of the course: what the notebooks call, and what builds them."""

from course.checking import check, hint, keep
from course.figures import show
from course.mapping import progress
from course.verdicts import Verdict, examine

__all__ = ["Verdict", "check", "examine", "hint", "keep", "progress", "show"]
