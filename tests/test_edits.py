"""Mistakes as diffs: what a diff changes, what it must fit, and two mistakes in one answer."""

import importlib
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

import course.running as running
import course.verdicts as verdicts
from course import examine
from course.edits import EditedMistake, answer_in, hunks, pairs, without_comments
from course.exercise import (
    Exercise,
    Mistake,
    alternatives,
    exercises,
    find,
    notebook_of,
    read_exercise,
    reasons,
)
from course.source import CourseError
from course.telling import message

FOLDERS = [e for e in exercises().values() if any(isinstance(m, EditedMistake) for m in e.mistakes)]


def mistake(code: str, number: str, name: str, is_diff: bool = True) -> EditedMistake:
    answer = answer_in(notebook_of(number), name)
    return EditedMistake("mine", "a message", 1, "shortcut", code, is_diff, lambda: [answer])


def changed(code: str, number: str, name: str, is_diff: bool = True) -> list[str]:
    """Return the lines of an answer that are new with a mistake."""
    (edits,) = mistake(code, number, name, is_diff).edits.values()
    answer = answer_in(notebook_of(number), name)
    before = answer.text.splitlines()
    return [line for line in answer.edited(edits).splitlines() if line not in before]


def test_a_diff_is_read_as_its_changes():
    assert hunks("-a\n+b") == [("a\n", "b\n")]
    assert hunks("-a\n-b\n+c\n-d\n+e\n+f") == [("a\nb\n", "c\n"), ("d\n", "e\nf\n")]
    assert hunks(" a\n+b") == [("a\n", "a\nb\n")]
    assert hunks("+b\n a") == [("a\n", "b\na\n")]
    assert hunks("-a\n+b\n c\n d\n-e\n") == [("a\n", "b\n"), ("c\nd\ne\n", "c\nd\n")]
    assert hunks("-a\n+b\n\n-c") == [("a\n", "b\n"), ("\nc\n", "\n")]
    assert hunks("-a\n+b\n c") == [("a\nc\n", "b\nc\n")]
    with pytest.raises(CourseError, match="begins with"):
        hunks("-a\n+b\nc")


def test_a_line_or_begins_another_spelling():
    assert alternatives("-a\n+b\nor\n+c\n+d\nor\n-e\n+f\n") == ["-a\n+b\n", "-a\n+c\n+d\n", "-e\n+f\n"]
    assert alternatives("return a or b\nor\nreturn b\n") == ["return a or b\n", "return b\n"]
    assert alternatives("-a\n b\n+c\nor\n+d\n") == ["-a\n b\n+c\n", "-a\n+d\n"]


def test_comments_after_code_do_not_count():
    code = 'x = "a # b"  # c\n# d\ny = 1  # e'
    assert without_comments(code) == 'x = "a # b"\n# d\ny = 1'


def test_a_diff_changes_lines_of_the_gap():
    assert changed("-    return weights @ v\n+    return weights\n", "3.4", "attend") == [
        "    return weights"
    ]


def test_a_block_replaces_the_gap_the_gaps_or_all():
    assert changed("return q\n", "3.4", "attend", False) == ["    return q"]
    two = "q = k = v = x\n# next gap\nif T:\n    return x\n"
    assert changed(two, "3.7", "CausalSelfAttention", False)[0] == "        q = k = v = x"
    assert changed(two, "3.7", "CausalSelfAttention", False)[-2:] == ["        if T:", "            return x"]
    whole = "def attend(q, k, v):\n    return k\n"
    assert (
        "".join(
            answer_in(notebook_of("3.4"), "attend").edited(mistake(whole, "3.4", "attend", False).edits[0])
        )
        == whole
    )
    with pytest.raises(CourseError, match="2 gaps, but there is code for 1"):
        changed("return x\n", "3.7", "CausalSelfAttention", False)


@pytest.mark.parametrize("line, times", [("    return weights @ w", 0), ("return q", 0), ("    q = k", 2)])
def test_a_diff_that_no_longer_fits_names_itself_and_the_answer(line, times):
    answer = answer_in(notebook_of("3.4"), "attend").with_gap("q = k\nq = k\nreturn q\n")
    orphan = EditedMistake(
        "mine", "a message", 1, "shortcut", f"-{line}\n+    pass\n", True, lambda: [answer]
    )
    says = f"mine of attend changes these lines, but they stand {times} times in the answer in 03_masked"
    with pytest.raises(CourseError, match=says):
        orphan.wrong()


def test_a_diff_of_another_right_answer():
    answer = answer_in(notebook_of("3.4"), "attend")
    other = answer.with_gap("mixed = (q @ k.mT).softmax(-1)\nreturn mixed @ v\n")
    both = replace(
        mistake("-    return mixed @ v\n+    return mixed\n", "3.4", "attend"), bases=lambda: [answer, other]
    )
    assert list(both.edits) == [1]
    assert both.wrong.__name__ == "attend"


@pytest.mark.parametrize("exercise", FOLDERS, ids=lambda exercise: exercise.number)
def test_every_diff_fits_its_answer(exercise):
    for known in exercise.mistakes:
        if isinstance(known, EditedMistake):
            assert callable(known.wrong)


def attend_with(scores, weights):
    """Return an `attend` made of two decisions."""

    def attend(q, k, v, mask=None):
        table = scores(q, k, v)
        return weights(table if mask is None else table.masked_fill(~mask, -math.inf)) @ v

    return attend


