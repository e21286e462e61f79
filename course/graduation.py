"""The end of the course: the learner's library against the whole test suite, and a certificate."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch

from course.build import kept_names
from course.figures import BLUE, GREEN, GREY
from course.keeping import keep
from course.source import HERE, Course, CourseError
from gpt2lib.files import replacing

# What holds for any library of these names; test_build is about the course's own edition.
NEEDED = ("pytest", "hypothesis", "transformers")  # by the suite
SUITE = ("parity", "tokenizer", "checkpoint", "sampling", "errors", "training", "speculation", "fast")


def graduate(course: Course = HERE) -> bool:
    """Keep every chapter, test the library that comes of it, and draw a certificate if all passes.

    Raises CourseError, before anything is kept, where the tests can't run.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise CourseError(
            f"the test suite needs {' and '.join(missing)}, which `make lab` doesn't install; once, in the course's "
            f"folder: {sys.executable} -m pip install -c constraints.txt -e '.[test]'"
        )
    print(keep(course=course))
    theirs = kept_names(course)
    if not theirs:
        print(
            "Nothing in gpt2lib is yours yet: solve an exercise with ### Exercise above it, then come back."
        )
        return False
    tests = [str(course.root / "tests" / f"test_{name}.py") for name in SUITE]
    code = subprocess.run([sys.executable, "-m", "pytest", "-q", *tests], cwd=course.root).returncode
    if code:
        said = "Not yet: the tests above say what your library does differently. `python -m course restore` is there."
        print(said if code == 1 else f"The tests came to no end (exit code {code}); the lines above say why.")
        return False
    out = course.root / "certificate.png"
    draw(theirs, out, course)
    print(f"Your GPT-2 passes the whole test suite, parity with transformers included. See {out.name}.")
    return True


def draw(theirs: dict[str, list[str]], out: Path, course: Course) -> None:
    """Draw the certificate: every module, and in it the names of what the learner wrote."""
    modules = sorted(path.stem for path in course.library.glob("*.py") if path.stem != "__init__")
    figure = plt.figure(figsize=(8.5, 6), layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.add_patch(
        FancyBboxPatch((0.01, 0.01), 0.98, 0.98, "round,pad=0,rounding_size=0.02", fill=False, ec=BLUE, lw=3)
    )
    axes.text(0.5, 0.9, "I built GPT-2", ha="center", fontsize=26, color=BLUE)
    total = sum(map(len, theirs.values()))
    axes.text(
        0.5,
        0.83,
        f"{total} pieces of gpt2lib are my own code, and all its tests pass",
        ha="center",
        fontsize=11,
        color=GREY,
    )
    step = 0.72 / len(modules)
    for i, module in enumerate(modules):
        y = 0.75 - i * step
        mine = theirs.get(module, [])
        axes.text(
            0.06,
            y,
            f"{'✓' if mine else '·'} {module}",
            fontsize=10,
            color=GREEN if mine else GREY,
            family="DejaVu Sans Mono",
        )
        axes.text(0.28, y, ", ".join(mine) or "given", fontsize=8, color="black" if mine else GREY)
    with replacing(out) as path:
        figure.savefig(path, format="png", dpi=150, metadata={"Software": None})
    plt.close(figure)
