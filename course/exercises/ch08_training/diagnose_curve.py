"""8.9 diagnose_curve: what is computed. What is said stands in diagnose_curve.md."""

import math
from statistics import fmean

import torch

from course.exercises.ch08_training import example_curves

arguments = ("losses", "vocab_size", "unigram")


def changed(*pieces, updates=300):
    """Return a case: a calm run that falls to 3 and stays there, with (place, new losses) put into it."""
    losses = [max(3.0, 6.9 - 0.05 * i) for i in range(updates)]
    for at, new in pieces:
        losses[at : at + len(new)] = new
    return losses, 1024, 6.0


def cases():
    """A run of each kind, in three sizes; then losses that are infinite, NaN once, odd once, far up, or late to fall.

    Then ends just below a level, and of a short run; two rules that fit; and jumps and waves at the edges of the rules.
    """
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
        *(([level] * 300, 1024, 6.0) for level in (9.0, 6.8, 6.4)),
        ([6.0] * 290 + [5.5] * 10, 1024, 6.0),
        ([6.9, 6.8, 6.6, 6.3, 6.0, 5.5], 1024, 6.0),
        ([6.9, *[0.05] * 99, 3.0, *[0.05] * 199], 1024, 6.0),
        ([*[6.9] * 100, 9.0, *[6.9] * 199], 1024, 6.0),
        changed((150, [4.0])),  # a rise of exactly 1
        changed((0, [8.5])),  # a sudden fall
        changed((0, [6.6, 7.8])),
        changed((150, [4.5, *[4.0] * 8, 3.3])),  # up for nine losses
        changed((150, [4.5, *[4.0] * 9])),  # and for ten
        changed((150, [6.0] * 5 + [3.2] + [6.0] * 9)),  # back once among the ten
        changed((100, [5.0]), (200, [4.5] * 20)),
        changed((100, [4.5] * 20), (200, [5.0])),
        changed((296, [4.5] * 4)),
        changed((160, [3.3] * 20 + [3.6] * 20)),  # a wave in two steps
        changed((200, [3.6] * 100)),
        changed((150, [3.7] * 20)),  # over half of two blocks
        changed((300, [3.8] * 10)),  # in the rest
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
            if sum(loss > before + 0.5 for loss in losses[i + 1 : i + 11]) == 10:
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
    means = [fmean(losses[i : i + 20]) for i in range(0, n - 19, 20)]
    jumps = [i for i in range(n - 1) if losses[i + 1] - losses[i] > 1]
    rules = {
        "diverged": any(math.isnan(x) or math.isinf(x) for x in losses),
        "too good": end < 0.1,
        "learns nothing": end > math.log(vocab_size) - 0.2,
        "only frequencies": end > unigram - 0.2,
        "resumed wrongly": any(min(losses[i + 1 : i + 11]) > losses[i] + 0.5 for i in jumps if i + 10 < n),
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
        stays = any((x[i + 1 : i + 11] > x[i] + 0.5).sum() == 10 for i in jumps)
        return "resumed wrongly" if stays else "spikes"
    levels = x[: len(x) // 20 * 20].view(len(x) // 20, 20).mean(1)
    return "waves" if len(levels) and (levels > levels.cummin(0).values + 0.5).any() else "healthy"


styles = [by_levels, by_rules, by_torch]
