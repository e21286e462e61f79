"""The pictures of chapter 8."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from course.figures import BLUE, GREEN, GREY, PALE, PURPLE, RED, show

DARK = "#8a5a00"  # orange that can be read on white
DATA = Path(__file__).parent.parent / "data"


def surprise(tokens: Sequence[int], chosen: Sequence[float]) -> None:
    """Draw -ln p over the probability of the token that came, with the probabilities of an example marked."""
    p = np.linspace(0.004, 1, 400)
    fig, ax = plt.subplots(figsize=(6.8, 3))
    ax.plot(p, -np.log(p), color=BLUE, lw=2)
    points = [(at, f"p = {at:g}: {abs(math.log(at)):.1f}", BLUE) for at in (0.01, 0.1, 1.0)]
    points += [
        (at, f"token {i} came, p = {at:.2f}: {-math.log(at):.1f}", DARK) for i, at in zip(tokens, chosen)
    ]
    for at, label, color in points:
        ax.plot(at, -math.log(at), "o", color=color)
        ax.annotate(label, (at, -math.log(at)), (8, 6), textcoords="offset points", color=color)
    ax.set(
        xlabel="probability that the model gave to the real token", ylabel="surprise (nats)", xlim=(0, 1.15)
    )
    show(
        fig,
        "The curve of minus ln p: 4.6 nats at a probability of 0.01, 2.3 at 0.1, none at 1. Marked: the "
        + " and ".join(f"{-math.log(at):.1f} nats of {at:.2f}" for at in chosen)
        + ".",
        "Being right with confidence costs nothing. Being confidently wrong costs more and more, without end. Brown: the "
        "two tokens of the example.",
    )


def three_rates(curves: Mapping[str, Sequence[float]], vocab_size: int) -> None:
    """Draw the losses of the same loop with several learning rates."""
    fig, ax = plt.subplots(figsize=(6.8, 3.4))
    for (name, losses), color in zip(curves.items(), cycle((GREY, GREEN, RED))):
        seen = [loss for loss in losses if math.isfinite(loss) and loss < 9]
        ax.plot(seen, color=color, lw=2, label=name)
    ax.axhline(math.log(vocab_size), color=GREY, ls=":", lw=1)
    ax.text(max(map(len, curves.values())), math.log(vocab_size) + 0.1, "ln V", color=GREY, ha="right")
    ax.set(xlabel="updates", ylabel="loss (nats per token)", ylim=(0, 7))
    ax.legend(frameon=False, loc=(0.6, 0.5))
    show(
        fig,
        "Three curves from ln V: one falls slowly, one to almost 0, one leaves the picture after a few updates.",
        "One loop, one batch, three learning rates. Too small is slow, too large is a catastrophe.",
    )


def schedule(rates: Sequence[float], warmup: int, total: int) -> None:
    """Draw the learning rate over the steps of a run."""
    fig, ax = plt.subplots(figsize=(6.8, 2.8))
    ax.plot(rates, color=BLUE, lw=2)
    for at, name in ((warmup, "end of warm-up"), (total, "total_steps")):
        ax.axvline(at, color=GREY, lw=0.8, ls=":")
        ax.text(at + 8, 0, name, color=GREY, va="bottom", fontsize=11)
    ax.set(xlabel="step", ylabel="learning rate", ylim=(0, 1.1 * max(rates)))
    show(
        fig,
        f"The learning rate rises straight to its peak at step {warmup}, falls along half a cosine to a tenth of it "
        f"at step {total}, and stays there.",
        "Up in a straight line, down along half a cosine, then level: a run of 1,000 steps and what would follow.",
    )


def shares_of_a_batch() -> None:
    """Draw how four micro-batches, or two processes, make one gradient."""
    fig, axes = plt.subplots(2, 1, figsize=(5, 4.8))
    boxed = {"ha": "center", "va": "center"}
    for i in range(4):
        axes[0].add_patch(plt.Rectangle((i, 1.4), 0.9, 0.8, fc="white", ec=BLUE, lw=1.5))
        axes[0].text(i + 0.45, 1.8, f"part {i + 1}", **boxed)
        axes[0].annotate("", (1.95, 0.62), (i + 0.45, 1.36), arrowprops={"arrowstyle": "->", "color": GREY})
        axes[0].text(i + 0.45, 2.45, f"time {i + 1}", color=GREY, **boxed)
    axes[0].text(1.95, 0.35, ".grad: the sum of ¼ of each", **boxed)
    for i in range(2):
        axes[1].add_patch(plt.Rectangle((2 * i, 1.4), 1.8, 0.8, fc="white", ec=GREEN, lw=1.5))
        axes[1].text(2 * i + 0.9, 1.8, f"half {i + 1}", **boxed)
        axes[1].annotate(
            "", (1.95, 0.62), (2 * i + 0.9, 1.36), arrowprops={"arrowstyle": "->", "color": GREY}
        )
        axes[1].text(2 * i + 0.9, 2.45, f"process {i + 1}", color=GREY, **boxed)
    axes[1].text(1.95, 0.35, ".grad: the mean of both, in each", **boxed)
    for ax, title in zip(axes, ("one process, four micro-batches", "two processes"), strict=True):
        ax.set(xlim=(-0.1, 4.0), ylim=(0, 2.7), title=title)
        ax.axis("off")
    show(
        fig,
        "Above: four parts of a batch, one after the other, a quarter of each gradient added up. "
        "Below: two halves in two processes at once, their gradients averaged.",
        "The same batch and the same gradient, cut in time (above) or over processes (below).",
    )


def training_run(runs: Mapping[str, tuple], baselines: Mapping[str, float], steps: int) -> None:
    """Draw the training and the held-out losses of several runs, with the losses of models that only count."""
    fig, ax = plt.subplots(figsize=(6.8, 4))
    for (name, (losses, held_out)), color in zip(runs.items(), cycle((BLUE, PURPLE))):
        smooth = [sum(losses[max(0, i - 9) : i + 1]) / min(i + 1, 10) for i in range(len(losses))]
        ax.plot(smooth, color=color, lw=1, alpha=0.6, label=f"{name}, in training")
        ax.plot(*zip(*held_out), color=color, lw=2.2, marker="o", ms=4, label=f"{name}, held out")
    for (name, loss), color in zip(baselines.items(), cycle((GREY, DARK, RED))):
        ax.axhline(loss, color=color, ls="--", lw=1)
        ax.text(steps * 1.01, loss, name, color=color, va="center", fontsize=11)
    ax.set(xlim=(0, steps), ylim=(2.6, 6.5), xlabel="updates", ylabel="loss (nats per token)")
    ax.legend(frameon=False, fontsize=11)
    show(
        fig,
        "Losses over the updates. All start at ln V. The held-out curve of the whole model ends far below the bigram's "
        "line; that of the model without attention ends close to it.",
        "Dots are text that the model never trained on, thin lines the training batches (the mean of ten), dashed "
        "lines models that only count. On new text, the model without attention flattens out near the bigram.",
    )


def choices() -> None:
    """Draw what each choice of a training run is worth: the held-out losses of several seeds, as stored."""
    stored = json.loads((DATA / "choices.json").read_text("utf-8"))
    ends = {name: [curve[-1] for curve in curves] for name, curves in stored["curves"].items()}
    usual = "as in the chapter"
    fig, ax = plt.subplots(figsize=(6.6, 3.9))
    ax.axvspan(min(ends[usual]), max(ends[usual]), color=PALE)
    for row, (name, losses) in enumerate(ends.items()):
        ax.plot(
            losses, [row] * len(losses), "o", ms=9, alpha=0.65, mew=0, color=GREY if name == usual else RED
        )
    ax.set_yticks(range(len(ends)), ends)
    ax.set(xlabel="held-out loss at the end (nats per token)", ylim=(len(ends) - 0.5, -0.5))
    ax.tick_params(axis="y", length=0)
    show(
        fig,
        "A row of four dots for each choice. Held-out losses at the end, on average: "
        + "; ".join(f"{name} {np.mean(losses):.2f}" for name, losses in ends.items())
        + ".",
        "A dot is a run, with four seeds in each row, and further left is better. Gray: the usual run, and how far luck alone "
        "moves it. Orange: the same with one thing changed.",
    )


def dropout_on_tales() -> None:
    """Draw what dropout does to a text that is read a few times and to one read many times, as stored."""
    stored = json.loads((DATA / "dropout.json").read_text("utf-8"))
    fig, axes = plt.subplots(1, 2, figsize=(6.6, 3.6), sharey=True)
    for ax, (times, runs) in zip(axes, stored["curves"].items()):
        for (name, curves), color, style in zip(runs.items(), cycle((GREY, GREEN)), cycle(("-", "--"))):
            at = stored["every"] * np.arange(len(curves[0]))
            for i, curve in enumerate(curves):
                ax.plot(at, curve, color=color, lw=2, ls=style, label=None if i else name)
        ax.set(title=f"read {times}", xlabel="updates")
    axes[0].set_ylabel("held-out loss (nats per token)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    ends = {
        f"read {times}, {name}": np.mean([curve[-1] for curve in curves])
        for times, runs in stored["curves"].items()
        for name, curves in runs.items()
    }
    show(
        fig,
        "Two panels with held-out losses over the updates, without dropout and with 0.1. At the end, on average: "
        + "; ".join(f"{name} {loss:.2f}" for name, loss in ends.items())
        + ".",
        "Gray: without dropout. Green: with 0.1. Two seeds each. On the left, dropout costs something. On the right, where the "
        "model starts to learn its text by heart, dropout holds it back.",
    )


def stored_runs() -> dict:
    """Return the runs that `benchmarks/curves.py` stored: V, the unigram's loss and, by name, the losses of every update."""
    return json.loads((DATA / "curves.json").read_text("utf-8"))


