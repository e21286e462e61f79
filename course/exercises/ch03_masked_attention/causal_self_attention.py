"""3.7 CausalSelfAttention: what is computed. What is said stands in causal_self_attention.md."""

import math
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import nn

from course.exercises.common import numbers
from gpt2lib.config import GPT2Config

arguments = ("config", "x", "chunks")
tolerance = 1e-4  # results of up to 30 and several products: processors differ by 1e-5


class GrowingCache:
    """A cache that joins keys and values on: stands in for chapter 7's LayerCache."""

    def __init__(self):
        self.k = self.v = None

    @property
    def length(self):
        return 0 if self.k is None else self.k.shape[2]

    def append(self, k, v):
        for name, part in (("k", k), ("v", v)):
            if part.ndim != 4:
                raise ValueError(
                    f"the cache takes k and v split into heads, (B, H, T, D), but {name} has shape "
                    f"{tuple(part.shape)}"
                )
        self.k = k if self.k is None else torch.cat([self.k, k], dim=2)
        self.v = v if self.v is None else torch.cat([self.v, v], dim=2)
        return self.k, self.v


def run(answer, config, x, chunks):
    """Build an answer, fill it, and call it: on all of x, or on chunks of it with a cache.

    Returns the output; with chunks, the output of all of them and what the cache then holds.
    """
    module = answer(config)
    C = config.n_embd
    want = {
        "c_attn.weight": (3 * C, C),
        "c_attn.bias": (3 * C,),
        "c_proj.weight": (C, C),
        "c_proj.bias": (C,),
    }
    have = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
    if have != want:
        raise ValueError(f"its parameters are {have}, but the checkpoint has {want}")
    for name, parameter in module.named_parameters():
        parameter.data = 0.7 * numbers(*parameter.shape, seed=crc32(name.encode()))
    module.to(x.device)
    with torch.no_grad():
        if chunks is None:
            return module(x)
        cache = GrowingCache()
        y = torch.cat([module(part, cache) for part in x.split(chunks, dim=1)], dim=1)
    return [y, cache.k, cache.v]


SMALL, LARGER = GPT2Config(n_embd=4, n_head=2), GPT2Config(n_embd=12, n_head=3)


def cases():
    """Two heads of two; sizes that all differ; one token; a cache filled in chunks; heads of width one; x strided."""
    return [
        (SMALL, numbers(1, 3, 4), None),
        (LARGER, numbers(2, 5, 12, seed=1), None),
        (LARGER, numbers(2, 1, 12, seed=2), None),
        (LARGER, numbers(2, 7, 12, seed=3), (4, 2, 1)),
        (SMALL, numbers(3, 5, 4, seed=4), (1, 4)),
        (GPT2Config(n_embd=3, n_head=3), numbers(2, 4, 3, seed=5), None),
        (LARGER, numbers(2, 12, 5, seed=6).mT, None),
    ]


def wishes():
    """Another device than the CPU."""
    says = (
        "One thing to know: on a GPU your version would stop, because it makes a tensor on the CPU. Pass "
        "device=x.device when you make one."
    )
    return [((LARGER, torch.empty(2, 5, 12, device="meta"), None), says)]


BY_HAND = """
q, k, v = self.c_attn(x).chunk(3, dim=-1)
q, k, v = (split_heads(part, self.n_head) for part in (q, k, v))
# next gap
scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
scores = scores.masked_fill(~causal_mask(T, S, x.device), -math.inf)
weights = scores.softmax(dim=-1)
y = merge_heads(weights @ v)
return self.c_proj(y)
"""

BY_ATTEND = """
q, k, v = self.c_attn(x).chunk(3, dim=-1)
q, k, v = (split_heads(part, self.n_head) for part in (q, k, v))
# next gap
y = merge_heads(attend(q, k, v, causal_mask(T, S, x.device)))
return self.c_proj(y)
"""

BY_SDPA = """
B, T, C = x.size()
q, k, v = self.c_attn(x).split(C, dim=2)
q, k, v = (part.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for part in (q, k, v))
# next gap
mask = None if T == 1 else torch.arange(S) <= torch.arange(S - T, S)[:, None]
y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
return self.c_proj(y.transpose(1, 2).contiguous().view(*x.shape))
"""

BY_EINSUM = """
parts = self.c_attn(x).unflatten(-1, (3, self.n_head, -1))
q, k, v = torch.einsum("btnhd->nbhtd", parts)
# next gap
scores = torch.einsum("bhtd,bhsd->bhts", q, k) * q.size(-1) ** -0.5
scores = scores + torch.full(scores.shape[-2:], -1e10).triu(1 + k.size(2) - q.size(2))
y = torch.einsum("bhts,bhsd->bthd", scores.softmax(-1), v)
return self.c_proj(y.flatten(2))
"""

BY_SLICED_WEIGHTS = """
weights, biases = self.c_attn.weight.chunk(3), self.c_attn.bias.chunk(3)
q, k, v = (split_heads(F.linear(x, w, b), self.n_head) for w, b in zip(weights, biases))
# next gap
return self.c_proj(merge_heads(attend(q, k, v, causal_mask(T, S, x.device))))
"""

BY_HEADS = """
C = x.shape[-1]
made = self.c_attn(x).double()
q, k, v = (split_heads(made[..., i * C : (i + 1) * C], self.n_head) for i in range(3))
# next gap
found = []
for h in range(self.n_head):
    rows = []
    for t in range(T):
        end = S - T + t + 1
        scores = (k[:, h, :end] * q[:, h, t : t + 1]).sum(-1) / math.sqrt(q.shape[-1])
        rows.append((scores.softmax(-1)[..., None] * v[:, h, :end]).sum(1))
    found.append(torch.stack(rows, dim=1))
return F.linear(torch.cat(found, dim=-1).float(), self.c_proj.weight, self.c_proj.bias)
"""


class ByItsOwnBuffer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head, self.width = config.n_head, config.n_embd // config.n_head
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        S = config.n_positions
        self.register_buffer("seen", torch.ones(S, S, dtype=torch.bool).tril(), persistent=False)

    def forward(self, x, cache=None):
        parts = reversed(self.c_attn(x).tensor_split(3, dim=-1))
        v, k, q = (part.unflatten(-1, (self.n_head, -1)).transpose(1, 2) for part in parts)
        if cache is not None:
            k, v = cache.append(k, v)
        T, S = q.shape[-2], k.shape[-2]
        scores = torch.matmul(q, k.mT).div(math.sqrt(self.width))
        scores = scores.masked_fill(~self.seen[S - T : S, :S], -torch.inf)
        return self.c_proj(torch.matmul(F.softmax(scores, -1), v).transpose(1, 2).flatten(2))


styles = [BY_HAND, BY_ATTEND, BY_SDPA, BY_EINSUM, BY_SLICED_WEIGHTS, BY_HEADS, ByItsOwnBuffer]
