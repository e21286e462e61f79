"""Telling a right answer from a wrong one, and one wrong answer from another."""

import contextlib
import copy
import inspect
import io
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from ctypes import c_ulong, py_object, pythonapi
from dataclasses import dataclass, replace
from itertools import chain
from numbers import Number
from typing import Any

import numpy as np
import torch

from course.edits import EditedMistake, pairs
from course.exercise import Exercise, Mistake, find

PAIRS_LIMIT = 1.0  # processor seconds for finding two mistakes at once
TIME_LIMIT = 10.0  # processor seconds for all cases of one exercise; the references need less than one


@dataclass(frozen=True)
class Verdict:
    """What came of examining an answer."""

    passed: bool
    diagnosis: str | None  # the id of the mistake, where it is one that the course knows
    message: str  # for the learner
    hint: int | None = None  # the hint that fits the mistake
    written: bool = True  # False: the learner has not started yet
    goes_on: bool = True  # False: right, but the notebook goes on with the library's all the same


class TimeUp(BaseException):
    """Raised inside an answer that does not come to an end."""


@dataclass(frozen=True)
class Raised:
    """An exception in the place of a result."""

    error: BaseException

    def where(self, answer: Callable) -> str:
        """Return the learner's own line that raised, and the error in one line."""
        text = f"{type(self.error).__name__}: {self.error}".splitlines()[0] + meaning(self.error)
        code = [frame for frame in traceback.extract_tb(self.error.__traceback__)]
        own = [frame for frame in code if frame.filename == source_file(answer)]
        if not own:
            return text
        return f"{text}\n    in {own[-1].name}, line {own[-1].lineno}: {own[-1].line}"


MEANINGS = {
    "Boolean value of Tensor": "A tensor of several numbers is neither true nor false. Did you mean `is not None`?",
    "only one element tensors": "The functions of math take one number. For a tensor use torch's: torch.tanh, torch.sqrt.",
    r"must be Tensor, not (float|int)": "torch's functions take tensors. For a single number use math: math.sqrt.",
    "before Module.__init__": "A module begins with super().__init__().",
    "must be tuple of ints,but got float|'float' object cannot be interpreted as an integer": (
        "Sizes are whole numbers: divide with //, not with /."
    ),
    "same dtype|expected scalar type": "Both factors of a product need one dtype: b.to(a.dtype) turns b into that of a.",
    "mat1 and mat2 shapes|expected m1 and m2|size mismatch": (
        "In a @ b the last size of a has to be the size of b before its last. Print both shapes."
    ),
    "size of tensor a": (
        "Shapes are lined up from the last axis on, and a size of 1 fits any. Print both shapes: does one lack "
        "an axis (keepdim=True, or [:, None]) or have one too many (squeeze)?"
    ),
    "tuple index out of range": (
        "Something is shorter than this place. If it is a shape, an axis is missing: tokens[i] is one text of shape "
        "(T,), tokens[i : i + 1] a batch of one, (1, T)."
    ),
    r"takes from 1 to 0 positional|sort\(\) received an invalid": "With stable=True, sort and argsort want dim by its name: dim=-1.",
    "unhashable type: 'list'": "A list can't be a key. Make a tuple of it: tuple(...).",
    "self must be a matrix": "One of the two is a vector. A @ B takes any axes; mm takes two matrices.",
    "loading state_dict": "The weights and the model differ in names or shapes. Was it built with the same config?",
    "is invalid for input of size": "The new sizes have to multiply to as many numbers as there are.",
    "view size is not compatible": "The axes were moved, so view cannot join them. Use reshape or flatten.",
    "Dimension out of range": "Count axes from the end, -1 and -2: how many stand in front is not always the same.",
    "'NoneType' object|unsupported operand type.*NoneType": (
        "Something here is None: a function without return, or a cache that is not there."
    ),
    "modified by an inplace operation": "Training still needs the old numbers: write x = x + y, not x += y.",
}  # pattern in an error's text -> what a beginner makes of it


def meaning(error: BaseException) -> str:
    """Return a line that says what an error of Python or torch means, or nothing for errors that are not known."""
    found = (says for pattern, says in MEANINGS.items() if re.search(pattern, str(error)))
    return next((f"\n    {says}" for says in found), "")


