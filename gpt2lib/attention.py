"""Masked self-attention with many heads. Built in chapter 03."""

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from gpt2lib.config import GPT2Config

if TYPE_CHECKING:
    from gpt2lib.cache import LayerCache


def causal_mask(T: int, S: int, device: torch.device | str | None = None) -> torch.Tensor:
    """Return which of S seen tokens each of the T newest may look at: itself and all before it.

    -> bool (T, S), True where it may look. Row t is the token at position S - T + t.
    Raises ValueError if T is larger than S.
    """
    if T > S:
        raise ValueError(
            f"T is {T} and S is {S}, but the T new tokens are among the S seen ones; pass T <= S"
        )
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(diagonal=S - T)


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Return, for each query, the average of the values weighted by how well their keys match it.

    q (B, H, T, D), k and v (B, H, S, D), mask bool (T, S) or None for all -> (B, H, T, D).
    Source: Vaswani et al. 2017, section 3.2.1. `F.scaled_dot_product_attention` is the fused
    form.
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, H, T, D) @ (B, H, D, S) -> (B, H, T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.softmax(dim=-1)  # each row sums to 1 over the S keys
    return weights @ v  # (B, H, T, S) @ (B, H, S, D) -> (B, H, T, D)


def split_heads(x: torch.Tensor, n_head: int) -> torch.Tensor:
    """Cut each token's vector into one piece per head.

    (B, T, C) -> (B, H, T, D) with D = C / H.
    """
    B, T, C = x.shape
    return x.view(B, T, n_head, C // n_head).transpose(1, 2)


def merge_heads(x: torch.Tensor) -> torch.Tensor:
    """Put the heads' pieces of each token side by side again; undoes `split_heads`.

    (B, H, T, D) -> (B, T, C) with C = H * D.
    """
    return x.transpose(1, 2).flatten(2)


class CausalSelfAttention(nn.Module):
    """Let every token gather from itself and the tokens before it, with `n_head` heads at once.

    Source: GPT-2's `attn`; `c_attn` makes q, k and v in one product, `c_proj` mixes the heads.
    (The "c" is for convolution: OpenAI's code calls a linear layer a convolution of width 1.)
    """

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_pdrop = config.attn_pdrop  # both dropouts act in training only, see chapter 8
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: torch.Tensor, cache: "LayerCache | None" = None) -> torch.Tensor:
        """Return what each token gathered: (B, T, C) -> (B, T, C).

        With a cache, x holds the new tokens only; their keys and values are added to it, and the
        new tokens look at everything in it.
        """
        q, k, v = self.c_attn(x).chunk(3, dim=-1)  # (B, T, 3C) -> three (B, T, C)
        q, k, v = (split_heads(part, self.n_head) for part in (q, k, v))
        if cache is not None:
            k, v = cache.append(k, v)  # (B, H, T, D) -> (B, H, S, D)
        T, S = x.shape[1], k.shape[2]
        dropped = self.attn_pdrop if self.training else 0.0
        if T == S:  # nothing cached: the fused form builds the causal mask itself
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropped, is_causal=True)
        else:  # one new token may look at everything, so it needs no mask
            mask = None if T == 1 else causal_mask(T, S, device=x.device)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropped)
        return self.resid_dropout(self.c_proj(merge_heads(y)))
