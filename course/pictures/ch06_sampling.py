"""The figures of chapter 6: a distribution and its tail, repeats, temperature, where top-p cuts, all three in a row."""

import textwrap
from itertools import cycle

from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from torch import Tensor

from course.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, YELLOW, show


def most_likely(prompt: str, labels: list[str], chances: Tensor, others: int) -> None:
    """Show the probabilities of the most likely next tokens, and of all others together. chances (n,)."""
    rest = 1 - chances.sum().item()
    fig, ax = plt.subplots(figsize=(6.4, 5.0))
    bars = [*labels, f"{others:,} others"]
    ax.barh(bars, [*chances.tolist(), rest], color=[BLUE] * len(labels) + [ORANGE])
    ax.text(rest - 0.01, len(labels), f"{rest:.2f}", va="center", ha="right", fontsize=13)
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="probability", title=f"after “{prompt}”")
    show(
        fig,
        f"Bars: the {len(labels)} most likely next tokens, from {chances[0]:.2f} down to {chances[-1]:.2f}, and one for "
        f"all {others:,} others together, {rest:.1f}.",
        f"The {len(labels)} most likely tokens (blue), and all the others in one bar (orange): {rest:.0%}.",
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
            if mark is None:
                ax.text(at, -row, piece, fontsize=13, va="center", color=GREY)
            else:  # letter by letter: within a longer text they'd drift from their places
                for i, letter in enumerate(piece):
                    ax.text(at + i, -row - 0.2, letter, fontsize=13, family="monospace")
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
    for (t, chances), color in zip(curves.items(), cycle((BLUE, GREEN, RED, PURPLE))):
        ranked = chances.sort(descending=True).values
        ax.plot(range(1, len(ranked) + 1), ranked, color=color, lw=2.5, label=f"t = {t}")
    ax.axvline(100, color=GREY, lw=1.5, ls=":")
    ax.text(110, 0.35, "after the first hundred →", color=GREY, fontsize=13)
    ax.set(xscale="log", yscale="log", ylim=(1e-7, 1), xlabel="rank of the token", ylabel="probability")
    ax.xaxis.set_major_formatter("{x:,.0f}")
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
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.2))
    show(
        fig,
        f"Curves of summed probability. Each reaches {p} after another number of tokens: {', '.join(told)}. A dotted line stands at k = {k}.",
        f"Top-p cuts each curve at the first token that brings it to {p} or more (the dots), so how many stay depends on the prompt. "
        f"Top-k cuts all of them at the same place, the dotted line.",
    )


def in_a_row(stages: dict[str, Tensor], labels: list[str]) -> None:
    """Show the probabilities after each step from logits to a draw: the labeled tokens, and all others in one bar.

    stages (V,) under each name, the labeled tokens first.
    """
    n, others = len(labels), f"{len(next(iter(stages.values()))) - len(labels):,} others"
    fig, axes = plt.subplots(len(stages), 1, figsize=(7.2, 1.3 * len(stages) + 1.0), sharex=True, sharey=True)
    for ax, (name, chances) in zip(axes, stages.items()):
        heights = [*chances[:n].tolist(), chances[n:].sum().item()]
        ax.bar(range(n + 1), heights, color=[BLUE] * n + [ORANGE])
        for i, chance in enumerate(heights):
            text, color = (f"{chance:.2f}" if chance > 0.015 else "", INK) if chance else ("×", RED)
            ax.text(i, chance + 0.02, text, ha="center", fontsize=12 if chance else 15, color=color)
        ax.text(0.6, 0.95, name, transform=ax.transAxes, ha="center", va="top", fontsize=14, weight="bold")
        ax.set(ylim=(0, 0.8), yticks=[])
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="x", length=0)
    axes[-1].set_xticks(range(n + 1), [*labels, others], rotation=40, ha="right", fontsize=13)
    told = "; ".join(
        f"{name}: {int((chances[:n] > 0).sum())}, and {chances[n:].sum():.2f} for all others"
        for name, chances in stages.items()
    )
    show(
        fig,
        f"Rows of bars, one below the other, for the {n} most likely tokens and, in orange, all others together. "
        f"How many of the {n} are still possible: {told}. From row to row those that stay get higher.",
        f"The {n} most likely tokens and all others (orange) after each step. × is cut, and its probability is split in "
        "proportion among the tokens that stay. The draw is made from the last row.",
    )