def source_file(answer: Callable) -> str | None:
    """Return the file (in a notebook: the cell) that an answer was written in."""
    functions = vars(answer).values() if isinstance(answer, type) else [answer]
    return next((f.__code__.co_filename for f in functions if hasattr(f, "__code__")), None)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeUp in this thread if the block computes longer than that, or waits three times as long.

    So an answer is not taken for endless because something else keeps the processor busy.
    """
    thread, done, lock = threading.get_ident(), threading.Event(), threading.Lock()
    began, waited = time.process_time(), time.monotonic()

    def interrupt():
        while not done.wait(seconds / 10):  # again and again, if the answer swallows it
            if time.process_time() - began < seconds and time.monotonic() - waited < 3 * seconds:
                continue
            with lock:
                if not done.is_set():
                    pythonapi.PyThreadState_SetAsyncExc(c_ulong(thread), py_object(TimeUp))

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        yield
    finally:
        with lock:
            done.set()


def is_stub(error: BaseException, answer: Callable) -> bool:
    """Tell whether an error comes from the gap that is still in the answer itself."""
    if not isinstance(error, NotImplementedError) or error.args:
        return False
    frames = list(traceback.walk_tb(error.__traceback__))
    return frames[-1][0].f_code.co_qualname.split(".")[0] == answer.__name__


def same(got: Any, want: Any, tolerance: float) -> bool:
    """Tell whether two results are equal: numbers within the tolerance, all else exactly."""
    if isinstance(got, np.generic):
        got = got.item()
    if isinstance(want, Raised) or isinstance(got, Raised):
        return isinstance(want, Raised) and isinstance(got, Raised) and type(got.error) is type(want.error)
    if isinstance(want, Mapping):
        return (
            isinstance(got, Mapping)
            and got.keys() == want.keys()
            and all(same(got[key], want[key], tolerance) for key in want)
        )
    if isinstance(want, (torch.Tensor, np.ndarray)):
        if not isinstance(got, type(want)):
            return False
        got, want = torch.as_tensor(got), torch.as_tensor(want)
        if got.shape != want.shape or kind(got) != kind(want):
            return False
        if got.is_meta or want.is_meta:  # no numbers to compare, only the place
            return got.is_meta and want.is_meta
        got, want = got.detach().double(), want.detach().double()
        return torch.allclose(got, want, rtol=tolerance, atol=tolerance, equal_nan=True)
    if isinstance(want, (list, tuple)):
        return (
            isinstance(got, (list, tuple))
            and len(got) == len(want)
            and all(same(g, w, tolerance) for g, w in zip(got, want))
        )
    if isinstance(want, Number) and not isinstance(want, bool):
        if isinstance(got, (torch.Tensor, np.ndarray)) and torch.as_tensor(got).numel() == 1:
            got = got.item()
        return (
            isinstance(got, Number)
            and not isinstance(got, bool)
            and (
                got == want or abs(got - want) <= tolerance * (1 + abs(want)) or (got != got and want != want)
            )
        )
    return type(got) is type(want) and got == want


def differs(now: Any, before: Any) -> bool:
    """Tell whether an argument is no longer what it was; objects of unknown kinds count as unchanged."""
    if isinstance(now, torch.nn.Module):
        now, before = now.state_dict(), before.state_dict()
    if isinstance(now, Mapping):
        return now.keys() != before.keys() or any(differs(now[key], before[key]) for key in now)
    if isinstance(now, (list, tuple)):
        return len(now) != len(before) or any(map(differs, now, before))
    if isinstance(now, (torch.Tensor, np.ndarray, Number, str, bytes)):
        return not same(now, before, 0.0)
    return False


def kind(tensor: torch.Tensor) -> str:
    """Return what a tensor holds: bool, whole numbers or floats; the precision does not matter."""
    if tensor.dtype == torch.bool:
        return "bool"
    return "float" if tensor.is_floating_point() else "whole numbers"


@dataclass(frozen=True)
class Attempt:
    """What an answer did with all cases of an exercise."""

    results: list  # one for each case; Raised where it raised
    printed: str
    changed: list[bool]  # whether it changed its arguments, for each case


def attempt(exercise: Exercise, answer: Callable) -> Attempt:
    """Run an answer on every case. Raises TimeUp if it does not come to an end."""
    results, changed, printed = [], [], io.StringIO()
    with time_limit(TIME_LIMIT), contextlib.redirect_stdout(printed):
        for arguments in exercise.cases():
            before = copy.deepcopy(arguments)
            try:
                results.append(exercise.run(answer, *arguments))
            except (Exception, SystemExit) as error:
                results.append(Raised(error))
            changed.append(differs(arguments, before))
    return Attempt(results, printed.getvalue(), changed)


def examine(exercise: str | Exercise, answer: Callable) -> Verdict:
    """Return whether an answer is right and, where it is not, which mistake it is.

    exercise is a number ("3.2") or a name ("causal_mask"). Raises KeyError for one that is not there.
    torch's random numbers go on afterwards as if nothing had been drawn.
    """
    if not isinstance(exercise, Exercise):
        exercise = find(exercise)
    with torch.random.fork_rng(devices=[]):
        return judge(exercise, answer)


def judge(exercise: Exercise, answer: Callable) -> Verdict:
    """Do the work of `examine`."""
    try:
        got = attempt(exercise, answer)
    except TimeUp:
        return Verdict(
            False,
            "endless",
            f"it was still running after {TIME_LIMIT:.0f} seconds. Look for a loop whose end never comes.",
        )
    want = attempt(exercise, exercise.reference)
    if any(isinstance(result, Raised) and is_stub(result.error, answer) for result in got.results):
        return Verdict(False, "unwritten", "not written yet", written=False)
    wrong = [
        i for i, (g, w) in enumerate(zip(got.results, want.results)) if not same(g, w, exercise.tolerance)
    ]
    if not wrong:
        if any(got.changed):
            return Verdict(
                False,
                "in-place",
                "the result is right, but your code changes the arguments that it was given; the caller may "
                "still need them. Make a new object instead of writing into the old one.",
            )
        note = ""
        if exercise.differentiable and not passes_gradients(exercise, answer):
            note = (
                " Know that no gradient passes through your version (a detach(), item(), tolist() or new "
                "torch.tensor(...) stops it), so a model built with it can write but not learn."
            )
        remarks = ungranted(exercise, answer)
        return Verdict(True, None, " ".join([exercise.done + note, *remarks]), goes_on=not remarks)
    first = wrong[0]
    evidence = compare(exercise, first, got.results[first], want.results[first])
    for mistake in exercise.mistakes:
        if alike(got, exercise, mistake.wrong):
            says = said(exercise, mistake, got.results[first], want.results[first])
            return Verdict(False, mistake.id, f"{says}\n{evidence}", mistake.hint)
    if found := two_mistakes(exercise, got, want, wrong):
        one, other = (said(exercise, mistake, got.results[first], want.results[first]) for mistake in found)
        return Verdict(
            False,
            " + ".join(mistake.id for mistake in found),
            f"There are two mistakes here. First: {one} Second: {other}\n{evidence}",
            found[0].hint,
        )
    diagnosis, says = symptom(exercise, got, first, want.results[first], answer)
    return Verdict(False, diagnosis, f"{says}\n{evidence}" if diagnosis != "raises" else says)


def ungranted(exercise: Exercise, answer: Callable) -> list[str]:
    """Return the remarks on those of an exercise's wishes that a right answer does not grant."""
    wishes = exercise.wishes()
    asked = replace(exercise, cases=lambda: [case for case, _ in exercise.wishes()])
    got, want = attempt(asked, answer).results, attempt(asked, exercise.reference).results
    return [says for (_, says), g, w in zip(wishes, got, want) if not same(g, w, exercise.tolerance)]


