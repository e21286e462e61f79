"""2.1 lookup_by_product: what is computed. What is said stands in lookup_by_product.md."""

import math

import torch
import torch.nn.functional as F

from course.exercises.ch02_embeddings.embed import draw


def cases():
    """One text, a batch, a square table, one token, a strided batch; the highest id is not always in the text."""
    return [
        (torch.tensor([2, 0, 2]), torch.tensor([[0.0, 1.0], [10.0, 11.0], [20.0, 21.0], [30.0, 31.0]])),
        (torch.tensor([[5, 1, 0], [3, 3, 6]]), draw(7, 4, seed=21)),
        (torch.tensor([[0, 4], [2, 1], [3, 3]]), draw(5, 5, seed=22)),
        (torch.tensor([[1]]), draw(3, 4, seed=35)),
        (torch.tensor([[0, 4], [2, 1], [3, 3]]).T, draw(6, 3, seed=36)),
    ]


def wishes():
    """An infinite row that no token asks for: multiplied by zero it is NaN, and a lookup doesn't notice it."""
    says = (
        "Yours doesn't multiply, though: it copies the row. The exercise asks for the product of one-hot vectors and "
        "table."
    )
    return [((torch.tensor([0]), torch.tensor([[1.0, 2.0], [math.inf, 3.0]])), says)]


def by_index(tokens, table):
    return table[tokens]


def by_embedding(tokens, table):
    return F.embedding(tokens, table)


def by_einsum(tokens, table):
    return torch.einsum("...v,vc->...c", torch.eye(len(table), dtype=table.dtype)[tokens], table)


def by_comparison(tokens, table):
    return (torch.arange(len(table)) == tokens.unsqueeze(-1)).double().matmul(table.double()).to(table.dtype)


def by_scatter(tokens, table):
    picks = torch.zeros(*tokens.shape, len(table), dtype=table.dtype)
    picks.scatter_(-1, tokens[..., None], 1.0)
    return picks @ table


styles = [by_index, by_embedding, by_einsum, by_comparison, by_scatter]
