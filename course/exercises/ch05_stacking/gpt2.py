"""5.5 GPT2: what is computed. What is said stands in gpt2.md."""

from dataclasses import dataclass

import torch
from torch import nn

from course.exercises.common import numbers
from gpt2lib.config import GPT2Config

arguments = ("T", "cache length", "last_only", "dropout")


def cases():
    """Without a cache; the last position only; with a cache that is empty, and one that is not; up to the last position."""
    return [
        (4, None, False),
        (5, None, True),
        (4, 0, False),
        (2, 5, False),
        (3, 2, True),
        (1, 7, True),
        (4, 5, False),
    ]


def wishes():
    """Dropout after the embedding, as in training."""
    says = (
        "With dropout, though, it gives other numbers than the library's, so it would be trained in another way "
        "(chapter 8). Send the embeddings through `self.drop`, and nothing else."
    )
    return [((5, None, False, 0.5), says)]


class FakeBlock(nn.Module):
    """Stand in for a block: it mixes channels and earlier tokens, and notes the cache it was given."""

    def __init__(self, width, seed):
        super().__init__()
        self.matrix, self.seen = 0.6 * numbers(width, width, seed=seed), []

    def forward(self, x, cache=None):
        self.seen.append(cache)
        return x + torch.tanh(x.cumsum(1) @ self.matrix)


@dataclass(frozen=True)
class FakeCache:
    """Stand in for the cache of chapter 7: a length and one part for each layer."""

    length: int

    def __getitem__(self, layer):
        return f"part {layer} of the cache"


def run(answer, T, length, last_only, dropout=0.0):
    """Return the logits of a model whose blocks are stand-ins, and the caches that they were given."""
    sizes = {"vocab_size": 13, "n_positions": 9, "n_embd": 6, "n_layer": 3, "n_head": 2}
    model = answer(GPT2Config(**sizes, layer_norm_epsilon=0.1, embd_pdrop=dropout))
    model.h = nn.ModuleList(FakeBlock(6, seed) for seed in range(3))
    with torch.no_grad():
        for i, name in enumerate(("wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias")):
            parameter = model.get_parameter(name)
            parameter.copy_(numbers(*parameter.shape, seed=10 + i))
        tokens = torch.randint(13, (2, T), generator=torch.Generator().manual_seed(T))
        cache = None if length is None else FakeCache(length)
        options = {"last_only": True} if last_only else {}
        torch.default_generator.manual_seed(5)
        logits = model(tokens, cache, **options)
    return {"logits": logits, "caches": [[in_words(cache) for cache in block.seen] for block in model.h]}


def in_words(cache):
    """Return what a block was given, with a stand-in as words: the learner never heard of it."""
    return "the whole cache" if isinstance(cache, FakeCache) else cache


# with the modules and the layers' caches in a list; by loops and einsum; without dropout
styles = [
    """
    x = nn.functional.embedding(tokens, self.wte.weight) + self.wpe.weight[start : start + tokens.size(1)]
    layers = [None] * len(self.h) if cache is None else [cache[i] for i in range(len(self.h))]
    for block, layer in zip(self.h, layers):
        x = block(x, cache=layer)
    logits = nn.functional.linear(self.ln_f(x), self.wte.weight)
    return logits[:, -1, None] if last_only else logits
    """,
    """
    x = self.wte(tokens)
    for t in range(tokens.shape[1]):
        x[:, t] += self.wpe.weight[t + start]
    for i in range(len(self.h)):
        x = self.h[i](x, cache[i] if cache else None)
    if last_only:
        x = x[:, [-1]]
    x = layer_norm(x, self.ln_f.weight, self.ln_f.bias, self.ln_f.eps)
    return torch.einsum("btc,vc->btv", x, self.wte.weight)
    """,
    """
    x = embed(tokens, self.wte.weight, self.wpe.weight, start)
    for i, block in enumerate(self.h):
        x = block(x, None if cache is None else cache[i])
    return unembed(self.ln_f(x[:, -1:] if last_only else x), self.wte.weight)
    """,
]
