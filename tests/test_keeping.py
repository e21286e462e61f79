"""The learner's code becomes the library, comes back, and moves into a new edition; nothing is lost."""

import ast
import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest

from course import answers, build, keeping, source, updating
from course.mapping import COLORS, Progress, progress, record, recorded

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
    return [cell for cell in source.code_cells(notebook) if name in answers.defined(cell)][-1]


def store(notebook):
    (COURSE.notebooks / CHAPTER).write_text(build.dumps(build.normalise(notebook)), "utf-8")


def test_an_untouched_notebook_keeps_the_reference(learner):
    solution, mine = learner
    store(mine)
    before = (COURSE.library / "attention.py").read_text("utf-8")
    assert "0 of" in keeping.keep("03", COURSE)
    assert (COURSE.library / "attention.py").read_text("utf-8") == before
    assert build.kept_names(COURSE) == {}


def test_right_answers_come_in_wrong_ones_stay_out_and_helpers_come_along(learner):
    solution, mine = learner
    cell_of(mine, "merge_heads").source = (
        "#| export attention\nfrom einops_like import nothing_of_the_kind\n\n"
        "def merge_heads(x: torch.Tensor) -> torch.Tensor:\n    return x"
    )
    helper = nbformat.v4.new_code_cell(
        "from operator import itemgetter\n\nWIDTH = 3\n\n"
        "def last_size(x):\n    return itemgetter(-1)(x.shape)\n\nprint('an experiment')\nlast_size = check(last_size)"
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
    assert build.kept_names(COURSE) == {"attention": ["split_heads"]}
    assert "unflatten" in text and "def last_size" in text and "from operator import itemgetter" in text
    assert "print" not in text and "WIDTH" not in text and "tril" in text and "einops" not in text
    assert (COURSE.saved / "attention-1.py").exists()

    assert keeping.restore(COURSE) == ["attention"]
    assert (COURSE.library / "attention.py").read_text("utf-8") == (
        source.HERE.library / "attention.py"
    ).read_text("utf-8")
    assert "unflatten" in (COURSE.saved / "attention-2.py").read_text("utf-8")


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
    (line,) = updating.update(old, "03", COURSE)
    assert "1 answers and 1 cells" in line
    new = source.read(COURSE.notebooks / CHAPTER)
    assert cell_of(new, "attend").source == answer
    assert "raise NotImplementedError" in cell_of(new, "merge_heads").source
    assert new.cells[3].source == "my note"
    assert len(new.cells) == len(solution.cells) + 1


def test_update_says_which_copies_it_could_not_choose_from(learner, tmp_path):
    solution, mine = learner
    (old := tmp_path / "old").mkdir()
    for name in ("a.ipynb", "b.ipynb"):
        (old / name).write_text(build.dumps(build.normalise(mine)), "utf-8")
    with pytest.raises(
        source.CourseError, match="a.ipynb and .*b.ipynb are copies of it; pass the one you want"
    ):
        updating.update(old, course=COURSE)


def test_a_notebook_that_is_not_python_does_no_harm(learner):
    solution, mine = learner
    cell_of(mine, "attend").source = "#| export attention\ndef attend(q, k, v, mask=None)\n    return q"
    store(mine)
    assert "0 of" in keeping.keep("03", COURSE)


def test_progress_survives_and_forgives(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    course = source.Course(tmp_path)
    record("causal_mask", "✓", course)
    record("masked_softmax", "✗", course)
    record("masked_softmax", "✓", course)
    assert recorded(course) == {"causal_mask": "✓", "masked_softmax": "✓"}
    text = repr(Progress(recorded(course), {"attention": ["causal_mask"]}))
    assert "✓ 3.2" in text and "○ 3.4" in text and "2 of" in text and "1 of the library's" in text
    assert "✓" in Progress(recorded(course), {})._repr_html_()


GARBAGE = [
    "",
    "{broken",
    "[]",
    "3",
    "null",
    '{"causal_mask": ["✓"], "attend": "✓"}',
    '{"attend": {"a": 1}}',
    "[" * 9999,
]


@pytest.mark.parametrize("text", [*GARBAGE, b"\xff\xfe\x00"], ids=range(len(GARBAGE) + 1))
def test_progress_survives_garbage(tmp_path, monkeypatch, text):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    course = source.Course(tmp_path)
    course.progress.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert set(recorded(course)) <= {"attend"}
    record("causal_mask", "✓", course)
    assert recorded(course)["causal_mask"] == "✓"


def test_progress_of_two_kernels_is_all_kept(tmp_path):
    code = """if True:
        import sys, pathlib
        from course.mapping import record
        from course.source import Course
        for i in range(40):
            record(f"{sys.argv[1]}{i}", "✓", Course(pathlib.Path(sys.argv[2])))
        """
    environment = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}
    kernels = [
        subprocess.Popen([sys.executable, "-c", code, name, tmp_path], env=environment) for name in "ab"
    ]
    assert [kernel.wait() for kernel in kernels] == [0, 0]
    assert set(recorded(source.Course(tmp_path))) == {f"{name}{i}" for name in "ab" for i in range(40)}


@pytest.mark.parametrize("trouble", ["full disk", "locked", "no folder", "a folder in its place"])
def test_a_progress_that_cannot_be_written_costs_nothing_and_is_said_once(
    tmp_path, monkeypatch, capsys, trouble
):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    course = source.Course(tmp_path / "none" if trouble == "no folder" else tmp_path)
    if trouble == "a folder in its place":
        course.progress.mkdir()
    elif trouble == "no folder":
        (tmp_path / "none").write_text("a file")
    else:
        name = {"full disk": "os.fsync", "locked": "filelock.FileLock.acquire"}[trouble]
        error = {"full disk": OSError("no space left"), "locked": TimeoutError("held")}[trouble]
        monkeypatch.setattr(name, lambda *a, **k: (_ for _ in ()).throw(error))
    record("causal_mask", "✓", course)
    record("causal_mask", "✗", course)
    record("causal_mask", "✓", course)
    assert capsys.readouterr().out.count("progress can't be saved") == 1
    assert recorded(course) == {}
    assert progress(course).states["causal_mask"] == "✓"  # this kernel still knows it
    monkeypatch.setattr("course.mapping.checked", {})


PLAIN = [
    "3",
    "-1e-5",
    "(1, [2, {3}])",
    "{'a': 1}",
    "math.sqrt(2 / math.pi)",
    "float('-inf')",
    "'|'.join(['a'])",
]
PLAIN += ["re.compile('a')", "torch.finfo(torch.float32).min", "[i for i in range(3)]", "tuple[bytes, bytes]"]
RUNS = [
    "time.time()",
    "sys.exit(0)",
    "open('x')",
    "print('x')",
    "causal_mask(3, 5)",
    "from_pretrained('tales')",
]
RUNS += ["lambda x: x", "(n := 3)", "[f(i) for i in range(3)]", "torch.load('x')", "input()", "os.listdir()"]


@pytest.mark.parametrize("text", PLAIN + RUNS)
def test_only_constants_that_run_nothing_come_along(text):
    assert answers.is_plain(ast.parse(text).body[0].value) == (text in PLAIN)


@pytest.mark.parametrize("number", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_a_drive_without_locks_and_modes_is_no_obstacle(tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(getattr(errno, number), "not here")

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr("os.chmod", refuse)
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    course = source.Course(tmp_path)
    with keeping.alone(course):
        record("causal_mask", "✓", course)
    assert recorded(course) == {"causal_mask": "✓"}


def test_the_map_is_shown_on_another_drive_and_in_a_terminal_without_its_signs(tmp_path, monkeypatch):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "course", "progress"]
    done = subprocess.run(command, cwd=source.ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "exercises done" in done.stdout, done.stderr
    monkeypatch.setattr("os.path.relpath", lambda *_: (_ for _ in ()).throw(ValueError("on mount 'D:'")))
    assert f"href='{source.HERE.notebooks.as_uri()}/03_" in progress()._repr_html_()


LEFT_OUT = {
    "K = 5\nK -= 5": "uses `K`, which `K -= 5` changes",
    "from torch import *": "uses `K`, which no cell defines.*`from torch import \\*`, import it by its name",
    "for K in [0]:\n    pass": "uses `K`, which no cell defines at the left margin$",
}


@pytest.mark.parametrize("before", LEFT_OUT)
def test_a_helper_that_cannot_come_along_is_named(learner, before):
    solution, mine = learner
    text = "def causal_mask(T, S, device=None):\n    return torch.ones(T, S).tril(diagonal=S - T + K) > 0"
    mine.cells = [nbformat.v4.new_code_cell(each) for each in (before, text)]
    (module,) = keeping.modules_of(solution, "03")
    answer = {"causal_mask": answers.find_answer("causal_mask", mine)}
    cells = [answers.spliced(c, answer) if "causal_mask" in answers.defined(c) else c for c in module.cells]
    with pytest.raises(source.CourseError, match=LEFT_OUT[before]):
        answers.with_helpers(dataclasses.replace(module, cells=cells), mine)


def test_two_keeps_at_once_take_turns(tmp_path):
    course = source.Course(tmp_path)
    with keeping.alone(course), pytest.raises(source.CourseError, match="another keep"):
        with keeping.alone(course, patience=0.2):
            pass


def luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear))


def test_the_map_has_numbers_links_and_contrast():
    for color in COLORS.values():
        assert 1.05 / (luminance(color) + 0.05) >= 4.5
    page = Progress({"causal_mask": "✓"}, {}, "../notebooks/")._repr_html_()
    assert "✓ 3.2</a>" in page and "○ 3.4</a>" in page
    assert "aria-label='3.2 causal_mask" in page and "href='../notebooks/03_masked_attention.ipynb'" in page


# Notebooks as other programs save them


def as_colab(notebook):
    for cell in notebook.cells:
        cell.metadata["id"] = cell.pop("id")
        cell.metadata["outputId"] = "x"


def without_ids(notebook):
    for cell in notebook.cells:
        del cell["id"]


def with_doubled_ids(notebook):
    for cell in notebook.cells[10:]:
        cell["id"] = "again"


def with_nothing_but_source(notebook):
    for cell in notebook.cells:
        for key in set(cell) - {"cell_type", "source", "metadata"}:
            del cell[key]


def with_line_ends_of_windows(notebook):
    for i, cell in enumerate(notebook.cells):
        cell.source = cell.source.replace("\n", "\r\n" if i % 2 else "\r")


CHANGES = [as_colab, without_ids, with_doubled_ids, with_nothing_but_source, with_line_ends_of_windows]


@pytest.mark.parametrize("minor", range(6))
@pytest.mark.parametrize("change", CHANGES)
def test_update_reads_what_any_program_saved(learner, tmp_path, change, minor):
    solution, mine = learner
    answer = cell_of(solution, "attend").source
    cell_of(mine, "attend").source = answer
    change(mine)
    mine.nbformat_minor = minor
    old = tmp_path / "old"
    old.mkdir()
    (old / CHAPTER).write_text("\ufeff" + json.dumps(mine), "utf-8")
    (line,) = updating.update(old, 3, COURSE)
    assert "1 answers and 0 cells" in line
    new = source.read(COURSE.notebooks / CHAPTER)
    assert [cell.id for cell in new.cells] == [cell.id for cell in solution.cells]
    assert cell_of(new, "attend").source == answer
    nbformat.validate(new)


# The newest edition


def git(folder, *arguments):
    who = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def clone(tmp_path):
    """A learner's clone of a course, and the place that it was cloned from, which has a newer edition."""
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    theirs.mkdir()
    for name in ("course", "gpt2lib", "notebooks", "solutions"):
        keep = None if name != "gpt2lib" else shutil.ignore_patterns("data")
        shutil.copytree(source.ROOT / name, theirs / name, ignore=keep)
    shutil.copy(source.ROOT / "pyproject.toml", theirs)
    (theirs / ".gitignore").write_text("saved/\n__pycache__/\n*.lock\n.progress.json\n")
    git(theirs, "init", "-q", "-b", "main")
    git(theirs, "add", ".")
    git(theirs, "commit", "-q", "-m", "an edition")
    git(tmp_path, "clone", "-q", str(theirs), "mine")
    solution = source.read(theirs / "solutions" / CHAPTER)
    solution.cells[0].source += "\n\nA new sentence."
    source.write_whole(theirs / "solutions" / CHAPTER, build.dumps(build.normalise(solution)))
    edition = build.dumps(build.learners_edition(solution))
    source.write_whole(theirs / "notebooks" / CHAPTER, edition)
    (theirs / "notebooks" / "new.txt").write_text("of the new edition")
    git(theirs, "add", ".")
    git(theirs, "commit", "-q", "-m", "a newer one")
    return source.Course(mine), edition


def test_update_brings_the_newest_edition_and_saves_what_was_there(clone, monkeypatch):
    course, edition = clone
    monkeypatch.setenv("PYTHONPATH", str(course.root))
    path = course.notebooks / CHAPTER
    mine = source.read(path)
    answer = cell_of(source.read(course.solutions / CHAPTER), "attend").source
    cell_of(mine, "attend").source = answer
    path.write_text(build.dumps(mine), "utf-8")
    before = path.read_bytes()
    (course.root / "course" / "figures.py").write_text("# changed by me\n")
    (course.notebooks / "new.txt").write_text("mine, and not git's")
    done = subprocess.run(["git", "pull"], cwd=course.root, capture_output=True, text=True)
    assert done.returncode != 0  # what update is for
    report = "\n".join(updating.newest(course))
    assert "3 changed files are in saved/update-1" in report and "1 answers" in report, report
    new = source.read(path)
    assert "A new sentence." in new.cells[0].source and cell_of(new, "attend").source == answer
    saved = course.saved / "update-1"
    assert (saved / "notebooks" / CHAPTER).read_bytes() == before
    assert (saved / "course" / "figures.py").read_text() == "# changed by me\n"
    assert (saved / "notebooks" / "new.txt").read_text() == "mine, and not git's"
    assert git(course.root, "rev-parse", "HEAD") == git(course.root, "rev-parse", "origin/main")
    assert "changed" not in "\n".join(updating.newest(course))  # nothing newer now


def test_update_finds_a_renamed_notebook(clone, monkeypatch):
    course, edition = clone
    monkeypatch.setenv("PYTHONPATH", str(course.root))
    mine = source.read(course.notebooks / CHAPTER)
    answer = cell_of(source.read(course.solutions / CHAPTER), "attend").source
    cell_of(mine, "attend").source = answer
    (course.notebooks / CHAPTER).unlink()
    (course.notebooks / "mine.ipynb").write_text(build.dumps(mine), "utf-8")
    report = "\n".join(updating.newest(course))
    assert "1 answers" in report and "mine.ipynb" in report, report
    assert cell_of(source.read(course.notebooks / CHAPTER), "attend").source == answer
    assert (course.notebooks / "mine.ipynb").exists()


def test_an_update_that_git_refuses_changes_nothing(clone, monkeypatch):
    course, _ = clone
    (course.root / "course" / "figures.py").write_text("# changed by me\n")
    run = updating.git
    monkeypatch.setattr(updating, "git", lambda c, *a: None if a[0] == "merge" else run(c, *a))
    with pytest.raises(source.CourseError, match="your files are as they were"):
        updating.newest(course)
    assert (course.root / "course" / "figures.py").read_text() == "# changed by me\n"
    monkeypatch.undo()
    git(course.root, "commit", "-qam", "of my own")
    with pytest.raises(source.CourseError, match="has commits"):
        updating.newest(course)
