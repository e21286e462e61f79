"""4.7 turned_up: what is computed. What is said stands in turned_up.md."""

import torch

from course.exercises.common import numbers


def cases():
    """The text's example; one token; as many tokens as numbers; switched off; a long vector; a negative number."""
    return [
        (torch.zeros(2, 3), torch.tensor([1.0, 0.0]), torch.tensor([1.0, 2.0, 0.0]), 3),
        (numbers(1, 2, seed=71), torch.tensor([-0.1]), torch.tensor([1.0, -2.0]), 6),
        *(
            (
                numbers(T, C, seed=s),
                2 * numbers(T, seed=s + 1),
                3 * numbers(C, seed=s + 2),
                number,
            )
            for T, C, number, s in [(4, 4, 2.5, 73), (5, 3, 0, 77), (6, 12, 24, 81), (3, 2, -1.5, 85)]
        ),
    ]


def by_einsum(output, activation, value, number):
    return output + torch.einsum("t,c->tc", number - activation, value)


def taken_out_first(output, activation, value, number):
    without = output - torch.outer(activation, value)
    return without + number * value


def by_loops(output, activation, value, number):
    rows = []
    for row, a in zip(output, activation.tolist()):
        rows.append(row - a * value + number * value)
    return torch.stack(rows)


def as_product(output, activation, value, number):
    return output + (number - activation).unsqueeze(-1) @ value.unsqueeze(0)


styles = [by_einsum, taken_out_first, by_loops, as_product]
