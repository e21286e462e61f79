"""The checks: right answers pass, wrong ones are named, and nothing that a learner writes stops the notebook."""

import asyncio
import functools
import math
import re
import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import course.checking
import course.running as running
import course.telling as telling
import course.verdicts as verdicts
from course import check, examine, hint, mapping
from course.comparing import Raised
from course.exercise import Exercise, Mistake, bases, exercises, find
from course.exercises.ch05_stacking.gpt2 import FakeCache
from course.failing import Failed, watch
from course.score import misjudged
from course.source import ROOT, Course
from gpt2lib import GPT2Config


@pytest.mark.parametrize("number", exercises())
def test_mistakes_are_named_and_right_answers_accepted(number):
    assert misjudged(exercises()[number]) == []


@pytest.mark.parametrize("number", exercises())
def test_every_exercise_is_complete(number):
    exercise = exercises()[number]
    assert len(exercise.hints) == 3 and all(exercise.hints)
    assert len(exercise.mistakes) >= 4
    assert len(exercise.styles) >= 3
    # one mistake may be spelled in several ways
    assert len({mistake.id for mistake in exercise.mistakes}) >= 4
    assert exercise.level in (1, 2, 3) and exercise.minutes > 0 and exercise.done.endswith(".")


@pytest.mark.parametrize("number", exercises())
def test_the_worked_answer_raises_only_what_its_docstring_promises(number):
    """A case in which it fails by mistake tells nothing apart: a wrong answer fails in it, too."""
    exercise = exercises()[number]
    cases = [*exercise.cases(), *(case for case, _ in exercise.wishes())]
    results = running.attempt(exercise, exercise.reference, cases).results
    assert {type(each.error) for each in results if isinstance(each, Raised)} <= {ValueError}


def test_names_are_used_once():
    names = [exercise.name for exercise in exercises().values()]
    assert len(names) == len(set(names))


def test_every_file_of_an_exercise_can_be_read_in_one_go():
    files = [path for kind in ("md", "py") for path in ROOT.glob(f"course/exercises/ch*/*.{kind}")]
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in files}
    assert len(files) > 2 * len(exercises()) and not {name: n for name, n in lengths.items() if n > 300}


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
    done="It stretches.",
    hints=("a", "b", "c"),
    cases=lambda: [(torch.tensor([1.0, 3.0]), 3.0), (torch.tensor([[0.5, 0.0, 1.0]]), 2.0)],
    mistakes=[Mistake("adds", adds, "It adds. It should multiply.", 2)],
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
    "unknown": ("return x * factor + x.cos() / 100", False, None),
    "related": ("return x * factor + 0.01", False, "offset"),
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
        "unchanged",
    ),
    "waits for ever": ("import time\n while True:\n  time.sleep(0.01)", False, "endless"),
    "had to wait": ("import time\n time.sleep(0.6)\n return x * factor", True, None),
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
    assert "✓ 99.1 stretch – It stretches." in capsys.readouterr().out
    assert check(answer("def stretch(x, factor):\n raise NotImplementedError")) is stretch
    assert (
        "○ 99.1 stretch – not written yet. Until then the notebook uses the library's version."
        in capsys.readouterr().out
    )
    assert check(answer("def stretch(x, factor):\n return x + factor")) is stretch
    out = capsys.readouterr().out
    assert "✗ 99.1 stretch – It adds. It should multiply." in out and 'hint("99.1", 2)' in out
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
    for which in (4, 0, 2.0, "2"):
        with pytest.raises(ValueError, match=f"which is {which!r}, but exercise 3.2 has hints 1 to 3"):
            hint("3.2", which)
    hint(find("causal_mask").reference, 1)
    assert "3.2 causal_mask, hint 1 of 3" in capsys.readouterr().out


def test_a_check_draws_no_random_numbers_of_the_learners():
    torch.manual_seed(0)
    want = torch.rand(3)
    for wrong in (find("Block").reference, find("Block").mistakes[0].wrong):
        torch.manual_seed(0)
        examine("Block", wrong)
        assert torch.equal(torch.rand(3), want)


