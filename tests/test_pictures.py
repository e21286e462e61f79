"""No picture may silently leave out what a learner adds."""

import ast
from pathlib import Path

import pytest

from course.pictures import ch04_mlp

PICTURES = sorted((Path(__file__).parents[1] / "course" / "pictures").glob("ch*.py"))


def fixed(arg: ast.expr) -> bool:
    """Return whether an argument is a list of colors, markers or the like that is written out."""
    items = getattr(arg, "elts", [])
    return isinstance(arg, ast.Constant) or bool(items) and not any(isinstance(i, ast.Starred) for i in items)


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_no_zip_with_a_written_out_list_drops_anything(path):
    for call in ast.walk(ast.parse(path.read_text())):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "zip":
            strict = any(keyword.arg == "strict" for keyword in call.keywords)
            assert strict or not any(map(fixed, call.args)), (
                f"{path.name}:{call.lineno}: cycle(...) the list, or say strict=True"
            )


def test_every_number_of_facts_gets_its_line(monkeypatch):
    figures = []
    monkeypatch.setattr(ch04_mlp, "show", lambda figure, *texts: figures.append(figure))
    known = {2**i: [0.1, 0.5] for i in range(5, 13)}
    ch04_mlp.facts_known((1, 2), known, [0.1, 0.1])
    labels = [line.get_label() for line in figures[0].axes[0].lines]
    assert [label for label in labels if "no bend" not in label] == [f"{n} facts" for n in known]
