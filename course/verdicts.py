"""Telling a right answer from a wrong one, and one wrong answer from another."""

import contextlib
import inspect
import re
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from course.comparing import Raised, floats_for_ints, other_types, same, same_down_to_words
from course.edits import EditedMistake, pairs
from course.exercise import Exercise, find
from course.patterns import of_results, where_wrong
from course.running import (
    MEMORY_LIMIT,
    TIME_LIMIT,
    Attempt,
    MemoryFull,
    Output,
    Stopped,
    TimeUp,
    attempt,
    defaults,
    known_results,
    largest_tensor,
    limits,
    right_attempt,
)
from course.telling import NOT_YET, message, named, on_left_behind, symptom, table

CHANGES = "Your code changes the arguments it was given; make a new object instead."
PAIRS_LIMIT = 1.0  # processor seconds for finding two mistakes at once
# processor seconds, and times those of the answer in solutions/: more than both is too much
SLOW = (3.0, 100.0)
LARGE = (2**30, 16.0)  # the same for the bytes of the largest tensor, at the sizes of GPT-2


@dataclass(frozen=True)
class Verdict:
    """What came of examining an answer."""

    passed: bool
    diagnosis: str | None  # the id of the mistake, where it is one that the course knows; "a + b" for two
    message: str  # for the learner
    hint: int | None = None  # the hint that fits the mistake
    written: bool = True  # False: the learner has not started yet
    goes_on: bool = True  # False: right, but the notebook goes on with the library's all the same


def examine(exercise: str | Exercise, answer: Callable) -> Verdict:
    """Return whether an answer is right and, where it is not, which mistake it is.

    exercise is a number ("3.2") or a name ("causal_mask"). Raises KeyError for one that is not there.
    torch's random numbers go on afterwards as if nothing had been drawn.
    """
    if not isinstance(exercise, Exercise):
        exercise = find(exercise)
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]), one_thread():
        return judge(exercise, answer)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread: the cases are small, and several would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def judge(exercise: Exercise, answer: Callable) -> Verdict:
    """Do the work of `examine`."""
    try:
        got = attempt(exercise, answer)
    except TimeUp:
        says = (
            f"It was still running after {TIME_LIMIT:.0f} seconds. Look for a loop that never ends, or for something "
            f"that is made much larger than it has to be."
        )
        return Verdict(False, "endless", says)
    except MemoryFull:
        says = (
            f"It had filled {MEMORY_LIMIT / 2**30:.0f} GB of memory and was still going. Look for a loop that never "
            f"ends, or for a list or tensor that grows much larger than it needs to."
        )
        return Verdict(False, "memory", says)
    if any(isinstance(result, Raised) and is_stub(result.error, answer) for result in got.results):
        return Verdict(False, "unwritten", "not written yet", written=False)
    want = right_attempt(exercise, *defaults())
    pairs_of_results = enumerate(zip(got.results, want.results, strict=True))
    wrong = [i for i, (g, w) in pairs_of_results if not same(g, w, exercise.tolerance)]
    if not wrong:
        return praise(exercise, answer, got, want)
    return explain(Comparison(exercise, answer, got, want, wrong))


def is_stub(error: BaseException, answer: Callable) -> bool:
    """Tell whether an error comes from the gap that is still in the answer itself."""
    if not isinstance(error, NotImplementedError) or error.args:
        return False
    frames = list(traceback.walk_tb(error.__traceback__))
    return frames[-1][0].f_code.co_qualname.split(".")[0] == getattr(answer, "__name__", None)