def test_a_check_uses_one_thread_and_gives_the_others_back(monkeypatch):
    """Cases are small, so several threads would wait for each other: on a busy machine for a minute in 9.6."""
    threads, met = torch.get_num_threads(), []
    torch.set_num_threads(3)
    try:
        examine("4.1", lambda x: met.append(torch.get_num_threads()))
        assert set(met) == {1} and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_an_unknown_exercise_is_an_error():
    with pytest.raises(KeyError, match="no exercise.*0.1 to 10"):
        find("99.9")
    for key in ("3", "3.99", "03"):
        with pytest.raises(KeyError, match=f"no exercise is called '{key}'; there are 3.1, 3.2.*3.[0-9]\""):
            hint(key)


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


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_verdict_does_not_depend_on_what_a_notebook_set(mode):
    with mode():
        for name in ("attend", "gelu"):
            assert examine(name, find(name).reference).message == find(name).done


def test_a_symptom_is_looked_for_in_each_of_several_results():
    several = replace(DOUBLED, run=lambda answer, *arguments: {"first": 1, "second": answer(*arguments)})
    for code, diagnosis in [("None", "nothing"), ("x[0]", "shape"), ("x / 0 * 0", "nan"), ("[x]", "type")]:
        verdict = examine(several, answer(f"def stretch(x, factor):\n return {code}"))
        assert verdict.diagnosis == diagnosis and "second" in verdict.message


@pytest.mark.parametrize(
    "wanted, code, diagnosis, says",
    [
        ([1, 2, 3], "[1, 2]", "length", "2 entries, but should have 3"),
        ([1, 2, 3], "[3, 2, 1]", "order", "another order"),
        ([1, 2, 3], "[1, '2', 3]", "type", "a string where an int belongs"),
        ([1, 2, 3], "[1, 2.0, torch.tensor(4)]", "type", "a tensor where an int belongs"),
        ([1, 2, 3], "[1, 2.0, 4]", "place", "Only the last is wrong"),
        ([(b"a", 1)], "[('a', 1)]", "type", "a string where a bytes object belongs"),
        ({"a": 1, "b": 2}, "{'a': 1}", "keys", "no entry for 'b'"),
        ({"a": 1}, "{'a': 1, 'c': 2}", "keys", "an entry for 'c', which shouldn't"),
        ({b"a": 1}, "{'a': 1}", "type", "a string where a bytes object belongs"),
        ([{"a": 1}], "[Counter(a=2)]", None, "right result yet"),
    ],
)
def test_lists_and_dicts_are_compared_part_by_part(wanted, code, diagnosis, says):
    class Wanted(Doubled):
        @property
        def reference(self):
            return lambda x, factor: wanted

    exercise = Wanted(**vars(DOUBLED))
    verdict = examine(
        exercise, answer(f"from collections import Counter\ndef stretch(x, factor):\n return {code}")
    )
    assert (verdict.diagnosis, verdict.passed) == (diagnosis, False) and says in verdict.message


A = torch.tensor([[1.5, -0.7, 0.2], [0.3, 2.1, -1.1], [0.9, 0.4, 0.6]])
SEEN = torch.ones(3, 3, dtype=torch.bool).tril()
GONE = A.masked_fill(~SEEN, -math.inf)


