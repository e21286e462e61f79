"""4.4 block_parameters: what is computed. What is said stands in block_parameters.md."""

import math

import torch
from torch import nn

tolerance = 0.0


def cases():
    """The text's example; an odd width; GPT-2 small and xl."""
    return [(2,), (5,), (768,), (1600,)]


def with_modules(n_embd):
    def size(*layers):
        return sum(p.numel() for layer in layers for p in layer.parameters())

    C = n_embd
    with torch.device("meta"):
        return {
            "attention": size(nn.Linear(C, 3 * C), nn.Linear(C, C)),
            "mlp": size(nn.Linear(C, 4 * C), nn.Linear(4 * C, C)),
            "layer_norms": size(nn.LayerNorm(C), nn.LayerNorm(C)),
        }


def factored(n_embd):
    attention = sum((n_embd + 1) * out for out in [n_embd] * 4)
    mlp = (n_embd + 1) * (4 * n_embd) + (4 * n_embd + 1) * n_embd
    return dict(layer_norms=n_embd << 2, mlp=mlp, attention=attention)


def from_shapes(n_embd):
    shapes = {
        "attention": [(3 * n_embd, n_embd), (3 * n_embd,), (n_embd, n_embd), (n_embd,)],
        "mlp": [(4 * n_embd, n_embd), (4 * n_embd,), (n_embd, 4 * n_embd), (n_embd,)],
        "layer_norms": [(n_embd,)] * 4,
    }
    return {part: sum(math.prod(shape) for shape in own) for part, own in shapes.items()}


styles = [with_modules, factored, from_shapes]
