"""10.4 quantized_linear: what is computed. What is said stands in quantized_linear.md."""

import torch
from torch.nn import functional as F

from course.exercises.common import numbers as normal


def cases():
    """Three numbers by hand, not square, one where scaling first shows, a scale of inf, square, bfloat16.

    Whole numbers cancel to exactly 0; weights that were scaled first, and rounded, don't. Only a product that is scaled
    afterwards comes out as inf; 0 * inf in the weights would be NaN. There is a single scale with it, so that a product
    with a diagonal matrix of the scales is right too.
    """
    whole = (40 * normal(4, 5, seed=7)).round().clamp(-127, 127).to(torch.int8)
    square = (50 * normal(6, 6, seed=8)).round().clamp(-127, 127).to(torch.int8)
    small = (2 * normal(5, 8, seed=9)).round().clamp(-5, 5).to(torch.int8)
    return [
        (
            torch.tensor([[1.0, 2.0, 0.0]]),
            torch.tensor([[3, -1, 100], [0, 4, -100]], dtype=torch.int8),
            torch.tensor([0.5, 0.25]),
            torch.tensor([10.0, 20.0]),
        ),
        (normal(3, 5, seed=10), whole, normal(4, seed=11).abs() / 50, normal(4, seed=12)),
        (  # in units the sum is exactly 0
            torch.tensor([[50000.0, -70000.0, 10000.0]]),
            torch.tensor([[101, 80, 55]], dtype=torch.int8),
            torch.tensor([0.7]),
            torch.tensor([10.0]),
        ),
        (
            torch.tensor([[1.0, 2.0, 3.0]]),
            torch.tensor([[2, 0, 1]], dtype=torch.int8),
            torch.tensor([torch.inf]),
            torch.tensor([10.0]),
        ),
        (normal(6, 6, seed=13), square, normal(6, seed=14).abs() / 50, normal(6, seed=15)),
        (  # sums of small whole numbers are exact in bfloat16
            (2 * normal(5, 8, seed=16)).round().clamp(-4, 4).bfloat16(),
            small,
            normal(5, seed=17).abs() / 50,
            normal(5, seed=18),
        ),
    ]


def run(answer, x, numbers, scale, bias):
    """Return the result, and that it is float64 where it is."""
    result = answer(x, numbers, scale, bias)
    if isinstance(result, torch.Tensor) and result.dtype == torch.float64:
        return "a float64 tensor"
    return result


def by_einsum(x, numbers, scale, bias):
    return torch.einsum("mk,nk->mn", x, numbers.to(x.dtype)) * scale + bias


def by_loop(x, numbers, scale, bias):
    columns = [bias[n] + scale[n] * (x @ row.to(x.dtype)).float() for n, row in enumerate(numbers)]
    return torch.stack(columns, dim=1)


def in_float32(x, numbers, scale, bias):
    return torch.addcmul(bias, F.linear(x.float(), numbers.float()), scale)


def from_the_left(x, numbers, scale, bias):
    return (scale[:, None] * (numbers.double() @ x.double().T) + bias[:, None]).T.float()


def bias_in_units(x, numbers, scale, bias):
    return (F.linear(x, numbers.type_as(x)) + bias / scale) * scale


def with_diagonal(x, numbers, scale, bias):
    return torch.addmm(bias, (x @ numbers.to(x).t()).float(), torch.diag(scale))


in_steps = """
    y = x @ numbers.to(x.dtype).T
    y = y * scale
    return y + bias
"""
styles = [in_steps, by_einsum, by_loop, in_float32, from_the_left, bias_in_units, with_diagonal]
