"""How a wrong result relates to the right one: what the numbers alone show where no known mistake fits."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Number
from typing import Any

import torch
from torch import Tensor

from course.comparing import same

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: x.softmax(-1),
    "running sum": lambda x: x.cumsum(-1),
    "exponential": torch.exp,
    "logarithm": torch.log,
    "logarithm to base 2": torch.log2,
    "square": torch.square,
    "square root": torch.sqrt,
    "reciprocal": torch.reciprocal,
    "difference from 1": lambda x: 1 - x,
    "absolute value": torch.abs,
    "positive part": torch.relu,
    "whole part": torch.floor,
}
NEAR = 0.01  # of each number: what may be rounding, another precision or another eps


def relation(got: Any, want: Any, tolerance: float) -> tuple[str, str] | None:
    """Return an id and a sentence for the first relation that holds between a wrong result and the right one, or None.

    got, want: two numbers, texts, tensors of one shape, or even (nested) lists of numbers.
    """
    if isinstance(got, (str, bytes)) and type(got) is type(want):
        return of_texts(got, want)
    both = numbers(got), numbers(want)
    if any(part is None for part in both):
        lists = isinstance(got, (list, tuple)) and isinstance(want, (list, tuple))
        return of_lists(got, want, tolerance) if lists else None
    return of_numbers(*both, tolerance) if both[0].shape == both[1].shape else None


def numbers(value: Any) -> Tensor | None:
    """Return a value as a float64 tensor (a bool one stays bool), or None where it's nothing that has numbers."""
    if isinstance(value, (Number, list, tuple)):
        try:
            value = torch.tensor(value)
        except (TypeError, ValueError, RuntimeError):  # uneven, or of other things
            return None
    if not isinstance(value, Tensor) or value.is_meta or value.is_complex() or not value.numel():
        return None
    value = value.detach()
    return value if value.dtype == torch.bool else value.double()


def of_texts(got: str | bytes, want: str | bytes) -> tuple[str, str] | None:
    """Return how two texts are related."""
    if len(got) < len(want) and got and want.startswith(got):
        return "ends-early", "It begins right but ends too early."
    if len(got) > len(want) and want and got.startswith(want):
        return "goes-on", "It begins right but doesn't end where it should."
    if got.split() == want.split() and want.split():
        return "spaces", "It differs from the right result only in white space."
    if got.lower() == want.lower():
        return "case", "It differs from the right result only in upper and lower case."
    if got[::-1] == want:
        return "reversed", "It's the right result, back to front."
    return None


def of_lists(got: Sequence, want: Sequence, tolerance: float) -> tuple[str, str] | None:
    """Return how two lists of other things than numbers are related."""
    wrong = [i for i, (g, w) in enumerate(zip(got, want)) if not same(g, w, tolerance)]
    if len(got) != len(want) or not wrong or len(wrong) == len(want) == 1:
        return None
    if same(list(reversed(got)), list(want), tolerance):
        return "reversed", "Its entries are right, but back to front."
    if len(wrong) == 1 < len(want):
        return "place", f"Only {ordinal(wrong[0], len(want))} is wrong."
    return right_at_an_end(wrong[0], wrong[-1], len(want), "")


def right_at_an_end(first: int, last: int, size: int, along: str) -> tuple[str, str] | None:
    """Return how much is right before the first or else after the last that is wrong."""
    for name, which, n in (("from-there-on", "first", first), ("up-to-there", "last", size - 1 - last)):
        if n > 0:
            noun = along or (" entry" if n == 1 else " entries")
            return name, f"The {which}{f' {n}' * (n > 1)}{noun} {'is' if n == 1 else 'are'} right."
    return None


def of_numbers(got: Tensor, want: Tensor, tolerance: float) -> tuple[str, str] | None:
    """Return how two tensors of one shape are related."""
    alike = partial(same, tolerance=tolerance)
    if want.dtype == torch.bool or got.dtype == torch.bool:
        if got.dtype != want.dtype:
            return None
        if got.ndim and (got ^ want).all():
            return "inverted", "True and False are exchanged everywhere."
        if got.ndim and got.all() == got.any():
            return "constant", f"It's {bool(got.all())} everywhere."
        if got.ndim and (known := of_truths(got, want)) and not arranged(got.double(), want.double(), alike):
            return known
        got, want = got.double(), want.double()
    if known := arranged(got, want, alike) or of_what_is_gone(got, want, tolerance):
        return known
    finite = want.isfinite().all() and got.isfinite().all()
    if finite and (known := computed(got, want, alike)):
        return known
    known = in_one_place(got, want, tolerance)
    return known or (of_sums(got, want, alike) or of_signs(got, want) if finite else None)


