"""3.4 attend: what is computed. What is said stands in attend.md."""

import math

import torch
import torch.nn.functional as F

from course.exercises.common import counting, lower, numbers

differentiable = True


def cases():
    """The text's example; two new tokens of three; seen ones before them; no mask; gaps in the mask; one token.

    The last two: heads as `split_heads` returns them, and scores of 160. Scores as large as these are off by 1e-4
    on some processors, so they lie far enough apart to make weights of 0 and 1.
    """
    q = torch.tensor([[[[2.0, 1.0]]]])
    k = torch.tensor([[[[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.5, 0.0]]]])
    v = torch.tensor([[[[0.0, 0.0], [9.0, 0.0], [1.0, 8.0], [0.0, 2.0]]]])
    gaps = torch.tensor([[True, False, True, True, False], [False, True, True, False, True]])
    large = torch.tensor([[[[320.0, 1.0, 0.0, 2.0], [-320.0, 0.0, 2.0, 1.0]]]])
    keys = torch.tensor([[[[1.0, 0.0, 2.0, 0.0], [1.05, 2.0, 0.0, 1.0], [0.5, 1.0, 1.0, 0.0]]]])
    return [
        (q, k, v, None),
        *(
            (1.5 * numbers(B, H, T, D), numbers(B, H, S, D, seed=1), numbers(B, H, S, D, seed=2), mask)
            for (B, H, T, S, D), mask in [
                ((1, 2, 2, 3, 3), lower(2, 3)),
                ((2, 3, 4, 6, 5), lower(4, 6)),
                ((2, 3, 4, 5, 7), None),
                ((3, 2, 2, 5, 4), gaps),
                ((3, 4, 5, 5, 2), lower(5, 5)),
                ((3, 2, 1, 4, 6), None),
                ((2, 2, 1, 5, 3), gaps[:1].clone()),
            ]
        ),
        (*(numbers(2, 4, 3, 6, seed=seed).transpose(1, 2) for seed in range(3)), lower(4, 4)),
        (large, keys, counting(1, 1, 3, 4), lower(2, 3)),
    ]


def wishes():
    """A hidden score that is further above the visible one than -1e4 hides."""
    says = (
        "One thing to know: when a hidden score is far above the visible ones (20,000, say), it still plays a part in "
        "yours, and the result comes out wrong or NaN. Hiding it with -inf before the softmax avoids that."
    )
    k, v = torch.tensor([[[[-20_000.0], [0.0]]]]), torch.tensor([[[[1.0], [5.0]]]])
    return [((torch.ones(1, 1, 1, 1), k, v, torch.tensor([[True, False]])), says)]


def by_sdpa(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def by_einsum(q, k, v, mask=None):
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores + torch.where(mask, 0.0, -1e9)
    return torch.einsum("bhts,bhsd->bhtd", scores.softmax(-1), v)


def by_loops(q, k, v, mask=None):
    B, H, T, D = q.shape
    out = torch.empty(B, H, T, v.shape[-1], dtype=torch.float64)
    for b in range(B):
        for h in range(H):
            for t in range(T):
                may = slice(None) if mask is None else mask[t]
                keys, values = k[b, h, may].double(), v[b, h, may].double()
                out[b, h, t] = torch.softmax(keys @ q[b, h, t].double() / D**0.5, 0) @ values
    return out


def by_bmm(q, k, v, mask=None):
    B, H, T, D = q.shape
    q, k, v = q.reshape(B * H, T, D) * D**-0.5, k.reshape(B * H, -1, D), v.reshape(B * H, -1, D)
    scores = torch.bmm(q, k.transpose(1, 2))
    if mask is not None:
        scores[:, mask.logical_not()] = float("-inf")
    return torch.bmm(F.softmax(scores, dim=2), v).view(B, H, T, D)


def by_hand(q, k, v, mask=None):
    scores = q @ k.mT / math.sqrt(k.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
    return (weights @ v) / weights.sum(dim=-1, keepdim=True)


styles = [by_sdpa, by_einsum, by_loops, by_bmm, by_hand]