def two_mistakes(exercise: Exercise, got: Attempt, want: Attempt, wrong_cases: list[int]) -> tuple | None:
    """Return two known mistakes that together do what an answer did, or None if none are found in time.

    Mistakes that alone explain some of the wrong cases are tried with every other one. Else both must show in
    the first wrong case.
    """
    if all(isinstance(result, Raised) for result in got.results):
        return None  # its own error says more
    end = time.process_time() + PAIRS_LIMIT
    first, likely, loud = wrong_cases[0], {}, []
    for mistake in exercise.mistakes:
        if isinstance(mistake, EditedMistake):
            known = results_of(exercise, mistake.wrong, wrong_cases)
            explained = sum(alike_result(got.results[i], known[i], exercise.tolerance) for i in wrong_cases)
            if explained:
                likely[mistake] = explained
            if not same(known[first], want.results[first], exercise.tolerance):
                loud.append(mistake)
    most_first = sorted(likely, key=likely.get, reverse=True)
    for one, other, wrong in chain(pairs(most_first, exercise.mistakes), pairs(loud)):
        if time.process_time() > end:
            break
        if alike(got, exercise, wrong):
            return tuple(sorted((one, other), key=exercise.mistakes.index))
    return None


def results_of(exercise: Exercise, wrong: Callable, cases: list[int]) -> dict[int, Any]:
    """Return what a known mistake does with some of the cases."""
    every, results = exercise.cases(), {}
    with contextlib.redirect_stdout(io.StringIO()):
        for i in cases:
            try:
                results[i] = exercise.run(wrong, *every[i])
            except Exception as error:
                results[i] = Raised(error)
    return results


