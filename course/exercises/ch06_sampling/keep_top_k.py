"""6.2 keep_top_k: what is computed. What is said stands in keep_top_k.md."""

import math

import torch

from course.exercise import Mistake
from course.exercises.common import numbers


def ties():
    """Return logits of which some are equal."""
    return torch.tensor([[3.0, 1.0, 2.0, 2.0], [0.0, 5.0, 5.0, 5.0]])


def cases():
    """The text's example, a tie at the k-th place, k = 1, all, more than all; at last so many ties that sorts mix them."""
    return [
        (torch.tensor([[3.0, 1.0, 2.0, 2.0]]), 2),
        (ties(), 2),
        (ties(), 1),
        (numbers(2, 6), 3),
        (ties(), 4),
        (ties(), 99),
        (100 * numbers(8, 3, seed=1).T - 200, 5),
        (torch.zeros(1, 5), 3),
        (torch.zeros(1, 24), 12),
    ]


def ranks(logits):
    """Return the place of each token in its row, the largest logit first."""
    return logits.argsort(dim=-1, descending=True, stable=True).argsort(-1)


def by_ranks(logits, k):
    return logits.masked_fill(ranks(logits) >= k, -math.inf)


def by_python(logits, k):
    out = logits.clone()
    for row in out:
        order = sorted(range(len(row)), key=lambda i: (-row[i].item(), i))
        row[order[k:]] = -math.inf
    return out


def by_rounds(logits, k):
    left, out = logits.double().clone(), torch.full_like(logits, -math.inf).double()
    for _ in range(min(k, logits.shape[-1])):
        best = left.argmax(-1, keepdim=True)
        out.scatter_(-1, best, logits.double().gather(-1, best))
        left.scatter_(-1, best, -math.inf)
    return out


styles = [by_ranks, by_python, by_rounds]


def by_topk(logits, k):
    values, kept = logits.topk(min(k, logits.shape[-1]))
    return torch.full_like(logits, -math.inf).scatter(-1, kept, values)


def by_topk_of_k(logits, k):
    values, kept = logits.topk(k)
    return torch.full_like(logits, -math.inf).scatter(-1, kept, values)


def unstable(logits, k):
    return logits.scatter(-1, logits.argsort(dim=-1, descending=True)[..., k:], -math.inf)


def rolled(logits, k):
    order = logits.roll(1, -1).argsort(dim=-1, descending=True, stable=True)
    return logits.scatter(-1, (order[..., k:] - 1) % logits.shape[-1], -math.inf)


def mixing(*answers):
    """Return each, or one that mixes equal logits in its place: how torch sorts them depends on the processor."""
    return [
        answer if any(not torch.equal(answer(*case), by_ranks(*case)) for case in cases()) else rolled
        for answer in answers
    ]


# not as diffs, because what these do to ties depends on the processor
extra = [
    Mistake(
        "ties-mixed",
        wrong,
        "You keep k tokens, but of equal logits not always the ones with the smaller ids. Only a sort with "
        "`stable=True` keeps their order.",
        2,
        "at-the-edge",
    )
    for wrong in mixing(by_topk, unstable)
]
extra.append(
    Mistake(
        "k-beyond-v",
        by_topk_of_k,
        "`topk` fails if k is larger than V, and all tokens should stay in that case. Besides, of equal logits it "
        "doesn't always keep those with the smaller ids: sort with `stable=True` instead.",
        3,
        "at-the-edge",
    )
)
