"""5.2 Block: what is computed. What is said stands in block.md."""

import torch
from torch import nn

from course.exercises.common import numbers
from gpt2lib.config import GPT2Config

arguments = ("x", "cache")


def cases():
    """A batch without a cache; one text of several tokens with one; one token with one."""
    return [
        (numbers(2, 3, 4, seed=9), None),
        (numbers(1, 2, 6, seed=9), "a layer's cache"),
        (numbers(2, 1, 5, seed=10), "a layer's cache"),
    ]


class Layer(nn.Module):
    """Stand in for attention or the MLP: a matrix and a bend, and a note of the cache it was given."""

    def __init__(self, width, seed):
        super().__init__()
        self.matrix = nn.Parameter(0.7 * numbers(width, width, seed=seed))
        self.seen = []

    def forward(self, x, cache=None):
        self.seen.append(cache)
        return torch.tanh(x @ self.matrix)


def run(answer, x, cache):
    """Return what a block does with layers that stand in for attention and MLP."""
    C = x.shape[-1]
    block = answer(GPT2Config(n_embd=C, n_head=1, vocab_size=9, n_positions=9, layer_norm_epsilon=0.1))
    block.attn, block.mlp = Layer(C, 1), Layer(C, 2)
    with torch.no_grad():
        for i, norm in enumerate((block.ln_1, block.ln_2)):
            norm.weight.copy_(1 + 0.5 * numbers(C, seed=3 + i))
            norm.bias.copy_(0.5 * numbers(C, seed=5 + i))
        y = block(x) if cache is None else block(x, cache)
    given = {"cache given to attn": block.attn.seen, "cache given to mlp": block.mlp.seen}
    if cache is None:  # then the texts may be read one by one
        given = {layer: list(dict.fromkeys(seen)) for layer, seen in given.items()}
    return {"result": y} | given


# in steps; in a loop; with the cache by name
styles = [
    """
    a = self.attn(self.ln_1(x), cache)
    h = torch.add(a, x)
    m = self.mlp(self.ln_2(h))
    return m + h
    """,
    """
    for norm, layer, more in ((self.ln_1, self.attn, (cache,)), (self.ln_2, self.mlp, ())):
        x = x + layer(norm(x), *more)
    return x
    """,
    """
    x = x + self.attn(layer_norm(x, self.ln_1.weight, self.ln_1.bias, self.ln_1.eps), cache=cache)
    return x + self.mlp(self.ln_2(x))
    """,
]