def of_truths(got: Tensor, want: Tensor) -> tuple[str, str] | None:
    """Return whether there is only too much, or only too little, that is True."""
    for more, less, what in ((got, want, True), (want, got, False)):
        if (more | ~less).all():
            n = int((more & ~less).sum())
            return "too-much", f"It's {what} where it should be, and in {n} place{'s' * (n > 1)} too many."
    return None


def of_what_is_gone(got: Tensor, want: Tensor, tolerance: float) -> tuple[str, str] | None:
    """Return how the numbers that stay differ, where the others should be -inf."""
    gone, should = got.isneginf(), want.isneginf()
    if not should.any() or should.all() or got.isnan().any():
        return None
    more, fewer = int((should & ~gone).sum()), int((gone & ~should).sum())
    if more and fewer:
        stay, need = int((~gone).sum()), int((~should).sum())
        how_many = f"{stay} instead of {need}" if stay != need else f"{need}, but not the right ones"
        return "stays", f"Other numbers stay than should: {how_many}."
    if more:
        return (
            "stays",
            f"All that should stay are there, but {more} that should be -inf {'is' if more == 1 else 'are'}, too.",
        )
    if fewer:
        return (
            "stays",
            f"Too few numbers stay: {fewer} {'is' if fewer == 1 else 'are'} -inf and shouldn't be.",
        )
    rest = got[~should], want[~should]
    known = computed(*rest, partial(same, tolerance=tolerance)) if rest[0].isfinite().all() else None
    return known and (
        known[0],
        f"-inf is in the right places. Of the rest: {known[1][:1].lower()}{known[1][1:]}",
    )


def of_sums(got: Tensor, want: Tensor, alike: Callable) -> tuple[str, str] | None:
    """Return along which axis numbers should add up to 1 or 0, and don't."""
    for total in (1.0, 0.0):
        for axis in reversed(range(want.ndim)):
            sums = want.sum(axis)
            if want.shape[axis] < 2 or not alike(sums, torch.full_like(sums, total)):
                continue
            if not alike(off := got.sum(axis), sums):
                most = off.flatten()[(off - total).abs().argmax()].item()
                return (
                    "sums",
                    f"The numbers should add up to {total:.0f}{along(want, axis)}, but there's {most:.4g}.",
                )
    return None


def of_signs(got: Tensor, want: Tensor) -> tuple[str, str] | None:
    """Return whether numbers are there that are outside of where all should be, or all too large or too small."""
    if want.numel() < 3:
        return None
    if (want >= 0).all() and (got < -1e-6).any():
        return (
            "negative",
            f"There are negative numbers in it, such as {got.min().item():.4g}; none should be.",
        )
    if 0 <= want.min() and want.max() <= 1 and got.max() > 1 + 1e-6:
        return "above", f"No number should be above 1 here, but there's {got.max().item():.4g}."
    for holds, says in (
        (got.abs() > want.abs(), "too far from 0"),
        (got.abs() < want.abs(), "too near to 0"),
        (got > want, "too large"),
        (got < want, "too small"),
    ):
        if holds.all():
            return "size", f"Every number is {says}."
    return None


def arranged(got: Tensor, want: Tensor, alike: Callable) -> tuple[str, str] | None:
    """Return how the right numbers stand in another arrangement, if they do."""
    if want.unique().numel() < 2:
        return None
    for one, other in itertools.combinations(range(want.ndim), 2):
        if alike(got.transpose(one, other), want):
            return "axes", f"The numbers are right, but axes {one} and {other} are exchanged."
    for axis in range(want.ndim):
        if alike(got.flip(axis), want):
            return "reversed", f"The numbers are right, but back to front{along(want, axis)}."
        size = want.shape[axis]
        for by in (1, -1):
            here, there = (x.narrow(axis, max(0, s), size - 1) for x, s in ((got, by), (want, -by)))
            if size > 2 and here.unique().numel() > 1 and alike(here, there):
                where = "late" if by > 0 else "early"
                return "shifted", f"The numbers are right, but come one place too {where}{along(want, axis)}."
    if want.numel() > 2 and alike(got.flatten().sort().values, want.flatten().sort().values):
        return "order", "The right numbers are there, but in other places."
    return None


