"""How a wrong result relates to the right one: what the numbers alone show where no known mistake fits."""

import itertools
import math
from collections.abc import Callable
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
    got, want = numbers(got), numbers(want)
    if got is None or want is None or got.shape != want.shape:
        return None
    return of_numbers(got, want, tolerance)


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
        got, want = got.double(), want.double()
    if known := arranged(got, want, alike):
        return known
    if want.isfinite().all() and got.isfinite().all() and (known := computed(got, want, alike)):
        return known
    return in_one_place(got, want, tolerance)


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
            f"It's close, but not close enough: up to {100 * gap:.2g} % off. Is something rounded, or is a small term "
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
    for axis in range(want.ndim):
        size = want.shape[axis]
        hit = wrong.transpose(0, axis).flatten(1).any(1) if want.ndim > 1 else wrong
        for sort, only in (("wrong", hit), ("right", ~hit)):
            if size > 2 and int(only.sum()) == 1:
                at = int(only.nonzero()[0])
                which = {0: "the first", size - 1: "the last"}.get(at, f"number {at} (counted from 0)")
                return "place", f"Only {which}{along(want, axis)} is {sort}."
    if want.ndim == 1:
        first, last = (int(wrong.nonzero()[i]) for i in (0, -1))
        if first > 1:
            return "from-there-on", f"The first {first} entries are right."
        if last < len(want) - 2:
            return "up-to-there", f"The last {len(want) - 1 - last} entries are right."
    return None


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
        surplus = longer.shape[axis] - size
        are, much = "is" if surplus == 1 else "are", "too many" if longer is got else "missing"
        for start, end in ((0, "end"), (surplus, "beginning")):
            if alike(longer.narrow(axis, start, size), shorter):
                return f"At the {end} of axis {axis}, {surplus} {are} {much}; the rest is right."
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
