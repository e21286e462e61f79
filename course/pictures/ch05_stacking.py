"""The figures of chapter 5: the whole model, signals that fade, blocks, gradients near the top, the stream."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch

from course.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, show
from gpt2lib.config import GPT2Config


def _box(ax, x, y, width, height, text, color, size=12) -> None:
    for face in ("white", color + "26"):  # opaque, so that no line shines through
        box = FancyBboxPatch((x, y), width, height, "round,pad=0.03", fc=face, ec=color, lw=1.8, zorder=3)
        ax.add_patch(box)
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=size, color=INK, zorder=4)


def _arrow(ax, start, end, color=INK, width=1.5, above=2) -> None:
    ax.annotate("", end, start, arrowprops=dict(arrowstyle="->", color=color, lw=width), zorder=above)


def _name_at_end(ax, name, x, y, color, away=6) -> None:
    ax.annotate(name, (x, y), (away, 0), textcoords="offset points", va="center", color=color)


def whole_model(config: GPT2Config) -> None:
    """Draw GPT-2 from the tokens down to the logits, with the shape and the parameters of each part."""
    C, V, N, L = config.n_embd, config.vocab_size, config.n_positions, config.n_layer
    block = 12 * C * C + 13 * C
    fig, ax = plt.subplots(figsize=(8.6, 6.6))
    ax.plot([3.1, 3.1], [2.0, 6.35], color=BLUE, lw=4, zorder=2)  # from the embedding to the last norm
    parts = [
        (1.25, "look up wte, add wpe", f"{V * C:,} + {N * C:,}", f"(B, T, {C})", ORANGE),
        (6.35, "ln_f", f"{2 * C:,}", f"(B, T, {C})", GREY),
        (7.6, "times wte, transposed", "0 (wte again)", f"(B, T, {V})", ORANGE),
    ]
    for y, name, count, shape, color in parts:
        _box(ax, 2.4, y, 4.4, 0.75, name, color)
        ax.text(2.1, y + 0.375, shape, ha="right", va="center", fontsize=12, color=INK)
        ax.text(7.1, y + 0.375, count, ha="left", va="center", fontsize=12, color=INK)
    frame = FancyBboxPatch((2.4, 2.5), 4.4, 3.3, "round,pad=0.03", fc=BLUE + "1a", ec=BLUE, lw=1.8, zorder=1)
    ax.add_patch(frame)
    ax.text(2.1, 4.15, f"(B, T, {C})", ha="right", va="center", fontsize=12, color=INK)
    ax.text(7.1, 4.15, f"{L} · {block:,}", ha="left", va="center", fontsize=12, color=INK)
    ax.text(5.2, 2.72, f"{L} blocks, one after the other", ha="center", va="center", fontsize=12, color=INK)
    circle = dict(boxstyle="circle,pad=0.15", fc="white", ec=BLUE, lw=2)
    for y, name, color in [(3.1, "attention", PURPLE), (4.5, "MLP", GREEN)]:
        ax.plot([3.1, 5.2, 5.2, 3.4], [y, y, y + 1.0, y + 1.0], color=INK, lw=1.5, zorder=2)
        _arrow(ax, (4.2, y + 1.0), (3.3, y + 1.0))
        _box(ax, 3.45, y - 0.13, 0.5, 0.26, "ln", GREY, size=10)
        _box(ax, 4.2, y + 0.22, 2.0, 0.56, name, color)
        ax.text(3.1, y + 1.0, "+", ha="center", va="center", fontsize=14, bbox=circle, zorder=5)
    for start, end in [((4.6, 0.6), (4.6, 1.2)), ((4.6, 7.14), (4.6, 7.56)), ((4.6, 8.39), (4.6, 8.81))]:
        _arrow(ax, start, end)
    ax.text(2.1, -0.35, "shape after it", ha="right", fontsize=11, color=GREY)
    ax.text(7.1, -0.35, "parameters", ha="left", fontsize=11, color=GREY)
    ax.text(4.6, 0.35, "tokens", ha="center", va="center", fontsize=12, color=INK)
    ax.text(2.1, 0.35, "(B, T)", ha="right", va="center", fontsize=12, color=INK)
    total = V * C + N * C + L * block + 2 * C
    ax.text(4.6, 9.15, "logits: one score for each possible next token", ha="center", fontsize=12, color=INK)
    ax.text(7.1, 9.15, f"{total:,} in all", ha="left", fontsize=12, weight="bold", color=INK)
    ax.set(xlim=(0.2, 11), ylim=(9.4, -0.6))
    ax.axis("off")
    show(
        fig,
        f"The whole of GPT-2 from top to bottom: tokens (B, T); wte looked up and wpe added, (B, T, {C}); {L} blocks, through "
        "which a line runs that attention and then the MLP read, each through a norm, and add to; ln_f; the product with wte again, which gives "
        "logits for each token of the vocabulary. Beside each part stand its shape and its number of parameters.",
        "GPT-2 small, all of it. On the blue line, each token has one vector, and attention and the MLP only ever add to it. "
        "Its size never changes, so you can stack as many blocks as you like.",
    )


def fading(signals: Mapping[str, Sequence[float]]) -> None:
    """Draw the root mean square of a signal after each matrix, on a logarithmic axis, a line for each name."""
    fig, ax = plt.subplots(figsize=(8.2, 3.4))
    for (name, sizes), color in zip(signals.items(), cycle((BLUE, GREEN, RED))):
        ax.semilogy(sizes, color=color, lw=2)
        _name_at_end(ax, name, len(sizes) - 1, sizes[-1], color)
    ax.set(xlabel="matrix", ylabel="root mean square", xlim=(0, 63), xticks=range(0, 49, 12))
    ax.spines["bottom"].set_bounds(0, 48)  # to the right stand the names only
    show(
        fig,
        "The root mean square of a signal on its way through 48 matrices, on a logarithmic axis: one line falls steadily to "
        "nearly nothing, one drifts upward slowly, one rises steadily to huge numbers.",
        "The same 48 matrices, their weights multiplied by three factors. A straight line on this axis is compound interest: "
        "each matrix multiplies the signal by the same number. Even a factor picked with care drifts.",
    )


def one_block() -> None:
    """Draw a block: the stream, and the two branches that read it and add to it."""
    fig, ax = plt.subplots(figsize=(8.6, 3.0))
    _arrow(ax, (0, 2), (10.4, 2), BLUE, 3)
    ax.text(0, 2.25, "x (B, T, C)", fontsize=12, color=BLUE)
    ax.text(10.4, 2.25, "(B, T, C)", fontsize=12, color=BLUE, ha="right")
    branches = [
        (1.6, "ln_1", "attn", "gather from\nearlier tokens", PURPLE),
        (6.0, "ln_2", "mlp", "work on it,\neach token alone", GREEN),
    ]
    for x, norm, name, says, color in branches:
        ax.plot([x, x, x + 3.2], [2, 0.9, 0.9], color=GREY, lw=1.5, zorder=1)
        _arrow(ax, (x + 3.2, 0.9), (x + 3.2, 1.8), GREY)
        _box(ax, x + 0.35, 0.65, 0.9, 0.5, norm, GREY)
        _box(ax, x + 1.65, 0.65, 1.1, 0.5, name, color)
        ax.text(x + 2.2, 0.45, says, ha="center", va="top", fontsize=11, color=INK)
        circle = dict(boxstyle="circle,pad=0.15", fc="white", ec=BLUE, lw=2)
        ax.text(x + 3.2, 2, "+", ha="center", va="center", fontsize=14, bbox=circle, zorder=5)
    ax.set(xlim=(-0.2, 10.6), ylim=(-0.4, 2.7))
    ax.axis("off")
    show(
        fig,
        "A block. The stream x runs straight through. ln_1 and attn read it and add to it, then ln_2 and mlp read it and "
        "add to it.",
        "One block. The blue line is the residual stream: nothing on it but two additions. The LayerNorms work on copies, "
        "in the branches.",
    )


def norm_before_or_after() -> None:
    """Draw one addition to the stream twice: with the norm in the branch, and with the norm on the stream."""
    fig, ax = plt.subplots(figsize=(8.6, 2.3))
    circle = dict(boxstyle="circle,pad=0.15", fc="white", ec=BLUE, lw=2)
    for left, name, norm in (
        (0, "pre-norm: x + f(ln(x))", (1.0, 0.65)),
        (5.6, "post-norm: ln(x + f(x))", (3.5, 1.75)),
    ):
        ax.text(left, 2.55, name, fontsize=12, color=INK)
        _arrow(ax, (left, 2), (left + 4.9, 2), BLUE, 3)
        ax.plot([left + 0.6, left + 0.6, left + 3], [2, 0.9, 0.9], color=GREY, lw=1.5, zorder=1)
        _arrow(ax, (left + 3, 0.9), (left + 3, 1.8), GREY)
        _box(ax, left + norm[0], norm[1], 0.7, 0.5, "ln", RED if left else GREY)
        _box(ax, left + 2.05, 0.65, 0.6, 0.5, "f", PURPLE)
        ax.text(left + 3, 2, "+", ha="center", va="center", fontsize=14, bbox=circle, zorder=5)
    ax.set(xlim=(-0.2, 10.7), ylim=(0.5, 2.9))
    ax.axis("off")
    show(
        fig,
        "Two pictures of a branch f that reads the stream and adds to it. With pre-norm, ln stands in the branch, before f. "
        "With post-norm, ln stands on the stream, after the plus sign.",
        "One addition, where f is attention or an MLP. With pre-norm, there's nothing on the blue line but the plus sign. With post-norm, "
        "everything on it goes through a norm after each addition.",
    )


def gradient_near_the_top(depths: Sequence[int], sizes: Mapping[str, Sequence[float]]) -> None:
    """Draw, for stacks of several depths, the gradient that the last matrix gets; `sizes` are post and pre."""
    fig, ax = plt.subplots(figsize=(7.6, 3.5))
    for (name, size), color, marker in zip(sizes.items(), cycle((RED, BLUE)), cycle(("s", "o"))):
        ax.loglog(depths, size, marker=marker, color=color, lw=2)
        _name_at_end(ax, name, depths[-1], size[-1], color, away=9)
    pre = list(sizes.values())[1]
    ax.loglog(depths, [pre[0] * (depths[0] / L) ** 0.5 for L in depths], ls=":", color=GREY, lw=1.5)
    ax.set_xticks(depths, [str(L) for L in depths])
    ax.set_yticks([0.1, 0.2, 0.4], ["0.1", "0.2", "0.4"])
    ax.minorticks_off()
    ax.set(
        xlabel="blocks in the stack",
        ylabel="gradient of the last matrix",
        xlim=(0.9 * depths[0], 1.55 * depths[-1]),
    )
    show(
        fig,
        "The gradient of the last matrix in fresh stacks of 6, 12, 24 and 48 blocks, both axes logarithmic. With "
        "post-norm the line is nearly flat; with pre-norm it falls a bit more steeply than a dotted line that falls with the root of "
        "the depth.",
        "The gradient of the last matrix before the very first training step (mean of three draws). Post-norm: about as large in a "
        "deep stack as in a shallow one. Pre-norm: the deeper the stack, the smaller, falling a bit faster than 1/√depth (dotted).",
    )


def stream_growth(curves: Mapping[str, Sequence[float]]) -> None:
    """Draw how long the stream is after each block, as a multiple of its length at the start, doublings apart."""
    fig, ax = plt.subplots(figsize=(7.6, 3.4))
    for (name, sizes), color in zip(curves.items(), cycle((RED, SKY, BLUE))):
        ax.semilogy(sizes, color=color, lw=2, base=2)
        ax.plot(len(sizes) - 1, sizes[-1], "o", color=color)
        _name_at_end(ax, name, len(sizes) - 1, sizes[-1], color, away=8)
    longest = max(map(len, curves.values()))
    highest = max(map(max, curves.values()))
    doublings = [2**i for i in range(1 + math.ceil(math.log2(highest)))]
    ax.set(xlabel="block", ylabel="length of the stream", xlim=(0, 1.6 * longest), xticks=[0, 12, 24, 36, 48])
    ax.set_yticks(doublings, map(str, doublings))
    ax.hlines(doublings, 0, longest - 1, color=GREY, lw=0.5, alpha=0.5)
    ax.minorticks_off()
    ax.spines["bottom"].set_bounds(0, longest - 1)
    show(
        fig,
        "The length of the stream in fresh models, as a multiple of its length at the start, on an axis of doublings. With the "
        "smaller c_proj, the streams of 12 and of 48 blocks end at nearly the same length, less than twice that of the start. "
        "Without it, the stream of 48 blocks grows to about sixteen times.",
        "Fresh stacks with 128 channels. Each line across is a doubling. With the smaller `c_proj`, the stream ends at the same "
        "length whether 12 blocks add to it or 48. Without it, the more blocks, the longer.",
    )


def broken_blocks(surprises: Mapping[str, Sequence[float]], whole: float, blind: float) -> None:
    """Draw the surprise of a model whose blocks are broken one at a time, for each way to break them.

    `whole` is that of the whole model and `blind` that of blind guessing.
    """
    fig, ax = plt.subplots(figsize=(7.6, 3.4))
    for shift, (name, surprise), color in zip((-0.2, 0.2), surprises.items(), (SKY, RED), strict=True):
        places = [at + shift for at in range(len(surprise))]
        ax.bar(places, surprise, 0.38, color=color, label=name)
    right = len(surprise) - 0.4
    for height, name in ((whole, "the whole model"), (blind, "blind guessing")):
        ax.axhline(height, color=GREY, ls="--", lw=1.2)
        ax.text(right, height, f" {name}", va="center", color=GREY, fontsize=11)
    ax.set(xlabel="the block that is broken", ylabel="surprise", xlim=(-0.6, right))
    ax.set_xticks(range(len(surprise)))
    ax.legend(frameon=False, fontsize=11, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    show(
        fig,
        "Bars: the surprise of the model when one of its blocks is broken. With a block left out it stays near that of the "
        "whole model, except for block 0; with its plus sign left out it is far above that, except for block 0.",
        "Leave out what a block adds, and little changes. Let it replace the stream, and much is lost. Block 0 is the "
        "exception: there it's the other way around.",
    )


def stream_norms(sizes: Sequence[float], added: Sequence[float]) -> None:
    """Draw how long a vector of the stream is after the embedding and each block, and what each block added."""
    fig, ax = plt.subplots(figsize=(7.6, 3.2))
    blocks = range(1, len(sizes))
    ax.bar([at - 0.2 for at in blocks], added, 0.38, color=ORANGE, label="what the block adds")
    stream = ax.bar([0.2, *[at + 0.2 for at in blocks]], sizes, 0.38, color=SKY, label="the stream after it")
    ax.bar_label(stream, fmt="%.0f", padding=2, fontsize=10)
    ax.set_xticks(range(len(sizes)), ["embedding", *[f"block {at - 1}" for at in blocks]], fontsize=10)
    ax.set(ylabel="length of the vector")
    ax.legend(frameon=False, fontsize=11, loc="upper left")
    show(
        fig,
        "The length of the last token's stream after the embedding, where it is close to nothing, and after each block: it "
        "grows all the way up. Beside it, the length of what each block adds: from block 1 on shorter than the stream.",
        "How long the last token's vector is on its way up, and how long what each block adds to it. The embedding is a "
        "whisper beside what block 0 adds. From then on the stream is longer than anything added to it.",
    )
