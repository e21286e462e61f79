"""`make lab` in a copy of the course, on a virtual environment that is ready."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

DIRECT = build_opener(ProxyHandler({}))


@contextlib.contextmanager
def lab(course: Path, folder: Path, **environment: str) -> Iterator[str]:
    """Yield the address that JupyterLab prints, once it listens; what it needs and says goes into `folder`."""
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (folder / ".ready").touch()
    command = ["make", "lab", f"VENV={folder}", "ARGS=--no-browser --ServerApp.port_retries=50"]
    said = folder / "said.txt"
    with said.open("w") as log:
        server = subprocess.Popen(
            command, cwd=course, env=os.environ | environment, stderr=log, start_new_session=True
        )
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end and server.poll() is None:
            if found := re.search(r"http://127\S+token=\w+", said.read_text()):
                with contextlib.suppress(URLError):  # it prints its address before it listens
                    DIRECT.open(found[0], timeout=60).close()
                    break
            time.sleep(0.2)
        else:
            raise AssertionError(said.read_text())
        yield found[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