def on_a_line(labels: list[str], chances: Tensor, darts: Tensor, hit: list[str]) -> None:
    """Show darts on a line cut into a stretch for each labeled token, and one for all others.

    chances (V,), the labeled tokens first; darts (m,), and what each hits.
    """
    fig, ax = plt.subplots(figsize=(8.4, 2.9))
    n, low, start = len(labels), -0.3, 0.0
    rest = chances[n:].sum().item()
    pieces = list(zip(labels, chances[:n].tolist(), cycle((SKY, GREEN, PURPLE, GREY, YELLOW))))
    pieces += [(f"{len(chances) - n:,} others", rest, ORANGE)]
    for label, chance, color in pieces:
        middle, start = start + chance / 2, start + chance
        ax.barh(0, chance, left=middle - chance / 2, height=0.6, color=color, edgecolor="white")
        if chance > 0.011 * len(label) + 0.02:
            ax.text(middle, 0, label, ha="center", va="center", color="k", fontsize=13)
        elif chance > 0.02:  # too short to write in: below, one under the other
            low -= 0.27
            ax.plot([middle, middle], [-0.3, low + 0.12], color=INK, lw=0.8)
            ax.text(middle, low, label, ha="center", va="center", color=INK, fontsize=13)
    floor = min(-0.5, low - 0.2)
    for place, i in enumerate(darts.argsort().tolist()):
        dart, high = darts[i].item(), 0.72 + 0.32 * (place % 2)
        ax.plot([dart, dart], [0.3, high - 0.1], color=INK, lw=1.2)
        ax.plot(dart, 0.36, "v", color=INK, markersize=9)
        ax.text(dart, high, hit[i], ha="center", va="center", fontsize=13, weight="bold", color=INK)
    ax.set(xlim=(-0.03, 1.03), ylim=(floor, 1.25), yticks=[], xticks=[0, 0.25, 0.5, 0.75, 1])
    ax.spines[["left", "bottom"]].set_visible(False)
    drawn = ", ".join(f"{dart:.2f} {token}" for dart, token in zip(darts.tolist(), hit))
    far = int((darts > 1 - rest).sum())
    tail = f" {far} of them landed in the tail (orange)." if rest else " There's no tail to land in."
    show(
        fig,
        f"A line from 0 to 1, cut into stretches as long as the tokens are likely; all but the first {n} tokens together "
        f"have {rest:.2f}. Darts: {drawn}.",
        f"{len(darts)} darts, and what each one draws: {drawn}.{tail}",
    )


def surprises(beginning: str, texts: dict[str, tuple[list[str], Tensor]]) -> None:
    """Show how much each token of some continuations surprises the model: the tokens and their probabilities (n,)."""
    fig, axes = plt.subplots(len(texts), 1, figsize=(7.2, 1.9 * len(texts) + 0.4), sharex=True, sharey=True)
    for ax, (name, (tokens, chances)), color in zip(axes, texts.items(), cycle((ORANGE, BLUE, GREEN))):
        heights = (-chances.log()).tolist()
        ax.bar(range(1, len(heights) + 1), heights, width=0.8, color=color)
        text = "".join(tokens).replace("␣", " ").replace("\n", " ")
        ax.set_title(textwrap.shorten(f"{name}: {text}", 62, placeholder=" …"), fontsize=13)
        ax.set(xlim=(0, len(heights) + 1))
        named = []  # tall bars of words or pieces, so far apart that their names don't meet
        for i in chances.argsort().tolist():
            word = sum(map(str.isalpha, tokens[i])) > 1 and heights[i] > 5
            if word and len(named) < 3 and all(abs(i - other) > 8 for other in named):
                named.append(i)
                ax.text(i + 1, heights[i] + 0.3, tokens[i], ha="center", va="bottom", fontsize=12, color=INK)
    axes[-1].set_ylim(0, axes[-1].get_ylim()[1] + 2.5)
    axes[-1].set_xlabel("token")
    axes[len(texts) // 2].set_ylabel("surprise, −ln p")
    means = ", ".join(f"{-chances.log().mean():.1f} for {name}" for name, (_, chances) in texts.items())
    tallest = ", ".join(
        f"{tokens[i]} {-chances[i].log():.1f} for {name}"
        for name, (tokens, chances) in texts.items()
        for i in [int(chances.argmin())]
    )
    show(
        fig,
        "A row of bars for each continuation, one bar a token, as high as its surprise. "
        f"The means: {means}. The most surprising: {tallest}.",
        f"Three ways to go on after “{beginning}”: how much each token surprises the model (some of the tallest bars are named). Mean surprise: {means}.",
    )
