"""The learner's code becomes the library, comes back, and moves into a new edition; nothing is lost."""

import shutil

import nbformat
import pytest

from course import build, keeping, source
from course.mapping import Progress, record, recorded

CHAPTER = "03_masked_attention.ipynb"


COURSE = None  # the learner's copy, which the fixture makes


@pytest.fixture
def learner(tmp_path, monkeypatch):
    """A learner's copy of the course: notebooks and library in a folder of their own."""
    mine = source.Course(tmp_path)
    mine.notebooks.mkdir()
    mine.solutions.symlink_to(source.HERE.solutions)
    shutil.copytree(source.HERE.library, mine.library, ignore=shutil.ignore_patterns("data", "__pycache__"))
    monkeypatch.setitem(globals(), "COURSE", mine)
    solution = source.read(mine.solutions / CHAPTER)
    return solution, build.learners_edition(source.read(mine.solutions / CHAPTER))


def cell_of(notebook, name):
    return [cell for cell in source.code_cells(notebook) if name in keeping.defined(cell)][-1]


def store(notebook):
    (COURSE.notebooks / CHAPTER).write_text(build.dumps(build.normalise(notebook)), "utf-8")


def test_an_untouched_notebook_keeps_the_reference(learner):
    solution, mine = learner
    store(mine)
    before = (COURSE.library / "attention.py").read_text("utf-8")
    assert "0 of" in keeping.keep("03", COURSE)
    assert (COURSE.library / "attention.py").read_text("utf-8") == before
    assert keeping.kept_names(COURSE) == {}


def test_right_answers_come_in_wrong_ones_stay_out_and_helpers_come_along(learner):
    solution, mine = learner
    cell_of(mine, "merge_heads").source = (
        "#| export attention\nfrom einops_like import nothing_of_the_kind\n\n"
        "def merge_heads(x: torch.Tensor) -> torch.Tensor:\n    return x"
    )
    helper = nbformat.v4.new_code_cell(
        "from operator import itemgetter\n\nWIDTH = 3\n\n"
        "def last_size(x):\n    return itemgetter(-1)(x.shape)\n\nprint('an experiment')"
    )
    split = cell_of(mine, "split_heads")
    split.source = (
        "#| export attention\ndef split_heads(x: torch.Tensor, n_head: int) -> torch.Tensor:\n"
        '    """My own."""\n    return x.unflatten(-1, (n_head, last_size(x) // n_head)).transpose(1, 2)\n\n'
        "print(split_heads)"
    )
    mine.cells.insert(mine.cells.index(split), helper)
    cell_of(
        mine, "causal_mask"
    ).source = "#| export attention\ndef causal_mask(T: int, S: int, device=None) -> torch.Tensor:\n    return torch.ones(T, S)"
    store(mine)
    report = keeping.keep("03", COURSE)
    text = (COURSE.library / "attention.py").read_text("utf-8")
    assert "1 of" in report and "causal_mask: " in report and "merge_heads: " in report
    assert keeping.kept_names(COURSE) == {"attention": ["split_heads"]}
    assert "unflatten" in text and "def last_size" in text and "from operator import itemgetter" in text
    assert "print" not in text and "WIDTH" not in text and "tril" in text and "einops" not in text
    assert (COURSE.saved / "attention-1.py").exists()

    assert keeping.restore(COURSE) == ["attention"]
    assert (COURSE.library / "attention.py").read_text("utf-8") == (
        source.HERE.library / "attention.py"
    ).read_text("utf-8")
    assert "unflatten" in (COURSE.saved / "attention-2.py").read_text("utf-8")


def test_all_reference_answers_give_the_reference_library(learner):
    solution, mine = learner
    store(solution)
    keeping.keep("03", COURSE)
    text = (COURSE.library / "attention.py").read_text("utf-8")
    names = keeping.kept_names(COURSE)["attention"]
    assert {"causal_mask", "attend", "split_heads", "merge_heads", "CausalSelfAttention"} == set(names)
    want = (source.HERE.library / "attention.py").read_text("utf-8")
    assert text.split('"""\n', 1)[1].split("import", 1)[1] == want.split('"""\n', 1)[1].split("import", 1)[1]


def test_update_carries_answers_and_own_cells_into_the_new_edition(learner, tmp_path):
    solution, mine = learner
    answer = cell_of(solution, "attend").source
    cell_of(mine, "attend").source = answer
    note = nbformat.v4.new_markdown_cell("my note")
    mine.cells.insert(3, note)
    cell_of(mine, "merge_heads").id = "another-id"  # some front ends give new ones
    old = tmp_path / "old"
    old.mkdir()
    (old / CHAPTER).write_text(build.dumps(build.normalise(mine)), "utf-8")
    (line,) = keeping.update(old, "03", COURSE)
    assert "1 answers and 1 cells" in line
    new = source.read(COURSE.notebooks / CHAPTER)
    assert cell_of(new, "attend").source == answer
    assert "raise NotImplementedError" in cell_of(new, "merge_heads").source
    assert new.cells[3].source == "my note"
    assert len(new.cells) == len(solution.cells) + 1


def test_a_notebook_that_is_not_python_does_no_harm(learner):
    solution, mine = learner
    cell_of(mine, "attend").source = "#| export attention\ndef attend(q, k, v, mask=None)\n    return q"
    store(mine)
    assert "0 of" in keeping.keep("03", COURSE)


def test_progress_survives_and_forgives(tmp_path, monkeypatch):
    monkeypatch.setattr("course.mapping.FILE", tmp_path / "progress.json")
    monkeypatch.setattr("course.mapping.HERE", source.Course(tmp_path))
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    record("causal_mask", "✓")
    record("masked_softmax", "✗")
    record("masked_softmax", "✓")
    assert recorded() == {"causal_mask": "✓", "masked_softmax": "✓"}
    text = repr(Progress(recorded(), {"attention": ["causal_mask"]}))
    assert "✓ 3.2" in text and "○ 3.4" in text and "2 of" in text and "1 of the library's" in text
    assert "✓" in Progress(recorded(), {})._repr_html_()
    (tmp_path / "progress.json").write_text("{broken")
    assert recorded() == {}
    monkeypatch.chdir("/")
    record("causal_mask", "✓")  # not a learner's notebook
    assert recorded() == {}
