"""Whether two results are the same, within a tolerance."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch
from numbers import Number
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Raised:
    """An exception in the place of a result."""

    error: BaseException


def same(got: Any, want: Any, tolerance: float) -> bool:
    """Tell whether two results are equal: numbers within the tolerance, all else exactly."""
    return equals(want, got.item() if isinstance(got, np.generic) else got, tolerance)


@singledispatch
def equals(want: Any, got: Any, tolerance: float) -> bool:
    """Do the work of `same` for one kind of what is wanted."""
    return type(got) is type(want) and bool(got == want)


@equals.register
def _(want: Raised, got: Any, tolerance: float) -> bool:
    return isinstance(got, Raised) and type(got.error) is type(want.error)


@equals.register
def _(want: Mapping, got: Any, tolerance: float) -> bool:
    if not isinstance(got, Mapping) or got.keys() != want.keys():
        return False
    return all(same(got[key], want[key], tolerance) for key in want)


@equals.register(list)
@equals.register(tuple)
def _(want: list | tuple, got: Any, tolerance: float) -> bool:
    if not isinstance(got, (list, tuple)) or len(got) != len(want):
        return False
    return all(same(g, w, tolerance) for g, w in zip(got, want))


@equals.register(torch.Tensor)
@equals.register(np.ndarray)
def _(want: torch.Tensor | np.ndarray, got: Any, tolerance: float) -> bool:
    if not isinstance(got, (torch.Tensor if isinstance(want, torch.Tensor) else np.ndarray)):
        return False
    got, want = torch.as_tensor(got), torch.as_tensor(want)
    if got.shape != want.shape or kind(got) != kind(want) or got.is_meta != want.is_meta:
        return False
    if want.is_meta:  # no numbers to compare
        return True
    got, want = got.detach().double(), want.detach().double()
    return torch.allclose(got, want, rtol=tolerance, atol=tolerance, equal_nan=True)


@equals.register
def _(want: Number, got: Any, tolerance: float) -> bool:
    if isinstance(got, (torch.Tensor, np.ndarray)) and torch.as_tensor(got).numel() == 1:
        got = got.item()
    if not isinstance(got, Number) or isinstance(got, bool):
        return False
    return got == want or abs(got - want) <= tolerance * (1 + abs(want)) or (got != got and want != want)


@equals.register
def _(want: bool, got: Any, tolerance: float) -> bool:
    return type(got) is bool and got == want


def same_down_to_words(got: Any, known: Any, tolerance: float) -> bool:
    """Tell whether a result is that of a known mistake; of errors the words have to be equal, too."""
    both = isinstance(got, Raised) and isinstance(known, Raised)
    return same(got, known, tolerance) and (not both or str(got.error) == str(known.error))


def other_types(got: Any, want: Any) -> tuple[str, str] | None:
    """Return what two equal results are, where they are of types that don't stand in for each other; or None.

    What counts is the type of the whole, and the dtype of tensors anywhere in it.
    """
    if isinstance(got, torch.Tensor) and isinstance(want, torch.Tensor):
        return None if got.dtype == want.dtype else (str(got.dtype), str(want.dtype))
    if isinstance(got, np.generic) or (isinstance(got, Number) and isinstance(want, Number)):
        return None
    if not isinstance(got, type(want)):
        return type(got).__name__, type(want).__name__
    if isinstance(want, Mapping):
        got, want = [got[key] for key in want], [*want.values()]
    if isinstance(want, (list, tuple)):
        tensors = ((g, w) for g, w in zip(got, want) if isinstance(g, (list, tuple, Mapping, torch.Tensor)))
        within = (
            other_types(g, w)
            for g, w in tensors
            if isinstance(g, torch.Tensor) == isinstance(w, torch.Tensor)
        )
        return next((found for found in within if found and found[0].startswith("torch.")), None)
    return None


def floats_for_ints(got: Any, want: Any) -> bool:
    """Tell whether of two equal results the first has a float where the other has an int."""
    if isinstance(want, Mapping):
        got, want = [got[key] for key in want], [*want.values()]
    if isinstance(want, (list, tuple)):
        return any(map(floats_for_ints, got, want))
    return type(want) is int and isinstance(got, (float, np.floating))


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
