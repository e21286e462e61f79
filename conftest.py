"""How pytest runs the notebooks; `pytest --nbval` needs no other option."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

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
    os.environ.pop("MPLBACKEND", None)  # a backend of the shell's would keep figures out of the notebooks
    if config.pluginmanager.hasplugin("nbval") and config.option.nbval:
        config.option.nbval_current_env = True
        config.option.nbval_cell_timeout = 600
        config.option.nbval_sanitize_with = str(config.rootpath / "tests" / "nbval_sanitize.cfg")
    if "JITTER" in os.environ:
        import jitter

        jitter.start()
        os.environ["IPYTHONDIR"] = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, os.environ["IPYTHONDIR"], ignore_errors=True)
        jitter.write_start_up(Path(os.environ["IPYTHONDIR"]))


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", WIDGET)
