"""A class's notebooks are examined, each by itself, and none can spoil another's marks."""

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from course import grading
from course.__main__ import run
from course.grading import Mark, grade, person_of, write_csv
from course.source import HERE, CourseError

ZERO, THREE = HERE.chapters("00")[0], HERE.chapters("03")[0]
SLIP = (" / math.sqrt(q.shape[-1])", "")


def hand_in(folder, name, chapter=ZERO, edition=HERE.solutions, *changes):
    """Put a notebook into a class's folder, with changes of its cells' text."""
    notebook = nbformat.read(edition / chapter.name, as_version=4)
    for old, new in changes:
        assert any(old in cell.source for cell in notebook.cells)
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def gap(name):
    """Return the answer to an exercise of chapter 0, as it stands in its cell."""
    text = next(
        c.source for c in nbformat.read(ZERO, 4).cells if f"def {name}(" in c.source and "BEGIN" in c.source
    )
    return text[text.index("### BEGIN SOLUTION\n") :].split("\n", 1)[1].split("    ### END")[0]


@pytest.mark.parametrize(
    "path",
    [
        "anna/03_masked_attention.ipynb",
        "anna/week 4/attention.ipynb",
        "anna_03_masked_attention.ipynb",
        "03_masked_attention-anna.ipynb",
        "03_masked_attention (anna).ipynb",
        "anna.ipynb",
    ],
)
def test_whose_a_notebook_is(path):
    assert person_of(Path(path), "03_masked_attention") == "anna"


def test_a_class_gets_its_tables(tmp_path):
    folder = tmp_path / "class"
    hand_in(folder, "anna/00_meet_gpt2.ipynb")
    hand_in(folder, "bo/00_meet_gpt2.ipynb", ZERO, HERE.notebooks)
    hand_in(
        folder,
        "=cmd()/00_meet_gpt2.ipynb",
        ZERO,
        HERE.solutions,
        (gap("most_likely"), "    return min(probabilities, key=probabilities.get)\n"),
    )
    (folder / "notes.ipynb").write_text("{}")
    out = tmp_path / "grades.csv"
    done = subprocess.run(
        [sys.executable, "-m", "course", "grade", str(folder), "--csv", str(out)],
        capture_output=True,
        text=True,
        cwd=HERE.root,
    )
    assert done.returncode == 0 and "notes.ipynb" in done.stderr, done.stderr
    rows = {row["person"]: row for row in csv.DictReader(out.open(encoding="utf-8-sig"))}
    assert set(rows) == {"anna", "bo", "'=cmd()"}
    assert rows["anna"]["right"] == "4" and rows["bo"]["right"] == "0" and rows["bo"]["0.1"] == ""
    assert rows["'=cmd()"]["right"] == "3" and rows["'=cmd()"]["0.1"] == "least"
    mistakes = list(csv.DictReader((tmp_path / "grades-mistakes.csv").open(encoding="utf-8-sig")))
    assert [(m["exercise"], m["mistake"], m["people"]) for m in mistakes] == [("0.1", "least", "1")]


def test_a_mistake_is_counted_for_all_who_made_it_and_helpers_come_along(tmp_path):
    helper = (
        "#| export attention\ndef attend",
        "def root(d):\n    return math.sqrt(d)\n\n\n#| export attention\ndef attend",
    )
    for name in ("anna", "bo"):
        hand_in(tmp_path, f"{name}/a.ipynb", THREE, HERE.solutions, SLIP)
    path = hand_in(
        tmp_path, "cleo/a.ipynb", THREE, HERE.solutions, ("math.sqrt(q.shape[-1])", "root(q.shape[-1])")
    )
    notebook = nbformat.read(path, 4)
    notebook.cells.insert(3, nbformat.v4.new_code_cell(helper[1].split("\n\n\n")[0]))
    nbformat.write(notebook, path)
    grades = grade(tmp_path)
    found = {(row[0], row[1]): row[2] for row in grades.mistakes()[1:]}
    assert found == {("3.1", "no-scale"): "2", ("3.4", "no-scale"): "2"}
    assert {row[0]: row[1] for row in grades.rows()[1:]} == {"anna": "5", "bo": "5", "cleo": "7"}


def test_the_newest_of_several_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "examined", lambda whose, path, *_: ([Mark(whose[0], "0.1", path.stem)], ""))
    for i, name in enumerate(["old", "new"]):
        path = hand_in(tmp_path, f"anna/{name}.ipynb")
        os.utime(path, (i, i))
    assert [mark.state for mark in grade(tmp_path).marks] == ["new"]


HOSTILE = {
    "ends the process": "    import os\n    os._exit(0)\n",
    "prints marks of its own": '    print(\'{"sign": "", "number": "0.2", "state": "right", "message": ""}\')\n',
    "takes the output": "    import sys\n    sys.stdout.close()\n",
    "leaves a thread": "    import threading, time\n    threading.Thread(target=time.sleep, args=(1000,)).start()\n",
    "leaves a program": "    import subprocess\n    subprocess.Popen(['sleep', '1234.5'])\n",
    "prints a lot": "    print('x' * 10**8)\n",
    "asks the network": "    import urllib.request\n    return urllib.request.urlopen('http://192.0.2.1', timeout=30)\n",
}
if grading.alone():  # elsewhere it escapes
    HOSTILE["leaves a program that detaches itself"] = (
        "    import subprocess\n    subprocess.Popen(['sleep', '1234.5'], start_new_session=True)\n"
    )


