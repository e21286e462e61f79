"""The two-layer network that works on each token by itself. Built in chapter 04."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from gpt2lib.config import GPT2Config


def gelu(x: torch.Tensor) -> torch.Tensor:
    """Return GPT-2's GELU of each number, the tanh form: same shape out as in.

    Source: Hendrycks and Gimpel 2016, section 2. `F.gelu(x, approximate="tanh")` is the fused
    form; plain `F.gelu(x)` is the exact one and differs by up to 0.0005.
    """
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class MLP(nn.Module):
    """Widen each token's vector four times, bend it with GELU, bring it back.

    Source: GPT-2's `mlp`; `c_fc` ("fully connected") widens, `c_proj` projects back.
    """

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)  # acts in training only: chapter 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what is added to each token's vector: (B, T, C) -> (B, T, 4C) -> (B, T, C)."""
        return self.resid_dropout(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))
