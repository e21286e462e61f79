"""2.7 with_rows: what is computed. What is said stands in with_rows.md."""

import torch

from course.exercises.ch02_embeddings.embed import draw


def cases():
    """The text's example, two rows swapped; one row; a row twice, in no order; a circle; the last row."""
    return [
        (torch.tensor([[0.0, 0.5], [1.0, 1.5], [2.0, 2.5]]), [0, 2], [2, 0]),
        (draw(6, 3, seed=41), [0], [5]),
        (draw(7, 4, seed=42), [5, 1, 3], [2, 6, 2]),
        (draw(5, 5, seed=43), [1, 2, 4], [2, 4, 1]),
        (draw(4, 6, seed=44), [3, 0], [1, 2]),
    ]


def by_order(table, positions, rows):
    order = list(range(len(table)))
    for position, row in zip(positions, rows):
        order[position] = row
    return table[order]


def by_loop(table, positions, rows):
    changed = table.clone()
    for position, row in zip(positions, rows):
        changed[position] = table[row]
    return changed


def by_stack(table, positions, rows):
    moved = dict(zip(positions, rows))
    return torch.stack([table[moved.get(i, i)] for i in range(len(table))])


def by_index_copy(table, positions, rows):
    return table.index_copy(0, torch.tensor(positions), table[torch.tensor(rows)])


styles = [by_order, by_loop, by_stack, by_index_copy]
