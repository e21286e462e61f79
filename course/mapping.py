"""How far the learner has come: a small file of theirs, a map of the course."""

import contextlib
import html
import json
import os
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from IPython import get_ipython

from course.exercise import Exercise, exercises
from course.source import HERE, Course, write_whole

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
