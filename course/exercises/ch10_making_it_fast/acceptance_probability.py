"""10.5 acceptance_probability: what is computed. What is said stands in acceptance_probability.md."""

from numbers import Number

import numpy as np
import torch

from course.exercises.common import numbers

arguments = ("target", "draft", "token")


def distributions(seed, V):
    """Return two sets of probabilities over V tokens."""
    return tuple((2 * numbers(V, seed=seed + i)).softmax(0) for i in range(2))


def cases():
    """The text's example; offered too often, too seldom, as often as the target; the target excludes the token.

    No probability is near 0 or 1 without being it, so that an answer that draws gives itself away.
    """
    small = torch.tensor([0.2, 0.5, 0.3]), torch.tensor([0.5, 0.2, 0.3])
    never = torch.tensor([0.0, 0.6, 0.4]), torch.tensor([0.3, 0.3, 0.4])
    random = distributions(46, 6)
    return [(*small, token) for token in range(3)] + [(*never, 0)] + [(*random, token) for token in range(6)]


def as_float(result):
    """Return a number or a truth value, alone or in a tensor, as a float; other things as they are."""
    if isinstance(result, (Number, np.generic, np.ndarray, torch.Tensor)):
        result = torch.as_tensor(result)
        return float(result) if result.numel() == 1 else result
    return result


def run(answer, target, draft, token):
    """Return the result as a float; where it is 0 or 1, ask many times, and return both if it is drawn."""
    result = as_float(answer(target, draft, token))
    if not isinstance(result, float) or result not in (0.0, 1.0):
        return result
    results = {as_float(answer(target, draft, token)) for _ in range(60)}
    return result if results == {result} else tuple(sorted(results))


def by_case(target, draft, token):
    p, q = target[token].item(), draft[token].item()
    if p >= q:
        return 1.0
    return p / q


def by_clamp(target, draft, token):
    return (target[token] / draft[token]).clamp(max=1)


def by_minimum(target, draft, token):
    return float(torch.minimum(target, draft)[token] / draft[token])


def by_numpy(target, draft, token):
    return min(target.numpy()[token] / draft.numpy()[token], 1)


def by_logs(target, draft, token):
    return torch.exp(torch.log(target[token]) - torch.log(draft[token])).clamp(max=1)


styles = [by_case, by_clamp, by_minimum, by_numpy, by_logs]
