"""The checks: right answers pass, wrong ones are named, and nothing that a learner writes stops the notebook."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import course.checking
import course.running as running
from course import check, examine, hint
from course.exercise import Exercise, Mistake, exercises, find
from course.score import misjudged


@pytest.mark.parametrize("number", exercises())
def test_mistakes_are_named_and_right_answers_accepted(number):
    assert misjudged(exercises()[number]) == []


@pytest.mark.parametrize("number", exercises())
def test_every_exercise_is_complete(number):
    exercise = exercises()[number]
    assert len(exercise.hints) == 3 and all(exercise.hints)
    assert len(exercise.mistakes) >= 4
    assert len(exercise.styles) >= 3
    assert (
        len({mistake.id for mistake in exercise.mistakes}) >= 4
    )  # one mistake may be spelled in several ways
    assert exercise.level in (1, 2, 3) and exercise.minutes > 0 and exercise.done.endswith(".")


def test_names_are_used_once():
    names = [exercise.name for exercise in exercises().values()]
    assert len(names) == len(set(names))


def stretch(x, factor):
    """Return x times factor: the answer of the exercise below."""
    return x * factor


def adds(x, factor):
    return x + factor


class Doubled(Exercise):
    """An exercise whose answer stands here and not in a notebook."""

    @property
    def reference(self):
        return stretch


DOUBLED = Doubled(
    number="99.1",
    name="stretch",
    level=1,
    minutes=1,
    done="it stretches.",
    hints=("a", "b", "c"),
    cases=lambda: [(torch.tensor([1.0, 3.0]), 3.0), (torch.tensor([[0.5, 0.0, 1.0]]), 2.0)],
    mistakes=[Mistake("adds", adds, "it adds. It should multiply.", 2)],
)


def answer(code: str):
    """Return what a learner's cell defines."""
    namespace = {"torch": torch}
    exec(compile(code, "<learner>", "exec"), namespace)
    return namespace["stretch"]


