"""A learner's way through every chapter: filling in, failing, keeping, updating, graduating."""

import ast
import contextlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib import pyplot as plt
from nbclient import NotebookClient

import course.checking
from course import answers, build, execute, failing, graduation, keeping, kernel, source, trial, updating
from course.exercise import Exercise, bases, exercises

# Tests of the library that take seconds.
FAST = "(odd_shapes or top_ or temperature) and not bad"
CHAPTERS = [path.name for path in source.chapters()]
COPIED = ("course", "gpt2lib", "notebooks", "solutions", "tests", "pyproject.toml", "conftest.py")


@pytest.fixture
def home(tmp_path):
    """A copy of the repository; keep, update and graduate work on it."""
    home = tmp_path / "course"
    home.mkdir()
    for name in COPIED:
        path = source.ROOT / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, home / name)
    return home


FORKING = """
import contextlib, json, os, runpy, sys, traceback
import IPython, matplotlib.pyplot, nbformat, tiktoken, torch, transformers

nbformat.validate(nbformat.v4.new_notebook())  # what makes the next one quick, too

for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(asked["cwd"])
        sys.path.insert(0, asked["cwd"])
        sys.argv = ["trial", *asked["arguments"]]
        with open(asked["out"], "w") as out, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                runpy.run_module("course.trial", run_name="__main__")
            except BaseException:
                traceback.print_exc()
        os._exit(0)
    os.waitpid(child, 0)
    print("done", flush=True)
"""


