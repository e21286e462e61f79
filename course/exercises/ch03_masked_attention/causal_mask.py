"""3.2 causal_mask: what is computed. What is said stands in causal_mask.md."""

import torch

from course.exercises.common import lower


def cases():
    """The text's two; one new token; wider; one token of one; and a device that holds no numbers."""
    return [(3, 3), (2, 5), (1, 4), (3, 7), (1, 1), (2, 3, "meta")]


def run(answer, T, S, device=None):
    """Return the mask, made with the device only where there is one."""
    return answer(T, S) if device is None else answer(T, S, device=device)


def by_comparison(T, S, device=None):
    query = torch.arange(S - T, S, device=device)[:, None]
    return torch.arange(S, device=device)[None, :] <= query


def by_loops(T, S, device=None):
    mask = torch.zeros(T, S, dtype=torch.bool, device=device)
    for t in range(T):
        mask[t, : S - T + t + 1] = True
    return mask


def by_triu(T, S, device=None):
    return torch.triu(torch.ones(T, S), diagonal=S - T + 1).eq(0).to(device)


def by_last_rows(T, S, device=None):
    return torch.ones(S, S, dtype=torch.bool, device=device).tril()[-T:]


def by_joining(T, S, device=None):
    return torch.cat([torch.ones(T, S - T, dtype=torch.bool), lower(T, T)], dim=1).to(device)


styles = [by_comparison, by_loops, by_triu, by_last_rows, by_joining]
