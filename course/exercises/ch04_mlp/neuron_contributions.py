"""4.5 neuron_contributions: what is computed. What is said stands in neuron_contributions.md."""

import torch
import torch.nn.functional as F

from course.exercises.common import numbers


def cases():
    """The text's example; three neurons of width 2; MLPs of other shapes, one with fewer neurons than numbers."""
    return [
        (torch.tensor([2.0]), torch.tensor([[1.0], [-1.0]]), torch.zeros(2), torch.tensor([[1.0, 1.0]])),
        (
            torch.tensor([1.0, -2.0]),
            torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]]),
            torch.tensor([0.0, 0.5, -1.0]),
            torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, -1.0]]),
        ),
        *(
            (
                numbers(C, seed=s),
                numbers(N, C, seed=s + 1),
                numbers(N, seed=s + 2),
                numbers(N, C, seed=s + 3).T,
            )
            for N, C, s in [(16, 4, 45), (6, 6, 49), (3, 7, 53)]
        ),
    ]


def by_einsum(x, c_fc_weight, c_fc_bias, c_proj_weight):
    strengths = F.gelu(torch.einsum("nc,c->n", c_fc_weight, x) + c_fc_bias, approximate="tanh")
    return torch.einsum("n,cn->nc", strengths, c_proj_weight)


def by_loops(x, c_fc_weight, c_fc_bias, c_proj_weight):
    rows = []
    for i in range(len(c_fc_bias)):
        strength = F.gelu(torch.dot(c_fc_weight[i], x) + c_fc_bias[i], approximate="tanh")
        rows.append(strength * c_proj_weight[:, i])
    return torch.stack(rows)


def by_diagonal(x, c_fc_weight, c_fc_bias, c_proj_weight):
    strengths = F.gelu(F.linear(x, c_fc_weight, c_fc_bias), approximate="tanh")
    return (c_proj_weight @ strengths.diag()).mT


def in_double(x, c_fc_weight, c_fc_bias, c_proj_weight):
    products = (c_fc_weight.double() * x.double()).sum(1) + c_fc_bias.double()
    strengths = F.gelu(products, approximate="tanh")
    return (strengths.unsqueeze(1) * c_proj_weight.double().t()).float()


styles = [by_einsum, by_loops, by_diagonal, in_double]
