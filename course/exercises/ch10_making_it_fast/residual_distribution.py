"""10.6 residual_distribution: what is computed. What is said stands in residual_distribution.md."""

import torch
from torch.nn import functional as F

from course.exercises.ch10_making_it_fast.acceptance_probability import distributions


def cases():
    """The example, one token that is equal, two others, two that are nearly equal, and two that are equal."""
    same = torch.tensor([0.25, 0.5, 0.25])
    return [
        (torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.7, 0.1])),
        (torch.tensor([0.4, 0.3, 0.2, 0.1]), torch.tensor([0.1, 0.3, 0.1, 0.5])),
        distributions(5, 6),
        distributions(33, 11),
        (torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.498, 0.301, 0.201])),
        (same, same.clone()),
    ]


def run(answer, target, draft):
    """Return the probabilities, and whether the answer has written into what it was given."""
    before = torch.cat([target, draft])
    result = answer(target, draft)
    return {
        "probabilities": result,
        "target or draft changed": not torch.equal(torch.cat([target, draft]), before),
    }


def by_relu(target, draft):
    more = F.relu(target - draft)
    return target if not more.any() else F.normalize(more, p=1, dim=0)


def by_minimum(target, draft):
    rest = target - torch.minimum(target, draft)
    return rest / rest.sum() if rest.sum() else target.clone()


def by_loop(target, draft):
    rest = [max(0.0, p - q) for p, q in zip(target.tolist(), draft.tolist())]
    total = sum(rest)
    return torch.tensor([r / total for r in rest]) if total else target


def by_mask(target, draft):
    rest = torch.where(target > draft, target - draft, 0.0)
    total = rest.sum().item()
    return target if total == 0 else rest / total


styles = [by_relu, by_minimum, by_loop, by_mask]
