"""The exercises of chapter 7: what a cache saves, what it holds, how it is filled, what it costs.

Here stand the model and the sizes that several of them share.
"""

import torch
from torch import nn
from torch.nn import functional as F

from course.exercises.common import lower, numbers
from gpt2lib.cache import KVCache
from gpt2lib.config import GPT2Config


def small_config(**sizes):
    """Return the config of a tiny model, with other sizes where they are given."""
    return GPT2Config(**{"vocab_size": 23, "n_positions": 8, "n_embd": 6, "n_layer": 2, "n_head": 2} | sizes)


def stand_in(**sizes):
    """Return the config of the model that answers are tried with."""
    return small_config(**{"n_positions": 16, "n_embd": 12, "n_head": 3} | sizes)


def token_ids(B, T, seed):
    """Return seeded random tokens (B, T)."""
    return torch.randint(23, (B, T), generator=torch.Generator().manual_seed(seed))


class SmallModel(nn.Module):
    """Stand in for GPT2: it's called in the same way, and notes how many tokens each call reads."""

    def __init__(self, config):
        super().__init__()
        self.config, self.calls, self.held = config, [], []
        C, V = config.n_embd, config.vocab_size
        self.wte = nn.Embedding(V, C, _weight=numbers(V, C, seed=1))
        self.wpe = nn.Embedding(config.n_positions, C, _weight=numbers(config.n_positions, C, seed=2))
        self.h = [numbers(C, 3 * C, seed=3 + i) / C**0.5 for i in range(config.n_layer)]
        self.head = numbers(C, V, seed=99)
        self.requires_grad_(False)

    def new_cache(self, batch_size=1, max_length=None):
        return KVCache(self.config, batch_size, max_length=max_length)

    def forward(self, tokens, cache=None, *, last_only=False):
        start = 0 if cache is None else cache.length
        if tokens.ndim != 2:
            raise ValueError(f"the model got tokens of shape {tuple(tokens.shape)}, but it reads (B, T)")
        B, T = tokens.shape
        self.calls.append(T)
        self.held.append(None if cache is None else start)
        if T == 0 or start + T > self.config.n_positions:
            raise ValueError(
                f"got {start + T} tokens ({start} of them in the cache), but this model reads {start + 1} to "
                f"{self.config.n_positions} (n_positions)"
            )
        x = self.wte(tokens) + self.wpe.weight[start : start + T]
        for i, weight in enumerate(self.h):
            parts = (x @ weight).chunk(3, dim=-1)
            q, k, v = (part.unflatten(2, (self.config.n_head, -1)).transpose(1, 2) for part in parts)
            if cache is not None:
                k, v = cache[i].append(k, v)
            mask = lower(T, k.shape[2])
            x = x + F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
        return (x[:, -1:] if last_only else x) @ self.head