@pytest.mark.parametrize(
    "want, got, diagnosis, says",
    [
        (A, A / 3**0.5, "factor", "1/√3 of"),
        (A, A * 4, "factor", "4 times"),
        (A, -A, "factor", "the negative of"),
        (A, A * math.log(2), "factor", "ln 2 times"),
        (A, A + 0.25, "offset", "0.25 too large"),
        (A, A * torch.tensor([[2.0], [3.0], [1.0]]), "factor-a-row", "3 times"),
        (A, A - A.logsumexp(-1, keepdim=True), "offset-a-row", "Along axis 1"),
        (A, A.T, "axes", "axes 0 and 1 are exchanged"),
        (A, A.flip(-1), "reversed", "back to front along axis 1"),
        (A, A.roll(1, 0), "shifted", "one place too late along axis 0"),
        (A, A.flatten()[torch.tensor([3, 0, 7, 1, 8, 2, 4, 6, 5])].view(3, 3), "order", "in other places"),
        (A, torch.zeros(3, 3), "zeros", "Only zeros"),
        (A, torch.full((3, 3), 0.4), "constant", "the same, 0.4"),
        (A, A.softmax(-1), "function", "the softmax of what it should be"),
        (A.softmax(-1), A, "step", "the softmax of your numbers: is a step missing"),
        (A, A.relu(), "function", "positive part"),
        (A, A * (1 + 0.003 * A.round()), "near", "% off"),
        (A, A + torch.eye(3) * A, "place", "everywhere but on the diagonal"),
        (A, A + A.triu(1), "place", "everywhere but above the diagonal"),
        (A, torch.cat([A[:2], A[2:] + A[:1]]), "place", "Only the last along axis 0 is wrong"),
        (A, torch.cat([A[:1], A[1:] * A[:2]]), "place", "Only the first along axis 0 is right"),
        (A, A[None], "shape", "only the shape isn't"),
        (A[:2], A[:2].T.contiguous(), "shape", "axes 0 and 1 are exchanged: transpose(0, 1)"),
        (A, A[:, :2], "shape", "At the end of axis 1, 1 is missing"),
        (A[1:], A, "shape", "At the beginning of axis 0, 1 is too many"),
        (A, A[:2, :2].exp(), "shape", "should have (3, 3)."),
        (SEEN, ~SEEN, "inverted", "exchanged everywhere"),
        (SEEN, SEEN.T, "axes", "exchanged"),
        (SEEN, SEEN | True, "constant", "True everywhere"),
        (SEEN, SEEN | (A > 0.1), "too-much", "in 1 place too many"),
        (SEEN, SEEN & (A > 0.5), "too-much", "False where it should be, and in 2 places too many"),
        (GONE, A, "stays", "All that should stay are there, but 3 that should be -inf are, too"),
        (
            GONE,
            2 * GONE,
            "factor",
            "-inf is in the right places. Of the rest: every number is 2 times",
        ),
        (GONE, GONE.masked_fill(A > 2, -math.inf), "stays", "Too few numbers stay: 1 is -inf"),
        (
            GONE,
            A.masked_fill(A > 0.7, -math.inf),
            "stays",
            "Other numbers stay than should: 6, but not the right ones",
        ),
        (A.softmax(-1), A.softmax(0), "sums", "add up to 1 along axis 1, but there's"),
        (A.abs(), A**3, "negative", "There are negative numbers in it, such as -1.331"),
        (A, A * A.abs().exp(), "size", "Every number is too far from 0"),
        ([1.5, 2.5, 4.0], [3.0, 5.0, 8.0], "factor", "2 times"),
        ([b"a", b"b", b"c"], [b"a", b"b", b"d"], "place", "Only the last is wrong"),
        (
            [b"a", b"b", b"c", b"d"],
            [b"a", b"b", b"d", b"e"],
            "from-there-on",
            "The first 2 entries are right",
        ),
        (["a", "b", "c"], ["a", "b"], "length", "At the end, 1 is missing; the rest is right"),
        ({"a": 1, "b": 4, "c": 7}, {"a": 2, "b": 5, "c": 8}, "offset", "1 too large"),
        ({"a": 1, "b": "x"}, {"a": 1, "b": "y"}, "entries", "Of the 2 entries, the one for 'b' is wrong"),
        ([1, 5, 2, 9], [1, 5, 7, 3], "from-there-on", "The first 2 entries are right"),
        ([1, 5, 2, 9, 4], [3, 6, 2, 9, 4], "up-to-there", "The last 3 entries are right"),
        (0.75, 1.5, "factor", "2 times"),
        (0.75, math.exp(0.75), "function", "exponential"),
        (2.0, 3.0, None, "right result yet."),
        (0.75, 0.31, None, "right result yet."),
        (A, A.cos() - A, None, "right result yet."),
        ("a tale", "a ta", "ends-early", "ends too early"),
        (b"a", b"a tale", "goes-on", "doesn't end where it should"),
        ("a tale", "A Tale", "case", "upper and lower case"),
        ("a tale", " a tale", "spaces", "white space"),
        ("a tale", "elat a", "reversed", "back to front"),
        ("a tale", "", None, "right result yet."),
    ],
)
def test_a_message_says_how_a_wrong_result_relates_to_the_right_one(want, got, diagnosis, says):
    class Wanted(Doubled):
        @property
        def reference(self):
            return lambda x, factor: want

    verdict = examine(Wanted(**vars(DOUBLED)), lambda x, factor: got)
    assert (verdict.diagnosis, verdict.passed) == (diagnosis, False)
    assert says in verdict.message.splitlines()[0]


