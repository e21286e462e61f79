"""What a newcomer meets first: the packages asked for, the wheel, the README's promises."""

import re
import subprocess
import sys
import tomllib

import pytest

from course.exercise import exercises
from course.score import kinds
from course.source import ROOT, chapters

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
    pinned = asked_for(
        line.replace("==", " ==") for line in (ROOT / "constraints.txt").read_text().splitlines()
    )
    pinned = {name.lower().replace("_", "-") for name in pinned}
    extras = [
        line for lines in PROJECT["optional-dependencies"].values() for line in lines if "[" not in line
    ]
    for name in asked_for([*PROJECT["dependencies"], *extras]):
        assert name.lower().replace("_", "-") in pinned


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
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / link).exists(), link
