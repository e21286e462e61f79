"""6.1 scale_temperature: what is computed. What is said stands in scale_temperature.md."""

import math

import torch

from course.exercise import Mistake
from course.exercises.ch06_sampling.keep_top_k import ties
from course.exercises.common import numbers


def cases():
    """Half, double, one, small, zero, and zero with a tie; large logits."""
    logits = torch.tensor([[2.0, 1.0, 0.0], [-1.0, 0.5, 3.0]])
    return [
        (logits.clone(), 0.5),
        (logits.clone(), 2.0),
        (numbers(3, 7), 1.0),
        (numbers(5, 2, seed=1).T, 0.7),
        (logits.clone(), 0.0004),
        (logits.clone(), 0.004),
        (logits.clone(), 0.05),
        (logits.clone(), 0),
        (ties(), 0.0),
        (100 * numbers(2, 5, seed=2) - 300, 0.8),
    ]


def by_scatter(logits, t):
    if t:
        return logits.mul(1 / t)
    best = logits.argmax(dim=-1, keepdim=True)
    return torch.full_like(logits, -math.inf).scatter(-1, best, logits.gather(-1, best))


def by_rows(logits, t):
    if t > 0:
        return torch.stack([row.double() / t for row in logits])
    out = torch.full_like(logits, -math.inf)
    for i, row in enumerate(logits):
        out[i, row.argmax()] = row.max()
    return out


def by_where(logits, t):
    if t == 0:
        return torch.where(torch.arange(logits.shape[-1]) == logits.argmax(-1)[:, None], logits, -math.inf)
    return torch.div(logits, t)


styles = [by_scatter, by_rows, by_where]


def tiny(least, added):
    """Return an answer that divides by a tiny number instead of by 0."""
    return lambda logits, t: logits / (t + least if added else max(t, least))


# not as diffs, because everybody takes another tiny number
extra = [
    Mistake(
        "tiny-instead-of-zero",
        tiny(10.0**-digits, added),
        "You replace 0 with a tiny number. Ties stay tied then, and the logits become huge. Keep the largest logit, "
        "and set the others to -inf.",
        2,
        "shortcut",
    )
    for digits in range(3, 13)
    for added in (False, True)
]
