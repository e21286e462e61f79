"""The figures of chapter 7: rows per step, what a new token needs, memory that fills, masks, costs, a slid window, padding."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import torch
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from course.figures import BLUE, GREEN, GREY, ORANGE, PALE, show

INK, BROWN = "#1f2937", "#8a5f00"  # text on white; text in the color of ORANGE, dark enough to be read


def _legend(fig, colors: Mapping[str, str]) -> None:
    boxes = [Rectangle((0, 0), 1, 1, color=color) for color in colors.values()]
    fig.legend(boxes, colors, loc="outside lower center", ncols=len(colors), frameon=False, fontsize=11)


def rows_per_step(prompt: int = 4, steps: int = 8) -> None:
    """Draw which tokens each step of writing computes, without a cache and with one."""
    fig, axes = plt.subplots(1, 2, figsize=(6.8, 3.9), sharey=True)
    sums = []
    for ax, cached in zip(axes, (False, True), strict=True):
        total = 0
        for step in range(steps):
            length = prompt + step
            for position in range(length):
                first = step == 0 or position == length - 1
                color = BLUE if first else (PALE if cached else ORANGE)
                ax.add_patch(Rectangle((position, step), 0.92, 0.92, color=color, lw=0))
            rows = length if not cached or step == 0 else 1
            total += rows
            ax.text(13, step + 0.5, str(rows), ha="right", va="center", fontsize=11)
        sums.append(total)
        ax.text(13, steps + 0.6, f"sum {total}", ha="right", va="center", fontsize=11, weight="bold")
        ax.text(13, -0.5, "rows", ha="right", va="center", fontsize=11)
        ax.set(xlim=(-0.2, 13.2), ylim=(steps + 1.1, -1), xlabel="position of the token")
        ax.set_xticks([p + 0.46 for p in range(0, 11, 2)], range(0, 11, 2))
        ax.set_yticks([s + 0.46 for s in range(steps)], range(1, steps + 1))
        ax.tick_params(length=0)
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.set_title("with a cache" if cached else "without a cache")
    axes[0].set_ylabel("step")
    _legend(fig, {"computed for the first time": BLUE, "computed again": ORANGE, "looked up": PALE})
    show(
        fig,
        f"Two grids of {steps} steps by {prompt + steps - 1} positions, for a prompt of {prompt} tokens and {steps} new ones. "
        f"Without a cache each step computes all tokens so far, {sums[0]} rows in all, and most of them form a triangle of "
        f"repeated work. With a cache step 1 computes the prompt and each later step 1 row, {sums[1]} in all.",
        "Each line is one step of writing. Orange is work that has been done before.",
    )


def one_new_token(S: int = 6) -> None:
    """Draw attention for one new token as matrices: what is computed, what is known, what nobody needs."""
    fig, ax = plt.subplots(figsize=(6.8, 3.7))

    def matrix(x, y, rows, columns, color_of):
        for r in range(rows):
            for c in range(columns):
                ax.add_patch(Rectangle((x + c, y + r), 0.9, 0.9, color=color_of(r, c), lw=0))

    matrix(0, 4, S, 3, lambda r, c: BLUE if r == S - 1 else PALE)
    matrix(4.5, 0, 3, S, lambda r, c: BLUE if c == S - 1 else GREEN)
    matrix(4.5, 4, S, S, lambda r, c: BLUE if r == S - 1 else PALE)
    matrix(12.5, 4, S, 3, lambda r, c: BLUE if r == S - 1 else GREEN)
    matrix(18, 4, S, 3, lambda r, c: BLUE if r == S - 1 else PALE)
    labels = [
        (1.5, 3.5, "$Q$"),
        (3.8, 1.5, "$K^\\top$"),
        (11.5, 6.9, "×"),
        (14, 3.5, "$V$"),
        (16.7, 6.9, "="),
    ]
    for x, y, label in [
        *labels,
        (19.5, 3.5, "output"),
        (7.5, 10.6, "weights: softmax of $QK^\\top/\\sqrt{D}$"),
    ]:
        ax.text(x, y, label, ha="center", va="center", fontsize=13)
    ax.text(-0.4, 9.45, "new token", ha="right", va="center", fontsize=11)
    ax.text(-0.4, 6.5, "tokens\nread before", ha="right", va="center", fontsize=11)
    ax.set(xlim=(-4, 21.2), ylim=(11.1, -0.3), aspect="equal")
    ax.axis("off")
    _legend(fig, {"computed now": BLUE, "needed, and known from before": GREEN, "not needed": PALE})
    show(
        fig,
        "Attention for one new token after 5 others, as matrices. Of Q only the new row is needed. Of K transposed and of V "
        "all is needed: the new token's part is computed now, that of the 5 others is known from before. Of the weights and "
        "of the output only the last row is made. The 5 other rows of Q are not needed.",
        "Attention when one token is new. All of K and V is in use, but only one query: the older ones are gray.",
    )


def filling(stages: Sequence[tuple[str, int, int]], capacity: int = 10) -> None:
    """Draw the memory of a layer after each of some stages: (name, length before, length after)."""
    fig, ax = plt.subplots(figsize=(6.8, 2.6))
    for row, (label, start, end) in enumerate(stages):
        for place in range(capacity):
            color = PALE if place >= end else (BLUE if place >= start else GREEN)
            ax.add_patch(Rectangle((place, row), 0.92, 0.8, color=color, lw=0))
        ax.text(-0.3, row + 0.4, label, ha="right", va="center", fontsize=11)
        ax.text(capacity + 0.3, row + 0.4, f"length = {end}", ha="left", va="center", fontsize=11)
    bottom = len(stages) + 0.3
    ax.set(xlim=(-4.2, capacity + 3.2), ylim=(bottom + 0.6, -0.2))
    for place in range(capacity):
        ax.text(place + 0.46, bottom, str(place), ha="center", va="center", fontsize=11, color=GREY)
    ax.text(-0.3, bottom, "place", ha="right", va="center", fontsize=11, color=GREY)
    ax.axis("off")
    _legend(fig, {"written now": BLUE, "written before": GREEN, "free": PALE})
    told = "; ".join(f"{label}: length {end}" for label, _, end in stages)
    show(
        fig,
        f"A row of {capacity} places for tokens, drawn again after each stage, filled from the left. {told}.",
        "One layer's memory fills from the left. What is in it never moves; `length` says how far it's filled.",
    )


def three_masks(masks: Mapping[str, torch.Tensor]) -> None:
    """Draw masks (T, S) of T new tokens among S, the first being right: what they show, hide, leak and lose."""
    right = next(iter(masks.values()))
    T, S = right.shape
    fig, axes = plt.subplots(1, len(masks), figsize=(6.8, 2.9), sharey=True)
    for ax, (name, mask) in zip(axes, masks.items()):
        for t in range(T):
            for s in range(S):
                if mask[t, s]:
                    color = BLUE if right[t, s] else ORANGE
                else:
                    color = "white" if right[t, s] else PALE
                hatch = "////" if right[t, s] and not mask[t, s] else None
                ax.add_patch(Rectangle((s, t), 0.92, 0.92, fc=color, ec=GREY, lw=0.4, hatch=hatch))
        ax.axvline(S - T - 0.04, color="black", lw=1.4)
        ax.set(xlim=(-0.1, S + 0.1), ylim=(T + 0.1, -0.1), aspect="equal", xlabel="key: token")
        ax.set_title(name, fontsize=12)
        ax.set_xticks([s + 0.46 for s in range(S)], range(S), fontsize=10)
        ax.set_yticks([t + 0.46 for t in range(T)], range(S - T, S), fontsize=10)
        ax.tick_params(length=0)
        ax.spines[["left", "bottom"]].set_visible(False)
    axes[0].set_ylabel("query: token")
    boxes = [
        Rectangle((0, 0), 1, 1, fc=BLUE),
        Rectangle((0, 0), 1, 1, fc=PALE),
        Rectangle((0, 0), 1, 1, fc=ORANGE),
        Rectangle((0, 0), 1, 1, fc="white", ec=GREY, hatch="////"),
    ]
    says = ["looks", "future, hidden", "future, seen by mistake", "past, lost by mistake"]
    fig.legend(boxes, says, loc="outside lower center", ncols=2, frameon=False, fontsize=11)
    show(
        fig,
        "Three masks for queries 4 to 7 over keys 0 to 7, a line between cached and new tokens. Right: all of 0 to 3, and a "
        "triangle over 4 to 7. No mask: the triangle above the diagonal, the future, is seen by mistake. From the upper left: "
        "query 4 sees only key 0, query 7 only keys 0 to 3; no future is seen but much of the past is lost, each token's look "
        "at itself included.",
        "The second chunk of 4 tokens; the black line separates what's in the cache from what's new. Orange is cheating, "
        "hatched is forgetting; the last hatched cell in each row is the token itself.",
    )


def work(lengths: Sequence[int], without: Sequence[int], cached: Sequence[int], formula) -> None:
    """Draw the multiply-adds of one token and of a whole text, counted at some lengths and by a formula at all."""
    fig, axes = plt.subplots(1, 2, figsize=(6.8, 3.4))
    everywhere = range(1, lengths[-1] + 1)
    a, b = [formula(0, S) for S in everywhere], [formula(S - 1, 1) for S in everywhere]
    for line, counted, color in ((a, without, ORANGE), (b, cached, BLUE)):
        axes[0].semilogy(everywhere, line, color=color)
        axes[0].semilogy(lengths, counted, "o", color=color, ms=4)
    axes[0].text(lengths[-1], 2.6e10, "without a cache", color=BROWN, ha="right", fontsize=11)
    axes[0].text(lengths[-1], 2.1e8, "with a cache", color=BLUE, ha="right", fontsize=11)
    axes[0].set(title="one token", ylabel="multiply-adds", xlabel="tokens in the text", ylim=(5e7, 3e11))
    total_a, total_b = torch.tensor(a).cumsum(0) / 1e12, torch.tensor(b).cumsum(0) / 1e12
    axes[1].plot(everywhere, total_a, color=ORANGE)
    axes[1].plot(everywhere, total_b, color=BLUE)
    axes[1].text(690, 30, "without\na cache", color=BROWN, ha="right", fontsize=11)
    axes[1].text(lengths[-1], 2.5, "with a cache", color=BLUE, ha="right", fontsize=11)
    axes[1].set(title="the text so far", ylabel="multiply-adds (10¹²)", xlabel="tokens in the text")
    for ax in axes:
        ax.set_xticks([1, 256, 512, 768, 1024])
    show(
        fig,
        "GPT-2 small, counted. Left, on a logarithmic scale, the cost of one token: without a cache it rises by a factor of "
        "several hundred from the first token to the last; with a cache it stays nearly the same. Right, the sum over a text "
        "from its first token: without a cache a curve up to 51 million million; with a cache a line that hardly leaves the "
        "axis.",
        "Dots are counted while the model runs, lines come from the formula. Left: what one more token costs (each step up "
        "the axis is ten times more). Right: what the whole text has cost.",
    )


def memory(names: Sequence[str], groups: Mapping[str, Sequence[float]]) -> None:
    """Draw the weights of some models beside the caches of whole texts, in GiB."""
    fig, ax = plt.subplots(figsize=(6.6, 3.6))
    for j, ((label, heights), color) in enumerate(zip(groups.items(), cycle((GREY, BLUE, ORANGE)))):
        places = [i + 0.28 * (j - 1) for i in range(len(names))]
        ax.bar(places, heights, width=0.26, color=color, label=label)
        for place, height in zip(places, heights):
            ax.text(place, height + 0.12, f"{height:.1f}", ha="center", fontsize=11)
    ax.set_xticks(range(len(names)), names)
    ax.set(title="1024 tokens in each text", ylabel="GiB (float32)", xlabel="GPT-2")
    ax.legend(frameon=False)
    show(
        fig,
        "For the four sizes of GPT-2, in GiB: the weights, the cache of one text of 1024 tokens, which is small beside "
        "them, and the cache of 16 texts, which is larger than the weights in every size.",
        "For one text, the cache is small next to the weights. For sixteen, it's the larger part in every size.",
    )


def sliding_changes(changes: Mapping[str, Sequence[float]]) -> None:
    """Draw by what share the keys and the values of a token change in each layer when the window slides."""
    fig, ax = plt.subplots(figsize=(6.6, 3.4))
    for j, ((name, shares), color) in enumerate(zip(changes.items(), cycle((BLUE, ORANGE)))):
        places = [i + 0.38 * (j - 0.5) for i in range(len(shares))]
        ax.bar(places, [100 * share for share in shares], width=0.36, color=color, label=name)
        for place, share in zip(places, shares):
            ax.text(place, 100 * share + 0.5, f"{100 * share:.0f}", ha="center", fontsize=10)
    ax.set(xlabel="layer", ylabel="mean change (%)", xticks=range(len(shares)))
    ax.margins(y=0.15)
    ax.legend(frameon=False)
    show(
        fig,
        "Two bars for each layer: by how many percent the keys and the values of a token change on average when the window "
        "slides by one token. In every layer both change.",
        "How far the keys and values in the cache are from those that the model would compute for the window one token "
        "further on. None of the bars is zero.",
    )


def padded_batch(rows: Sequence[Sequence[str]], pad: str) -> None:
    """Draw texts of different length as one batch, padded on the left, with two ways to number the positions."""
    width = max(map(len, rows))
    fig, ax = plt.subplots(figsize=(6.8, 0.75 * len(rows) + 1.3))
    for y, row in enumerate(rows):
        empty = width - len(row)
        for x in range(width):
            text = pad if x < empty else row[x - empty]
            ax.add_patch(Rectangle((x, 1.5 * y), 0.94, 0.6, color=PALE if x < empty else BLUE, lw=0))
            color = GREY if x < empty else "white"
            ax.text(x + 0.47, 1.5 * y + 0.3, text, ha="center", va="center", fontsize=12, color=color)
            ax.text(x + 0.3, 1.5 * y + 0.85, x, ha="center", va="center", fontsize=12, color=BROWN)
            if x >= empty:
                ax.text(
                    x + 0.65, 1.5 * y + 0.85, x - empty, ha="center", va="center", fontsize=12, color=BLUE
                )
    bottom = 1.5 * len(rows)
    ax.text(0, bottom, "brown: the column", color=BROWN, va="center")
    ax.text(2.4, bottom, "blue: the token's position in its own text", color=BLUE, va="center")
    ax.set(xlim=(-0.1, width + 0.1), ylim=(bottom + 0.4, -0.1))
    ax.axis("off")
    show(
        fig,
        "Texts of different length, one below the other, in one batch. Shorter ones are filled up with padding on the left, so that all end "
        "in the last column. Under each token stands its column and, counted from its own first token, its position.",
        "The shorter text is padded on the left, so that both end in the last column. Its tokens then stand in the wrong "
        "columns (brown), and the padding in front of them can be seen by attention.",
    )