VERDICTS = {
    "right": ("return x * factor", True, None),
    "right in float64": ("return (x.double() * factor)", True, None),
    "right by loops": ("y = x.clone()\n for i in range(len(y)):\n  y[i] *= factor\n return y", True, None),
    "stub": ("raise NotImplementedError", False, "unwritten"),
    "known": ("return factor + x", False, "adds"),
    "nothing": ("x * factor", False, "nothing"),
    "prints": ("print(x * factor)", False, "printed"),
    "type": ("return (x * factor).tolist()", False, "type"),
    "shape": ("return (x * factor).flatten()[:1]", False, "shape"),
    "dtype": ("return (x * factor).long()", False, "dtype"),
    "nan": ("return (x * factor) / 0 * 0", False, "nan"),
    "in place": ("x *= factor\n return x", False, "in-place"),
    "unknown": ("return x * factor + 0.01", False, None),
    "raises": ("return x.stretched", False, "raises"),
    "raises on one": ("return x * factor if x.ndim == 1 else 1 / 0", False, "raises"),
    "wrong arguments": (None, False, "raises"),
    "exits": ("raise SystemExit", False, "raises"),
    "an error of its own": ("raise NotImplementedError('later')", False, "raises"),
    "endless": ("while True:\n  pass", False, "endless"),
    "endless and stubborn": ("while True:\n  try:\n   1 / 0\n  except Exception:\n   pass", False, "endless"),
    "endless, then not": (
        "try:\n  while True:\n   pass\n except BaseException:\n  pass\n return x",
        False,
        None,
    ),
    "waits for ever": ("import time\n while True:\n  time.sleep(0.01)", False, "endless"),
    "had to wait": ("import time\n time.sleep(1.5)\n return x * factor", True, None),
    "recursion": ("return stretch(x, factor)", False, "raises"),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verdicts(case, monkeypatch):
    monkeypatch.setattr(running, "TIME_LIMIT", 1.0)
    body, passed, diagnosis = VERDICTS[case]
    code = "def stretch():\n return 1" if body is None else f"def stretch(x, factor):\n {body}"
    verdict = examine(DOUBLED, answer(code))
    assert (verdict.passed, verdict.diagnosis) == (passed, diagnosis), verdict.message
    assert verdict.message
    assert len(verdict.message.splitlines()) < 15 and "Traceback" not in verdict.message


def test_the_message_shows_the_numbers():
    verdict = examine(
        DOUBLED,
        answer("def stretch(x, factor):\n return x * factor + torch.tensor([0.0, 1.0, 0.0])[: x.shape[-1]]"),
    )
    for part in ("x = [1. 3.]", "factor = 3", "expected  [3. 9.]", "got  [ 3. 10.]", "first at [1]"):
        assert part in verdict.message, verdict.message


def test_an_answer_that_calls_another_gap_is_not_called_unwritten():
    code = "def helper():\n raise NotImplementedError\ndef stretch(x, factor):\n return helper()"
    verdict = examine(DOUBLED, answer(code))
    assert verdict.written and verdict.diagnosis == "raises" and "isn't written yet" in verdict.message


def test_prints_of_a_right_answer_do_no_harm(capsys):
    assert examine(DOUBLED, answer("def stretch(x, factor):\n print('hello')\n return x * factor")).passed
    assert capsys.readouterr().out == ""


@pytest.fixture
def only_this_exercise(monkeypatch):
    monkeypatch.setattr(course.checking, "find", lambda key: DOUBLED)
    monkeypatch.setattr(course.checking, "handed_out", [])


def test_the_four_states(only_this_exercise, capsys):
    right = answer("def stretch(x, factor):\n return factor * x")
    assert check(right) is right
    assert "✓ 99.1 stretch – it stretches." in capsys.readouterr().out
    assert check(answer("def stretch(x, factor):\n raise NotImplementedError")) is stretch
    assert (
        "○ 99.1 stretch – not written yet. Until then the notebook uses the library's version."
        in capsys.readouterr().out
    )
    assert check(answer("def stretch(x, factor):\n return x + factor")) is stretch
    out = capsys.readouterr().out
    assert "✗ 99.1 stretch – it adds. It should multiply." in out and 'hint("99.1", 2)' in out
    assert check(answer("def stretch(x, factor):\n return x.nothing")) is stretch
    out = capsys.readouterr().out
    assert "✗ 99.1 stretch – It raises AttributeError" in out and 'hint("99.1")' in out


def test_checking_the_reference_is_not_praised(only_this_exercise, capsys):
    handed = check(answer("def stretch(x, factor):\n raise NotImplementedError"))
    capsys.readouterr()
    assert check(handed) is handed
    out = capsys.readouterr().out
    assert "✓" not in out and "library's" in out


def test_hints_unfold_one_at_a_time_and_end_at_the_answer(capsys, monkeypatch):
    monkeypatch.setattr(course.checking, "hints_given", course.checking.Counter())
    shown = []
    for key in ("3.2", 3.2, "causal_mask", "3.2"):
        hint(key)
        shown.append(capsys.readouterr().out)
    for number, text in zip((1, 2, 3, 3), shown):
        assert f"hint {number} of 3" in text and find("3.2").hints[number - 1] in text
    assert ["solutions/03_masked_attention.ipynb" in text for text in shown] == [False, False, False, True]


def test_a_hint_can_be_asked_for_by_its_number(capsys, monkeypatch):
    monkeypatch.setattr(course.checking, "hints_given", course.checking.Counter())
    for arguments, number in [(("3.2", 2), 2), (("3.2",), 3), (("3.2", 1), 1)]:
        hint(*arguments)
        assert f"hint {number} of 3" in capsys.readouterr().out
    with pytest.raises(ValueError, match="which is 4, but exercise 3.2 has hints 1 to 3"):
        hint("3.2", 4)


def test_a_check_draws_no_random_numbers_of_the_learners():
    torch.manual_seed(0)
    want = torch.rand(3)
    for wrong in (find("Block").reference, find("Block").mistakes[0].wrong):
        torch.manual_seed(0)
        examine("Block", wrong)
        assert torch.equal(torch.rand(3), want)


def test_an_unknown_exercise_is_an_error():
    with pytest.raises(KeyError, match="no exercise"):
        find("99.9")


def test_a_block_that_writes_into_its_input_is_told_so():
    class Block(find("Block").reference):
        def forward(self, x, cache=None):
            x += self.attn(self.ln_1(x), cache)
            x += self.mlp(self.ln_2(x))
            return x

    assert examine("Block", Block).diagnosis == "in-place"


def test_a_right_answer_without_a_way_for_gradients_is_accepted_with_a_remark(capsys):
    def by_numpy(x):
        print("a trace of mine")
        return torch.from_numpy(find("gelu").reference(torch.from_numpy(x.numpy())).numpy())

    verdict = examine("gelu", by_numpy)
    assert verdict.passed and "no gradient flows" in verdict.message
    assert capsys.readouterr().out == ""
    assert "no gradient" not in examine("gelu", find("gelu").reference).message


def test_every_argument_must_get_its_gradient():
    def detached(q, k, v, mask=None):
        return find("attend").reference(q, k.detach(), v, mask)

    assert "no gradient flows" in examine("attend", detached).message
    for exercise in exercises().values():
        if exercise.differentiable:
            assert "no gradient" not in examine(exercise, exercise.reference).message, exercise.number


def test_a_symptom_is_looked_for_in_each_of_several_results():
    several = replace(DOUBLED, run=lambda answer, *arguments: {"first": 1, "second": answer(*arguments)})
    for code, diagnosis in [("None", "nothing"), ("x[0]", "shape"), ("x / 0 * 0", "nan"), ("[x]", "type")]:
        verdict = examine(several, answer(f"def stretch(x, factor):\n return {code}"))
        assert verdict.diagnosis == diagnosis and "second" in verdict.message


def test_numpys_scalars_are_taken_for_pythons():
    words = lambda probabilities: np.array(list(probabilities))[np.argmax([*probabilities.values()])]  # noqa: E731
    assert examine("most_likely", words).passed
    assert not examine("most_likely", lambda probabilities: np.str_("cow")).passed


@pytest.mark.parametrize(
    "wrong, says",
    [
        ("return x if x > 0 else factor", "neither true nor false"),
        ("return x + None", "is None"),
        ("return torch.ones(2, 3) @ torch.ones(2, 3)", "Print both shapes"),
        ("return x + torch.ones(7)", "keepdim=True"),
        ("return x.sort(-1, stable=True)", "dim by its name"),
        ("return x.sort(-1, descending=True, stable=True)", "dim by its name"),
        ("return {[1]: x}", "Make a tuple"),
    ],
)
def test_common_errors_of_torch_are_explained(wrong, says):
    verdict = examine(DOUBLED, answer(f"def stretch(x, factor):\n {wrong}"))
    assert not verdict.passed and says in verdict.message