@pytest.fixture(scope="session")
def forking():
    """A process that has loaded torch, and lets a copy of itself do what is asked: seconds less each time."""
    with subprocess.Popen(
        [sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def quick(request, tmp_path, monkeypatch):
    """Let keep try modules in copies of one process; test_keeping.py has it start one for each."""
    if sys.platform != "linux":  # no fork, or none that can be trusted
        return
    forking = request.getfixturevalue("forking")

    def run(command, cwd, **options):
        out = tmp_path / "said.txt"
        asked = {"arguments": command[3:], "cwd": str(cwd), "out": str(out)}
        forking.stdin.write(json.dumps(asked) + "\n")
        forking.stdin.flush()
        assert forking.stdout.readline() == "done\n"
        return SimpleNamespace(stdout=out.read_text(), stderr="", returncode=0)

    names = ("DEVNULL", "TimeoutExpired")
    fake = SimpleNamespace(run=run, **{name: getattr(subprocess, name) for name in names})
    monkeypatch.setattr(trial, "subprocess", fake)


def python(home: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run Python in a copy of the repository, which it imports."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=home,
        env=os.environ | {"PYTHONPATH": str(home)},
        capture_output=True,
        text=True,
    )


def store(home: Path, name: str, notebook: nbformat.NotebookNode) -> None:
    (home / "notebooks" / name).write_text(build.dumps(build.normalise(notebook)), "utf-8")


def solution(name: str) -> nbformat.NotebookNode:
    return source.read(source.HERE.solutions / name)


def learners(name: str) -> nbformat.NotebookNode:
    return build.learners_edition(solution(name))


def cell_of(notebook: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    return [cell for cell in source.code_cells(notebook) if name in answers.defined(cell)][-1]


def exercises_of(name: str) -> list[Exercise]:
    return [e for e in exercises().values() if int(e.number.split(".")[0]) == int(name[:2])]


def library(home: Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in (home / "gpt2lib").glob("*.py")}


def filled_in(name: str) -> nbformat.NotebookNode:
    """Return a chapter with the reference's answers, as a learner would have it."""
    notebook = learners(name)
    answers = {cell.id: source.MARKS.sub("", cell.source) for cell in source.code_cells(solution(name))}
    for cell in source.code_cells(notebook):
        cell.source = answers[cell.id]
    return notebook


# Right answers, the reference's and others


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_answer_of_the_solutions_is_praised(name):
    """The stored outputs say so, and `pytest --nbval` holds the notebooks to them."""
    for exercise in exercises_of(name):
        cells = source.code_cells(solution(name))
        (cell,) = [c for c in cells if c.source.startswith(f"{exercise.name} = check({exercise.name})")]
        assert f"✓ {exercise.number} {exercise.name}" in json.dumps(cell.outputs, ensure_ascii=False)


def lifted(exercise: Exercise, style) -> tuple[str, str] | None:
    """Return the source of a right answer in another style, and of what it needs; None if it can't stand alone."""
    if isinstance(style, str):
        return bases(exercise.number, exercise.name, (style,))[1].text, ""
    try:
        module = ast.parse(inspect.getsource(sys.modules[style.__module__]))
        answer = textwrap.dedent(inspect.getsource(style))
    except (OSError, TypeError, KeyError):  # made by type() or exec
        return None
    if style.__qualname__ != style.__name__:  # made by another function
        return None
    needed, done, text = [answer], {style.__name__}, {}
    for statement in module.body:
        names = [a.asname or a.name for a in getattr(statement, "names", [])] or source.names_of(statement)
        text |= dict.fromkeys(names, statement)
    helpers = []
    while needed:
        used = {node.id for node in ast.walk(ast.parse(needed.pop())) if isinstance(node, ast.Name)}
        for name in sorted(used & text.keys() - done):
            done.add(name)
            helpers.insert(0, ast.unparse(text[name]))
            needed.append(helpers[0])
    if any("course" in helper or "find(" in helper or ".reference" in helper for helper in helpers):
        return None
    imports = [helper for helper in helpers if helper.startswith(("import", "from"))]
    others = [helper for helper in helpers if helper not in imports]
    takes, given = (list(inspect.signature(f).parameters) for f in (style, exercise.reference))
    if takes == given and not isinstance(style, type):  # in the gap, below given lines that refuse bad input
        with contextlib.suppress(source.CourseError):  # there are several gaps
            mine = f"{style.__name__}_of_{exercise.name}"
            call = f"return {mine}({', '.join(f'{name}={name}' for name in takes)})"
            text = bases(exercise.number, exercise.name, (call,))[1].text
            return text, "\n".join([*imports, *others, re.sub(rf"\b{style.__name__}\b", mine, answer)])
    answer = re.sub(rf"\b{style.__name__}\b", exercise.name, answer)
    return answer, "\n".join(imports + others)


def in_another_style(name: str) -> tuple[nbformat.NotebookNode, set[str]]:
    """Return a chapter with answers in another style, helpers in cells before them, and which those are."""
    notebook, styled = filled_in(name), set()
    for exercise in exercises_of(name):
        for style in exercise.styles:
            if found := lifted(exercise, style):
                answer, helpers = found
                cell = cell_of(notebook, exercise.name)
                mark = source.EXPORT.match(cell.source)
                cell.source = (mark[0] if mark else "") + answer
                helper = nbformat.v4.new_code_cell(helpers, metadata={"tags": ["helper"]})
                notebook.cells.insert(notebook.cells.index(cell), helper)
                styled.add(exercise.name)
                break
    return notebook, styled


def essence(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the cells that exercises need: the exercises, their checks, and imports and definitions.

    What chapters compute and draw in between takes minutes. It is left to `pytest --nbval`, for it goes on
    with what `check` returns, whatever the learner wrote.
    """
    cells = []
    for cell in source.code_cells(notebook):
        needed = source.module_of(cell) or re.match(r"\w+ = check\(", cell.source)
        if not needed and "helper" not in cell.metadata.get("tags", []) and not failing.names_in(cell.source):
            wanted = [s for s in source.parsed(cell) if source.is_definition(s)]
            cell = nbformat.v4.new_code_cell("\n".join(map(ast.unparse, wanted)))
        cells.append(cell)
    return cells


@pytest.fixture
def shell(monkeypatch):
    """What runs the cells of a notebook, without a kernel."""
    shell = InteractiveShell()
    failing.watch(shell)
    monkeypatch.setattr(course.checking, "handed_out", [])
    yield shell
    plt.close("all")


def test_answers_in_another_style_are_praised_and_kept(home, quick, shell, capsys):
    styled = {}
    for name in CHAPTERS:
        notebook, styled[name] = in_another_style(name)
        store(home, name, notebook)
        shell.reset()
        for cell in essence(notebook):
            assert shell.run_cell(cell.source).success, cell.source
        out = capsys.readouterr().out
        for exercise in exercises_of(name):
            assert f"✓ {exercise.number} {exercise.name}" in out, out
    assert sum(map(len, styled.values())) > 40
    report = keeping.keep(course=source.Course(home))
    for mine, every in re.findall(r"(\d+) of (\d+) pieces", report):
        assert mine == every, report
    changed = {
        name
        for name, text in library(home).items()
        if text != (source.HERE.library / name).read_text("utf-8")
    }
    assert len(changed) == 12, changed
    done = python(home, "-m", "pytest", "-q", "tests/test_parity.py", "tests/test_sampling.py", "-k", FAST)
    assert done.returncode == 0, done.stdout


# Wrong ones


WAYS = ("raise", "NameError", "SyntaxError")


def broken(cell: nbformat.NotebookNode, way: str) -> str:
    """Return an exercise's cell that raises: in the answer, before its definition, or before anything runs."""
    if way == "raise":
        return cell.source.replace(source.STUB[1], 'raise ValueError("mine")')
    if way == "NameError":
        return re.sub(r"^(class|def) ", r"nowhere\n\n\n\1 ", cell.source, count=1, flags=re.M)
    return cell.source.replace(source.STUB[1], "return (")


@pytest.mark.parametrize("name", CHAPTERS)
def test_after_any_failing_exercise_the_notebook_goes_on_with_the_reference(name, shell, capsys):
    """What comes after the check then runs as in an untouched notebook, which `pytest --nbval` runs."""
    notebook = learners(name)
    for cell in essence(notebook):
        assert shell.run_cell(cell.source).success
    for exercise in exercises_of(name):
        cell = cell_of(notebook, exercise.name)
        assert "raises-exception" in cell.metadata.tags
        for way in WAYS:
            del shell.user_ns[exercise.name]  # a fresh kernel
            shell.run_cell(broken(cell, way))
            capsys.readouterr()
            assert shell.run_cell(f"{exercise.name} = check({exercise.name})").success
            assert shell.user_ns[exercise.name] is exercise.reference
            assert f"✗ {exercise.number} {exercise.name} – " in capsys.readouterr().out


def test_a_failing_cell_says_what_is_wrong_and_touches_no_other_answer(shell, capsys):
    shell.run_cell("from course import check\ndef embed(tokens, wte, wpe, start=0):\n    return wte[tokens]")
    mine = shell.user_ns["embed"]
    shell.run_cell("embed(1)")
    assert shell.user_ns["embed"] is mine
    shell.run_cell("def embed(tokens, wte, wpe, start=0)\n    return wte[tokens]")
    capsys.readouterr()
    shell.run_cell("embed = check(embed)")
    out = capsys.readouterr().out
    assert "Its cell isn't valid Python yet. SyntaxError: expected ':'" in out
    assert "line 1: def embed(tokens, wte, wpe, start=0)" in out


def test_a_kernel_runs_a_notebook_of_failing_cells_to_its_end(home, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(home))
    name = "01_tokenization.ipynb"
    notebook = learners(name)
    gaps = [cell for cell in source.code_cells(notebook) if answers.is_unwritten(cell.source)]
    for i, cell in enumerate(gaps):
        cell.source = broken(cell, WAYS[i % len(WAYS)])
    execute.run(notebook, home / "notebooks")
    shown = json.dumps([cell.outputs for cell in source.code_cells(notebook)], ensure_ascii=False)
    assert all(f"✗ {exercise.number} {exercise.name}" in shown for exercise in exercises_of(name))
    last, want = (source.code_cells(edition)[-1] for edition in (notebook, solution(name)))
    assert last.outputs == want.outputs


def run_as_a_learner(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook in a kernel as Jupyter does, progress included."""
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


# Keeping, again and again


def test_nothing_that_keep_and_restore_replace_is_lost(home, quick):
    module, saved = home / "gpt2lib" / "mlp.py", home / "saved"
    saved.mkdir()
    (saved / "mlp-old.py").write_text("a file of the learner's\n")
    store(home, "04_mlp.ipynb", filled_in("04_mlp.ipynb"))
    by_hand = set()
    for i, step in enumerate(
        [lambda: keeping.keep("04", source.Course(home)), lambda: keeping.restore(source.Course(home))] * 2
    ):
        by_hand.add(f"# edited by hand {i}\n")
        module.write_text(f"# edited by hand {i}\n")
        step()
        assert by_hand <= {path.read_text("utf-8") for path in saved.iterdir()}
    keeping.keep("04", source.Course(home))
    before = sorted(saved.iterdir())
    assert "as before" in keeping.keep("04", source.Course(home)) and sorted(saved.iterdir()) == before


@pytest.mark.parametrize("moment", (1, 2))
def test_an_interrupted_keep_leaves_everything_as_it_was(home, quick, monkeypatch, moment):
    """The first file that is written is the copy in saved/, the second is the module."""
    store(home, "04_mlp.ipynb", filled_in("04_mlp.ipynb"))
    before, count, fsync = library(home), 0, os.fsync

    def full_disk(file):
        nonlocal count
        count += 1
        if count == moment:
            raise OSError("no space left on device")
        fsync(file)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(os, "fsync", full_disk)
        keeping.keep("04", source.Course(home))
    assert library(home) == before and not list(home.rglob(".*.part"))
    keeping.keep("04", source.Course(home))
    assert "mlp" in build.kept_names(source.Course(home)) and before["mlp.py"] in {
        p.read_text() for p in (home / "saved").iterdir()
    }


def test_answers_that_only_fail_together_cost_one_of_them_and_not_the_chapter(home, quick):
    notebook = filled_in("03_masked_attention.ipynb")
    for name, width in (("split_heads", 1), ("merge_heads", 2)):
        cell = cell_of(notebook, name)
        cell.source = cell.source.replace(
            "#| export attention\n", f"#| export attention\nSTYLE = {width}\n\n\n"
        )
        cell.source += f"\n    assert STYLE == {width}"
        body, final = cell.source.rsplit("    return", 1)
        last, check = final.rsplit("\n", 1)
        cell.source = f"{body}{check}\n    return{last}"
    store(home, "03_masked_attention.ipynb", notebook)
    assert "4 of 5 pieces yours" in keeping.keep("03", source.Course(home))


def test_long_lines_and_earlier_attempts_are_kept(home, quick):
    notebook = filled_in("04_mlp.ipynb")
    cell = cell_of(notebook, "gelu")
    cell.source += "\n\n\n# " + "a long thought " * 20 + "\n" + source.body(cell)
    store(home, "04_mlp.ipynb", notebook)
    assert "2 of 2 pieces yours" in keeping.keep("04", source.Course(home))


def test_progress_survives_a_restart_and_a_new_edition(home, monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setenv("PYTHONPATH", str(home))
    cells = essence(filled_in("04_mlp.ipynb"))
    run_as_a_learner(nbformat.v4.new_notebook(cells=cells), home / "notebooks")
    states = json.loads((home / ".progress.json").read_text("utf-8"))
    (home / ".progress.json").write_text(
        json.dumps(states | {"an_exercise_of_old": "✓", "embed": 1}), "utf-8"
    )
    shutil.rmtree(home / "notebooks")
    (home / "gpt2lib" / "mlp.py").write_text("def by hand")
    done = python(home, "-m", "course", "progress")
    assert "04  ✓ 4.1  ✓ 4.2  ✓ 4.3  ✓ 4.4  ✓ 4.5  ✓ 4.6  ✓ 4.7" in done.stdout, done.stderr
    assert f"7 of {len(exercises())} exercises done" in done.stdout


# What keep takes, and what it leaves out


JUNK = {
    "the check in the same cell": "\n\nfrom course import check\ngelu = check(gelu)",
    "a model that is loaded": "\n\nfrom gpt2lib import from_pretrained\nmodel, tok = from_pretrained('tales')",
    "something computed": "\n\nm = gelu(torch.zeros(2)); n = 1; print(m)",
    "something slow": "\n\nimport time\nstart = time.time(); time.sleep(99); took = time.time() - start",
    "the end of Python": "\n\nimport sys\nx = sys.exit(0)",
    "a quote that looks like a verdict": "\n\na = 1; print('\"hello')",
    "a loop": "\n\nfor i in range(3):\n    gelu(torch.zeros(i))",
    "a line magic": "\n\n%timeit -n 1 gelu(torch.zeros(2))",
    "a magic's result": "\n\nt = %timeit -o -n 1 gelu(torch.zeros(2))",
    "a shell command": "\n\nfiles = !ls\n!ls",
    "help": "\n\ntorch.tanh?\n?torch.tanh",
    "await": "\n\nimport asyncio\nawait asyncio.sleep(0)",
    "an unused helper": "\n\n\ndef unused():\n    return 1",
    "a first attempt that failed": "\n\ntry:\n    gelu(None)\nexcept Exception as error:\n    print(error)",
}


@pytest.mark.parametrize("junk", JUNK)
def test_keep_takes_definitions_and_runs_nothing_else(home, quick, junk):
    course = source.Course(home)
    notebook = filled_in("04_mlp.ipynb")
    cell = cell_of(notebook, "gelu")
    cell.source = re.sub(
        r"return .*",
        "return 0.5 * x * (1 + torch.erf(x / 2**0.5)) if 0 else F.gelu(x, approximate='tanh')",
        cell.source,
    )
    cell.source = cell.source.replace(
        "#| export mlp\n", "#| export mlp\nfrom torch.nn import functional as F\n"
    )
    store(home, "04_mlp.ipynb", notebook)
    assert "2 of 2 pieces yours" in keeping.keep("04", course)
    want = library(home)
    keeping.restore(course)
    cell.source += JUNK[junk]
    store(home, "04_mlp.ipynb", notebook)
    assert "2 of 2 pieces yours" in keeping.keep("04", course)
    assert library(home) == want and "approximate" in want["mlp.py"]


SPELLINGS = {
    "a formula that goes on with %": ("return torch.ones(T, S, dtype=torch.bool, device=device).tril(\n        diagonal=(S - T)\n        % 10**9\n    )"),
    "a formula that goes on with !=": ("return (\n        torch.ones(T, S, device=device).tril(diagonal=S - T)\n        != 0\n    )"),
}  # fmt: skip


@pytest.mark.parametrize("head", ["", "%%time\n", "%%capture out\n", "%matplotlib inline\n", "    "])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_ipython_runs_keep_reads(home, quick, spelling, head):
    notebook = learners("03_masked_attention.ipynb")
    text = f"def causal_mask(T, S, device=None):\n    {SPELLINGS[spelling]}"
    cell_of(notebook, "causal_mask").source = head + text if head.strip() else textwrap.indent(text, head)
    store(home, "03_masked_attention.ipynb", notebook)
    report = keeping.keep("03", source.Course(home))
    assert "1 of 5 pieces yours" in report, report
    assert "10**9" in library(home)["attention.py"] or "!= 0" in library(home)["attention.py"]


REASONS = {
    "def causal_mask(T, S, device=None)\n    return 1": "not Python: SyntaxError",
    "if True:\n    def causal_mask(T, S, device=None):\n        return torch.ones(T, S).bool()": "left margin",
    "causal_mask = lambda T, S, device=None: torch.ones(T, S).bool()": "assigned, not defined",
    "def my_mask(T, S, device=None):\n    return torch.ones(T, S).bool()": "no cell of the notebook defines it",
    "from math import sqrt as causal_mask": "it is imported",
    "def causal_mask(T, S, device=None):\n    return nowhere(T, S)": "uses `nowhere`, which no cell defines",
    "import time\nnow = time.time()\n\ndef causal_mask(T, S, device=None):\n    return now": r"`now = time\.time\(\)` runs code",
    "def causal_mask(T, S, device=None):\n    return torch.ones(T, S).bool()": "upper triangle|token",
    "import sys\n\ndef causal_mask(T, S, device=sys.exit(0)):\n    return 1": "SystemExit",
    "from gpt2lib import GPT2\n\ndef causal_mask(T, S, device=None):\n    return GPT2": "ImportError|AttributeError",
    "def causal_mask(T, S, device=None):\n    # YOUR CODE HERE\n    raise NotImplementedError": "not written yet",
    "%%bash\nls": "no cell of the notebook defines it",
    "%%timeit -n 1\ndef causal_mask(T, S, device=None):\n    return 1": "begins with %%timeit.*take that line out",
}


@pytest.mark.parametrize("text", REASONS)
def test_every_answer_that_is_left_out_gets_its_reason_and_the_library_imports(home, quick, text):
    before = library(home)
    notebook = learners("03_masked_attention.ipynb")
    cell_of(notebook, "causal_mask").source = text
    store(home, "03_masked_attention.ipynb", notebook)
    report = keeping.keep("03", source.Course(home))
    assert "0 of 5 pieces yours" in report
    (line,) = [line for line in report.splitlines() if line.startswith("  causal_mask: ")]
    assert re.search(REASONS[text], line), line
    assert len([line for line in report.splitlines() if line.startswith("  ")]) == 5  # a reason for each
    assert library(home) == before


@pytest.mark.parametrize("ending", ["import os; os._exit(0)", "print('{}'); raise SystemExit"])
def test_a_process_that_ends_well_and_says_nothing_has_not_passed(home, ending):
    (home / "gpt2lib" / "mlp.py").write_text(f"{ending}\n")
    said = trial.try_out(source.Course(home), "mlp", [])
    assert said["reason"], said


def test_a_module_that_fails_in_place_leaves_everything_as_it_was(home, quick, monkeypatch):
    """The trial of the text passes, the one of the module in its place does not."""
    course, before = source.Course(home), library(home)
    store(home, "04_mlp.ipynb", filled_in("04_mlp.ipynb"))
    try_out = keeping.try_out
    failing_in_place = {"reason": "ImportError: in place", "wrong": {}}
    monkeypatch.setattr(keeping, "try_out", lambda *a: try_out(*a) if len(a) == 4 else failing_in_place)
    report = keeping.keep("04", course)
    assert "as before" in report and "ImportError: in place" in report
    assert library(home) == before and not list(course.saved.iterdir())


def test_a_circle_that_only_some_orders_of_import_meet_is_found(home):
    """gpt2lib.mlp can be imported first, but not gpt2lib.model, which needs it half-way."""
    module = home / "gpt2lib" / "mlp.py"
    module.write_text(module.read_text() + "\n\nfrom gpt2lib.generation import generate\n")
    assert python(home, "-c", "import gpt2lib.mlp").returncode == 0
    assert python(home, "-c", "import gpt2lib.model").returncode != 0
    assert "no longer imports: ImportError" in trial.try_out(source.Course(home), "mlp", [])["reason"]


def test_restore_works_whatever_is_in_the_library(home):
    want = library(home)
    for path in (home / "gpt2lib").glob("*.py"):
        path.write_text("def by hand")
    done = python(home, "-m", "course", "restore")
    assert done.returncode == 0, done.stderr
    assert library(home) == want


# Renamed, copied, unsaved, foreign notebooks


@pytest.fixture
def mask_only():
    """Chapter 3 with one answer."""
    notebook = learners("03_masked_attention.ipynb")
    cell_of(notebook, "causal_mask").source = source.MARKS.sub(
        "", cell_of(solution("03_masked_attention.ipynb"), "causal_mask").source
    )
    return notebook


def test_a_renamed_notebook_is_found_and_named(home, quick, mask_only):
    store(home, "03_mine.ipynb", mask_only)
    (home / "notebooks" / "03_masked_attention.ipynb").unlink()
    report = keeping.keep(3, source.Course(home))
    assert "1 of 5 pieces yours" in report and "read notebooks/03_mine.ipynb" in report
    assert "03_mine" in updating.update(course=source.Course(home), only=3)[0]
    kept = source.read(home / "notebooks" / "03_masked_attention.ipynb")
    assert not answers.is_unwritten(cell_of(kept, "causal_mask").source)


def test_a_copy_with_the_answers_is_named_and_can_be_passed(home, quick, mask_only):
    course, before = source.Course(home), library(home)
    store(home, "03_masked_attention-Copy1.ipynb", mask_only)
    with pytest.raises(
        source.CourseError, match="has no answers, but notebooks/03_masked_attention-Copy1.ipynb has"
    ):
        keeping.keep("attention", course)
    assert library(home) == before
    assert "1 of 5 pieces yours" in keeping.keep("notebooks/03_masked_attention-Copy1.ipynb", course)
    store(home, "03_masked_attention.ipynb", mask_only)
    os.utime(home / "notebooks" / "03_masked_attention-Copy1.ipynb", (2e9, 2e9))
    assert "Copy1.ipynb, which is newer, was not read" in keeping.keep("3.2", course)


def test_a_notebook_that_is_nowhere_or_is_none_is_said(home, quick):
    course, path = source.Course(home), home / "notebooks" / "03_masked_attention.ipynb"
    path.unlink()
    with pytest.raises(source.CourseError, match="03_masked_attention.ipynb is not there"):
        keeping.keep("03", course)
    for text in ("", "{", "[]", "{}", "<<<<<<< HEAD", '{"nbformat": 9, "nbformat_minor": 0, "cells": []}'):
        path.write_text(text)
        with pytest.raises(source.CourseError, match="03_masked_attention.ipynb is no notebook"):
            keeping.keep("03", course)
    for wrong in ("42", "chapter three", "nowhere/03_masked_attention.ipynb", "_", "9999.1"):
        with pytest.raises(source.CourseError):
            keeping.keep(wrong, course)
    for folder in (home / "nowhere", home / "tests"):
        with pytest.raises(source.CourseError):
            updating.update(folder, course=course)


@pytest.mark.parametrize(
    "name",
    [
        "3",
        3,
        "03",
        "03_masked_attention",
        "03_masked_attention.ipynb",
        "attention",
        "3.2",
        "notebooks/03_masked_attention.ipynb",
    ],
)
def test_a_chapter_can_be_called_by_any_of_its_names(home, quick, name):
    assert "gpt2lib/attention.py: 0 of 5" in keeping.keep(name, source.Course(home))


def test_an_answer_that_passed_and_was_not_saved_is_said_to_be_so(home, quick):
    course = source.Course(home)
    course.progress.write_text('{"causal_mask": "✓"}', "utf-8")
    assert "causal_mask: it passed its check, but the saved notebook has no answer" in keeping.keep(3, course)


KEEP = "import course\ncourse.keep()"


def kernel_cells(*more: str) -> nbformat.NotebookNode:
    """Return a notebook in which causal_mask is written, checked and kept."""
    answer = cell_of(filled_in("03_masked_attention.ipynb"), "causal_mask").source
    texts = [
        "import torch\nfrom course import check",
        answer,
        "causal_mask = check(causal_mask)",
        *more,
        KEEP,
    ]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in texts])


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(o.get("text", "") for cell in notebook.cells for o in cell.get("outputs", []))


def test_keep_in_an_unsaved_notebook_says_so(home, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(home))
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    said = printed(run_as_a_learner(kernel_cells(), home / "notebooks"))
    assert "0 of 5 pieces yours" in said and "causal_mask: it passed its check here, but the saved" in said, (
        said
    )


def test_keep_in_a_notebook_says_in_a_sentence_what_it_cannot_find(home, capsys, monkeypatch):
    monkeypatch.setattr(kernel, "checked", {})
    kernel.keep("42", source.Course(home))
    kernel.keep("nowhere/03.ipynb", source.Course(home))
    said = capsys.readouterr().out
    assert "Nothing was kept: no notebook fits '42'; there are 00_meet_gpt2" in said
    assert "Nothing was kept: there is no notebook nowhere/03.ipynb" in said
    with pytest.raises(ValueError, match="no exercise was checked yet"):
        kernel.keep()
    monkeypatch.setattr(
        "filelock.FileLock.acquire", lambda *_, **__: (_ for _ in ()).throw(OSError(30, "read-only"))
    )
    kernel.keep("3", source.Course(home))
    assert "Nothing was kept: [Errno 30] read-only" in capsys.readouterr().out


def test_a_saved_answer_that_is_not_the_one_that_passed_is_said(home, monkeypatch, mask_only):
    monkeypatch.setenv("PYTHONPATH", str(home))
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    cell = cell_of(mask_only, "causal_mask")
    cell.source = cell.source.replace("return ", "mask = 1\n    return ")
    store(home, "03_masked_attention.ipynb", mask_only)
    said = printed(run_as_a_learner(kernel_cells(), home / "notebooks"))
    assert "1 of 5 pieces yours" in said and "causal_mask: another version of it passed here" in said, said


def test_keep_takes_the_passed_answers_from_a_kernel_without_a_file(home, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(home))
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    foreign = tmp_path / "content"
    foreign.mkdir()
    later = "def causal_mask(T, S, device=None):\n    return 'an experiment after the check'"
    said = printed(run_as_a_learner(kernel_cells(later), foreign))
    assert "1 of 5 pieces yours" in said and "taken from the running kernel" in said, said
    assert build.kept_names(source.Course(home)) == {"attention": ["causal_mask"]}
    assert '"causal_mask": "✓"' in (home / ".progress.json").read_text("utf-8")  # wherever the kernel is


def test_keep_in_a_kernel_reads_the_notebook_that_it_runs(home, tmp_path, monkeypatch, mask_only):
    """Jupyter's server and VS Code tell a kernel which file its notebook is."""
    monkeypatch.setenv("PYTHONPATH", str(home))
    mine = tmp_path / "elsewhere" / "attention by me.ipynb"
    source.write_whole(mine, build.dumps(mask_only))
    monkeypatch.setenv("JPY_SESSION_NAME", str(mine))
    said = printed(run_as_a_learner(kernel_cells(), home / "notebooks"))
    assert "1 of 5 pieces yours" in said and "attention by me.ipynb" in said, said


# A new edition


def changed_edition(name: str) -> nbformat.NotebookNode:
    """Return a chapter's solution with a changed sentence, a new cell, remarks at the gaps, and its last exercise first."""
    notebook = solution(name)
    text = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
    text.source += "\n\nA new sentence."
    for cell in source.code_cells(notebook):
        cell.source = re.sub(r"^( *)(### BEGIN SOLUTION)", r"\1# a new remark\n\1\2", cell.source, flags=re.M)
    moved = cell_of(notebook, exercises_of(name)[-1].name)
    notebook.cells.remove(moved)
    notebook.cells[2:2] = [nbformat.v4.new_markdown_cell("A new cell."), moved]
    return notebook


@pytest.mark.parametrize("name", CHAPTERS)
def test_update_carries_what_is_written_into_a_changed_edition(name, home, monkeypatch):
    mine, written = learners(name), {}
    for i, exercise in enumerate(exercises_of(name)):
        cell = cell_of(mine, exercise.name)
        if i % 4 == 0:
            cell.source = cell_of(filled_in(name), exercise.name).source + "\n# my own line"
        elif i % 4 == 1:
            cell.source = broken(cell, "SyntaxError")
        if i % 4 < 2:
            written[cell.id] = cell.source
    mine.cells.append(nbformat.v4.new_code_cell("my_experiment = 1"))
    store(home, name, mine)
    edition = changed_edition(name)
    (home / "solutions" / name).write_text(build.dumps(build.normalise(edition)), "utf-8")
    updating.update(home / "notebooks", name, source.Course(home))

    new = source.read(home / "notebooks" / name)
    want = build.learners_edition(edition)
    assert [cell.id for cell in new.cells[:-1]] == [cell.id for cell in want.cells]
    assert new.cells[-1].source == "my_experiment = 1"
    for cell, fresh in zip(new.cells, want.cells):
        assert cell.source == written.get(cell.id, fresh.source)
    assert build.dumps(build.normalise(mine)) in [p.read_text("utf-8") for p in (home / "saved").iterdir()]
    again = (home / "notebooks" / name).read_text("utf-8")
    updating.update(home / "notebooks", name, source.Course(home))
    assert (home / "notebooks" / name).read_text("utf-8") == again


# Graduation


def test_who_fills_in_the_course_gets_the_reference_library_and_graduates(home, quick, monkeypatch, capfd):
    monkeypatch.setattr(graduation, "SUITE", ("errors",))
    before = library(home)
    for name in CHAPTERS:
        store(home, name, filled_in(name))
    with monkeypatch.context() as patch:
        patch.setattr(plt, "close", lambda figure: None)
        assert graduation.graduate(source.Course(home)), capfd.readouterr().out
    after = {
        name: re.sub(r"\n\nYours: .+?\.\n", "", text, flags=re.S) for name, text in library(home).items()
    }
    assert after == before
    kept = [name for names in build.kept_names(source.Course(home)).values() for name in names]
    gaps = [
        cell
        for name in CHAPTERS
        for cell in source.code_cells(solution(name))
        if source.module_of(cell) and "### BEGIN SOLUTION" in cell.source
    ]
    assert len(kept) == len(gaps)
    drawn = " ".join(text.get_text() for text in plt.gcf().axes[0].texts)
    assert all(name in drawn for name in kept)
    assert (home / "certificate.png").read_bytes().startswith(b"\x89PNG")


def test_a_library_that_fails_does_not_graduate_and_learns_why(home, quick, monkeypatch, capfd):
    """The answer is right on all cases of its check, but not for 20,000 rows of logits."""
    monkeypatch.setattr(graduation, "SUITE", ("sampling",))
    notebook = filled_in("06_sampling.ipynb")
    cell = cell_of(notebook, "keep_top_k")
    cell.source = cell.source.replace(
        "    return ", "    if logits.shape[0] == 20_000:\n        k = 1\n    return "
    )
    store(home, "06_sampling.ipynb", notebook)
    assert not graduation.graduate(source.Course(home))
    out = capfd.readouterr().out
    assert "FAILED tests/test_sampling.py::test_draws_follow" in out and "Not yet" in out, out
    assert not (home / "certificate.png").exists()


def test_tests_that_cannot_run_are_no_fault_of_the_library(home, quick, monkeypatch, capfd):
    store(home, "04_mlp.ipynb", filled_in("04_mlp.ipynb"))
    monkeypatch.setattr(graduation, "SUITE", ("nowhere",))
    assert not graduation.graduate(source.Course(home))
    out = capfd.readouterr().out
    assert "The tests came to no end (exit code 4)" in out and "Not yet" not in out
    monkeypatch.setattr(graduation, "find_spec", lambda name: None if name == "transformers" else name)
    with pytest.raises(source.CourseError, match=r"needs transformers.*pip install .*\[test\]"):
        graduation.graduate(source.Course(home))


def test_an_untouched_course_does_not_graduate(home, quick, capsys):
    assert not graduation.graduate(source.Course(home))
    assert "Nothing in gpt2lib is yours yet" in capsys.readouterr().out
