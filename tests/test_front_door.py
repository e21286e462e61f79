"""What a newcomer meets first: the packages asked for, the wheel, the README's promises."""

import ast
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import tomllib
from types import SimpleNamespace

import making_lab
import pytest

from course import preflight
from course.answers import find_answer
from course.build import BEGINNING
from course.exercise import exercises
from course.score import kinds
from course.source import HERE, ROOT, chapters, read

CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENT = re.compile(r"([\w.-]+)\s*(.*)")


def asked_for(lines):
    return dict(REQUIREMENT.fullmatch(line).groups() for line in lines)


def test_conda_asks_for_what_pip_asks_for():
    lines = re.findall(r"^  - ([\w.-]+.*[\d.]+)$", (ROOT / "environment.yml").read_text(), re.M)
    conda = asked_for(lines)
    assert conda.pop("python") == PROJECT["requires-python"]
    pip = asked_for(PROJECT["dependencies"])
    for extra in ("course", "test"):
        pip |= asked_for(line for line in PROJECT["optional-dependencies"][extra] if "[" not in line)
    assert {CONDA_NAMES.get(name, name): version for name, version in pip.items()} == conda


def test_make_pins_what_pip_asks_for():
    text = (ROOT / "constraints.txt").read_text()
    pinned = set(re.findall(r"^([\w.-]+)==[\w.]+(?: ;.*)?$", text, re.M))
    assert len(pinned) > 100 and "make pins" in text.splitlines()[1]
    assert not [name for name in pinned if name.startswith(("nvidia", "cuda", "triton"))]
    extras = [
        line for lines in PROJECT["optional-dependencies"].values() for line in lines if "[" not in line
    ]
    for name in asked_for([*PROJECT["dependencies"], *extras]):
        assert name.lower().replace("_", "-") in pinned


