"""3.5 split_heads: what is computed. What is said stands in split_heads.md."""

import torch

from course.exercises.common import counting, numbers

differentiable = True


def cases():
    """The text's example; then sizes that all differ; one head; heads of width one; one token."""
    return [
        (counting(1, 2, 4), 2),
        (counting(1, 3, 4), 2),
        (numbers(2, 5, 12), 3),
        (numbers(3, 4, 10, seed=1), 2),
        (numbers(2, 3, 4, seed=2), 1),
        (numbers(2, 3, 5, seed=3), 5),
        (numbers(2, 1, 6, seed=4), 2),
    ]


def by_permute(x, n_head):
    return x.reshape(*x.shape[:2], n_head, -1).permute(0, 2, 1, 3).contiguous()


def by_stack(x, n_head):
    return torch.stack(x.chunk(n_head, dim=-1), dim=1)


def by_unflatten(x, n_head):
    return x.unflatten(-1, (n_head, -1)).movedim(2, 1)


def by_loops(x, n_head):
    B, T, C = x.shape
    D = C // n_head
    out = torch.zeros(B, n_head, T, D)
    for h in range(n_head):
        out[:, h] = x[:, :, h * D : (h + 1) * D]
    return out


def by_einsum(x, n_head):
    return torch.einsum("bthd->bhtd", x.view(x.size(0), x.size(1), n_head, x.size(2) // n_head))


styles = [by_permute, by_stack, by_unflatten, by_loops, by_einsum]
