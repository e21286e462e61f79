"""2.5 unembed: what is computed. What is said stands in unembed.md."""

import torch
import torch.nn.functional as F

from course.exercises.ch02_embeddings.embed import draw

differentiable = True


def cases():
    """One vector, a batch with strides, a vocabulary as large as the width, and one vector for each text."""
    return [
        (torch.tensor([[[2.0, 1.0]]]), torch.tensor([[1.0, 0.0], [0.0, 3.0], [-1.0, 1.0]])),
        (draw(3, 2, 4, seed=31).transpose(0, 1), draw(7, 4, seed=32)),
        (draw(3, 2, 5, seed=33), draw(5, 5, seed=34)),
        (draw(2, 4, seed=35), draw(7, 4, seed=36)),
    ]


def by_linear(x, wte):
    return F.linear(x, wte)


def by_einsum(x, wte):
    return torch.einsum("...c,vc->...v", x.double(), wte.double())


def by_loops(x, wte):
    if x.ndim > 1:
        return torch.stack([by_loops(part, wte) for part in x])
    return torch.tensor([(x * row).sum().item() for row in wte])


def by_broadcast(x, wte):
    return (x[..., None, :] * wte).sum(-1)


styles = [by_linear, by_einsum, by_loops, by_broadcast]
