"""3.3 masked_softmax: what is computed. What is said stands in masked_softmax.md."""

import torch
import torch.nn.functional as F

from course.exercises.common import lower, numbers


def cases():
    """The text's example; a triangle; gaps; texts and heads; new tokens after seen ones; large scores."""
    gaps = torch.tensor([[True, False, True, True, False], [False, True, True, False, True]])
    large = torch.tensor([[150.0, 151.0, 0.0], [-149.0, -151.0, -150.0], [0.0, 150.0, 150.0]])
    return [
        (torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[True, True, False]])),
        (torch.tensor([[1.0, 2.0, 3.0], [2.0, 0.0, 1.0], [0.0, 1.0, 3.0]]), lower(3, 3)),
        (3 * numbers(2, 5), gaps),
        (2 * numbers(2, 3, 4, 6), lower(4, 6)),
        (numbers(3, 2, 5, 5), lower(5, 5)),
        (large, lower(3, 3)),
    ]


def wishes():
    """Hidden scores that are far above the others: by more than exp can take, and by more than -1e4 hides."""
    says = (
        "One thing to know: when a hidden score is far above the visible ones (200 or 20,000, say), it still plays a "
        "part in yours, and the weights come out wrong or NaN. Hiding it with -inf before the softmax avoids that."
    )
    hidden = torch.tensor([[True, True, False]])
    return [((torch.tensor([[1.0, 2.0, 200.0]]) - far, hidden), says) for far in (0, 20_000)]


def run(answer, scores, mask):
    """Return the weights; raise ValueError if hidden ones are small, but not 0."""
    weights = answer(scores, mask)
    if isinstance(weights, torch.Tensor) and weights.shape == scores.shape:
        hidden = weights.masked_fill(mask, 0.0).max()
        if 0 < hidden < 1e-5:
            raise ValueError("its weights are tiny where the mask is False, and should be exactly 0")
    return weights


def row_sum(got, want):
    """Return what the first row of the weights adds up to."""
    return got.reshape(-1, got.shape[-1])[0].sum().item()


fields = {"row": row_sum}


def by_where(scores, mask):
    return F.softmax(torch.where(mask, scores, torch.tensor(float("-inf"))), -1)


def by_adding(scores, mask):
    bias = torch.zeros(mask.shape).masked_fill(~mask, -1e9)
    return torch.softmax(scores + bias, dim=-1)


def by_hand(scores, mask):
    scores = scores.double() - scores.double().amax(dim=-1, keepdim=True)
    weights = scores.exp() * mask
    return weights / weights.sum(dim=-1, keepdim=True)


def renormalized(scores, mask):
    weights = scores.softmax(-1).masked_fill(mask.logical_not(), 0.0)
    return weights / weights.sum(-1, keepdim=True)


styles = [by_where, by_adding, by_hand, renormalized]