def said(exercise: Exercise, mistake: Mistake | EditedMistake, got: Any, want: Any) -> str:
    """Return the message of a mistake, with its fields filled in."""
    if callable(mistake.says):
        return mistake.says(got, want)

    def fill(match: re.Match) -> str:
        name, form = match.groups()
        if name in exercise.fields:
            return format(exercise.fields[name](got, want), form)
        _, *both = first_part(got, want, exercise.tolerance)
        value = both[name == "want"]
        return format(value, form) if form else brief(value)

    names = "|".join(map(re.escape, [*exercise.fields, "got", "want"]))
    return re.sub(rf"\{{({names}):?([^{{}}]*)\}}", fill, mistake.says)


def passes_gradients(exercise: Exercise, answer: Callable) -> bool:
    """Tell whether autograd finds the way from the result of the first case back to each of its arguments."""
    arguments = exercise.cases()[0]
    floats = [part for part in arguments if isinstance(part, torch.Tensor) and part.is_floating_point()]
    with torch.enable_grad():
        for part in floats:
            part.requires_grad_()
        result = attempt(replace(exercise, cases=lambda: [arguments]), answer).results[0]
        if not (isinstance(result, torch.Tensor) and result.requires_grad):
            return False
        gradients = torch.autograd.grad(result.sum(), floats, allow_unused=True) if floats else ()
    return all(gradient is not None for gradient in gradients)