@pytest.mark.parametrize(
    "code, says",
    [
        ("x * min(factor, 2)", "(2 of the 3 cases tried come out right. Only the one below is wrong.)"),
        (
            "x",
            "(1 of the 3 cases tried comes out right. It's right whenever `factor` is 1, and only then.)",
        ),
        ("x - 7", None),
    ],
)
def test_a_message_says_of_how_many_cases_an_answer_is_right(code, says):
    exercise = replace(DOUBLED, cases=lambda: [(A, 1), (A, 2), (A, 3)], mistakes=[])
    head = examine(exercise, answer(f"def stretch(x, factor):\n return {code}")).message.splitlines()[0]
    assert says in head if says else "cases" not in head


@pytest.mark.parametrize(
    "wrong, diagnosis, says",
    [
        ("[size, size]", "type", "returns a list, but should return an int"),
        ("size * 7", "factor", "7 times"),
        ("size / 7", "factor", "1/7 of"),
        ("size + 7", None, "isn't the right result yet."),
        ("-size", None, "isn't the right result yet."),
        ("0", None, "isn't the right result yet."),
    ],
)
def test_a_wrong_count_is_compared_with_the_right_one(wrong, diagnosis, says):
    count = replace(DOUBLED, run=lambda answer, *_: 120 if answer is stretch else answer(120), mistakes=[])
    verdict = examine(count, answer(f"def stretch(size):\n return {wrong}"))
    assert verdict.diagnosis == diagnosis and says in verdict.message.splitlines()[0]


COUNTED = replace(
    DOUBLED,
    run=lambda answer, config: answer(config),
    cases=lambda: [
        (GPT2Config(n_embd=6 * n, n_head=2, n_layer=n * n, vocab_size=100 + n),) for n in (2, 3, 4)
    ],
    arguments=("config",),
    mistakes=[],
)


@pytest.mark.parametrize(
    "code, diagnosis, says",
    [
        ("count(c) - c.n_embd", "offset", "Each time, it's too small by `n_embd`"),
        ("count(c) + 3 * c.n_embd * c.n_layer", "offset", "too large by 3 · `n_embd` · `n_layer`"),
        ("count(c) - 1", "offset", "too small by 1"),
        ("count(c) / c.n_layer", "factor", "1/`n_layer` of what"),
        ("2 * count(c)", "factor", "2 times what"),
        ("7", None, "right result yet."),
    ],
)
def test_what_all_wrong_numbers_have_in_common_is_said(code, diagnosis, says):
    def count(config):
        return config.vocab_size + 5 * config.n_embd**2

    class Counted(type(COUNTED)):
        reference = staticmethod(count)

    verdict = examine(Counted(**vars(COUNTED)), lambda c: eval(code, {"count": count, "c": c}))
    assert verdict.diagnosis == diagnosis and says in verdict.message.splitlines()[0]


@pytest.mark.parametrize(
    "words, diagnosis, says",
    [
        ("up up up up", "constant", "It returns 'up' in every case tried"),
        ("up down up up", "confused", "Each time that it's wrong, it returns 'up' where 'flat' is right"),
        ("up up flat flat", "never", "It never returns 'down'"),
    ],
)
def test_what_all_wrong_words_have_in_common_is_said(words, diagnosis, says):
    right = "up down flat flat".split()

    class Words(Doubled):
        reference = staticmethod(lambda x, factor: right[factor])

    exercise = Words(**vars(replace(DOUBLED, cases=lambda: [(A, n) for n in range(4)], mistakes=[])))
    verdict = examine(exercise, lambda x, factor: words.split()[factor])
    assert verdict.diagnosis == diagnosis and says in verdict.message.splitlines()[0]


def test_a_known_mistake_that_explains_most_of_the_wrong_cases_is_told():
    exercise = find("attention_scores")
    mistake = next(m for m in exercise.mistakes if m.id == "cosine")
    calls = []

    def mostly(*arguments):
        calls.append(arguments)
        return (exercise.reference if len(calls) == len(exercise.cases()) else mistake.wrong)(*arguments)

    verdict = examine(exercise, mostly)
    assert verdict.diagnosis == "in-part" and mistake.says[:40] in verdict.message


