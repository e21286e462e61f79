"""Before anything is installed: can it work here, what comes, how large. Run by `make`; any Python reads it."""

import os
import platform
import shutil
import sys

OLDEST, NEWEST = (3, 11), (3, 14)  # what constraints.txt has packages for
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OTHER = "Get one from python.org and name it: make lab PYTHON=python3.12"


def trouble():
    """Return in one sentence why the course can't be installed with this Python on this machine, or None."""
    version = ".".join(str(part) for part in sys.version_info[:2])
    if sys.version_info[:2] < OLDEST:
        return "This is Python " + version + ", and the course needs 3.11 or newer. " + OTHER
    if sys.version_info[:2] > NEWEST:
        return "This is Python " + version + "; the packages of the course exist for 3.11 to 3.14. " + OTHER
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        return (
            "PyTorch has no packages for Intel Macs any more. With conda it works: environment.yml says how."
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return "This Python can't make environments. On Debian or Ubuntu: sudo apt install python3-venv"
    if shutil.disk_usage(os.getcwd()).free < 3e9:
        return "The installation takes about 1.5 GB, and there are less than 3 GB left on this disk."
    return None


def index():
    """Return pip's options for a PyTorch without CUDA: on Linux without an NVIDIA GPU, if no index is set."""
    chosen = any(name in os.environ for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"))
    if sys.platform != "linux" or shutil.which("nvidia-smi") or chosen:
        return ""
    from urllib.request import urlopen

    try:
        urlopen(CPU_INDEX + "/torch/", timeout=10).close()
    except OSError:
        return ""
    return "--extra-index-url=" + CPU_INDEX


if __name__ == "__main__":
    if "--index" in sys.argv:
        print(index())
    elif trouble():
        sys.exit(trouble())
    else:
        print(
            "Installing PyTorch (about 200 MB to download, some GB with CUDA), then JupyterLab and what else the"
        )
        print("course needs (about 100 MB). It takes about 5 minutes and 1.5 GB of disk, only this once.")