def _in_numbers(losses: Sequence[float]) -> tuple[float, ...]:
    """Return a run's end, its largest jump, what's left of that for ten losses, and the largest rise of a block's mean."""
    if not np.isfinite(losses).all():
        return (math.nan,) * 4
    at = int(np.argmax(np.diff(losses))) + 1
    means = [float(np.mean(losses[i : i + 20])) for i in range(0, len(losses) - 19, 20)]
    return (
        float(np.mean(losses[-max(1, len(losses) // 10) :])),
        losses[at] - losses[at - 1],
        min(losses[at : at + 10]) - losses[at - 1],
        max(b - min(means[: i + 1]) for i, b in enumerate(means[1:])),
    )


def album(stored: Mapping) -> None:
    """Draw measured curves, one of each kind that `diagnose_curve` has to tell apart, and print them in four numbers."""
    curves, levels = stored["curves"], (math.log(stored["V"]), stored["unigram"])
    fig, axes = plt.subplots(4, 2, figsize=(6.6, 7.4), sharex=True, sharey=True)
    for ax, (name, losses) in zip(axes.flat, curves.items()):
        ax.plot(losses, color=BLUE, lw=1.2)
        for level, color in zip(levels, cycle((GREY, DARK))):
            ax.axhline(level, color=color, lw=0.8, ls="--")
        ax.set_title(name, fontsize=12)
    axes[0, 0].set(ylim=(0, 10.5))
    for ax in axes[:, 0]:
        ax.set_ylabel("loss")
    for ax in axes[-1]:
        ax.set_xlabel("updates")
    show(
        fig,
        f"Eight measured loss curves with the lines of ln V and of the unigram: {', '.join(curves)}.",
        "Eight runs as they were measured. Dashed: ln V (gray) and the unigram's loss (brown). The curve that leaves the "
        "picture became NaN.",
    )
    print(f"ln V {levels[0]:.1f}, unigram {levels[1]:.1f}\n")
    print(" " * 16 + "".join(f"{name:>7}" for name in ("end", "jump", "stays", "wave")))
    for name, losses in curves.items():
        print(f"{name:16}" + "".join(f"{x:7.2f}" for x in _in_numbers(losses)))
