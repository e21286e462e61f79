"""Running the notebooks and storing what they print."""

import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from course.build import build, dumps, normalise
from course.source import HERE, code_cells, read, write_whole

IGNORED = "nbval-ignore-output"


def run(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook from top to bottom, in place. Raises CellExecutionError where a cell fails."""
    os.environ.pop("MPLBACKEND", None)  # figures would not reach the notebook
    client = NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
    )
    client.execute(env=os.environ | {"COURSE_PROGRESS": "off"})  # it is not a learner who runs it
    return notebook


def execute(only: str = "", fresh: bool = False) -> None:
    """Build, then run both editions and store their outputs.

    Outputs that differ from run to run (times, sampled text) stay as they were, unless fresh.
    """
    build(only=only)
    for source in HERE.chapters(only):
        for path in (source, HERE.notebooks / source.name):
            start = time.perf_counter()
            notebook = read(path)
            before = {cell.id: (cell.source, cell.outputs) for cell in code_cells(notebook)}
            run(notebook, path.parent)
            for cell in code_cells(notebook):
                text, outputs = before[cell.id]
                if not fresh and IGNORED in cell.metadata.get("tags", []) and outputs and text == cell.source:
                    cell.outputs = outputs
            text = dumps(normalise(notebook))
            if path.read_text("utf-8") != text:
                write_whole(path, text)
            print(f"ran {HERE.where(path)} in {time.perf_counter() - start:.1f} s")
