"""The models that probes are tried on: a small GPT-2 written without the library, and sick ones."""

import math
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F

from course.exercises.common import numbers
from gpt2lib.config import GPT2Config

VOCABULARY = 17
ROUNDING = 2e-6  # how far the logits of a model that rounds differ from call to call, next to the largest


def ids(seed, B, T):
    """Return seeded random token ids (B, T)."""
    return torch.randint(VOCABULARY, (B, T), generator=torch.Generator().manual_seed(seed))


def lower(T, S, ahead=0):
    """Return the causal mask (T, S), or one that lets each token see so many tokens ahead."""
    return torch.ones(T, S, dtype=torch.bool).tril(S - T + ahead)


class Linear(nn.Linear):
    """A linear layer whose weights are drawn by the model."""

    def reset_parameters(self):
        pass


class SmallGPT2(nn.Module):
    """A GPT-2 with random weights; a sick one replaces some of the methods."""

    rounds = False  # True: the last digits of its logits differ from call to call

    def __init__(self, layers=2, heads=2, width=8, room=24, spread=None, wpe=1.0):
        """Draw weights of the standard deviation `spread` as before training; without it, large ones."""
        super().__init__()
        self.config = GPT2Config(
            vocab_size=VOCABULARY, n_positions=room, n_embd=width, n_layer=layers, n_head=heads
        )
        self.wte, self.wpe = nn.Embedding(VOCABULARY, width), nn.Embedding(room, width)
        self.c_attn = nn.ModuleList(Linear(width, 3 * width) for _ in range(layers))
        self.c_proj = nn.ModuleList(Linear(width, width) for _ in range(layers))
        self.mlp = nn.ModuleList(
            nn.Sequential(Linear(width, 4 * width), nn.GELU("tanh"), Linear(4 * width, width))
            for _ in range(layers)
        )
        self.gains = nn.Parameter(torch.empty(2 * layers + 1, width))
        self.shifts = nn.Parameter(torch.empty(2 * layers + 1, width))
        with torch.no_grad():
            for seed, (name, parameter) in enumerate(self.named_parameters()):
                size = 1.0 if name.startswith("w") else 0.3
                parameter.copy_((size if spread is None else spread) * numbers(*parameter.shape, seed=seed))
            self.wpe.weight.mul_(wpe)
            self.gains.copy_(1 + self.gains if spread is None else torch.ones_like(self.gains))
            self.shifts.mul_(1.0 if spread is None else 0.0)
        self.generator = torch.Generator().manual_seed(0)

    def positions(self, tokens, start):
        return torch.arange(start, start + tokens.shape[1])

    def vectors(self, tokens, start):
        return self.wte(tokens) + self.wpe(self.positions(tokens, start))

    def mask(self, layer, T, S, cached):
        return lower(T, S)

    def norm(self, x):
        return F.layer_norm(x, x.shape[-1:])

    def seen(self, layer, k, v, cache):
        return cache[layer].append(k, v)

    def merge(self, layer, y):
        return y.transpose(1, 2).flatten(2)

    def between(self, layer, x):
        return x

    def unembed(self, x):
        return x @ self.wte.weight.T

    def finish(self, logits, tokens, start, cached):
        return logits

    def attention(self, layer, x, cache):
        parts = self.c_attn[layer](x).chunk(3, dim=-1)
        q, k, v = (part.unflatten(2, (self.config.n_head, -1)).transpose(1, 2) for part in parts)
        if cache is not None:
            k, v = self.seen(layer, k, v, cache)
        mask = self.mask(layer, q.shape[2], k.shape[2], cache is not None)
        bias = mask if mask.is_floating_point() else torch.zeros(mask.shape).masked_fill(~mask, -math.inf)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.c_proj[layer](self.merge(layer, y))

    def forward(self, tokens, cache=None, *, last_only=False):
        start = 0 if cache is None else cache.length
        x = self.vectors(tokens, start)
        for layer in range(self.config.n_layer):
            gains, shifts = self.gains[2 * layer :], self.shifts[2 * layer :]
            x = x + self.attention(layer, self.norm(x) * gains[0] + shifts[0], cache)
            x = self.between(layer, x + self.mlp[layer](self.norm(x) * gains[1] + shifts[1]))
        x = self.norm(x) * self.gains[-1] + self.shifts[-1]
        logits = self.finish(self.unembed(x), tokens, start, cache is not None)
        if self.rounds:
            last_digits = 2 * torch.rand(logits.shape, generator=self.generator) - 1
            logits = logits + ROUNDING * logits.abs().max() * last_digits
        return logits[:, -1:] if last_only else logits


@dataclass(frozen=True)
class Patient:
    """A model to be examined: what it is, in words for the learner, and how it is made."""

    says: str
    parts: dict = field(default_factory=dict)  # what its class does otherwise than SmallGPT2
    sizes: dict = field(default_factory=dict)
    kind: type = SmallGPT2

    def __repr__(self):
        return self.says

    def model(self):
        return type("Patient", (self.kind,), self.parts)(**self.sizes)


def patient(says, parts=None, kind=SmallGPT2, **sizes):
    return Patient(says, parts or {}, sizes, kind)


def rounds_to_whole(self, logits, tokens, start, cached):
    return logits.round()


HEALTHY = patient("a healthy model of 2 layers")
ROUNDS = patient("a healthy model whose last digits differ from call to call", {"rounds": True})
BLANK = patient("a healthy model whose weights are all 0", spread=0.0, room=99)
WHOLE = patient("a healthy model that rounds its logits to whole numbers", {"finish": rounds_to_whole})
LARGER = patient("a healthy model of 3 layers with 3 heads", layers=3, heads=3, width=12)


# What ails some patients in several exercises: methods that take the place of a healthy one's.


def in_layer(chosen, mask):
    """Return the part of a patient whose attention has another mask in one layer."""

    def method(self, layer, T, S, cached):
        return mask(T, S) if layer == chosen else lower(T, S)

    return {"mask": method}


def one_ahead(T, S):
    return torch.ones(T, S, dtype=torch.bool).tril(1)


def merged_by_reshape(self, layer, y):
    return y.reshape(y.shape[0], y.shape[2], -1)


def no_positions(self, tokens, start):
    return self.wte(tokens)


def one_short(self, tokens, start):
    return torch.arange(tokens.shape[1]) + max(0, start - 1)


def newest_alone(self, layer, T, S, cached):
    return torch.eye(S, dtype=torch.bool)[S - T :]


def norm_over_texts(self, x):  # with a large eps: three numbers may lie so close that rounding would show
    return (x - x.mean(0)) / (x.var(0, correction=0) + 1e-2).sqrt()


def mixing(mix):
    """Return the part of a patient that mixes the texts after the last layer: mix(x (B, T, C))."""
    return {"between": lambda self, layer, x: mix(x) if layer == self.config.n_layer - 1 else x}


def adds_the_one_before(x):
    return torch.cat([x[:1], x[1:] + x[:-1].roll(1, -1)])


def moved_at(place, logits, size):
    """Return the logits (B, T, V), two of them moved in opposite directions at one place, by size (B, 1)."""
    if not 0 <= place < logits.shape[1]:
        return logits
    moved = logits.clone()
    moved[:, place, [0, 4]] += size * torch.tensor([0.004, -0.004])
    return moved


class OwnHead(SmallGPT2):
    """A model whose head is a tensor that no optimizer and no checkpoint knows."""

    def table(self):
        return numbers(VOCABULARY, self.config.n_embd, seed=99)

    def __init__(self, **sizes):
        super().__init__(**sizes)
        self.own = self.table()

    def unembed(self, x):
        return x @ self.own.T
