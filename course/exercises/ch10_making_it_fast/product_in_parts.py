"""10.8 product_in_parts: what is computed. What is said stands in product_in_parts.md."""

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from course.exercises.common import counting
from course.exercises.common import numbers as normal

arguments = ("x", "weight", "bias", "parts")


class Batches(TorchDispatchMode):
    """Note the size of each batch of products that torch makes."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("bmm", "baddbmm"):
            self.sizes += [len(part) for part in args if isinstance(part, torch.Tensor) and part.ndim == 3][
                -1:
            ]
        return func(*args, **kwargs or {})


class Products(TorchFunctionMode):
    """Note whether of two sides of a product one has three axes and the other two."""

    def __init__(self):
        super().__init__()
        self.uneven = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in ("matmul", "__matmul__", "__rmatmul__"):
            self.uneven |= {part.ndim for part in args} == {2, 3}
        return func(*args, **kwargs or {})


def cases():
    """Three rows in three parts, one vector, several in as many parts as rows, one part, negative numbers."""
    return [
        (torch.tensor([[1.0, 2.0]]), counting(4, 2), torch.tensor([0.0, 10.0, 20.0, 30.0]), 2),
        (normal(1, 5, seed=60), normal(12, 5, seed=61), normal(12, seed=62), 4),
        (normal(3, 5, seed=63), normal(12, 5, seed=64), normal(12, seed=65), 3),
        (normal(7, 6, seed=66), normal(6, 6, seed=67), normal(6, seed=68), 6),
        (normal(2, 4, seed=69), normal(8, 4, seed=70), normal(8, seed=71), 1),
    ]


def run(answer, x, weight, bias, parts):
    """Return the result, and how many products went out as one batch."""
    with Products() as products, Batches() as batches:
        result = answer(x, weight, bias, parts)
    count = max(batches.sizes, default=0)
    return {"result": result, "products in a batch": "two axes on one side" if products.uneven else count}


def by_baddbmm(x, weight, bias, parts):
    N, K = weight.shape
    blocks = weight.reshape(parts, N // parts, K)
    columns = x.t().expand(parts, K, len(x))
    return torch.baddbmm(bias.view(parts, -1, 1), blocks, columns).view(N, len(x)).t()


def by_bmm(x, weight, bias, parts):
    blocks = torch.stack(weight.chunk(parts))
    y = torch.bmm(x.repeat(parts, 1, 1), blocks.transpose(1, 2))  # (parts, M, N / parts)
    return y.transpose(0, 1).flatten(1) + bias


def by_rows(x, weight, bias, parts):
    blocks = weight.unflatten(0, (parts, -1))
    y = x.expand(parts, *x.shape) @ blocks.mT
    return torch.cat(list(y), dim=1) + bias


def by_pad_of_a_loop(x, weight, bias, parts):
    y = torch.matmul(
        weight.view(parts, -1, x.shape[1]), F.linear(x, torch.eye(x.shape[1])).T.repeat(parts, 1, 1)
    )
    return y.reshape(len(weight), len(x)).T + bias


styles = [by_baddbmm, by_bmm, by_rows, by_pad_of_a_loop]
