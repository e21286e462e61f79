"""4.1 gelu: what is computed. What is said stands in gelu.md."""

import math

import torch
import torch.nn.functional as F

from course.exercises.common import numbers

differentiable = True
tolerance = 3e-6


def cases():
    """The text's example, the places where the forms differ most, large numbers, a batch with strides."""
    return [
        (torch.tensor([-1.0, 0.0, 2.0]),),
        (torch.tensor([-2.7, -2.27, -0.752, 0.3, 2.5]),),
        (torch.linspace(-12, 12, 49),),
        (2 * numbers(2, 3, 10, seed=41)[..., ::2],),
    ]


def fused(x):
    return F.gelu(x, approximate="tanh")


def as_sigmoid(x):
    """(1 + tanh z) / 2 is sigmoid(2 z): the same function."""
    return x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


def in_double(x):
    z = x.double()
    cube = torch.pow(z, 3)
    gate = 1 + ((z + cube * 0.044715) * (2 / math.pi) ** 0.5).tanh()
    return (z * gate / 2).to(x.dtype)


def by_loops(x):
    values = [
        v / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) for v in x.flatten().tolist()
    ]
    return torch.tensor(values).reshape(x.shape)


styles = [fused, as_sigmoid, in_double, by_loops]