@pytest.mark.parametrize(
    "scores, weights, ids",
    [
        (lambda q, k, v: q @ k.mT, lambda table: table.softmax(-2), "no-scale + softmax-over-queries"),
        (lambda q, k, v: q @ v.mT, lambda table: table.softmax(-1), "no-scale + values-as-keys"),  # one line
    ],
)
def test_two_mistakes_at_once_are_both_named(scores, weights, ids):
    verdict = examine("attend", attend_with(scores, weights))
    assert verdict.diagnosis == ids
    says = {known.id: known.says for known in find("attend").mistakes}
    one, other = ids.split(" + ")
    assert verdict.message.startswith(
        f"There are two mistakes here. First: {says[one]} Second: {says[other]}\n"
    )


def test_looking_for_two_mistakes_ends_in_time(monkeypatch):
    monkeypatch.setattr(verdicts, "PAIRS_LIMIT", -1.0)
    wrong = attend_with(lambda q, k, v: q @ k.mT, lambda table: table.softmax(-2))
    assert examine("attend", wrong).diagnosis is None


def test_two_mistakes_that_never_end_together_are_passed_over(monkeypatch):
    monkeypatch.setattr(running, "KNOWN_LIMIT", 0.1)
    never = "import time\n    while True:\n        time.sleep(0.001)"
    endless = EditedMistake(
        "endless", "It never ends.", 1, "from-before", f"-    return weights @ v\n+    {never}".replace("\n    ", "\n+    "), True,
        lambda: [answer_in(notebook_of("3.4"), "attend")],
    )  # fmt: skip
    attend = replace(find("attend"), mistakes=[endless, *find("attend").mistakes])
    wrong = attend_with(lambda q, k, v: q @ k.mT, lambda table: table.softmax(-2))
    assert examine(attend, wrong).diagnosis == "no-scale + softmax-over-queries"


def test_mistakes_about_the_same_words_are_not_made_together():
    ids = {(first.id, second.id) for first, second, _ in pairs(find("attend").mistakes)}
    assert ("no-scale", "no-root") not in ids and ("no-scale", "zero-score") in ids


PAGE = """# 3.4 attend · level 2 · 7 minutes

It is
done.

## Hints

1. One
   and more.
2. Two.
3. Three.

## Mistakes

### first-one · hint 3 · looks-finished

```python
# 3.5 not a title
return {"a": q}
```

```diff
-    return weights @ v
+    return weights
```

You return {got:.1f} of {row:.2f},
not {want} or {"a": q}.
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Return a function that reads an exercise from a text."""
    code = SimpleNamespace(cases=lambda: [], tolerance=0.5, fields={"row": lambda got, want: 0.125}, other=1)
    monkeypatch.setattr(importlib, "import_module", lambda name: code)

    def reading(text: str) -> Exercise:
        path = tmp_path / "attend.md"
        path.write_text(text, "utf-8")
        return read_exercise(path)

    return reading


def test_a_page_is_read(page):
    exercise = page(PAGE)
    assert (exercise.number, exercise.name, exercise.level, exercise.minutes) == ("3.4", "attend", 2, 7)
    assert exercise.done == "It is done." and exercise.hints == ("One and more.", "Two.", "Three.")
    assert exercise.tolerance == 0.5
    assert [(m.id, m.hint, m.why, m.is_diff) for m in exercise.mistakes] == [
        ("first-one", 3, "looks-finished", False),
        ("first-one", 3, "looks-finished", True),
    ]
    says = message(exercise, exercise.mistakes[0], 1.5, 2)
    assert says == 'You return 1.5 of 0.12, not 2 or {"a": q}.'


@pytest.mark.parametrize(
    "old, new, says",
    [
        ("level 2", "level two", "begins with"),
        ("· hint 3", "· hint 4", "has the heading"),
        (" · looks-finished", "", "has the heading"),
        ("looks-finished", "looks-nice", "'looks-nice' says why .* why.md has fits-anyway, "),
        ("### first-one", "### First one", "has the heading"),
        ("## Mistakes", "## Slips", "has the heading"),
        ("```diff", "```java", "needs"),
        ('You return {got:.1f} of {row:.2f},\nnot {want} or {"a": q}.', "", "needs"),
    ],
)
def test_a_page_of_another_form_is_refused(page, old, new, says):
    assert old in PAGE
    with pytest.raises(CourseError, match=f"attend.md.*{says}"):
        page(PAGE.replace(old, new))


def test_a_mistake_in_code_has_a_message_of_its_own_or_that_of_a_heading(page):
    code = importlib.import_module("attend")
    code.extra = [Mistake("first-one", lambda: None)]
    assert page(PAGE).mistakes[-1].says == page(PAGE).mistakes[0].says
    code.extra = [Mistake("frist-one", lambda: None)]
    with pytest.raises(CourseError, match="attend.py has 'frist-one' without a message"):
        page(PAGE)


def test_every_mistake_has_a_message_and_starts_no_optimizer():
    """A mistake is stopped after a second, and the import that a first optimizer starts takes longer."""
    for exercise in exercises().values():
        for mistake in exercise.mistakes:
            assert mistake.says, (exercise.number, mistake.id)
            assert "torch.optim" not in getattr(mistake, "code", ""), (exercise.number, mistake.id)


def test_each_reason_is_one_for_which_mistakes_are_tempting():
    used = {mistake.why for exercise in exercises().values() for mistake in exercise.mistakes}
    assert used == set(reasons())


def test_an_extra_spelling_takes_the_message_of_its_id():
    says = {m.says for m in find("8.5").mistakes if m.id == "full-cosine"}
    spellings = [m for m in find("8.5").mistakes if m.id == "full-cosine"]
    assert len(says) == 1 and len(spellings) == 3 and {m.hint for m in spellings} == {3}
