"""What every chapter's page has in common: how it begins and ends, what it shows and what it folds away."""

import ast
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from markdown_it import MarkdownIt
from nbformat.v4 import new_code_cell, new_notebook, new_output

from course.build import IMPORTS
from course.exercise import find

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CHAPTERS = sorted(path.name for path in (ROOT / "solutions").glob("*.ipynb"))
READY = re.compile(r"# (hint|keep|progress)\(")  # to be run without the mark
TEMPLATE = re.compile(r"^# \d\d? · .+\n\n\*\*.+?\?.*?\*\*", re.S)


@pytest.fixture(params=CHAPTERS)
def page(request):
    return nbformat.read(ROOT / "solutions" / request.param, as_version=4)


def code(page):
    return [cell for cell in page.cells if cell.cell_type == "code"]


def text(page):
    return "\n\n".join(cell.source for cell in page.cells if cell.cell_type == "markdown")


def folded(cell):
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def gaps(cell):
    return "### BEGIN SOLUTION" in cell.source


def pictures(cell):
    return [i for i, out in enumerate(cell.get("outputs", ())) if "image/png" in out.get("data", {})]


def test_it_begins_with_a_question_and_what_one_will_be_able_to_do(page):
    first = page.cells[0].source
    assert TEMPLATE.match(first), "the title, then a question in bold"
    goals = re.search(r"By the end of this chapter, you'll be able to:\n((?:\n?- .*(?:\n  .*)*)+)", first)
    assert goals and 3 <= len(re.findall(r"^- ", goals[1], re.M)) <= 5, "'By the end …' and 3 to 5 objectives"
    assert re.search(r"^You need: ", first, re.M) and "Shift+Enter" in first


def test_the_minutes_are_honest(page):
    said = int(re.search(r"[Aa]bout (\d+) minutes", page.cells[0].source)[1])
    exercises = [int(n) for n in re.findall(r"^### Exercise .* (\d+) minutes", text(page), re.M)]
    assert sum(exercises) <= said <= 3 * sum(exercises) or not exercises


def test_an_exercise_is_announced_as_its_file_has_it(page):
    heading = r"^### Exercise ([\d.]+): `(\w+)` · ([●○]+) · (\d+) minutes"
    for number, name, dots, minutes in re.findall(heading, text(page), re.M):
        exercise = find(name)
        assert (exercise.number, exercise.level, exercise.minutes) == (number, dots.count("●"), int(minutes))


def test_the_readme_says_how_long_a_chapter_takes_and_how_many_exercises_it_has(page):
    title = re.match(r"# (\d+) · ", page.cells[0].source)[1]
    row = re.search(rf"^\| \[{int(title):02}_\w+\].* \| (\d+) \| (\d+) \|$", README, re.M)
    minutes = re.search(r"[Aa]bout (\d+) minutes", page.cells[0].source)[1]
    assert (row[1], int(row[2])) == (minutes, len(re.findall(r"^### Exercise ", text(page), re.M)))


def test_the_first_thing_to_see_stands_near_the_top(page):
    assert any(pictures(cell) or "play." in cell.source for cell in page.cells[:6])


def test_nothing_stands_between_an_exercise_and_its_gap(page):
    for at, cell in enumerate(page.cells):
        if gaps(cell):
            before = page.cells[at - 1]
            assert before.cell_type == "markdown" and re.search(r"^### Exercise ", before.source, re.M), (
                f"before the gap {cell.source[:80]!r} stands {before.source[:80]!r}"
            )


def test_drawing_is_elsewhere(page):
    for cell in code(page):
        source = IMPORTS.sub("", cell.source)  # how every page begins asks for matplotlib, among others
        assert not re.search(r"matplotlib|\bplt\.|\.subplots\(", source), source[:200]


def test_each_picture_has_a_caption_below_it(page):
    for cell in code(page):
        for i in pictures(cell):
            after = cell.outputs[i + 1] if i + 1 < len(cell.outputs) else {}
            assert len(after.get("data", {}).get("text/markdown", "")) > 30, cell.source[:200]


def test_asserts_that_guard_the_page_are_out_of_sight(page):
    for cell in code(page):
        if not folded(cell) and not cell.source.startswith("#| export") and not gaps(cell):
            assert not re.search(r"^\s*assert ", cell.source, re.M), cell.source[:300]


def test_its_texts_are_the_same_on_every_computer(page):
    brought_by_python = re.compile(r"pydoc_data|import this\b|\bgetsource\b|\bcopyright\b")
    for cell in code(page):
        found = brought_by_python.search(cell.source)
        assert not found, f"{found[0]} is another text in another Python; take one of course/data"


def test_not_too_much_code_is_in_view(page):
    seen = [cell.source for cell in code(page) if not folded(cell) and not gaps(cell)]
    lines = [line for source in seen for line in source.splitlines() if not READY.match(line)]
    assert len(lines) <= 220