def praise(exercise: Exercise, answer: Callable, got: Attempt, want: Attempt) -> Verdict:
    """Return the verdict on right results: there may still be something to say about how they came about."""
    if any(got.changed):
        return Verdict(
            False,
            "in-place",
            "The result is right, but your code changes the arguments it was given, and whoever called it may still "
            f"need them. Make a new object instead of writing into the old one.\n{case_shown(exercise, got, want)}",
        )
    floats = list(map(floats_for_ints, got.results, want.results))
    if any(floats) and asks_for_ints(exercise):
        case = floats.index(True)
        says = (
            "The number is right, but it's a float, and an int is asked for. A whole number comes from // where you "
            "divide, and from numbers without a point."
        )
        shown = table(exercise, got, case, want.results[case])
        return Verdict(False, "float-instead-of-int", f"{says}\n{shown}")
    said, remarks = [exercise.done], out_of_proportion(exercise, answer, got, want)
    remarks += [*of_another_type(got, want), *ungranted(exercise, answer)]
    if exercise.differentiable and not passes_gradients(exercise, answer):
        said.append(
            "Note that no gradient flows through your version (a detach(), item(), tolist() or new torch.tensor(...) "
            "stops it), so a model built with it can write but not learn."
        )
    said += filter(None, [on_left_behind(exercise, answer)])
    if remarks:
        remarks.append("From here on, the notebook uses the library's version.")
    return Verdict(True, None, " ".join([*said, *remarks]), goes_on=not remarks)


def case_shown(exercise: Exercise, got: Attempt, want: Attempt) -> str:
    """Return the arguments of the first case whose arguments an answer changes."""
    case = got.changed.index(True)
    return table(exercise, got, case, want.results[case]).split("\nexpected")[0].split("\n      in")[0]


def asks_for_ints(exercise: Exercise) -> bool:
    """Tell whether an answer is to return ints, by itself or in a list or dict."""
    words = re.findall(r"\w+", str(inspect.signature(exercise.reference).return_annotation))
    return "int" in words and "float" not in words


def of_another_type(got: Attempt, want: Attempt) -> list[str]:
    """Return a remark on right results of a type that later cells could not work with."""
    both = next(filter(None, map(other_types, got.results, want.results)), None)
    return [f"Yours returns {both[0]}, though, and what comes later needs {both[1]}."] if both else []


def out_of_proportion(exercise: Exercise, answer: Callable, got: Attempt, want: Attempt) -> list[str]:
    """Return remarks on a right answer that needs far more time or memory than the one in solutions/."""
    remarks, seconds = [], got.seconds
    if too_slow(seconds, want):  # or was it something that only the first run had to load?
        with contextlib.suppress(Stopped):
            seconds = min(seconds, attempt(exercise, answer, got.arguments).seconds)
    if too_slow(seconds, want):
        remarks.append(
            f"It's slow, though: {seconds:.0f} seconds here, where the library's takes {want.seconds:.1g}."
        )
    for arguments in exercise.at_scale():
        mine = largest_tensor(exercise, answer, arguments)
        theirs = largest_tensor(exercise, exercise.reference, arguments)
        if mine and theirs and mine > LARGE[0] and mine > LARGE[1] * theirs:
            remarks.append(
                f"At the sizes of GPT-2, though, it makes a tensor of {mine / 1e9:,.1f} GB, where the library's version "
                f"needs no more than {theirs / 1e9:,.2g} GB."
            )
            break
    return remarks


def too_slow(seconds: float, want: Attempt) -> bool:
    """Tell whether an answer took far longer than the one in solutions/."""
    return seconds > SLOW[0] and seconds > SLOW[1] * want.seconds


def ungranted(exercise: Exercise, answer: Callable) -> list[str]:
    """Return the remarks on those of an exercise's wishes that a right answer does not grant."""
    wishes = exercise.wishes()
    cases = [case for case, _ in wishes]
    try:
        got, want = (attempt(exercise, either, cases).results for either in (answer, exercise.reference))
    except (TimeUp, MemoryFull):
        return [says for _, says in wishes]
    missed = (says for (_, says), g, w in zip(wishes, got, want) if not same(g, w, exercise.tolerance))
    return list(dict.fromkeys(missed))