def test_what_an_answer_does_costs_nobody_elses_marks(tmp_path):
    for does, text in HOSTILE.items():
        hand_in(tmp_path, f"{does}/a.ipynb", ZERO, HERE.solutions, (gap("most_likely"), text))
    hand_in(tmp_path, "anna/a.ipynb")
    (tmp_path / "a folder.ipynb").mkdir()
    (tmp_path / "broken.ipynb").write_bytes(bytes(range(256)))
    grades = grade(tmp_path)
    assert [problem.partition(":")[0] for problem in grades.problems] == ["a folder.ipynb", "broken.ipynb"]
    rows = {row[0]: row for row in grades.rows()}
    assert rows["anna"][1] == "4"
    for does in HOSTILE:
        assert rows[does][1] == "3" and rows[does][2] not in ("", "right"), does
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            assert not path.read_bytes().startswith(b"sleep\x001234.5")


def test_one_that_takes_too_long_keeps_what_was_examined(tmp_path):
    slow = "    import signal, time\n    signal.setitimer(signal.ITIMER_REAL, 0)\n    time.sleep(1000)\n"
    hand_in(tmp_path, "eve/a.ipynb", ZERO, HERE.solutions, (gap("count_followers"), slow))
    grades = grade(tmp_path, seconds=25)
    assert "stopped after 25 seconds" in grades.problems[0]
    assert [(mark.number, mark.state) for mark in grades.marks] == [
        ("0.1", "right"),
        ("0.2", "never-returns"),
    ]


def test_interrupted_it_waits_for_nobody(tmp_path):
    begun = tmp_path / "begun"
    waits = f"    open({str(begun)!r}, 'w').close()\n    import time\n    time.sleep(1000)\n"
    for person in "abc":
        hand_in(tmp_path, f"{person}/a.ipynb", ZERO, HERE.solutions, (gap("most_likely"), waits))
    command = [sys.executable, "-m", "course", "grade", str(tmp_path), "--jobs", "1"]
    process = subprocess.Popen(command, cwd=HERE.root, stderr=subprocess.PIPE, text=True)
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=100)  # the class would take 900 seconds
    assert (
        process.returncode == 130 and said.strip() == "course: interrupted; every file is as it was, or whole"
    )


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(CourseError, match="no notebooks in .*one folder a person"):
        grade(tmp_path)
    with pytest.raises(CourseError, match="there is no folder .*none"):
        grade(tmp_path / "none")


@pytest.mark.parametrize("options", [{"seconds": 0}, {"seconds": float("nan")}, {"jobs": 0}, {"jobs": -1}])
def test_numbers_that_cannot_be_are_told(tmp_path, options):
    with pytest.raises(CourseError, match=f"--{[*options][0]} is .*above 0"):
        grade(tmp_path, **options)


def test_one_notebook_can_be_graded_and_files_that_are_none_cost_nobody_a_mark(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "examined", lambda whose, path, *_: ([Mark(whose[0], "0.1", "right")], ""))
    path = hand_in(tmp_path, f"anna_{ZERO.name}")
    assert grade(path).people == ["anna"]
    (tmp_path / "link.ipynb").symlink_to("gone")
    (tmp_path / "folder.ipynb").mkdir()
    cells = ("[null]", '[{"source": 5}]', '[{"cell_type": "code", "metadata": "x"}]', "7")
    texts = [
        "",
        "<<<<<<< HEAD",
        "[" * 10**5,
        *(f'{{"cells": {each}, "metadata": {{}}, "nbformat": 4, "nbformat_minor": 5}}' for each in cells),
    ]
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.ipynb").write_text(text)
    grades = grade(tmp_path)
    assert grades.people == ["anna"] and len(grades.problems) == len(texts) + 2


def test_tables_that_cannot_be_written_are_printed(tmp_path, monkeypatch, capsys):
    grades = grading.Grades([Mark("ü", "0.1", "right")], ["ü"], [])
    monkeypatch.setattr(grading, "grade", lambda *_: grades)
    for place in (tmp_path, tmp_path / "none" / "x.csv"):
        options = SimpleNamespace(command="grade", folder=tmp_path, seconds=1, jobs=1, csv=place)
        run(options)
        said = capsys.readouterr()
        assert "right" in said.out and f"{place} can't be written" in said.err
    # as in a file's name in Latin-1
    strange = grading.Grades([Mark("\udcfc", "0.1", "right")], ["\udcfc"], [])
    assert all(path.stat().st_size for path in write_csv(strange, tmp_path / "x.csv"))


def test_both_tables_are_written_whole(tmp_path):
    grades = grading.Grades([Mark("ä", "0.1", "first-only", '-, it\'s "one"')], ["ä"], [])
    first, second = write_csv(grades, tmp_path / "x")
    assert first.read_text("utf-8-sig").startswith("person,right,0.1")
    assert "'-, it's" in second.read_text("utf-8-sig") and second.name == "x-mistakes.csv"
