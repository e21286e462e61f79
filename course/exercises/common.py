"""What the cases of several exercises are made of."""

import math
from typing import Any

import torch


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return seeded random numbers of a shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def lower(T: int, S: int) -> torch.Tensor:
    """Return the causal mask (T, S)."""
    return torch.ones(T, S, dtype=torch.bool).tril(diagonal=S - T)


def counting(*shape: int) -> torch.Tensor:
    """Return 0, 1, 2, ... in a shape, as floats."""
    return torch.arange(math.prod(shape), dtype=torch.float32).view(shape)


# Cases at the edges: what an answer should also take.


def strided(x: torch.Tensor) -> torch.Tensor:
    """Return the same numbers laid out otherwise in memory, so that `view` can't join the axes."""
    wide = torch.empty(*x.shape[:-1], 2 * x.shape[-1], dtype=x.dtype)
    wide[..., ::2] = x
    return wide[..., ::2]


def on_meta(*parts: Any) -> tuple:
    """Return a case with its tensors on the device meta: shapes without numbers, as a stand-in for a GPU."""
    return tuple(part.to("meta") if isinstance(part, torch.Tensor) else part for part in parts)


def in_float64(*parts: Any) -> tuple:
    """Return a case with its floats in double precision."""
    is_float = [isinstance(part, torch.Tensor) and part.is_floating_point() for part in parts]
    return tuple(part.double() if yes else part for part, yes in zip(parts, is_float))


def spread(scores: torch.Tensor, by: float = 150.0) -> torch.Tensor:
    """Return scores with every other row far up and the rest far down, where exp overflows or is 0 in float32."""
    rows = torch.arange(scores.shape[-2]) % 2 * 2.0 - 1.0
    return scores - by * rows[:, None]
