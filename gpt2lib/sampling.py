"""From logits to the next token. Built in chapter 06."""

import math
from dataclasses import dataclass

import torch


def greedy(logits: torch.Tensor) -> torch.Tensor:
    """Return the most likely token of each row: (B, V) -> (B,)."""
    return logits.argmax(dim=-1)


def scale_temperature(logits: torch.Tensor, t: float) -> torch.Tensor:
    """Divide the logits by t: below 1 sharpens the distribution, above 1 flattens it.

    (B, V) -> (B, V). At t = 0 only the most likely token stays possible, the first one of a tie.
    Raises ValueError if t is negative or not finite.
    """
    if not 0 <= t < math.inf:
        raise ValueError(
            f"temperature is {t}, but it must be 0 (greedy) or more; usual values are 0.7 to 1.0"
        )
    if t == 0:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.full_like(logits, -math.inf).scatter(-1, best, logits.gather(-1, best))
    return logits / t


def keep_top_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    """Set all but the k largest logits of each row to -inf.

    (B, V) -> (B, V). Keeps exactly k, of equal logits the one with the smaller id; all of them if
    k is larger than V. Raises ValueError if k is below 1. Source: Fan et al. 2018, section 5.4.
    """
    if k < 1:
        raise ValueError(f"top_k is {k}, but at least 1 token must stay possible; pass None to keep all")
    order = logits.argsort(dim=-1, descending=True, stable=True)
    return logits.scatter(-1, order[..., k:], -math.inf)


def keep_top_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    """Keep the fewest most likely tokens whose probabilities reach p; set the others to -inf.

    (B, V) -> (B, V). The token that crosses p stays, so at least one always does. Raises ValueError
    unless 0 < p <= 1. Source: Holtzman et al. 2019, section 3.1 ("nucleus sampling").
    """
    if not 0 < p <= 1:
        raise ValueError(
            f"top_p is {p}, but it is a probability above 0 and at most 1; pass None to keep all"
        )
    ranked, order = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = ranked.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # the probability of all likelier tokens
    ranked = ranked.masked_fill(before >= p, -math.inf)
    return torch.empty_like(logits).scatter(-1, order, ranked)


@dataclass
class Sampler:
    """Draw the next token after temperature, then top-k, then top-p.

    The same generator state gives the same draws. Raises ValueError for values that
    `scale_temperature`, `keep_top_k` or `keep_top_p` refuse.
    """

    temperature: float = 1.0  # 0 is greedy
    top_k: int | None = None  # None keeps all
    top_p: float | None = None  # None keeps all
    generator: torch.Generator | None = None  # None draws from torch's global one

    def __post_init__(self):
        self.distribution(torch.zeros(1, 1))  # refuses bad settings now, not in the middle of a text

    def distribution(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probabilities that `__call__` draws from: (B, V) -> (B, V)."""
        logits = scale_temperature(logits, self.temperature)
        if self.top_k is not None:
            logits = keep_top_k(logits, self.top_k)
        if self.top_p is not None:
            logits = keep_top_p(logits, self.top_p)
        return logits.softmax(dim=-1)

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Return one drawn token for each row: (B, V) -> (B,)."""
        return torch.multinomial(self.distribution(logits), 1, generator=self.generator).squeeze(-1)
