"""2.2 cosines: what is computed. What is said stands in cosines.md."""

import math

import torch
import torch.nn.functional as F

from course.exercises.ch02_embeddings.embed import draw


def cases():
    """The text's example; few and many, negative numbers, as many rows on both sides; short and long vectors.

    No two vectors are parallel: the angle of a cosine that is rounded to just below 1 is far from 0.
    """
    return [
        (torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 5.0]])),
        (torch.tensor([[3.0, 4.0], [-4.0, 3.0]]), torch.tensor([[1.0, 0.0], [0.0, 5.0], [-4.0, -3.0]])),
        (draw(3, 5, seed=23), draw(4, 5, seed=24)),
        (draw(3, 4, seed=25).T, draw(4, 3, seed=26)),
        (0.01 * draw(2, 3, seed=37), 1000 * draw(3, 3, seed=38)),
    ]


def at_scale():
    """A thousand vectors against GPT-2's whole vocabulary."""
    return [(torch.empty(1000, 768, device="meta"), torch.empty(50257, 768, device="meta"))]


def by_broadcast(a, b):
    return F.cosine_similarity(a[:, None], b[None], dim=-1)


def by_division(a, b):
    lengths = a.norm(dim=-1)[:, None] * b.norm(dim=-1)[None, :]
    return torch.einsum("nc,mc->nm", a, b) / lengths


def by_loops(a, b):
    table = torch.empty(len(a), len(b), dtype=torch.float64)
    for i, x in enumerate(a.double()):
        for j, y in enumerate(b.double()):
            table[i, j] = (x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())
    return table


styles = [by_broadcast, by_division, by_loops]
