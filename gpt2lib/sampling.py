"""From logits to the next token. Built in chapter 06."""

import math
from dataclasses import dataclass
from numbers import Integral, Real

import torch


# Refusing damaged logits
def _refuse_damaged(logits: torch.Tensor) -> None:
    """Raise ValueError for a row of (..., V) whose largest logit isn't finite: no id would be right."""
    largest = logits.amax(dim=-1)
    if not largest.isfinite().all():
        raise ValueError(
            f"the largest logit is {largest[~largest.isfinite()][0].item()}: NaN or inf come from damaged "
            f"weights, as after a training run that diverged, so load an earlier checkpoint; -inf means that "
            f"something has ruled out every token"
        )


def greedy(logits: torch.Tensor) -> torch.Tensor:
    """Return each row's most likely id: (B, V) -> (B,). Raises ValueError if none is finite."""
    _refuse_damaged(logits)
    return logits.argmax(dim=-1)


def scale_temperature(logits: torch.Tensor, t: float) -> torch.Tensor:
    """Divide the logits by t: below 1 sharpens the distribution, above 1 flattens it.

    (B, V) -> (B, V). At t = 0 only the most likely token stays possible, the first one of a tie.
    Raises ValueError if t is negative or not finite.
    """
    if not isinstance(t, Real) or not 0 <= t < math.inf:
        allowed = "a number, 0 (greedy) or more; try 0.8"
        raise ValueError(f"temperature is {t!r}, but it must be {allowed}")
    if t == 0:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.full_like(logits, -math.inf).scatter(-1, best, logits.gather(-1, best))
    return logits / t


def keep_top_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    """Set all but the k largest logits of each row to -inf.

    (B, V) -> (B, V). Keeps exactly k, of equal logits the one with the smaller id; all of them if
    k is larger than V. Raises ValueError if k is below 1. Source: Fan et al. 2018, section 5.4.
    """
    if not isinstance(k, Integral) or k < 1:
        allowed = "a whole number, 1 or more; None keeps all"
        raise ValueError(f"top_k is {k!r}, but it must be {allowed}")
    order = logits.argsort(dim=-1, descending=True, stable=True)
    return logits.scatter(-1, order[..., k:], -math.inf)


def keep_top_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    """Keep the fewest most likely tokens whose probabilities reach p; set the others to -inf.

    (B, V) -> (B, V). The token that crosses p stays, so at least one always does. Raises
    ValueError unless 0 < p <= 1. Source: Holtzman et al. 2019, section 3.1 ("nucleus sampling").
    """
    if not isinstance(p, Real) or not 0 < p <= 1:
        raise ValueError(f"top_p is {p!r}, but it must be above 0 and at most 1; None keeps all")
    ranked, order = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = ranked.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # the probability of all likelier tokens
    ranked = ranked.masked_fill(before >= p, -math.inf)
    return torch.empty_like(logits).scatter(-1, order, ranked)


# Drawing from a distribution, and refusing bad settings
class _Drawing:
    """Draw from what `distribution` says; a base for `Sampler`, which has the settings."""

    def __post_init__(self):
        if not isinstance(self.generator, torch.Generator | None):
            raise TypeError(
                f"generator is {self.generator!r}, but it is a torch.Generator or None; "
                f"for a seed pass torch.Generator().manual_seed(seed)"
            )
        self.distribution(torch.zeros(1, 1))  # reject bad settings here, not mid-generation

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Return one drawn token for each row: (B, V) -> (B,). Raises ValueError for damaged logits."""
        _refuse_damaged(logits)
        probabilities = self.distribution(logits)
        if probabilities.isnan().any():
            raise ValueError(
                f"temperature is {self.temperature} and top_p {self.top_p}: one of them is too small for "
                f"{logits.dtype}, so that no token is left; pass a larger one, or temperature 0 for greedy"
            )
        return torch.multinomial(probabilities, 1, generator=self.generator).squeeze(-1)


@dataclass
class Sampler(_Drawing):
    """A way to draw the next token: by temperature, then top-k, then top-p.

    The same generator state gives the same draws. Raises ValueError for values that
    `scale_temperature`, `keep_top_k` or `keep_top_p` refuse, TypeError if generator is neither a
    torch.Generator nor None.
    """

    temperature: float = 1.0  # 0 is greedy
    top_k: int | None = None  # None keeps all
    top_p: float | None = None  # None keeps all
    generator: torch.Generator | None = None  # None draws from torch's global one

    def distribution(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probabilities that `__call__` draws from: (B, V) -> (B, V)."""
        logits = scale_temperature(logits, self.temperature)
        if self.top_k is not None:
            logits = keep_top_k(logits, self.top_k)
        if self.top_p is not None:
            logits = keep_top_p(logits, self.top_p)
        return logits.softmax(dim=-1)