@pytest.mark.parametrize(
    "name, fill, diagnosis",
    [
        ("keep_top_k", -1e4, "finite-instead-of-inf"),
        ("keep_top_k", -1e30, "finite-instead-of-inf"),
        ("keep_top_p", torch.finfo(torch.float32).min, "finite-instead-of-inf"),
        ("scale_temperature", -999.0, "finite-instead-of-inf"),
        ("keep_top_k", 0.0, "zero-logit"),
    ],
)
def test_a_low_number_is_not_taken_for_minus_infinity(name, fill, diagnosis):
    exercise = find(name)

    def low(*arguments):
        result = exercise.reference(*arguments)
        return result.masked_fill(result.isneginf(), fill)

    verdict = examine(exercise, low)
    assert verdict.diagnosis == diagnosis and not verdict.passed


def test_a_logit_that_should_be_gone_is_not_taken_for_a_low_number():
    def one_more(logits, k):
        return find("keep_top_k").reference(logits, k + 1)

    assert examine(replace(find("keep_top_k"), mistakes=[]), one_more).diagnosis == "stays"


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
        ("return 2.0 * torch.nn.Linear(2, 2)", "A layer is not a tensor"),
        ("return torch.ones(2, 2) @ torch.nn.Embedding(2, 2)", "A layer is not a tensor"),
        ("for key, value in {'abc': x}: pass", "over .items()"),
        ("return ''.join([b'x'])", "use b''.join"),
    ],
)
def test_common_errors_of_torch_are_explained(wrong, says):
    verdict = examine(DOUBLED, answer(f"def stretch(x, factor):\n {wrong}"))
    assert not verdict.passed and says in verdict.message


# What an answer may be and do, and the notebook still goes on


def shown(capsys) -> str:
    return capsys.readouterr().out


def my_gelu(x):
    return F.gelu(x, approximate="tanh")


@pytest.mark.parametrize(
    "gelu, sign",
    [
        (my_gelu, "✓"),
        (lambda x: F.gelu(x, approximate="tanh"), "✓"),
        (functools.partial(F.gelu, approximate="tanh"), "✓"),
        (torch.nn.GELU(approximate="tanh"), "✓"),
        (functools.partial(F.gelu), "✗"),
        (torch.nn.functional.relu, "✗"),
        (F.gelu(torch.ones(2)), "✗"),
        ("gelu", "✗"),
        (None, "✗"),
        (7, "✗"),
        (int, "✗"),
        (Failed("gelu", None), "✗"),
        (Failed("gelu", NameError("name 'x' is not defined")), "✗"),
    ],
)
def test_anything_can_be_checked(gelu, sign, capsys):
    mine = gelu
    gelu = check(gelu)
    assert shown(capsys).startswith(f"{sign} 4.1 gelu – ")
    assert gelu is (mine if sign == "✓" else find("gelu").reference)


@pytest.mark.parametrize(
    "error", [SystemExit, asyncio.CancelledError, GeneratorExit, BaseException], ids=repr
)
def test_no_error_of_an_answer_stops_the_notebook(error, capsys):
    def gelu(x):
        raise error("it ends here")

    gelu = check(gelu)
    assert gelu is find("gelu").reference and f"It raises {error.__name__}: it ends here" in shown(capsys)


@pytest.mark.parametrize(
    "change", [lambda: torch.set_default_device("meta"), lambda: torch.set_default_dtype(torch.float64)]
)
def test_what_an_answer_does_to_torch_is_taken_back(change):
    for _ in range(2):  # with tensors on the device meta any answer would be right
        assert not examine("gelu", lambda x: change() or x).passed
    assert torch.ones(1).dtype == torch.float32 and torch.ones(1).device.type == "cpu"


class Nameless:
    """What any question about makes an error."""

    def __getattribute__(self, name):
        raise RuntimeError(name)


def test_an_answer_of_no_exercise_is_given_back(capsys):
    for nothing in (my_gelu, 7, None, "nothing", Nameless(), torch.ops, np.ones(3)):
        assert check(nothing) is nothing
        assert "check can't tell which exercise this is" in shown(capsys)


def test_the_answers_own_name_tells_the_exercise_too(capsys):
    answers = [find("gelu").right_answers()[0]]
    check(answers[0])
    assert "4.1 gelu" in shown(capsys)