def computed(got: Tensor, want: Tensor, alike: Callable) -> tuple[str, str] | None:
    """Return by what the numbers differ all over, if it's one thing."""
    if want.numel() == 1:
        return of_one_number(got, want, alike)
    if not got.any():
        return "zeros", "Only zeros came out."
    parts = want.abs() > 1e-6
    if not parts.any():
        return None
    factor, by = (got[parts] / want[parts]).median(), (got - want).median()
    varied = not alike(want, want.mean().expand_as(want))
    if alike(got, factor * want) and abs(factor - 1) > NEAR and (varied or name_of(factor)):
        return "factor", f"Every number is {times(factor)} what it should be."
    if varied and alike(got, want + by):
        return "offset", f"Every number is {abs(by.item()):.4g} too {'large' if by > 0 else 'small'}."
    if known := row_by_row(got, want, alike):
        return known
    if varied and want.numel() > 2 and alike(got, got.mean().expand_as(got)):
        return "constant", f"All its numbers are the same, {got.mean().item():.4g}."
    if want.unique().numel() > 2:
        return of_functions("Every number is", "your numbers", got, want, alike)
    return None


def of_one_number(got: Tensor, want: Tensor, alike: Callable) -> tuple[str, str] | None:
    """Return how two single numbers are related. Whole ones are so often enough by chance."""
    if alike(want, want.round()) or alike(got, torch.zeros_like(got)):
        return None
    if name_of(factor := got / want):
        return "factor", f"It's {times(factor)} what it should be."
    return of_functions("It's", "yours", got, want, alike) if not alike(got, got.round()) else None


def row_by_row(got: Tensor, want: Tensor, alike: Callable) -> tuple[str, str] | None:
    """Return what each row of an axis has of its own, if that is all that is wrong with it."""
    for axis in reversed(range(want.ndim)):
        if want.shape[axis] < 3 or want.ndim < 2:
            continue
        factor = (got * want).sum(axis, True) / want.square().sum(axis, True)
        by = (got - want).mean(axis, True)
        if alike(got, factor * want):
            most = factor.flatten()[(factor - 1).abs().argmax()]
            return "factor-a-row", (
                f"Along axis {axis} the proportions are right but not the size: each row has a factor of its own (one is "
                f"{times(most)} what it should be). Is it divided by the right sum or norm?"
            )
        if alike(got, want + by):
            most = by.flatten()[by.abs().argmax()].item()
            return "offset-a-row", (
                f"Along axis {axis} all numbers of a row are off by the same amount (in one row by {most:.4g})."
            )
    return None


def of_functions(
    it_is: str, yours: str, got: Tensor, want: Tensor, alike: Callable
) -> tuple[str, str] | None:
    """Return by which function a result has too many or too few, or that it's only nearly right."""
    for name, function in FUNCTIONS.items():
        if alike(got, function(want)):
            return "function", f"{it_is} the {name} of what it should be."
        if alike(function(got), want):
            return "step", f"What's right is the {name} of {yours}: is a step missing?"
    gap = ((got - want).abs() / want.abs()).max().item()
    if gap < NEAR and not alike(want, want.round()):
        return "near", (
            f"It's close, but not close enough: up to {100 * gap:.2g}% off. Is something rounded, or is a small term "
            "missing or too many?"
        )
    return None


