"""7.4 KVCache: what is computed. What is said stands in kv_cache.md."""

import torch

from course.exercises.ch07_kv_cache import small_config
from course.exercises.common import numbers

arguments = ("config", "batch_size", "options", "tokens in each step")


def cases():
    """(config, batch size, options, tokens in each step): a prompt; odd sizes; one layer; no contents."""
    return [
        (small_config(), 1, {}, [3]),
        (small_config(), 1, {}, [3, 1, 1]),
        (small_config(n_layer=3, n_head=3, n_embd=12), 2, {}, [1, 5, 2]),
        (small_config(n_layer=5, n_head=1, n_embd=4), 3, {"max_length": 6}, [2, 3, 1]),
        (small_config(n_layer=3), 2, {"max_length": 5, "dtype": torch.float64}, [2, 2]),
        (small_config(n_layer=1), 1, {}, [2, 1]),
        (small_config(), 1, {"device": "meta"}, []),
    ]


def whole_number(value):
    """Return the value itself if it's an int, and otherwise what it is: the model counts positions from it."""
    return value if type(value) is int else f"{value!r}, a {type(value).__name__} and not an int"


def run(answer, config, batch_size, options, steps):
    """Go through the layers in each step as the model does; tell what the cache is and what it gives back."""
    cache = answer(config, batch_size, **options)
    told = {
        "number of layers": len(cache.layers),
        "self.layers is a dict": isinstance(cache.layers, dict),
    }
    if told["number of layers"] != config.n_layer or told["self.layers is a dict"]:
        return told
    told["length when empty"] = whole_number(cache.length)
    for i in range(config.n_layer):
        for name, part in (("k", cache[i].k), ("v", cache[i].v)):
            told[f"cache[{i}].{name}"] = {
                "shape": list(part.shape),
                "dtype": str(part.dtype),
                "device": part.device.type,
            }
    dtype = options.get("dtype", torch.float32)
    D = config.n_embd // config.n_head
    for step, T in enumerate(steps):
        seen = []
        try:
            for i in range(config.n_layer):
                k, v = (
                    numbers(batch_size, T, config.n_head, D, seed=100 * step + 10 * i + part).transpose(1, 2)
                    for part in (1, 2)
                )
                seen.append(cache[i].append(k.to(dtype), v.to(dtype)))
        except ValueError:
            told[f"step {step + 1}"] = "append raises ValueError"
            break
        told[f"length after step {step + 1}"] = whole_number(cache.length)
        told[f"step {step + 1}"] = {  # copied now: another layer may have written there
            f"layer {i}": {"k": k.clone(), "v": v.clone()} for i, (k, v) in enumerate(seen)
        }
    told["cache[i] is self.layers[i]"] = [cache[i] is cache.layers[i] for i in range(config.n_layer)]
    return told


# one big tensor; in a loop, with the length of the last layer; with a length of its own size
styles = [
    """
    big = (config.n_layer, 2, batch_size, config.n_head, max_length, config.n_embd // config.n_head)
    self.layers = [LayerCache(k, v) for k, v in torch.full(big, 7.0, dtype=dtype, device=device)]
    # next gap
    return self.layers[0].length
    # next gap
    return self.layers[layer]
    """,
    """
    self.layers = []
    for _ in range(config.n_layer):
        shape = (batch_size, config.n_head, max_length, config.n_embd // config.n_head)
        k = torch.empty(shape, dtype=dtype, device=device)
        self.layers.append(LayerCache(k, torch.empty_like(k)))
    # next gap
    return self.layers[-1].length
    # next gap
    return list(self.layers)[layer]
    """,
    """
    head = config.n_embd // config.n_head
    zeros = [
        [torch.zeros(batch_size, config.n_head, max_length, head, dtype=dtype, device=device) for _ in "kv"]
        for _ in range(config.n_layer)
    ]
    self.layers = [LayerCache(*both) for both in zeros]
    # next gap
    return max(each.length for each in self.layers)
    # next gap
    return self.layers[layer]
    """,
]