def test_a_check_of_a_name_that_is_not_there_says_so(capsys):
    handlers, shell = {}, SimpleNamespace(user_ns={"split_heads": 1})
    shell.events = SimpleNamespace(register=lambda event, handler: handlers.update({event: handler}))
    watch(shell)
    handlers["pre_run_cell"](SimpleNamespace(raw_cell="causal_mask = check(causal_mask)"))
    handlers["pre_run_cell"](SimpleNamespace(raw_cell="split_heads = check(split_heads); check(something)"))
    assert set(shell.user_ns) == {"split_heads", "causal_mask"} and shell.user_ns["split_heads"] == 1
    assert check(shell.user_ns["causal_mask"]) is find("causal_mask").reference
    assert "There is no `causal_mask` yet." in shown(capsys)


@pytest.mark.parametrize(
    "error", [OSError(30, "Read-only file system"), TypeError("unhashable type: 'list'")]
)
def test_a_verdict_is_shown_also_where_nothing_can_be_written_down(error, monkeypatch, capsys):
    def record(name, state):
        raise error

    monkeypatch.setattr(course.checking, "record", record)
    gelu = my_gelu
    assert check(gelu) is my_gelu
    out = shown(capsys)
    assert out.index("✓ 4.1 gelu") < out.index("Your progress couldn't be saved")


@pytest.mark.parametrize("text", ['{"causal_mask": ["✓"]}', "[1]", "{", '{"causal_mask": "✓", "gelu": {}}'])
def test_a_broken_record_of_progress_is_no_obstacle(text, tmp_path):
    copy = Course(tmp_path)
    copy.progress.write_text(text, "utf-8")
    assert set(mapping.recorded(copy).values()) <= {"✓"}


def test_a_fault_of_the_check_itself_does_not_stop_the_notebook(monkeypatch, capsys):
    monkeypatch.setattr(course.checking, "examine", lambda exercise, answer: 1 / 0)
    gelu = my_gelu
    assert check(gelu) is find("gelu").reference
    assert "ZeroDivisionError" in shown(capsys)


# Limits


def test_an_endless_answer_cannot_fill_the_memory(monkeypatch):
    monkeypatch.setattr(running, "MEMORY_LIMIT", 100 * 2**20)
    monkeypatch.setattr(running, "TIME_LIMIT", 60.0)
    for body in (
        "xs = []\n while True:\n  xs.append('x' * 10**6)",
        "y = x\n while True:\n  y = torch.cat([y, y])",
    ):
        verdict = examine(DOUBLED, answer(f"def stretch(x, factor):\n {body}"))
        assert verdict.diagnosis == "memory" and "GB" in verdict.message


def test_an_endless_print_is_not_kept(monkeypatch):
    monkeypatch.setattr(running, "TIME_LIMIT", 0.5)
    kept = []
    monkeypatch.setattr(running.Output, "close", lambda self: None)
    original = running.Output.write

    def write(self, text):
        done = original(self, text)
        kept.append(self.tell())
        return done

    monkeypatch.setattr(running.Output, "write", write)
    verdict = examine(DOUBLED, answer("def stretch(x, factor):\n while True:\n  print('x' * 1000)"))
    assert verdict.diagnosis == "endless" and max(kept) == running.OUTPUT_LIMIT


# Cases share nothing, and what is shown is what came out


def test_cases_that_are_made_of_one_object_are_kept_apart():
    x = torch.tensor([1.0, 3.0])
    sharing = replace(DOUBLED, cases=lambda: [(x, 3.0), (x, 2.0)])
    in_place = answer("def stretch(x, factor):\n x *= factor\n return x")
    for _ in range(2):
        verdict = examine(sharing, in_place)
        assert verdict.diagnosis == "in-place" and "x = [1. 3.]" in verdict.message
        assert x.tolist() == [1.0, 3.0]


def test_a_wrong_answer_that_changes_its_arguments_hears_of_both():
    verdict = examine(DOUBLED, answer("def stretch(x, factor):\n x *= factor + 1\n return x"))
    assert verdict.diagnosis == "in-place" and "isn't the right result" in verdict.message
    assert "x = [1. 3.]" in verdict.message and "got  [ 4. 12.]" in verdict.message


def test_a_known_mistake_in_changed_arguments_is_told_after_the_change():
    verdict = examine(DOUBLED, answer("def stretch(x, factor):\n x += factor\n return x"))
    assert verdict.diagnosis == "adds" and verdict.message.startswith(
        f"{verdicts.CHANGES} If it's still wrong then: It"
    )