def passes_gradients(exercise: Exercise, answer: Callable) -> bool:
    """Tell whether autograd finds the way from the result of the first case back to each of its arguments."""
    arguments = exercise.cases()[0]
    floats = [part for part in arguments if isinstance(part, torch.Tensor) and part.is_floating_point()]
    for part in floats:
        part.requires_grad_()
    try:
        with torch.enable_grad(), limits(TIME_LIMIT, MEMORY_LIMIT), contextlib.redirect_stdout(Output()):
            result = exercise.run(answer, *arguments)
            if not (isinstance(result, torch.Tensor) and result.requires_grad):
                return False
            gradients = torch.autograd.grad(result.sum(), floats, allow_unused=True) if floats else ()
    except (Exception, TimeUp, MemoryFull):
        return False
    return all(gradient is not None for gradient in gradients)


@dataclass(frozen=True)
class Comparison:
    """A wrong answer beside the right one, on all cases of an exercise."""

    exercise: Exercise
    answer: Callable
    got: Attempt
    want: Attempt
    wrong: list[int]  # the cases that differ

    def pair(self) -> tuple[Any, Any]:
        """Return what came out of the first wrong case, and what should have."""
        return self.got.results[self.wrong[0]], self.want.results[self.wrong[0]]

    def alike(self, case: int, known: Any) -> bool:
        """Tell whether the answer did with a case what a known mistake does."""
        return same_down_to_words(self.got.results[case], known, self.exercise.tolerance)

    def is_explained(self, wrong: Callable, keep: bool = True) -> bool:
        """Tell whether the answer did with every case what a known mistake does; the first difference decides."""
        known = known_results(self.exercise, wrong, self.got, keep=keep)
        return all(self.alike(case, result) for case, result in enumerate(known))

    def arguments(self) -> list[dict]:
        """Return the arguments of all cases by their names."""
        return [named(self.exercise, self.got, case) for case in range(len(self.got.results))]

    def which(self) -> list[bool]:
        """Return which cases are wrong."""
        return [case in self.wrong for case in range(len(self.got.results))]


def explain(comparison: Comparison) -> Verdict:
    """Return the verdict on wrong results: the mistake that explains them all, or two, or what one sees."""
    found, in_part = known_mistakes(comparison)
    diagnosis, says = of_known(comparison, found) if found else of_unknown(comparison, in_part)
    head, _, rest = says.partition("\n")
    left_behind = on_left_behind(comparison.exercise, comparison.answer)
    evidence = table(comparison.exercise, comparison.got, comparison.wrong[0], comparison.pair()[1])
    lines = [" ".join(filter(None, [head, left_behind])), rest, evidence]
    return Verdict(False, diagnosis, "\n".join(filter(None, lines)), found[0].hint if found else None)


def known_mistakes(comparison: Comparison) -> tuple[tuple, dict]:
    """Return the one or two known mistakes that explain an answer, if any do; else which explain a part of it."""
    if one := next((m for m in comparison.exercise.mistakes if comparison.is_explained(m.wrong)), None):
        return (one,), {}
    if all(isinstance(each, Raised) for each in comparison.got.results):  # errors say more themselves
        return (), {}
    end = time.process_time() + PAIRS_LIMIT
    in_part, loud = explained_in_part(comparison, end)
    end = time.process_time() + PAIRS_LIMIT  # anew: what explains a part may have taken all of it
    return two_mistakes(comparison, in_part, loud, end), in_part


def of_known(comparison: Comparison, found: tuple) -> tuple[str, str]:
    """Return the id and the message of the one or two mistakes that an answer makes."""
    says = [message(comparison.exercise, mistake, *comparison.pair()) for mistake in found]
    text = f"There are two mistakes here. First: {says[0]} Second: {says[1]}" if len(says) == 2 else says[0]
    if any(comparison.got.changed) and not any(
        writes(comparison.exercise, mistake.wrong) for mistake in found
    ):
        text = f"{CHANGES} If it's still wrong then: {text}"
    return " + ".join(mistake.id for mistake in found), text


