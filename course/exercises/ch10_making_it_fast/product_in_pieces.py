"""10.12 product_in_pieces: what is computed. What is said stands in product_in_pieces.md."""

import torch
from torch.nn import functional as F

from course.exercises.common import numbers as normal

arguments = ("x", "numbers", "scale", "bias", "the room on the desk", "rows")


def whole(N, K, seed):
    """Return whole numbers from -127 to 127, in int8."""
    return normal(N, K, seed=seed).mul(60).clamp(-127, 127).round().to(torch.int8)


def cases():
    """The example; pieces that come out even; a shorter last one; all at once; one row at a time; room to spare."""
    return [
        (
            torch.tensor([[1.0, 2.0]]),
            torch.tensor([[1, 0], [0, 1], [1, 1]], dtype=torch.int8),
            torch.tensor([1.0, 10.0, 100.0]),
            torch.tensor([0.5, 0.5, 0.5]),
            4,
            2,
        ),
        (normal(1, 5, seed=1), whole(8, 5, 2), normal(8, seed=3), normal(8, seed=4), 20, 4),
        (normal(3, 4, seed=5), whole(10, 4, 6), normal(10, seed=7), normal(10, seed=8), 16, 4),
        (normal(2, 3, seed=9), whole(6, 3, 10), normal(6, seed=11), normal(6, seed=12), 27, 9),
        (normal(2, 6, seed=13), whole(5, 6, 14), normal(5, seed=15), normal(5, seed=16), 6, 1),
        (normal(4, 4, seed=17), whole(7, 4, 18), normal(7, seed=19), normal(7, seed=20), 101, 3),
    ]


def run(answer, x, numbers, scale, bias, room, rows):
    """Return the result, and what was multiplied: how many rows at a time, and where they lay."""
    desk, met = torch.full((room,), 1e6), []

    def multiply(x, floats):
        here = floats.untyped_storage().data_ptr() == desk.untyped_storage().data_ptr()
        met.append((len(floats), "on the desk" if here else "in new memory"))
        return F.linear(x, floats)

    result = answer(x, numbers, scale, bias, desk, rows, multiply)
    pieces = ", ".join(f"{count} {where}" for count, where in met)
    return {"result": result, "rows multiplied at a time": pieces or "none"}


def by_range(x, numbers, scale, bias, desk, rows, multiply):
    N, K = numbers.shape
    y = torch.empty(len(x), N)
    for start in range(0, N, rows):
        stop = min(start + rows, N)
        floats = desk[: (stop - start) * K].view(-1, K)
        floats[:] = numbers[start:stop]
        y[:, start:stop] = multiply(x, floats) * scale[start:stop] + bias[start:stop]
    return y


def by_triples(x, numbers, scale, bias, desk, rows, multiply):
    results = []
    for some, units, offsets in zip(numbers.split(rows), scale.split(rows), bias.split(rows)):
        floats = desk.narrow(0, 0, some.numel()).view_as(some)
        floats.copy_(some)
        results.append(torch.addcmul(offsets, multiply(x, floats), units))
    return torch.cat(results, 1)


def by_scaled_floats(x, numbers, scale, bias, desk, rows, multiply):
    pieces = []
    for some, units in zip(torch.split(numbers, rows), scale.split(rows)):
        floats = torch.mul(some, units[:, None], out=desk[: some.numel()].view(some.shape))
        pieces.append(multiply(x, floats))
    return torch.hstack(pieces) + bias


styles = [by_range, by_triples, by_scaled_floats]
