"""What the cases of several exercises are made of."""

import math

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