def of_unknown(comparison: Comparison, in_part: dict) -> tuple[str | None, str]:
    """Return an id and a message on an answer that no known mistake explains, and on which cases are right."""
    diagnosis, says = at_first_sight(comparison, in_part)
    if any(comparison.got.changed) and diagnosis != "raises":
        diagnosis, says = "in-place", f"{CHANGES} Also: {says}"
    every = len(comparison.got.results)
    if right := every - len(comparison.wrong):
        where = where_wrong(comparison.arguments(), comparison.which())
        diagnosis = diagnosis or ("where" if where else None)
        count = f"{right} of the {every} cases tried come{'s' * (right == 1)} out right."
        head, *rest = says.split("\n")
        says = "\n".join([head + f" ({count} {where}".rstrip() + ")", *rest])
    return diagnosis, says


def writes(exercise: Exercise, wrong: Callable) -> bool:
    """Tell whether a known mistake changes the arguments itself, so that its message is about that."""
    try:
        return any(attempt(exercise, wrong).changed)
    except (TimeUp, MemoryFull):
        return False


def at_first_sight(comparison: Comparison, in_part: dict) -> tuple[str | None, str]:
    """Return an id and a message on what is wrong, told by the results alone."""
    got, want = comparison.got, comparison.want
    diagnosis, says = symptom(
        comparison.exercise, got, comparison.wrong[0], comparison.pair()[1], comparison.answer
    )
    if diagnosis not in (None, "factor"):
        return diagnosis, says
    known = of_results(comparison.arguments(), list(zip(got.results, want.results)), comparison.which())
    known = known or (None if diagnosis else like_a_mistake(comparison, in_part))
    return (known[0], f"{NOT_YET} {known[1]}") if known else (diagnosis, says)


def like_a_mistake(comparison: Comparison, in_part: dict) -> tuple[str, str] | None:
    """Return the mistake that explains most of the wrong cases, if it's half of them and two others aren't as good."""
    most = max(map(len, in_part.values()), default=0)
    best = [mistake for mistake, cases in in_part.items() if len(cases) == most]
    if most < max(2, len(comparison.wrong) / 2) or len({mistake.id for mistake in best}) > 2:
        return None
    first = in_part[best[0]][0]
    parts = [comparison.got.results[i] for i in in_part[best[0]]]
    if not any(isinstance(p, torch.Tensor) and p.is_floating_point() and p.numel() > 2 for p in parts):
        return None  # less can be the same by chance
    says = message(
        comparison.exercise, best[0], comparison.got.results[first], comparison.want.results[first]
    )
    cases = "all" if most == len(comparison.wrong) else f"{most} of the {len(comparison.wrong)}"
    return "in-part", f"In {cases} wrong cases it does just what this mistake does: {says}"


def explained_in_part(comparison: Comparison, end: float) -> tuple[dict, list]:
    """Return in which wrong cases an answer does what a known mistake does, and the mistakes that show in the first."""
    explained, loud = {}, []
    for mistake in comparison.exercise.mistakes:
        if time.process_time() > end:
            break
        if isinstance(mistake, EditedMistake):
            known = list(known_results(comparison.exercise, mistake.wrong, comparison.got, comparison.wrong))
            if alike := [
                case for case, result in zip(comparison.wrong, known) if comparison.alike(case, result)
            ]:
                explained[mistake] = alike
            if not same(known[0], comparison.pair()[1], comparison.exercise.tolerance):
                loud.append(mistake)
    return explained, loud


def two_mistakes(comparison: Comparison, in_part: dict, loud: list, end: float) -> tuple:
    """Return two known mistakes that together do what an answer did; none if they aren't found by a time.

    Mistakes that alone explain some of the wrong cases are tried with every other one. Else both must show in
    the first wrong case.
    """
    mistakes = comparison.exercise.mistakes
    likely = sorted(in_part, key=lambda mistake: len(in_part[mistake]), reverse=True)
    for one, other, both in chain(pairs(likely, mistakes), pairs(loud)):
        if time.process_time() > end:
            break
        if comparison.is_explained(both, keep=False):
            return tuple(sorted((one, other), key=mistakes.index))
    return ()
