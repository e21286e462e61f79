"""What `check` accepts works in the rest of the chapter: a notebook goes on with right answers in other styles.

Running all of them takes long, so an ordinary run takes one chapter, each day another one;
`pytest tests/test_later.py --every-style` takes them all.
"""

import datetime

import nbformat
from nbclient import NotebookClient

from course.exercise import Exercise, exercises
from course.source import HERE, chapters, code_cells, read


def exercises_of(chapter: str) -> list[Exercise]:
    return [e for e in exercises().values() if int(e.number.split(".")[0]) == int(chapter)]


def rounds() -> list[tuple[str, int]]:
    """Return (chapter, n) for every n-th style of its exercises; those with fewer styles begin again."""
    numbers = [path.name[:2] for path in chapters()]
    return [
        (number, n) for number in numbers for n in range(max(len(e.styles) for e in exercises_of(number)))
    ]


def pytest_generate_tests(metafunc):
    every = rounds()
    if not metafunc.config.getoption("every_style"):
        every = [every[datetime.date.today().toordinal() % len(every)]]
    metafunc.parametrize("chapter, n", every, ids=[f"{chapter}-{n}" for chapter, n in every])


def with_style(chapter: str, n: int) -> nbformat.NotebookNode:
    """Return a chapter in which each exercise is answered in its n-th other style."""
    (path,) = chapters(f"{chapter}_")
    notebook = read(path)
    for exercise in exercises_of(chapter):
        which = 1 + n % len(exercise.styles)
        for i, cell in enumerate(notebook.cells):
            if cell.cell_type == "code" and cell.source.startswith(
                f"{exercise.name} = check({exercise.name})"
            ):
                code = (
                    "from course.exercise import find\n"
                    f"{exercise.name} = find({exercise.number!r}).right_answers()[{which}]"
                )
                notebook.cells.insert(i, nbformat.v4.new_code_cell(code))
                break
    return notebook


def test_the_chapter_runs_to_its_end(chapter, n):
    notebook = with_style(chapter, n)
    client = NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(HERE.notebooks)}})
    client.execute()  # raises CellExecutionError at the first cell that fails
    said = [
        output.data["text/plain"]
        for cell in code_cells(notebook)
        for output in cell.outputs
        if "text/plain" in output.get("data", {})
    ]
    for exercise in exercises_of(chapter):
        assert any(text.startswith(f"✓ {exercise.number} {exercise.name} – ") for text in said), (
            exercise.number
        )