def in_one_place(got: Tensor, want: Tensor, tolerance: float) -> tuple[str, str] | None:
    """Return where numbers are wrong, if it's only in one place or right only in one."""
    wrong = ~torch.isclose(got, want, tolerance, tolerance, equal_nan=True)
    count = int(wrong.sum())
    if not want.ndim or count == wrong.numel():
        return None
    if want.ndim > 1 and want.shape[-1] == want.shape[-2] > 1:
        rows, columns = torch.meshgrid(*map(torch.arange, want.shape[-2:]), indexing="ij")
        places = {"on": rows == columns, "above": columns > rows, "below": columns < rows}
        for name, place in places.items():
            if not wrong[..., ~place].any():
                return "place", f"It's right everywhere but {name} the diagonal of the last two axes."
    hits = [
        wrong.transpose(0, axis).flatten(1).any(1) if want.ndim > 1 else wrong for axis in range(want.ndim)
    ]
    for axis, hit in enumerate(hits):
        for sort, only in (("wrong", hit), ("right", ~hit)):
            if len(hit) > 2 and int(only.sum()) == 1:
                which = ordinal(int(only.nonzero()[0]), len(hit))
                return "place", f"Only {which}{along(want, axis)} is {sort}."
    for axis, hit in enumerate(hits):
        places = hit.nonzero().flatten().tolist()
        if known := right_at_an_end(places[0], places[-1], len(hit), along(want, axis)):
            return known
    return None


def ordinal(at: int, size: int) -> str:
    """Return which of several one is."""
    return {0: "the first", size - 1: "the last"}.get(at, f"number {at} (counted from 0)")


def of_shapes(got: Tensor, want: Tensor, tolerance: float) -> str:
    """Return what two tensors of different shapes have in common, as the end of a sentence; "" for nothing."""
    got, want = numbers(got), numbers(want)
    if got is None or want is None or torch.bool in (got.dtype, want.dtype):
        return ""
    alike = partial(same, tolerance=tolerance)
    if got.ndim == want.ndim <= 4:
        for one, other in itertools.combinations(range(want.ndim), 2):
            if alike(got.transpose(one, other), want):
                return f"The numbers are right, but axes {one} and {other} are exchanged: transpose({one}, {other})."
    if alike(got.flatten(), want.flatten()):
        return "The numbers are right; only the shape isn't."
    axes = [i for i, (g, w) in enumerate(zip(got.shape, want.shape)) if g != w]
    if got.ndim == want.ndim and len(axes) == 1:
        (axis,) = axes
        shorter, longer = sorted((got, want), key=lambda part: part.shape[axis])
        size = shorter.shape[axis]
        surplus = got.shape[axis] - want.shape[axis]
        return more_at_an_end(
            surplus, lambda start: alike(longer.narrow(axis, start, size), shorter), f" of axis {axis}"
        )
    return ""


def more_at_an_end(surplus: int, fits: Callable[[int], bool], along: str = "") -> str:
    """Return at which end there is too much, or too little if surplus is below 0, as a sentence; "" for neither.

    fits tells whether the longer of two is, from a place on, what the shorter is.
    """
    n = abs(surplus)
    are, much = "is" if n == 1 else "are", "too many" if surplus > 0 else "missing"
    for start, end in ((0, "end"), (n, "beginning")):
        if fits(start):
            return f"At the {end}{along}, {n} {are} {much}; the rest is right."
    return ""


def along(want: Tensor, axis: int) -> str:
    """Return on which axis something is so, where there's a choice."""
    return f" along axis {axis}" if want.ndim > 1 else ""


def times(factor: Tensor) -> str:
    """Return a factor as the beginning of "... what it should be"."""
    if factor < 0:
        sign = "the negative of"
        return sign if math.isclose(factor, -1, rel_tol=1e-4) else f"{sign} {times(-factor)}"
    name = name_of(factor) or f"{factor.item():.4g}"
    return f"{name} of" if name.startswith("1/") else f"{name} times"


def name_of(factor: Tensor) -> str | None:
    """Return a factor by a name that tells where it may come from, such as √8 or 1/3; None for any other."""
    for form, value in (("{}", factor.item()), ("1/{}", (1 / factor).item())):
        for name, number in (("{}", value), ("√{}", value**2)):
            if 1.5 < number < 1e6 and math.isclose(number, round(number), rel_tol=1e-5):
                return form.format(name.format(round(number)))
        if math.isclose(value, math.log(2), rel_tol=1e-5):
            return form.format("ln 2")
    return "-1" if math.isclose(factor, -1, rel_tol=1e-5) else None
