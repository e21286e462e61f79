"""What a running notebook knows about itself: `keep()` as the notebooks call it."""

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from IPython import get_ipython

from course.answers import Answer, find_answer, gaps_of, holds, learners_notebook
from course.keeping import SAVE, alone, found_at, keep_notebook, unsaved
from course.keeping import keep as keep_saved
from course.mapping import checked
from course.source import HERE, Course, CourseError, read

HOSTED = ("google.colab", "kaggle_secrets", "kaggle_web_client")  # their notebooks are no files in reach


def keep(chapter: str | int = "", course: Course = HERE) -> None:
    """Write the chapter's modules of gpt2lib from your notebook: your answers where they pass.

    chapter names one ("03", "attention") or is a notebook's path; by default it is the chapter whose exercise
    was checked last. The notebook is read as it was saved. Where there is no file, as on Colab, the answers
    that passed their checks are taken from the running kernel.
    """
    if not str(chapter):
        if not checked:
            raise ValueError('no exercise was checked yet, so pass the chapter: keep("03")')
        from course.exercise import find

        chapter = find(list(checked)[-1]).number
    try:
        for line in kept(chapter, course):
            print(line)
    except (CourseError, OSError) as error:  # a full disk, a folder that can't be written
        print(f"Nothing was kept: {error}")


def kept(chapter: str | int, course: Course) -> Iterator[str]:
    """Do the work of `keep`, and yield its report."""
    if str(chapter).endswith(".ipynb") and found_at(str(chapter), course):
        yield keep_saved(chapter, course)
        return
    (path,) = course.chapters(chapter)
    solution, live = read(path), running(read(path))
    with alone(course):
        found = own_file(path, course)
        if found is None and live.cells:
            remark = "taken from the running kernel, because there is no saved notebook in reach"
            yield keep_notebook(path, live, course, [remark])
            return
        mine, remark = (found, "") if found else learners_notebook(course, path)
        if not remark and mine != course.notebooks / path.name:
            remark = f"read {course.where(mine)}"
        saved = read(mine)
        yield keep_notebook(path, saved, course, [remark] if remark else [], not_in(saved, live, course))
        for name in gaps_of(solution):
            now, then = find_answer(name, live), find_answer(name, saved)
            if now.cell and then.cell and ast.dump(now.definition) != ast.dump(then.definition):
                yield f"  {name}: another version of it passed here than the saved one; {SAVE}"


def not_in(saved: nbformat.NotebookNode, live: nbformat.NotebookNode, course: Course):
    """Return a function that tells why an answer is missing from a saved notebook."""
    otherwise = unsaved(course)

    def excuse(answer: Answer) -> str:
        if find_answer(answer.name, live).cell:
            return f"it passed its check here, but the saved notebook doesn't have it; {SAVE}"
        return otherwise(answer)

    return excuse


def running(solution: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return what ran in this kernel as a notebook, the definitions that passed their checks last."""
    shell = get_ipython()
    ran = shell.history_manager.input_hist_raw if shell else []
    cells = [nbformat.v4.new_code_cell(text) for text in ran]
    passed = []
    for name in gaps_of(solution):
        state, count = checked.get(name, ("", 0))
        answer = find_answer(name, nbformat.v4.new_notebook(cells=cells[:count]))
        if state == "✓" and answer.cell:
            passed.append(nbformat.v4.new_code_cell(answer.cell.source))
    return nbformat.v4.new_notebook(cells=[*cells, *passed] if passed else [])


def own_file(chapter: Path, course: Course) -> Path | None:
    """Return the file of the notebook that runs in this kernel, if that is a copy of the chapter and can be found."""
    shell = get_ipython()
    names = [(shell.user_ns if shell else {}).get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")]
    for name in filter(None, names):  # VS Code says it, and so does Jupyter's server
        if Path(name).is_file() and Path(name).suffix == ".ipynb" and holds(read(Path(name)), read(chapter)):
            return Path(name)
    if any(name in sys.modules for name in HOSTED):
        return None
    here = Path.cwd()
    if (here / chapter.name).is_file():
        return learners_notebook(course, chapter, here)[0]
    return learners_notebook(course, chapter)[0] if here.resolve().is_relative_to(course.root) else None
