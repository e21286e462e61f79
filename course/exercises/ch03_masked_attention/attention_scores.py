"""3.1 attention_scores: what is computed. What is said stands in attention_scores.md."""

import math

import torch

from course.exercises.common import numbers


def cases():
    """The text's example; several queries; texts, heads, and all sizes different; texts only.

    No score is a whole number, so that rounding one can't go either way.
    """
    q = torch.tensor([[1.0, 0.0, 2.0, 1.0], [0.0, 3.0, 1.0, -1.0]])
    k = torch.tensor([[1.0, 1.0, 0.0, 0.5], [2.0, 0.0, 1.0, 0.5], [0.0, 2.0, 0.0, 3.5]])
    return [
        (q[:1].clone(), k[:2].clone()),
        (q, k),
        (numbers(2, 3, 4, 5), numbers(2, 3, 6, 5, seed=1)),
        (numbers(7, 9), numbers(7, 9, seed=1)),
    ]


def at_scale():
    """The heads of one layer of GPT-2, for a full text."""
    q = torch.empty(1, 12, 1024, 64, device="meta")
    return [(q, torch.empty_like(q))]


def by_einsum(q, k):
    return torch.einsum("...td,...sd->...ts", q, k) * q.size(-1) ** -0.5


def with_small_q(q, k):
    return torch.matmul(q / math.sqrt(k.shape[-1]), k.mT)


def by_broadcasting(q, k):
    return (q.double()[..., :, None, :] * k.double()[..., None, :, :]).sum(-1) / q.shape[-1] ** 0.5


def by_loop(q, k):
    rows = [(q[..., t : t + 1, :] * k).sum(-1) for t in range(q.shape[-2])]
    return torch.stack(rows, dim=-2) / math.sqrt(q.shape[-1])


styles = [by_einsum, with_small_q, by_broadcasting, by_loop]
