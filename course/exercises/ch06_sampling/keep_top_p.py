"""6.3 keep_top_p: what is computed. What is said stands in keep_top_p.md."""

import math

import torch

from course.exercises.common import numbers


def cases():
    """The text's example, unsorted; a p below the largest; an exact half; everything; random; ties; far from 0."""
    small = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.7, 0.1, 0.15, 0.05]]).log()
    return [
        (torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log(), 0.8),
        (small.clone(), 0.8),
        (small.clone(), 0.01),
        (torch.tensor([[0.25, 0.5, 0.25]]).log(), 0.5),
        (small.clone(), 1.0),
        (2 * numbers(9, 3).T, 0.6),
        (numbers(2, 30, seed=1) + 5, 0.85),
        (torch.zeros(1, 4), 0.3),
        (numbers(2, 6, seed=2) - 120, 0.7),
        (numbers(2, 6, seed=3) + 300, 0.7),
    ]


def run(answer, logits, p):
    """Call the answer; of equally likely tokens those that stay may be any, so they are put in one order."""
    given, found = logits.clone(), answer(logits, p)
    if not isinstance(found, torch.Tensor) or found.shape != given.shape:
        return found
    found = found.clone()
    for row, of in zip(found, given):
        for value in of.unique():
            row[of == value] = row[of == value].sort(descending=True).values
    return found


def by_python(logits, p):
    out = torch.full_like(logits, -math.inf)
    for i, row in enumerate(logits.softmax(-1)):
        total = 0.0
        for j in sorted(range(len(row)), key=lambda j: -row[j].item()):
            if total >= p:
                break
            out[i, j] = logits[i, j]
            total += row[j].item()
    return out


def by_shift(logits, p):
    ranked, order = torch.sort(logits, dim=-1, descending=True)
    remove = ranked.softmax(-1).cumsum(-1) >= p
    remove[:, 1:] = remove[:, :-1].clone()
    remove[:, 0] = False
    return logits.masked_fill(torch.zeros_like(remove).scatter(-1, order, remove), -math.inf)


def from_the_tail(logits, p):
    ranked, order = logits.sort(dim=-1)
    remove = ranked.softmax(-1).cumsum(-1) <= 1 - p
    remove[:, -1] = False
    return logits.masked_fill(torch.zeros_like(remove).scatter(-1, order, remove), -math.inf)


def by_pairs(logits, p):
    probabilities = logits.double().softmax(-1)
    place = torch.arange(logits.shape[-1])
    likelier = probabilities[:, None, :] > probabilities[:, :, None]
    likelier |= (probabilities[:, None, :] == probabilities[:, :, None]) & (place[None, :] < place[:, None])
    before = (likelier * probabilities[:, None, :]).sum(-1)
    return logits.masked_fill(before >= p, -math.inf)


styles = [by_python, by_shift, from_the_tail, by_pairs]