def test_a_result_that_changes_later_is_shown_as_it_was():
    code = "memory = []\ndef stretch(x, factor):\n memory.append(float(factor))\n return memory"
    listed = replace(DOUBLED, run=lambda answer, *arguments: {"all": answer(*arguments)})
    assert "got  [3]" in examine(listed, answer(code)).message


def test_names_that_another_cell_left_behind_are_named():
    space = {"torch": torch, "T": 3.0, "half": lambda x: x / 2, "math": math}
    for code, says in [
        ("return x * factor + T", "reads `T`, which"),
        ("return x * T", "reads `T`, which"),
        ("return [x * T for _ in range(3)][0]", "reads `T`, which"),
        ("T = factor\n return x * T", None),
        ("return half(x) * factor * 2 * math.cos(0)", None),
    ]:
        exec(compile(f"def stretch(x, factor):\n {code}", "<learner>", "exec"), space)
        message = examine(DOUBLED, space["stretch"]).message
        assert (says in message) if says else "By the way" not in message, (code, message)


def test_a_right_answer_may_get_a_remark_and_the_library_goes_on(capsys):
    remark = "Mind negative numbers."
    wishing = replace(DOUBLED, wishes=lambda: [((torch.tensor([-1.0]), 3.0), remark)])
    verdict = examine(wishing, answer("def stretch(x, factor):\n return x.abs() * factor"))
    assert verdict.passed and not verdict.goes_on and remark in verdict.message
    verdict = examine(wishing, answer("def stretch(x, factor):\n return x * factor"))
    assert verdict.passed and verdict.goes_on and remark not in verdict.message


def test_a_lookup_where_a_product_is_asked_for_gets_a_remark():
    goes_on = {answer.__name__: examine("lookup_by_product", answer).goes_on for answer in find("2.1").styles}
    assert goes_on == {
        "by_index": False,
        "by_embedding": False,
        "by_einsum": True,
        "by_comparison": True,
        "by_scatter": True,
    }


def test_a_prefix_taken_away_letter_by_letter_gets_a_remark():
    exercise = find("rename_weight")

    def by_letters(stored, weight):
        return exercise.reference(stored.lstrip("transformer."), weight)  # noqa: B005

    verdict = examine(exercise, by_letters)
    assert verdict.passed and not verdict.goes_on and "`lstrip`" in verdict.message
    assert not any("`lstrip`" in examine(exercise, style).message for style in exercise.styles)


def test_what_stands_in_for_something_is_not_called_by_its_name():
    exercise = find("GPT2")
    forgets = bases(exercise.number, exercise.name, ())[0].with_gap(
        """x = embed(tokens, self.wte.weight, self.wpe.weight)
for block in self.h:
    x = block(x, cache)
return unembed(self.ln_f(x[:, -1:] if last_only else x), self.wte.weight)
"""
    )
    verdict = examine(exercise, forgets.run(forgets.text))
    assert verdict.diagnosis == "start-ignored + whole-cache" and "'the whole cache'" in verdict.message
    assert not re.search("Fake", verdict.message)
    assert telling.a(FakeCache(3)) == "something that the check passed in" != telling.a(3)


def test_memory_and_time_out_of_proportion_get_a_remark(monkeypatch):
    broadcast = [style for style in find("cosines").styles if style.__name__ == "by_broadcast"][0]
    verdict = examine("cosines", broadcast)
    assert verdict.passed and not verdict.goes_on and "makes a tensor of" in verdict.message
    assert examine("cosines", find("cosines").reference).goes_on
    monkeypatch.setattr(verdicts, "SLOW", (0.0, 0.0))
    assert "It's slow, though" in examine(DOUBLED, stretch).message


def test_what_only_the_first_run_loads_is_not_slow(monkeypatch):
    monkeypatch.setattr(verdicts, "SLOW", (0.2, 1.0))
    loaded = []

    def once(x, factor):
        until = time.process_time() + (0.3 if not loaded else 0.0)
        while time.process_time() < until:
            pass
        loaded.append(True)
        return x * factor

    assert examine(DOUBLED, once).goes_on