def alike(got: Attempt, exercise: Exercise, wrong: Callable) -> bool:
    """Tell whether an answer did with every case what a known mistake does with it.

    The mistake is run case by case, up to the first difference: most differ on the first one.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        for arguments, result in zip(exercise.cases(), got.results):
            try:
                known = exercise.run(wrong, *arguments)
            except Exception as error:
                known = Raised(error)
            if not alike_result(result, known, exercise.tolerance):
                return False
    return True


def alike_result(result: Any, known: Any, tolerance: float) -> bool:
    """Tell whether a result is that of a known mistake, down to the words of an error."""
    both = isinstance(result, Raised) and isinstance(known, Raised)
    return same(result, known, tolerance) and (not both or str(result.error) == str(known.error))


def symptom(
    exercise: Exercise, got: Attempt, case: int, want: Any, answer: Callable
) -> tuple[str | None, str]:
    """Return what is wrong with a result at first sight, where no known mistake explains it."""
    result = got.results[case]
    if isinstance(result, Raised):
        if isinstance(result.error, NotImplementedError) and not result.error.args:
            return "raises", "it calls something that is not written yet. Run that exercise's check first."
        return "raises", f"it raises {result.where(answer)}"
    if isinstance(want, Raised):
        return "accepts", f"it should raise {type(want.error).__name__} here, and it returned a result."
    if isinstance(want, Mapping):  # the exercise looks at several results: take the first that is wrong
        _, result, want = first_part(result, want, exercise.tolerance)
    if result is None:
        if got.printed:
            return "printed", "it prints its result and returns None. Return the result instead."
        return "nothing", "it returns None here. Is there a return at the end, and is this a case for None?"
    if isinstance(want, torch.Tensor):
        if not isinstance(result, torch.Tensor):
            return "type", f"it returns a {type(result).__name__}, but a tensor is wanted."
        if result.shape != want.shape:
            return (
                "shape",
                f"its result has shape {tuple(result.shape)}, but should have {tuple(want.shape)}.",
            )
        if kind(result) != kind(want):
            return "dtype", f"its result holds {kind(result)} ({result.dtype}), but should hold {kind(want)}."
        if result.device != want.device:
            return "device", f"its result is on the device {result.device}, but should be on {want.device}."
        if (
            result.is_floating_point()
            and not result.is_meta
            and result.isnan().any()
            and not want.isnan().any()
        ):
            return (
                "nan",
                "its result has NaN in it: somewhere 0/0, 0 * inf, inf - inf, or a row that is all -inf.",
            )
    elif (
        isinstance(want, bool) != isinstance(result, bool)
        or type(result) is not type(want)
        and not (isinstance(result, (list, tuple, Number)) and isinstance(want, (list, tuple, Number)))
    ):
        return "type", f"it returns a {type(result).__name__}, but a {type(want).__name__} is wanted."
    return None, "the result is not the right one."


def compare(exercise: Exercise, case: int, got: Any, want: Any) -> str:
    """Return a small table of one case: what went in, what was expected, what came out."""
    arguments = exercise.cases()[case]
    names = exercise.arguments or tuple(inspect.signature(exercise.reference).parameters)
    rows = [("with", "\n".join(f"{name} = {brief(value)}" for name, value in zip(names, arguments)))]
    part, got, want = first_part(got, want, exercise.tolerance)
    rows += [("in", part)] if part else []
    rows += [("expected", brief(want)), ("got", brief(got))]
    place = first_difference(got, want, exercise.tolerance)
    if place:
        rows.append(("differs", place))
    return "\n".join(f"{name:>8}  {text}".replace("\n", "\n" + " " * 10) for name, text in rows)


def first_part(got: Any, want: Any, tolerance: float) -> tuple[str, Any, Any]:
    """Return the first part in which two nested results differ: its name, and what it is in either."""
    path = []
    while True:
        if isinstance(want, Mapping) and isinstance(got, Mapping) and got.keys() == want.keys():
            parts = [(str(key), got[key], want[key]) for key in want]
        elif isinstance(want, (list, tuple)) and isinstance(got, (list, tuple)) and len(got) == len(want):
            parts = [(f"[{i}]", g, w) for i, (g, w) in enumerate(zip(got, want))]
        else:
            break
        if all(isinstance(w, (Number, str)) for _, _, w in parts) and not isinstance(want, Mapping):
            break  # a list of plain things reads best as a whole
        name, got, want = next(part for part in parts if not same(part[1], part[2], tolerance))
        path.append(name)
    return ", ".join(path), got, want


def first_difference(got: Any, want: Any, tolerance: float) -> str | None:
    """Return the first place at which two tensors of one shape differ."""
    if not (isinstance(got, torch.Tensor) and isinstance(want, torch.Tensor) and got.shape == want.shape):
        return None
    if want.ndim == 0 or want.is_meta or got.is_meta:
        return None
    close = torch.isclose(got.detach().double(), want.detach().double(), tolerance, tolerance, equal_nan=True)
    if close.all():
        return None
    index = (~close).nonzero()[0].tolist()
    pair = [value[tuple(index)] for value in (want, got)]
    texts = [brief(value) for value in pair]
    if texts[0] == texts[1]:  # they differ in later digits
        texts = [f"{value.item():.8g}" for value in pair]
    return f"first at {index}: expected {texts[0]}, got {texts[1]}"


def brief(value: Any, most: int = 300) -> str:
    """Return a value as a short text: large tensors by their shape, floats with 4 digits."""
    if isinstance(value, Raised):
        return f"{type(value.error).__name__}: {value.error}".splitlines()[0][:most]
    if isinstance(value, torch.Tensor):
        value = value.detach()
        if value.is_meta:
            return f"a tensor {tuple(value.shape)} on the device meta"
        if value.numel() > 36:
            return f"a tensor {tuple(value.shape)}"
        if value.is_floating_point():
            with np.printoptions(precision=4, suppress=True):
                return str(value.double().numpy()) if value.ndim else f"{value.item():.4g}"
        return str(value.tolist())
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)) and len(value) <= 12:
        text = ", ".join(brief(part) for part in value)
        return f"[{text}]" if isinstance(value, list) else f"({text})"
    if isinstance(value, torch.nn.Module):
        return type(value).__name__
    if inspect.isfunction(value):
        return f"{value.__name__}: {inspect.getdoc(value) or 'a function'}"
    if isinstance(value, Mapping):
        text = (
            "{" + ", ".join(f"{key!r}: {' '.join(brief(part).split())}" for key, part in value.items()) + "}"
        )
        return text if len(text) <= most else text[: most - 3] + "..."
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."
