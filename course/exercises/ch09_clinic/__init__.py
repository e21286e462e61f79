"""The exercises of chapter 9: probes that tell a healthy GPT-2 from one that is silently wrong.

Here stands how probes are run and compared; the models that they examine stand in patients.py. Most mistakes are diffs
in NAME.md. Those about how two tensors are compared are the same for every probe, so they are made here, once.
"""

import numpy as np
import torch

from course.exercise import Mistake


def verdict(result):
    """Return a probe's result as a bool, where it is one in a tensor or an array."""
    if isinstance(result, (torch.Tensor, np.generic)) and str(result.dtype).endswith("bool"):
        return bool(result.item()) if result.ndim == 0 else result
    return result


def run_probe(answer, patient, tokens):
    """Let a probe examine a patient."""
    with torch.no_grad():
        return verdict(answer(patient.model(), tokens))


def near(a, b, atol=1e-3):
    return torch.allclose(a, b, rtol=0, atol=atol)


def within(atol):
    return lambda a, b: near(a, b, atol)


def same_words(a, b):
    return torch.equal(a.argmax(-1), b.argmax(-1))


def same_shares(a, b):
    return near(a.softmax(-1), b.softmax(-1))


EXACT = (
    "You allow no rounding, or too little, so a healthy model fails. The same sum in another order is rounded differently, "
    "and next to 0 `torch.allclose` allows just 1e-8 unless you say more: pass `atol=1e-3`."
)
WIDE = (
    "Your tolerance is so wide that a mild case passes. Rounding moves these logits by less than 1e-4, so 1e-3 leaves "
    "plenty of room, for the largest difference and not for a mean of squares."
)
WORDS = (
    "You compare which token is most likely, and a mild case passes. An illness can move every logit and still leave the "
    "largest one the largest: compare the logits."
)
SHARES = "You compare probabilities. Adding one number to all logits of a row doesn't change those: compare the logits."
AVERAGED = (
    "You compare means or sums, where a difference at one place drowns, or two of them cancel. Look at the largest: "
    "`(a - b).abs().max()`."
)
ONE_SIDED = (
    "You leave out `abs()`, so a difference to one side passes. Take the size of each difference first: "
    "`(a - b).abs().max()`."
)
COMPARISONS = [  # (id, how two tensors are compared, what to say, why it is tempting)
    ("no-tolerance", torch.equal, EXACT, "exact-numbers"),
    ("no-tolerance", torch.allclose, EXACT, "exact-numbers"),
    ("no-tolerance", within(1e-6), EXACT, "exact-numbers"),
    ("wide-tolerance", within(0.01), WIDE, "shortcut"),
    ("most-likely-only", same_words, WORDS, "next-door"),
    ("probabilities-instead-of-logits", same_shares, SHARES, "next-door"),
    ("mean-instead-of-largest", lambda a, b: (a - b).abs().mean() < 1e-3, AVERAGED, "all-at-once"),
    ("mean-instead-of-largest", lambda a, b: (a - b).mean().abs() < 1e-3, AVERAGED, "all-at-once"),
    ("mean-instead-of-largest", lambda a, b: (a - b).mean() < 1e-3, AVERAGED, "all-at-once"),
    ("mean-instead-of-largest", lambda a, b: (b - a).mean() < 1e-3, AVERAGED, "all-at-once"),
    ("no-abs", lambda a, b: (a - b < 1e-3).all(), ONE_SIDED, "looks-finished"),
    ("no-abs", lambda a, b: (b - a < 1e-3).all(), ONE_SIDED, "looks-finished"),
]


def comparisons(probe_with, only=None):
    """Return the same probe with another comparison each time, as mistakes; or those of one id only."""
    return [
        Mistake(name, probe_with(close), says, 3, why)
        for name, close, says, why in COMPARISONS
        if only in (None, name)
    ]


def too_wide(probe_with, *tolerances):
    """Return the same probe with wider tolerances yet, as mistakes."""
    return [Mistake("wide-tolerance", probe_with(within(atol)), WIDE, 3, "shortcut") for atol in tolerances]
