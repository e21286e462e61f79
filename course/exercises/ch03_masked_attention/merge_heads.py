"""3.6 merge_heads: what is computed. What is said stands in merge_heads.md."""

import torch

from course.exercises.common import counting, numbers

differentiable = True


def cases():
    """The text's example; then sizes that all differ; one head; heads of width one; one token; a split x."""
    return [
        (counting(1, 2, 4).view(1, 2, 2, 2).transpose(1, 2).contiguous(),),
        (counting(1, 2, 3, 2),),
        (numbers(2, 3, 5, 4),),
        (numbers(3, 2, 4, 5, seed=1),),
        (numbers(2, 1, 3, 4, seed=2),),
        (numbers(2, 5, 3, 1, seed=3),),
        (numbers(2, 3, 1, 4, seed=4),),
        (numbers(2, 5, 3, 4, seed=5).transpose(1, 2),),
    ]


def by_cat(x):
    return torch.cat(x.unbind(dim=1), dim=-1)


def by_contiguous(x):
    B, H, T, D = x.shape
    return x.permute(0, 2, 1, 3).contiguous().view(B, T, H * D)


def by_reshape(x):
    return x.movedim(1, 2).reshape(x.size(0), x.size(2), -1)


def by_loops(x):
    B, H, T, D = x.shape
    out = torch.zeros(B, T, H * D)
    for h in range(H):
        for t in range(T):
            out[:, t, h * D : (h + 1) * D] = x[:, h, t]
    return out


styles = [by_cat, by_contiguous, by_reshape, by_loops]