@pytest.mark.parametrize(
    "want, got, goes_on",
    [
        (Counter(a=1), {"a": 1}, False),
        ({"a": 1}, Counter(a=1), True),
        ([1, 2], (1, 2), False),
        ([[1, 2]], [(1, 2)], True),
        ([1, 2], [1.0, 2], True),
        (1.5, torch.tensor(1.5), False),
        (torch.ones(2), torch.ones(2).double(), False),
        ([torch.ones(2)], [torch.ones(2).half()], False),
        ({"y": (torch.ones(2), 1)}, {"y": (torch.ones(2).double(), 1)}, False),
        ("word", np.str_("word"), True),
        (2, np.int64(2), True),
    ],
    ids=repr,
)
def test_a_right_result_of_another_type_is_not_what_the_notebook_goes_on_with(want, got, goes_on):
    showing = replace(DOUBLED, run=lambda answer, *arguments: want if answer is stretch else got)
    verdict = examine(showing, answer("def stretch(x, factor):\n return x"))
    assert verdict.passed and verdict.goes_on == goes_on
    assert ("what comes later needs" in verdict.message) != goes_on


# What a message shows


def test_an_error_is_shown_with_its_case():
    verdict = examine(
        DOUBLED, answer("def stretch(x, factor):\n return x * factor if x.ndim == 1 else 1 / 0")
    )
    assert "ZeroDivisionError" in verdict.message and "with  x = [[0.5 0.  1. ]]" in verdict.message
    assert "expected" not in verdict.message


@pytest.mark.parametrize(
    "want, got, parts",
    [
        ({i: i for i in range(256)}, {i: i + (i == 200) for i in range(256)}, ["200", "201"]),
        ({i: i for i in range(256)}, {i: i for i in range(255)}, ["{255: 255}", "{}"]),
        ({i: i for i in range(256)}, {i: i for i in range(257)}, ["{256: 256}", "{}"]),
        ({i: {i: 1} for i in range(256)}, {i: {i: 1 + (i == 99)} for i in range(256)}, ["99", "2"]),
        ("a" * 900 + "b" + "a" * 900, "a" * 900 + "c" + "a" * 900, ["b", "c"]),
        ([0] * 900 + [7], [0] * 900 + [8], ["[900]", "7", "8"]),
        ([0] * 900, [0] * 901, ["...", "0]"]),
        (["a"] * 500 + ["b"], ["a"] * 500 + ["c"], ["[500]", "'b'", "'c'"]),
        (0.123456, 0.123457, ["0.123456", "0.123457"]),
        ([0.123456, 1.0], [0.123457, 1.0], ["0.123456", "0.123457"]),
        (torch.tensor([1, 2]), torch.tensor([1.0, 2.0]), ["[1, 2]", "[1. 2.]"]),
        (torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=torch.int64), ["False", "0"]),
        (
            torch.zeros(99),
            torch.zeros(99).index_fill(0, torch.tensor(77), 5e-5),
            ["first at [77]", "5e-05", "1 of 99"],
        ),
        (1, "1", ["1", "'1'"]),
        ((1, 2), [1, 3], ["(1, 2)", "[1, 3]"]),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_expected_and_got_differ_in_what_is_printed(want, got, parts):
    showing = replace(
        DOUBLED, tolerance=1e-9, run=lambda answer, *arguments: want if answer is stretch else got
    )
    message = examine(showing, answer("def stretch(x, factor):\n return x")).message
    lines = dict(line.strip().split("  ", 1) for line in message.splitlines() if "  " in line.strip())
    assert lines["expected"] != lines["got"] or "differs" in lines, message
    assert all(part in message for part in parts), message
    assert max(map(len, message.splitlines())) < 500


def test_two_errors_that_look_alike_are_told_apart():
    torch_says = "Error(s) in loading state_dict for GPT2: size mismatch for wte.weight"
    verdict = examine(DOUBLED, answer(f"def stretch(x, factor):\n raise RuntimeError({torch_says!r})"))
    assert "same config" in verdict.message and "a @ b" not in verdict.message


CLUMSY = r"\b(an? NoneType|a int|wanted|refused|whose end|anew|comes of|lies|beside)\b|k != k0"


@pytest.mark.parametrize("case", VERDICTS)
def test_general_messages_are_sentences(case, monkeypatch):
    monkeypatch.setattr(running, "TIME_LIMIT", 0.3)
    body = VERDICTS[case][0]
    code = "def stretch():\n return 1" if body is None else f"def stretch(x, factor):\n {body}"
    message = examine(DOUBLED, answer(code)).message
    assert message[0].isupper() or message == "not written yet"
    assert not re.search(CLUMSY, message), message
