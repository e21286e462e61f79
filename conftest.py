"""How pytest runs the notebooks; `pytest --nbval` needs no other option."""

import atexit
import difflib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from course.build import WIDGET

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # as many processes as cores, so one thread for each; before torch is there
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser):
    parser.addoption(
        "--every-style", action="store_true", help="run all right answers through their chapters"
    )


def pytest_configure(config):
    # some images set it, and then each of several hundred processes would compile the course again
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    os.environ.pop("MPLBACKEND", None)  # a backend of the shell's would keep figures out of the notebooks
    if config.pluginmanager.hasplugin("nbval") and config.option.nbval:
        config.option.nbval_current_env = True
        config.option.nbval_cell_timeout = 600
        config.option.nbval_sanitize_with = str(config.rootpath / "tests" / "nbval_sanitize.cfg")
    if os.environ.get("JITTER"):
        import jitter

        jitter.start()
        os.environ["IPYTHONDIR"] = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, os.environ["IPYTHONDIR"], ignore_errors=True)
        jitter.write_start_up(Path(os.environ["IPYTHONDIR"]))


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", WIDGET)


OF_THIS_PROCESSOR = re.compile(r" µs | not here: ")


def words(outputs):
    """Return the words that a cell shows. Its numbers differ from one processor to the next.

    So do the lines that tell a way to multiply and its microseconds: not every processor has every way.
    """
    shown = [out.get("text", "") for out in outputs]
    shown += [
        out.get("data", {}).get(kind, "") for out in outputs for kind in ("text/plain", "text/markdown")
    ]
    lines = (line for line in "\n".join(shown).splitlines() if not OF_THIS_PROCESSOR.search(line))
    return re.findall(r"[^\W\d_]+", "\n".join(lines))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Compare loosely what nbval ignores, so that no story of an older model stays behind."""
    result = yield
    cell = getattr(item, "cell", None)
    if cell and not item.options["check"] and cell.outputs:
        stored, new = words(cell.outputs), words(item.test_outputs)
        alike = difflib.SequenceMatcher(None, stored, new, autojunk=False).ratio()
        assert alike > 0.4, f"the stored output is not what the cell shows today: {cell.outputs}"
    return result
