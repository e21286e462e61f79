"""5.1 layer_norm: what is computed. What is said stands in layer_norm.md."""

import torch
import torch.nn.functional as F
from torch import nn

from course.exercises.common import numbers

differentiable = True


def cases():
    """One vector of four; then batches with gains, biases, and an eps that shows; strides; large numbers."""
    gain, shift = torch.tensor([1.0, 1.0, 2.0, 1.0]), torch.tensor([0.0, 0.5, 0.0, 0.0])
    return [
        (torch.tensor([1.0, 2.0, 3.0, 6.0]), gain, shift, 0.1),
        (numbers(2, 3, 4), 1 + numbers(4, seed=1), numbers(4, seed=2), 0.1),
        (0.03 * numbers(3, 5, seed=3).T, numbers(3, seed=4), numbers(3, seed=5), 1e-3),
        (3 + numbers(4, 4, 4, seed=6), numbers(4, seed=7), numbers(4, seed=8), 1e-5),
        (200 * numbers(2, 1, 5, seed=9), numbers(5, seed=10), numbers(5, seed=11), 0.1),
    ]


def fused(x, weight, bias, eps):
    return F.layer_norm(x, (x.shape[-1],), weight, bias, eps)


def by_module(x, weight, bias, eps):
    module = nn.LayerNorm(x.shape[-1], eps=eps).requires_grad_(False)
    module.weight.copy_(weight)
    module.bias.copy_(bias)
    return module(x)


def by_moments(x, weight, bias, eps):
    x = x.double()
    mean, square = x.mean(-1, keepdim=True), (x * x).mean(-1, keepdim=True)
    return torch.addcmul(bias.double(), (x - mean) * (square - mean**2 + eps).rsqrt(), weight.double())


def by_squares(x, weight, bias, eps):
    mean = x.mean(-1, keepdim=True)
    variance = (x * x).mean(-1, keepdim=True) - mean**2
    return weight * (x - mean) / torch.sqrt(variance + eps) + bias


def by_loops(x, weight, bias, eps):
    rows = []
    for row in x.reshape(-1, x.shape[-1]):
        d = row - row.sum() / len(row)
        rows.append(d / (d.dot(d) / len(row) + eps) ** 0.5 * weight + bias)
    return torch.stack(rows).view(x.shape)


styles = [fused, by_module, by_moments, by_squares, by_loops]
