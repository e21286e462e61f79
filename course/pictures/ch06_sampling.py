"""The figures of chapter 6: a distribution and its tail, repeats, temperature, where top-p cuts, all three in a row."""

import textwrap
from itertools import cycle

from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from torch import Tensor

from course.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, show


def most_likely(prompt: str, labels: list[str], chances: Tensor, others: int) -> None:
    """Show the probabilities of the most likely next tokens, and of all others together. chances (n,)."""
    rest = 1 - chances.sum().item()
    fig, ax = plt.subplots(figsize=(6.4, 5.0))
    bars = [*labels, f"{others:,} others"]
    ax.barh(bars, [*chances.tolist(), rest], color=[BLUE] * len(labels) + [ORANGE])
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="probability", title=f"after “{prompt}”")
    show(
        fig,
        f"Bars: the {len(labels)} most likely next tokens, from {chances[0]:.2f} down to {chances[-1]:.2f}, and one for "
        f"all {others:,} others together, {rest:.1f}.",
        f"The {len(labels)} most likely tokens (blue), and all the others in one bar (orange).",
    )


def _colored(texts: list[tuple[str, list[str], list[bool]]], width: int) -> plt.Figure:
    """Draw texts below one another, each under its title, with the marked tokens on orange."""
    rows = []
    for title, pieces, marks in texts:
        rows += [[(title, None)]] if title else []
        line = []
        for piece, mark in zip(pieces, marks):
            if sum(len(text) for text, _ in line) + len(piece) > width:
                rows, line = [*rows, line], []
            line.append((piece.replace("\n", "↵"), mark))
        rows.append(line)
    fig, ax = plt.subplots(figsize=(6.4 * width / 55, 0.3 * len(rows) + 0.2))
    for row, line in enumerate(rows):
        at = 0
        for piece, mark in line:
            if mark:
                ax.add_patch(Rectangle((at, -row - 0.38), len(piece), 0.76, color="#fcd9b6", lw=0, zorder=0))
            font = {"color": GREY} if mark is None else {"family": "monospace"}
            ax.text(at, -row, piece, fontsize=13, va="center", **font)
            at += len(piece)
    ax.set(xlim=(0, width + 1), ylim=(-len(rows) + 0.4, 0.6))
    ax.axis("off")
    return fig


def repeats(pieces: list[str], seen: list[bool], caption: str, width: int = 55) -> None:
    """Show a text with the tokens colored that belong to a run that came before."""
    fig = _colored([("", pieces, seen)], width)
    show(fig, f"A text with the repeated tokens on orange: {sum(seen)} of {len(seen)}.", caption)


def far_tail(texts: dict[float, tuple[list[str], list[bool]]], width: int = 60) -> None:
    """Show a text for each temperature, its tokens and which of them are from the far tail."""
    fig = _colored([(f"t = {t}", *text) for t, text in texts.items()], width)
    told = ", ".join(f"{sum(far)} at t = {t}" for t, (_, far) in texts.items())
    show(
        fig,
        f"Texts drawn at several temperatures, with the tokens from the far tail on orange: {told}.",
        f"Orange: tokens that weren't among the 1,000 most likely. {told}.",
    )


def temperatures(curves: dict[float, Tensor]) -> None:
    """Show the probabilities at several temperatures, sorted, on logarithmic axes."""
    fig, ax = plt.subplots(figsize=(6.6, 3.8))
    for (t, chances), color in zip(curves.items(), cycle((BLUE, GREEN, RED))):
        ranked = chances.sort(descending=True).values
        ax.plot(range(1, len(ranked) + 1), ranked, color=color, lw=2.5, label=f"t = {t}")
    ax.axvline(100, color=GREY, lw=1.5, ls=":")
    ax.text(110, 0.35, "after the first hundred →", color=GREY, fontsize=11)
    ax.set(xscale="log", yscale="log", ylim=(1e-7, 1), xlabel="rank of the token", ylabel="probability")
    ax.legend(frameon=False, loc="lower left")
    tails = {t: chances.sort(descending=True).values[100:].sum() for t, chances in curves.items()}
    for i, (tail, line) in enumerate(zip(tails.values(), ax.lines)):
        ax.text(290 * 2.8**i, 0.06, f"{tail:.0%}", color=line.get_color(), ha="right", size=15, weight="bold")
    told = ", ".join(f"{tail:.0%} at t = {t}" for t, tail in tails.items())
    show(
        fig,
        "Three falling lines, steeper the lower the temperature. They cross: the higher temperature has less for the "
        f"first tokens and more for the tail. All tokens after the first hundred (a dotted line) have {told}.",
        "One distribution at three temperatures, most likely token first. Heat moves probability from the left to the "
        "right: the percentages say how much is beyond the dotted line.",
    )


