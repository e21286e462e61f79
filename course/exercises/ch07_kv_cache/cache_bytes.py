"""7.7 cache_bytes: what is computed. What is said stands in cache_bytes.md."""

import math

import torch

from course.exercises.ch07_kv_cache import small_config
from gpt2lib.config import GPT2Config


def cases():
    """The example's model with the defaults; then every argument moved, and GPT-2 small and XL."""
    return [
        (small_config(n_layer=5, n_head=3), 10),
        (small_config(n_layer=5, n_head=2), 7, 2, 3),
        (small_config(n_embd=15, n_layer=2, n_head=3), 11, 1, 4),
        (GPT2Config(), 1),
        (GPT2Config.preset("gpt2-xl"), 1000, 2, 8),
    ]


def of_tensors(config, tokens, bytes_per_number=4, batch_size=1):
    shape = (2, config.n_layer, batch_size, config.n_head, tokens, config.n_embd // config.n_head)
    return torch.empty(shape, device="meta").numel() * bytes_per_number


def by_loops(config, tokens, bytes_per_number=4, batch_size=1):
    total = 0
    for _layer in range(config.n_layer):
        for _name in ("k", "v"):
            total += config.n_embd * bytes_per_number
    return total * tokens * batch_size


def by_heads(config, tokens, bytes_per_number=4, batch_size=1):
    head = config.n_embd // config.n_head
    return math.prod([batch_size, config.n_layer, 2, config.n_head, head, tokens, bytes_per_number])


styles = [of_tensors, by_loops, by_heads]
