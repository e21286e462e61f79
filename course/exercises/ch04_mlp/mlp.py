"""4.3 MLP: what is computed. What is said stands in mlp.md."""

import zlib

import torch

from course.exercises.common import numbers
from gpt2lib.config import GPT2Config

arguments = ("n_embd", "x", "dropout")
tolerance = 1e-4  # three products one after the other: processors differ by 1e-5


def cases():
    """Two tokens of width 2; a batch of two texts, wider, with strides; one token; large numbers."""
    return [
        (2, torch.tensor([[[1.0, -0.5], [0.2, 2.0]]])),
        (6, numbers(3, 2, 6, seed=43).transpose(0, 1)),
        (9, 0.3 * numbers(3, 1, 9, seed=44)),
        (3, 100 * numbers(2, 3, 3, seed=45)),
    ]


def wishes():
    """Dropout of the result, as in training."""
    says = (
        "With dropout, though, it gives other numbers than the library's, so it would be trained in another way "
        "(chapter 8). Send the result through `self.resid_dropout` at the end, and nothing else."
    )
    return [((6, numbers(3, 2, 6, seed=46), 0.5), says)]


def run(answer, n_embd, x, dropout=0.0):
    """Build the MLP, fill its weights by name and run it; tell the shapes where they are not the checkpoint's.

    Where only the names are others, these don't count: whatever they are, it's one mistake.
    """
    C, N = n_embd, 4 * n_embd
    want = {"c_fc.bias": (N,), "c_fc.weight": (N, C), "c_proj.bias": (C,), "c_proj.weight": (C, N)}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(4)
        sizes = {"vocab_size": 11, "n_positions": 7, "n_embd": n_embd, "n_layer": 1}
        mlp = answer(GPT2Config(**sizes, n_head=n_embd // 3 or 1, resid_pdrop=dropout))
        have = {name: tuple(parameter.shape) for name, parameter in sorted(mlp.named_parameters())}
        if have.keys() != want.keys() and sorted(have.values()) == sorted(want.values()):
            return {"parameters": "other names"}
        if have != want:
            return {"parameters": have}
        with torch.no_grad():
            for name, parameter in mlp.named_parameters():
                parameter.copy_(numbers(*parameter.shape, seed=zlib.crc32(name.encode())))
            torch.default_generator.manual_seed(5)
            return {"parameters": have, "result": mlp(x)}


# the bend as a module of its own; by einsum; token by token; in float64; with a plain gelu and no dropout
styles = [
    """
    self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
    self.act = nn.GELU(approximate="tanh")
    self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)
    # next gap
    x = self.c_fc(x)
    x = self.act(x)
    return self.c_proj(x)
    """,
    """
    self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
    self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)
    # next gap
    hidden = gelu(torch.einsum("btc,nc->btn", x, self.c_fc.weight) + self.c_fc.bias)
    return torch.einsum("btn,cn->btc", hidden, self.c_proj.weight) + self.c_proj.bias
    """,
    """
    inner = config.n_embd * 4
    self.c_fc, self.c_proj = nn.Linear(config.n_embd, inner), nn.Linear(inner, config.n_embd)
    # next gap
    out = torch.empty_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            out[b, t] = self.c_proj(F.gelu(self.c_fc(x[b, t]), approximate="tanh"))
    return out
    """,
    """
    self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
    self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)
    # next gap
    hidden = gelu(F.linear(x.double(), self.c_fc.weight.double(), self.c_fc.bias.double()))
    return F.linear(hidden, self.c_proj.weight.double(), self.c_proj.bias.double()).float()
    """,
    """
    self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
    self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)
    # next gap
    return self.c_proj(gelu(self.c_fc(x)))
    """,
]