def test_folded_cells_say_what_is_in_them(page):
    for cell in code(page):
        if folded(cell):
            line = next(line for line in cell.source.splitlines() if not line.startswith("#| "))
            assert re.match(r'(# |""")\S', line), f"a folded cell begins with a line for people, not {line!r}"


def test_it_invites_to_try_and_to_bet(page):
    assert len(re.findall(r"\*\*Try it[.:]?\*\*", text(page))) >= 2
    assert len(re.findall(r"\*\*Bet first[.:]?\*\*", text(page))) >= 1


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_bet_stands_right_above_the_cell_that_answers_it_and_the_answer_is_folded(chapter):
    cells = nbformat.read(ROOT / "notebooks" / chapter, as_version=4).cells
    for cell, after in pairwise(cells):
        if cell.cell_type == "markdown" and "**Bet first" in cell.source:
            assert after.get("metadata", {}).get("jupyter", {}).get("outputs_hidden"), cell.source[-200:]


def test_it_ends_in_one_way(page):
    headings = [line for line in text(page).splitlines() if line.startswith("## ")]
    wanted = ["## What you built", "## Questions to think about", "## Where the field went"]
    assert [line for line in headings if line in wanted] == wanted
    end = text(page)[text(page).index("## What you built") :]
    assert len(re.findall(r"^<details><summary>\d\. .+</summary>$", end, re.M)) >= 3
    assert "../site/references.md#" in end
    number = int(page.cells[0].source[2:4])
    following = [name for name in CHAPTERS if int(name[:2]) == number + 1]
    assert all(f"({name})" in end for name in following), "a link to the next chapter"
    last = [cell for cell in code(page) if not folded(cell)][-1].source  # an appendix may follow
    assert "keep()" in last and "progress()" in last


def defined(cells):
    """Return what cells define at their top level: name -> its code."""
    trees = [ast.parse(re.sub(r"^( *)[%!].*", r"\1pass", cell.source, flags=re.M)) for cell in cells]
    nodes = [
        node for tree in trees for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    ]
    return {node.name: ast.dump(node) for node in nodes}


def test_an_appendix_leaves_what_the_page_defined_as_it_is(page):
    """A learner who has run it may run any cell above it again."""
    cells = code(page)
    end = max(i for i, cell in enumerate(cells) if not folded(cell)) + 1
    before, after = defined(cells[:end]), defined(cells[end:])
    assert not {name for name in before.keys() & after.keys() if before[name] != after[name]}


def test_no_markdown_stands_within_html_where_it_stays_as_it_is(page):
    for cell in page.cells:
        if cell.cell_type == "markdown":
            for token in MarkdownIt().parse(cell.source):
                if token.type == "html_block":
                    assert not re.search(r"[*`$]|\]\(", token.content), token.content


def test_every_check_has_a_hint_ready(page):
    for cell in code(page):
        for name in re.findall(r"\bcheck\((\w+)\)", cell.source):
            if not gaps(cell) and "hint" not in cell.source:
                raise AssertionError(f"no `# hint(...)` beside check({name})")


def test_chapters_are_called_by_their_number_without_a_zero(page):
    assert not re.search(r"[Cc]hapters? 0\d", text(page))


def test_colors_are_spelled_in_american(page):
    british = r"\b(colou?rs?|neighbou?rs?|normali[sz]\w*|gr[ea]y|behaviou?rs?|recogni[sz]\w*|minimi[sz]\w*)\b"
    words = {word.lower() for word in re.findall(british, text(page), re.I)}
    assert not {word for word in words if "our" in word or "ise" in word or "isi" in word or word == "grey"}


def test_percent_signs_follow_their_number_at_once(page):
    shown = [str(output) for cell in code(page) for output in cell.outputs]
    assert not re.findall(r"\d+ %(?![\w(])", "\n".join([text(page), *shown]))


@pytest.mark.parametrize(
    "stored, summary",
    [
        ("a little river, 12 ms", "1 passed"),
        ("the king's daughter, 7 ms", "1 failed"),
        (
            "a little river, 9 ms\nwte  plain  12 µs  0.00%  taken\nwte  other  not here: no such operator",
            "1 passed",
        ),
    ],
)
def test_an_output_that_nbval_ignores_may_differ_in_numbers_not_in_its_story(tmp_path, stored, summary):
    shown = new_output("stream", text=stored)
    cell = new_code_cell("print('a little river, 7 ms')", execution_count=1, outputs=[shown])
    cell.metadata.tags = ["nbval-ignore-output"]
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "some.ipynb")
    for name in ("conftest.py", "tests/nbval_sanitize.cfg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "JITTER"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert summary in done.stdout, done.stdout + done.stderr
