"""7.2 LayerCache: what is computed. What is said stands in layer_cache.md."""

import torch

from course.exercises.common import numbers

arguments = ("B", "H", "D", "capacity", "tokens in each append")


def cases():
    """A prompt and a token; batches; chunks, up to the last place; one token too many."""
    return [
        (1, 2, 2, 5, [3, 1]),
        (1, 2, 2, 5, [3, 1, 1]),
        (2, 3, 4, 7, [1, 1, 5]),
        (3, 2, 5, 12, [2, 4, 1, 1, 1]),
        (1, 3, 2, 4, [3, 2, 1]),
    ]


def run(answer, B, H, D, capacity, calls):
    """Append tokens, as split_heads makes them; tell what came back each time, and the length."""
    memory = [numbers(B, H, capacity, D, seed=seed) for seed in (1, 2)]  # what is in it doesn't matter
    cache, told = answer(*memory), {}
    for i, T in enumerate(calls):
        k, v = (numbers(B, T, H, D, seed=seed + i).transpose(1, 2) for seed in (10, 20))
        try:
            result = cache.append(k, v)
        except ValueError:
            if sum(calls[: i + 1]) <= capacity:
                raise
            result = "raises ValueError"
        told[f"append {i + 1}"] = copied(result)
        told[f"length after it, {i + 1}"] = cache.length
        told[f"a part of the memory, {i + 1}"] = shared(cache, result)
    cache.length = 1  # as `truncate` does
    k, v = (numbers(B, 1, H, D, seed=seed).transpose(1, 2) for seed in (30, 40))
    told["append after length went back to 1"] = copied(cache.append(k, v))
    return told


def copied(result):
    """Return k and v as they are now: a later append may write there."""
    if not (isinstance(result, (tuple, list)) and len(result) == 2):
        return result
    return tuple(part.clone() if isinstance(part, torch.Tensor) else part for part in result)


def shared(cache, result):
    """Return whether k and v are views into the memory."""
    parts = result if isinstance(result, (tuple, list)) else ()
    memory = {part.untyped_storage().data_ptr() for part in (cache.k, cache.v)}
    return all(
        isinstance(part, torch.Tensor) and part.untyped_storage().data_ptr() in memory for part in parts
    )


# by narrow; token by token; by places; with a new tensor of the same size each time
styles = [
    """
    for memory, new in ((self.k, k), (self.v, v)):
        memory.narrow(2, self.length, new.shape[2]).copy_(new)
    self.length = end
    return self.k.narrow(2, 0, end), self.v.narrow(2, 0, end)
    """,
    """
    for t in range(k.shape[2]):
        self.v[:, :, self.length] = v[:, :, t]
        self.k[:, :, self.length] = k[:, :, t]
        self.length += 1
    return self.k[:, :, : self.length], self.v[:, :, : self.length]
    """,
    """
    places = torch.arange(self.length, end)
    self.k.index_copy_(2, places, k)
    self.v.index_copy_(2, places, v)
    self.length = end
    return self.k[..., :end, :], self.v[..., :end, :]
    """,
    """
    old, rest = slice(0, self.length), slice(end, None)
    self.k = torch.cat([self.k[:, :, old], k, self.k[:, :, rest]], dim=2)
    self.v = torch.cat([self.v[:, :, old], v, self.v[:, :, rest]], dim=2)
    self.length += k.shape[2]
    return self.k[:, :, :end], self.v[:, :, :end]
    """,
]
