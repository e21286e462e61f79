"""10.13 product_in_chunks: what is computed. What is said stands in product_in_chunks.md."""

import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from course.exercises.common import numbers as normal

arguments = ("x", "numbers", "scale", "bias", "room")


class Fresh(TorchDispatchMode):
    """Note how many floats the largest tensor has that isn't a view of another."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result, given = func(*args, **(kwargs or {})), [*args, *(kwargs or {}).values()]
        given = {each.untyped_storage().data_ptr() for each in given if isinstance(each, torch.Tensor)}
        if isinstance(result, torch.Tensor) and result.is_floating_point():
            if result.untyped_storage().data_ptr() not in given:
                self.largest = max(self.largest, result.numel())
        return result


def cases():
    """Three numbers by hand, long rows in chunks that don't come out even, and one chunk that's larger than all.

    The entries are small whole numbers: their sums are exact in any order.
    """

    def case(M, N, K, R, seed):
        x, numbers = (2 * normal(M, K, seed=seed)).round(), (20 * normal(N, K, seed=seed + 1)).round()
        scale, bias = normal(N, seed=seed + 2).abs() / 8 + 0.1, normal(N, seed=seed + 3)
        return x, numbers.clamp(-127, 127).to(torch.int8), scale, bias, torch.full((R, K), 9.0)

    by_hand = (
        torch.tensor([[1.0, 2.0, 0.0]]),
        torch.tensor([[3, -1, 100], [0, 4, -100], [1, 1, 1]], dtype=torch.int8),
        torch.tensor([0.5, 0.25, 1.0]),
        torch.tensor([10.0, 20.0, 30.0]),
        torch.zeros(2, 3),
    )
    return [
        by_hand,
        case(1, 10, 32, 4, 80),
        case(2, 7, 40, 3, 84),
        case(3, 6, 30, 2, 88),
        case(1, 3, 16, 8, 92),
    ]


def run(answer, x, numbers, scale, bias, room):
    """Return the result, and how many rows were turned into floats at once outside of room."""
    memory = room.clone()
    with Fresh() as fresh:
        result = answer(x, numbers, scale, bias, memory)
    (M, K), N = x.shape, len(numbers)
    return {
        "result": result,
        "rows of floats outside room": fresh.largest // K if fresh.largest > M * N else 0,
    }


def by_places(x, numbers, scale, bias, room):
    y = torch.empty(len(x), len(numbers))
    for start in range(0, len(numbers), len(room)):
        some = numbers[start : start + len(room)]
        room[: len(some)] = some
        y[:, start : start + len(some)] = x @ room[: len(some)].T
    return y * scale + bias


def row_by_row(x, numbers, scale, bias, room):
    columns = []
    for n, row in enumerate(numbers):
        room[0].copy_(row)
        columns.append(F.linear(x, room[:1]) * scale[n] + bias[n])
    return torch.hstack(columns)


def chunk_by_chunk(x, numbers, scale, bias, room):
    done = []
    for some, unit, more in zip(*(each.split(len(room)) for each in (numbers, scale, bias))):
        floats = room[: len(some)]
        floats.copy_(some)
        done.append(torch.addcmul(more, F.linear(x, floats), unit))
    return torch.cat(done, -1)


def scaled_in_place(x, numbers, scale, bias, room):
    sums, start = [], 0
    while start < len(numbers):
        end = min(start + room.shape[0], numbers.shape[0])
        floats = room[: end - start].copy_(numbers[start:end]).mul_(scale[start:end, None])
        sums.append(floats @ x.T + bias[start:end, None])
        start = end
    return torch.cat(sums).T


def written_there(x, numbers, scale, bias, room):
    y, R = x.new_zeros(len(x), len(numbers)), len(room)
    for i in range(0, len(numbers), R):
        n = min(R, len(numbers) - i)
        torch.mul(numbers[i : i + n], 1.0, out=room[:n])
        torch.mm(x, room[:n].T, out=y[:, i : i + n])
    return y * scale + bias


styles = [by_places, written_there, row_by_row, chunk_by_chunk, scaled_in_place]
