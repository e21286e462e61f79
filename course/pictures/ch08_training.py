"""The pictures of chapter 8."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from course.exercises.ch08_training import example_curves
from course.figures import BLUE, GREEN, GREY, ORANGE, PALE, PURPLE, RED, show

DARK = "#8a5a00"  # orange that can be read on white
DATA = Path(__file__).parent.parent / "data"


def surprise() -> None:
    """Draw -ln p over the probability of the token that came."""
    p = np.linspace(0.004, 1, 400)
    fig, ax = plt.subplots(figsize=(6.8, 3))
    ax.plot(p, -np.log(p), color=BLUE, lw=2)
    for at in (0.01, 0.1, 0.5, 1.0):
        ax.plot(at, -math.log(at), "o", color=BLUE)
        ax.annotate(
            f"p = {at:g}: {abs(math.log(at)):.1f}", (at, -math.log(at)), (8, 6), textcoords="offset points"
        )
    ax.set(
        xlabel="probability that the model gave to the real token", ylabel="surprise (nats)", xlim=(0, 1.15)
    )
    show(
        fig,
        "The curve of minus ln p: 4.6 nats at a probability of 0.01, 2.3 at 0.1, 0.7 at 0.5, none at 1.",
        "Being right with confidence costs nothing. Being confidently wrong costs more and more, without end.",
    )


def many_examples(words: Sequence[str]) -> None:
    """Draw the examples that are in one text: what is read, and what has to be predicted."""
    fig, ax = plt.subplots(figsize=(6.8, 0.42 * len(words) + 0.3))
    for row in range(1, len(words)):
        for i, word in enumerate(words[: row + 1]):
            target = i == row
            ax.text(
                i,
                -row,
                word.strip(),
                ha="center",
                va="center",
                color=DARK if target else "black",
                bbox={"boxstyle": "round", "fc": "white", "ec": ORANGE if target else BLUE, "lw": 1.5},
            )
        ax.annotate(
            "", (row - 0.42, -row), (row - 0.58, -row), arrowprops={"arrowstyle": "->", "color": GREY}
        )
    ax.set(xlim=(-0.6, len(words) - 0.4), ylim=(-len(words) + 0.4, -0.4))
    ax.axis("off")
    show(
        fig,
        f"A triangle of words. Each row reads the words so far and has to predict the next: {', '.join(words)}.",
        "One text, one row per position. Blue is what the model may read, orange what it has to predict.",
    )


def three_rates(curves: Mapping[str, Sequence[float]], vocab_size: int) -> None:
    """Draw the losses of the same loop with several learning rates."""
    fig, ax = plt.subplots(figsize=(6.8, 3.4))
    for (name, losses), color in zip(curves.items(), (GREY, GREEN, RED)):
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


def adam_steps(gradients: Sequence[float], averages: Sequence[float], steps: Sequence[float]) -> None:
    """Draw one parameter's gradients, their running average and the steps that AdamW makes of them."""
    fig, (above, below) = plt.subplots(2, 1, figsize=(6.8, 3.8), sharex=True)
    above.plot(gradients, color=PALE, lw=1.5, marker=".", mec=GREY, mfc=GREY, ms=4, label="gradient")
    above.plot(averages, color=BLUE, lw=2, label="its average, m̂")
    below.plot(steps, color=GREEN, lw=2)
    for ax in (above, below):
        ax.axhline(0, color=GREY, lw=0.7)
    above.set(ylabel="gradient")
    above.legend(frameon=False, loc="lower left", ncol=2)
    below.set(ylabel="step / lr", xlabel="updates", ylim=(-1.6, 1.6))
    show(
        fig,
        "Above, noisy gradients that are ten times larger in the second half, with their smooth average. "
        "Below, the steps of AdamW: about as large in both halves.",
        "From update 50 on, the gradients (above) are ten times larger. The steps (below) hardly notice: what counts "
        "is how a gradient compares with its own recent size.",
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
    for ax, title in zip(axes, ("one process, four micro-batches", "two processes")):
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
    for (name, (losses, held_out)), color in zip(runs.items(), (BLUE, PURPLE)):
        smooth = [sum(losses[max(0, i - 9) : i + 1]) / min(i + 1, 10) for i in range(len(losses))]
        ax.plot(smooth, color=color, lw=1, alpha=0.6, label=f"{name}, in training")
        ax.plot(*zip(*held_out), color=color, lw=2.2, marker="o", ms=4, label=f"{name}, held out")
    for (name, loss), color in zip(baselines.items(), (GREY, DARK, RED)):
        ax.axhline(loss, color=color, ls="--", lw=1)
        ax.text(steps * 1.01, loss, name, color=color, va="center", fontsize=11)
    ax.set(xlim=(0, steps), ylim=(3, 7.3), xlabel="updates", ylabel="loss (nats per token)")
    ax.legend(frameon=False, fontsize=11)
    show(
        fig,
        "Losses over the updates. All start at ln V. The held-out curve of the whole model ends below the bigram's "
        "line; that of the model without attention stays above it.",
        "Dots are text that the model never trained on, thin lines the training batches, dashed lines models that "
        "only count. Without attention, the model flattens out just above the bigram on new text.",
    )


def choices() -> None:
    """Draw what each choice of a training run is worth: the held-out losses of several seeds, as stored."""
    stored = json.loads((DATA / "choices.json").read_text("utf-8"))
    ends = {name: [curve[-1] for curve in curves] for name, curves in stored["curves"].items()}
    usual = "as in the chapter"
    fig, ax = plt.subplots(figsize=(6.6, 3.6))
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
        for (name, curves), color, style in zip(runs.items(), (GREY, GREEN), ("-", "--")):
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


def album() -> None:
    """Draw one clear case of each curve that `diagnose_curve` has to tell apart."""
    fig, axes = plt.subplots(4, 2, figsize=(6.6, 7), sharex=True, sharey=True)
    curves = example_curves()
    for ax, (name, losses) in zip(axes.flat, curves.items()):
        ax.plot(losses, color=BLUE, lw=1.2)
        ax.axhline(math.log(1024), color=GREY, lw=0.8, ls="--")
        ax.axhline(6.0, color=DARK, lw=0.8, ls="--")
        ax.set_title(name, fontsize=12)
    axes[0, 0].set(ylim=(0, 10.5))
    for ax in axes[:, 0]:
        ax.set_ylabel("loss")
    show(
        fig,
        f"Eight loss curves with the lines of ln V and of the unigram: {', '.join(curves)}.",
        "Dashed: ln V (gray) and the unigram's loss (brown). A curve that stops in the air has become NaN there.",
    )