def test_make_help_tells_of_every_target():
    text = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", text, re.M)[1].split()
    said = subprocess.run(
        ["make", "--no-print-directory"], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout
    assert [line.split()[1] for line in said.splitlines()] == targets
    assert all(len(line.split(maxsplit=2)[2]) > 8 for line in said.splitlines())


def test_what_github_and_conda_read_is_whole():
    yaml = pytest.importorskip("yaml")
    github = ROOT / ".github"
    files = [*github.rglob("*.yml"), ROOT / "environment.yml", ROOT / "CITATION.cff"]
    texts = {path: path.read_text("utf-8") for path in files}
    found = {path: yaml.safe_load(text) for path, text in texts.items()}
    for path in (github / "ISSUE_TEMPLATE").iterdir():
        assert {"name", "description", "body"} <= set(found[path]), path.name
        assert all(isinstance(part["attributes"]["label"], str) for part in found[path]["body"]), path.name
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    for path in (github / "workflows").iterdir():
        called = re.findall(r"run: make ([\w-]+)", texts[path])
        assert called and set(called) <= set(targets), path.name
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert all((ROOT / path).exists() for path in container["customizations"]["codespaces"]["openFiles"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sys.version_info": (3, 10, 4)}, "This is Python 3.10, and the course needs 3.11 or newer"),
        ({"sys.version_info": (3, 15, 0)}, "This is Python 3.15; the packages of the course exist for"),
        ({"sys.platform": "darwin", "platform.machine": lambda: "x86_64"}, "no packages for Intel Macs"),
        ({"shutil.disk_usage": lambda path: SimpleNamespace(free=1e9)}, "less than 3 GB"),
        ({}, None),
    ],
)
def test_what_cannot_be_installed_is_said_before_in_a_sentence(monkeypatch, change, says):
    for name, value in change.items():
        monkeypatch.setattr(name, value)
    said = preflight.trouble()
    assert (said is None) if says is None else says in said


def test_a_python_that_is_not_there_is_said_in_a_sentence(tmp_path):
    command = ["make", "lab", "PYTHON=python9", f"VENV={tmp_path / 'none'}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode and "There is no python9 here. Install Python 3.11 to 3.14" in done.stdout


def test_old_pythons_can_read_what_refuses_them():
    """No syntax newer than Python 2.7's; ast itself can check no older grammar than that of 3.4."""
    tree = ast.parse((ROOT / "course" / "preflight.py").read_text(), feature_version=(3, 4))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef, ast.Starred)
    assert not [node for node in ast.walk(tree) if isinstance(node, newer)]


def test_lab_opens_the_chapter_and_shows_the_whole_course(tmp_path):
    """`make lab` on an environment that is ready: the address that it prints, and what can be opened there."""
    other = tmp_path / "settings" / "lab" / "workspaces" / "default-37a8.jupyterlab-workspace"
    other.parent.mkdir(parents=True)
    other.write_text('{"data": {"windows": "of another project"}, "metadata": {"id": "default"}}')
    with making_lab.lab(ROOT, tmp_path, JUPYTER_CONFIG_DIR=str(tmp_path / "settings")) as address:
        base, token = re.fullmatch(
            r"(http://[^/]+)/lab/tree/notebooks/00_meet_gpt2.ipynb\?(token=\w+)", address
        ).groups()
        for folder in ("solutions", "gpt2lib", "notebooks"):
            with making_lab.DIRECT.open(f"{base}/api/contents/{folder}?{token}", timeout=60) as answer:
                assert json.load(answer)["type"] == "directory"
        with making_lab.DIRECT.open(f"{base}/lab/api/workspaces/default?{token}", timeout=60) as answer:
            assert not json.load(answer)["data"]


def test_tales_gives_the_numbers_of_transformers():
    import torch
    import transformers

    from gpt2lib import from_pretrained

    model, tokenizer = from_pretrained("tales")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(ROOT / "gpt2lib" / "data" / "tales").float().eval()
    tokens = torch.tensor([tokenizer.encode("Once upon a time there was a king")])
    with torch.no_grad():
        assert torch.allclose(model.eval()(tokens), theirs(tokens).logits, atol=1e-3)


FOREIGN = """
import json, os, sys
hidden, cells = json.load(sys.stdin)
sys.path[:] = [path for path in sys.path if not os.path.isdir(os.path.join(path or ".", "course"))]
sys.modules |= dict.fromkeys(hidden)
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.register_magic_function(lambda line: print("pip", line), magic_name="pip")
print("ran", sum(shell.run_cell(cell, store_history=True).success for cell in cells), "of", len(cells))
"""


def first_cell(path):
    return next(cell.source for cell in read(path).cells if cell.cell_type == "code")


def in_a_foreign_kernel(folder, *cells, hidden=(), **environment):
    """Return what cells print where the course isn't installed, nor the packages that are hidden."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-c", FOREIGN],
            input=json.dumps([hidden, cells]),
            capture_output=True,
            text=True,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": home, "MPLBACKEND": "agg", **environment},
        )
    return done.stdout + done.stderr


def test_without_the_course_a_page_says_in_sentences_what_to_do(tmp_path):
    pages = [*chapters(), *(HERE.notebooks / path.name for path in chapters())]
    said = in_a_foreign_kernel(tmp_path, *map(first_cell, pages))
    assert said.count("Missing: course. Do one of these") == len(pages) and "ran 0 of" in said, said
    assert said.count("make lab") == len(pages) and "Traceback" not in said and "Error" not in said
    lacking = in_a_foreign_kernel(
        HERE.notebooks, first_cell(HERE.notebooks / "03_masked_attention.ipynb"), hidden=["ruff", "anywidget"]
    )
    assert "Missing: anywidget, ruff. Do one of these" in lacking and "ran 0 of 1" in lacking, lacking


@pytest.mark.parametrize("folder", [HERE.notebooks, HERE.solutions], ids=lambda folder: folder.name)
def test_in_a_clone_a_page_finds_the_course_with_any_kernel_that_has_the_packages(folder):
    cells = [first_cell(folder / "03_masked_attention.ipynb"), "print(check.__module__)"]
    assert in_a_foreign_kernel(folder, *cells) == "course.checking\nran 2 of 2\n"


def test_on_colab_a_page_gets_the_course_and_keeps_what_passed(tmp_path):
    theirs, colab = tmp_path / "theirs", tmp_path / "content"
    colab.mkdir()
    for name in ("course", "gpt2lib", "solutions", "notebooks"):
        shutil.copytree(
            ROOT / name, theirs / name, ignore=shutil.ignore_patterns("data" * (name == "gpt2lib"))
        )
    shutil.copy(ROOT / "pyproject.toml", theirs)
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "the course"]):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *command], cwd=theirs, check=True
        )
    chapter = HERE.notebooks / "03_masked_attention.ipynb"
    answer = find_answer("causal_mask", read(HERE.solutions / chapter.name)).text
    there = first_cell(chapter).replace('COURSE = ""', f'COURSE = "{theirs.as_uri()}"')
    check = "import torch\ncausal_mask = check(causal_mask)\nkeep()\nprogress()"
    said = in_a_foreign_kernel(
        colab, first_cell(chapter), there, f"import torch\n{answer}", check, COLAB_RELEASE_TAG="release"
    )
    assert "write the address of the course's repository" in said and "ran 3 of 4" in said, said
    assert re.search(r"^pip install --quiet anywidget .* torch tqdm$", said, re.M) and "✓ 3.2" in said
    assert "1 of 5 pieces yours" in said and "taken from the running kernel" in said, said


def test_a_page_asks_for_the_packages_that_the_course_imports():
    asked = set(" ".join(re.findall('^NEED .*"(.*)"', BEGINNING.read_text(), re.M)).split())
    used = set()
    for path in [*HERE.root.glob("course/**/*.py"), *HERE.library.glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                used |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used.add(node.module.partition(".")[0])
    packages = asked_for([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["course"]])
    # nbclient is for those who write the course; ruff runs as a program
    assert asked == used & set(packages) - {"nbclient"} | {"ruff"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        ROOT,
    ]
    subprocess.run(command, check=True)
    target = folder / "installed"
    (built,) = folder.glob("*.whl")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, built],
        check=True,
    )
    return target


def test_the_wheel_works_outside_the_clone(wheel, tmp_path):
    code = (
        "import gpt2lib, pathlib; from gpt2lib import *\n"
        f"assert pathlib.Path(gpt2lib.__file__).is_relative_to({str(wheel)!r}), gpt2lib.__file__\n"
        "assert Tokenizer.gpt2().encode('Hello, world!') == [15496, 11, 995, 0]\n"
        "model, tokenizer = from_pretrained('tales')\n"
        "print(complete(model, tokenizer, 'Once upon a time', 10))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(wheel)},
    )
    assert done.stdout.startswith("Once upon a time"), done.stderr


def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    folders = {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")}
    assert folders == {"gpt2lib"}


def test_the_readmes_picture_is_what_the_check_says():
    drawn = runpy.run_path(str(ROOT / "docs" / "draw_check.py"))["svg"]()
    assert (ROOT / "docs" / "check.svg").read_text("utf-8") == drawn, "run: python docs/draw_check.py"
    assert "sees exactly one token too many" in drawn and "✓ 3.2" in drawn


def test_uv_takes_the_small_torch_on_linux_and_pins_none():
    """`make pins` has to leave uv's index aside: `+cpu` versions are on no other."""
    uv = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    (index,) = uv["index"]
    assert index["url"] == preflight.CPU_INDEX and index["explicit"]
    assert uv["sources"]["torch"] == [{"index": index["name"], "marker": "sys_platform == 'linux'"}]
    assert "--no-sources" in re.search(r"^pins:.*\n(?:\t.*\n)+", (ROOT / "Makefile").read_text(), re.M)[0]
    assert "+cpu" not in (ROOT / "constraints.txt").read_text()
    assert "uv.lock" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_readme_says_what_is_true():
    text = (ROOT / "README.md").read_text("utf-8")
    known = list(exercises().values())
    wrong, right = sum(map(kinds, known)), sum(len(e.styles) + 1 for e in known)
    assert f"more than {wrong // 100 * 100:,} kinds of mistakes" in text
    assert f"more than {right // 100 * 100} right answers" in text
    rows = re.findall(r"\| \[(\d\d)_\w+\]\((notebooks/\d\d_\w+\.ipynb)\) .*\| (\d+) \|$", text, re.M)
    assert [row[0] for row in rows] == [path.name[:2] for path in chapters()]
    for chapter, path, count in rows:
        assert (ROOT / path).exists()
        assert int(count) == sum(e.number.split(".")[0] == str(int(chapter)) for e in known)
    code = re.search(r"```python\n(.*?)```", text, re.S)[1]
    shown = re.search(r"```text\n(.*?)```", text, re.S)[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == shown.strip()