def cumulative(curves: dict[str, Tensor], p: float, k: int) -> None:
    """Show how the probabilities of the most likely tokens add up, and where top-p and top-k cut."""
    fig, ax = plt.subplots(figsize=(6.6, 4.4))
    told = []
    for (prompt, chances), color in zip(curves.items(), cycle((BLUE, GREEN, PURPLE))):
        sums = chances.sort(descending=True).values.cumsum(0)
        n = int((sums < p).sum()) + 1
        ranks = range(1, len(sums) + 1)
        ax.plot(ranks, sums, color=color, lw=2.5, label=f"after “{prompt}”: keeps {n:,}")
        ax.plot([n, n], [0, sums[n - 1]], color=color, lw=1.5, ls="--")
        ax.plot(n, sums[n - 1], "o", color=color, ms=8)
        told.append(f"{n:,} after {prompt!r}")
    ax.axhline(p, color=GREY, lw=1)
    ax.text(len(sums), p - 0.03, f"p = {p}", ha="right", va="top", color=GREY)
    ax.axvline(k, color=ORANGE, lw=2, ls=":")
    ax.text(k * 1.08, 0.03, f"k = {k}", color="#92600a")
    ax.set(xscale="log", ylim=(0, 1.03), xlabel="the n most likely tokens", ylabel="summed probability")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.2))
    show(
        fig,
        f"Curves of summed probability. Each reaches {p} after another number of tokens: {', '.join(told)}. A dotted line stands at k = {k}.",
        f"Top-p cuts each curve where it reaches {p} (the dots), so how many tokens stay depends on the prompt. "
        f"Top-k cuts all of them at the same place, the dotted line.",
    )


def in_a_row(stages: dict[str, Tensor], labels: list[str]) -> None:
    """Show the first few probabilities after each step from logits to a draw; stages (n,) under each name."""
    fig, axes = plt.subplots(
        len(stages), 1, figsize=(6.4, 1.25 * len(stages) + 0.9), sharex=True, sharey=True
    )
    for ax, (name, chances) in zip(axes, stages.items()):
        ax.bar(range(len(labels)), chances, color=BLUE)
        for i, chance in enumerate(chances.tolist()):
            text, color = (f"{chance:.2f}", INK) if chance else ("×", RED)
            ax.text(i, chance + 0.02, text, ha="center", fontsize=11, color=color)
        ax.text(1, 0.95, name, transform=ax.transAxes, ha="right", va="top", fontsize=13)
        ax.set(ylim=(0, 0.62), yticks=[])
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="x", length=0)
    axes[-1].set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    told = "; ".join(f"{name}: {int((chances > 0).sum())}" for name, chances in stages.items())
    show(
        fig,
        f"Rows of bars, one below the other, for the {len(labels)} most likely tokens. How many of them are still possible: {told}. "
        "From row to row those that stay get higher.",
        f"The {len(labels)} most likely tokens after each step. Temperature tilts the bars, top-k and top-p cut (×), and what "
        "is cut is shared out in proportion among those that stay. The draw is made from the last row.",
    )


def on_a_line(labels: list[str], chances: Tensor, darts: Tensor, hit: Tensor) -> None:
    """Show darts on a line that is cut into a stretch for each token; chances (n,), darts and what they hit (m,)."""
    fig, ax = plt.subplots(figsize=(7.4, 2.2))
    ends, low = chances.cumsum(-1).tolist(), -0.16
    for i, (label, chance, end) in enumerate(zip(labels, chances.tolist(), ends)):
        color = (SKY, ORANGE, GREEN, PURPLE, GREY)[i % 5]
        ax.barh(0, chance, left=end - chance, height=0.5, color=color, edgecolor="white")
        if chance > 0.08:
            ax.text(end - chance / 2, 0, label, ha="center", va="center", color="k", fontsize=12)
        else:  # too short to write in: below, one under the other
            low -= 0.24
            ax.text(end, low, label, ha="right", va="center", color=INK, fontsize=12)
    ax.vlines(darts, low - 0.15, 0.42, color=INK, lw=1, ls=":", zorder=0)  # down to the axis, below the bars
    ax.plot(darts, [0.42] * len(darts), "v", color=INK, markersize=10)
    ax.set(xlim=(-0.01, 1.01), ylim=(min(-0.4, low - 0.15), 0.62), yticks=[], xticks=[0, 0.25, 0.5, 0.75, 1])
    ax.spines["left"].set_visible(False)
    drawn = ", ".join(f"{dart:.2f} {labels[i]}" for dart, i in zip(darts.tolist(), hit.tolist()))
    show(
        fig,
        f"A line from 0 to 1, cut into {len(labels)} stretches, one a token, as long as it is likely. Darts: {drawn}.",
        f"{len(darts)} darts, and what each one draws: {drawn}. The longer a stretch, the more often it's hit.",
    )


def surprises(beginning: str, texts: dict[str, Tensor]) -> None:
    """Show how much each token of some continuations surprises the model: the probabilities (n,) of each text."""
    fig, axes = plt.subplots(len(texts), 1, figsize=(6.4, 1.55 * len(texts) + 0.4), sharex=True, sharey=True)
    for ax, (text, chances), color in zip(axes, texts.items(), cycle((ORANGE, BLUE, GREEN))):
        ax.bar(range(1, len(chances) + 1), -chances.log(), width=0.8, color=color)
        ax.set_title(textwrap.shorten(text, 58, placeholder=" …"), fontsize=12)
        ax.set(xlim=(0, len(chances) + 1))
    axes[-1].set_xlabel("token")
    axes[len(texts) // 2].set_ylabel("surprise, −ln p")
    means = {text.partition(":")[0]: -chances.log().mean() for text, chances in texts.items()}
    told = "; ".join(f"{name} {mean:.1f}" for name, mean in means.items())
    show(
        fig,
        f"A row of bars for each continuation, one bar a token, as high as its surprise. The means: {told}.",
        f"Three ways to go on after “{beginning}”: how much each token surprises the model. Mean surprise: {told}.",
    )
