"""8.9 diagnose_curve: what is computed. What is said stands in diagnose_curve.md."""

import math
from statistics import fmean

import torch

from course.exercises.ch08_training import example_curves

arguments = ("losses", "vocab_size", "unigram")


def cases():
    """A run of each kind, in three sizes; then losses that are infinite, NaN once, odd once, far up, or late to fall."""
    small = example_curves(vocab_size=257, unigram=3.2, updates=120, seed=1)
    large = example_curves(vocab_size=50257, unigram=7.6, updates=500, seed=2)
    usual = example_curves()
    healthy = usual["healthy"]
    flat = usual["only frequencies"]
    return [
        *((losses, 1024, 6.0) for losses in usual.values()),
        *((losses, 257, 3.2) for losses in small.values()),
        *((losses, 50257, 7.6) for losses in large.values()),
        ([*healthy[:-1], math.inf], 1024, 6.0),
        ([*healthy[:100], math.nan, *healthy[101:]], 1024, 6.0),
        ([*flat[:-1], 5.0], 1024, 6.0),
        ([*flat[:-5], 5.0, *flat[-4:]], 1024, 6.0),
        ([loss + 5 for loss in usual["learns nothing"]], 1024, 6.0),
        ([*usual["learns nothing"][:240], *healthy[-60:]], 1024, 6.0),
    ]


def by_levels(losses, vocab_size, unigram):
    if sum(losses) - sum(losses) != 0:
        return "diverged"
    last = losses[-len(losses) // 10 :]
    end = sum(last) / len(last)
    if end < 0.1:
        return "too good"
    for name, level in (("learns nothing", math.log(vocab_size)), ("only frequencies", unigram)):
        if end > level - 0.2:
            return name
    found = "healthy"
    for i, (before, now) in enumerate(zip(losses, losses[1:])):
        if now - before > 1:
            if all(loss > before + 0.5 for loss in losses[i + 1 : i + 11]):
                return "resumed wrongly"
            found = "spikes"
    if found == "spikes":
        return found
    lowest = math.inf
    for i in range(0, len(losses) // 20 * 20, 20):
        level = fmean(losses[i : i + 20])
        if level > lowest + 0.5:
            return "waves"
        lowest = min(lowest, level)
    return found


def by_rules(losses, vocab_size, unigram):
    n = len(losses)
    end = fmean(losses[-max(1, n // 10) :])
    means = [fmean(losses[i : i + 20]) for i in range(n - 19)]
    jumps = [i for i in range(n - 1) if losses[i + 1] - losses[i] > 1]
    rules = {
        "diverged": any(math.isnan(x) or math.isinf(x) for x in losses),
        "too good": end < 0.1,
        "learns nothing": end > math.log(vocab_size) - 0.2,
        "only frequencies": end > unigram - 0.2,
        "resumed wrongly": any(min(losses[i + 1 : i + 11]) > losses[i] + 0.5 for i in jumps),
        "spikes": len(jumps) > 0,
        "waves": any(b > min(means[: i + 1]) + 0.5 for i, b in enumerate(means)),
    }
    return next((name for name, holds in rules.items() if holds), "healthy")


def by_torch(losses, vocab_size, unigram):
    x = torch.tensor(losses, dtype=torch.float64)
    if not x.isfinite().all():
        return "diverged"
    end = x[-max(1, len(x) // 10) :].mean().item()
    if end < 0.1:
        return "too good"
    if math.log(vocab_size) - end < 0.2:
        return "learns nothing"
    if unigram - end < 0.2:
        return "only frequencies"
    jumps = (x.diff() > 1).nonzero().flatten().tolist()
    if jumps:
        stays = any((x[i + 1 : i + 11] > x[i] + 0.5).all() for i in jumps)
        return "resumed wrongly" if stays else "spikes"
    levels = x[: len(x) // 20 * 20].view(-1, 20).mean(1)
    return "waves" if (levels > levels.cummin(0).values + 0.5).any() else "healthy"


styles = [by_levels, by_rules, by_torch]
