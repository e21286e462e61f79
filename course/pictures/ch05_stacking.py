"""The figures of chapter 5: the whole model, signals and norms, blocks, gradients near the top, the stream."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch, Rectangle

from course.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, show
from gpt2lib.config import GPT2Config


def _box(ax, x, y, width, height, text, color, size=12) -> None:
    for face in ("white", color + "26"):  # opaque, so that no line shines through
        box = FancyBboxPatch((x, y), width, height, "round,pad=0.03", fc=face, ec=color, lw=1.8, zorder=3)
        ax.add_patch(box)
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=size, color=INK, zorder=4)


def _arrow(ax, start, end, color=INK, width=1.5, above=2) -> None:
    ax.annotate("", end, start, arrowprops=dict(arrowstyle="->", color=color, lw=width), zorder=above)


def _name_at_end(ax, name, x, y, color, away=6, up=0) -> None:
    ax.annotate(name, (x, y), (away, up), textcoords="offset points", va="center", color=color)


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
    for y, norm, name, color in [(3.1, "ln_1", "attention", PURPLE), (4.5, "ln_2", "MLP", GREEN)]:
        ax.plot([3.1, 5.2, 5.2, 3.4], [y, y, y + 1.0, y + 1.0], color=INK, lw=1.5, zorder=2)
        _arrow(ax, (4.2, y + 1.0), (3.3, y + 1.0))
        _box(ax, 3.35, y - 0.17, 0.62, 0.34, norm, GREY, size=12)
        _box(ax, 4.2, y + 0.22, 2.0, 0.56, name, color)
        ax.text(3.1, y + 1.0, "+", ha="center", va="center", fontsize=14, bbox=circle, zorder=5)
    for start, end in [((4.6, 0.6), (4.6, 1.2)), ((4.6, 7.14), (4.6, 7.56)), ((4.6, 8.39), (4.6, 8.81))]:
        _arrow(ax, start, end)
    ax.text(2.1, -0.35, "shape after it", ha="right", fontsize=12, color=GREY)
    ax.text(7.1, -0.35, "parameters", ha="left", fontsize=12, color=GREY)
    ax.text(4.6, 0.35, "tokens", ha="center", va="center", fontsize=12, color=INK)
    ax.text(2.1, 0.35, "(B, T)", ha="right", va="center", fontsize=12, color=INK)
    total = V * C + N * C + L * block + 2 * C
    ax.text(4.6, 9.15, "logits: one score for each possible next token", ha="center", fontsize=12, color=INK)
    ax.plot([7.1, 10.0], [8.42, 8.42], color=INK, lw=1)
    ax.text(7.1, 8.85, f"{total:,} in all", ha="left", va="center", fontsize=12, weight="bold", color=INK)
    ax.set(xlim=(0.2, 11), ylim=(9.4, -0.6))
    ax.axis("off")
    show(
        fig,
        f"The whole of GPT-2 from top to bottom: tokens (B, T); wte looked up and wpe added, (B, T, {C}); {L} blocks, through "
        "which a line runs that attention and then the MLP read, through ln_1 and ln_2, and add to; ln_f; the product with wte again, which gives "
        "logits for each token of the vocabulary. Beside each part stand its shape and its number of parameters.",
        "GPT-2 small, all of it. On the blue line, each token has one vector, and attention and the MLP only ever add to it. "
        f"It always has {C} numbers, so you can stack as many blocks as you like.",
    )


def _rough(number: float) -> str:
    """Return a number to one digit, or the nearest power of ten if it's far from 1."""
    power = math.log10(number)
    return f"10$^{{{round(power)}}}$" if abs(power) > 2 else f"about {float(f'{number:.1g}'):g}"


def fading(
    signals: Mapping[str, Sequence[float]], tamed: Mapping[str, Sequence[float]] | None = None
) -> None:
    """Draw the root mean square of a signal after each matrix, on a logarithmic axis, a line for each name.

    With `tamed`, the same signals with a norm after each matrix stand out, and `signals` are gray.
    """
    fig, ax = plt.subplots(figsize=(8.6, 4.2))
    for (name, sizes), color in zip(signals.items(), cycle((BLUE, GREEN, RED))):
        ax.semilogy(sizes, color=GREY if tamed else color, lw=1 if tamed else 2, ls="--" if tamed else "-")
        if not tamed:
            name = f"{name}: {_rough(sizes[-1])}"
        beside = 5 if tamed and 1 < sizes[-1] < 100 else 0  # leaves room for the name of the tamed ones
        _name_at_end(ax, name, len(sizes) - 1, sizes[-1], GREY if tamed else color, up=beside)
    ax.set(xlabel="matrix", ylabel="root mean square", xlim=(0, 68), xticks=range(0, 49, 12))
    ax.spines["bottom"].set_bounds(0, 48)  # to the right stand the names only
    if not tamed:
        show(
            fig,
            "The root mean square of a signal on its way through 48 matrices, on a logarithmic axis: one line falls steadily "
            "to nearly nothing, one drifts upward slowly, one rises steadily to huge numbers. Each ends in its last value.",
            "The same 48 matrices, their weights multiplied by three factors. A straight line on this axis is compound interest: "
            "each matrix multiplies the signal by the same number. Even a factor picked with care drifts.",
        )
        return
    for sizes, color in zip(tamed.values(), cycle((BLUE, GREEN, RED))):
        ax.semilogy(sizes, color=color, lw=1)
    last = [sizes[-1] for sizes in tamed.values()]
    _name_at_end(ax, "with layer_norm", 48, math.prod(last) ** (1 / len(last)), INK, up=-6)
    show(
        fig,
        "The same axes. Dashed and gray, as before: three signals that spread over some twenty powers of ten. In color, with a "
        "layer_norm after each matrix: all of them run straight across, side by side near 1.",
        "The same axes, with the lines from before dashed. In color, the same signals with `layer_norm` after each matrix: "
        "the fan closes to a flat band. (Measured before each norm; after it, they'd all be at 1.)",
    )


def twins_on_the_way(cosines: Mapping[str, Sequence[float]], strangers: Sequence[float]) -> None:
    """Draw how alike twins are after each matrix, a line for each way to go on, and how alike strangers are."""
    fig, ax = plt.subplots(figsize=(8.6, 3.4))
    top = len(strangers) - 1
    colors = {"each step adds": BLUE, "each step replaces": RED, "post-norm": GREEN}
    names = [("strangers", strangers, GREY, "--")]
    others = cycle((ORANGE, PURPLE, SKY))
    names += [(name, line, colors.get(name) or next(others), "-") for name, line in cosines.items()]
    ends: list[float] = []
    for name, line, color, style in sorted(names, key=lambda each: each[1][-1]):
        ax.plot(line, color=color, lw=2.5 if style == "-" else 1.8, ls=style)
        ends.append(max(line[-1], ends[-1] + 0.11) if ends else line[-1] - 0.04)
        ax.annotate(
            name, (top, ends[-1]), (8, 0), textcoords="offset points", va="center", fontsize=12, color=color
        )
    ax.set(xlabel="matrix", ylabel="cosine", xlim=(0, 1.42 * top), ylim=(-0.15, 1.05))
    ax.set_xticks(range(0, top + 1, 12))
    ax.set_yticks([0, 0.5, 1])
    ax.spines["bottom"].set_bounds(0, top)
    alt = (
        "The mean cosine of 64 vectors and their twins on the way through 48 matrices. Where each step adds, the line starts at "
        "about 0.9 and sinks a little; where each step replaces, it falls to 0 in the first half and stays there. "
    )
    says = "How alike twins are on the way up: 1 would be the same direction. Replace, and they drift apart until they're strangers. Add, and they stay twins."
    if "post-norm" in cosines:
        alt += "With post-norm it falls steadily, to about a quarter. "
        says = "The same axes, with post-norm beside them. It adds, too, but norms what it has added to: the twins drift apart, only more slowly."
    show(fig, alt + "Strangers stay near 0 throughout.", says)


def row_by_row(before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> None:
    """Draw tokens as rows of numbers, before and after a norm, each row in a frame and a color of its own."""
    before, after = ([[float(number) for number in row] for row in table] for table in (before, after))
    rows, columns = len(before), max(map(len, before))
    fig, ax = plt.subplots(figsize=(8.6, 1.3 + 0.62 * rows))
    right = columns + 2.2
    for left, table, form, title in ((0, before, "{:g}", "before"), (right, after, "{:.3f}", "after")):
        ax.text(left, -0.5, f"{title}: {rows} tokens, {columns} channels", fontsize=12, color=INK)
        for y, (row, color) in enumerate(zip(table, cycle((BLUE, ORANGE, GREEN)))):
            frame = dict(fc=color + "26", ec=color, lw=2)
            ax.add_patch(Rectangle((left, y + 0.06), len(row), 0.88, **frame))
            for x, number in enumerate(row):
                text = form.format(number).replace("-", "\N{MINUS SIGN}")
                ax.text(left + x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=12, color=INK)
            if left:
                _arrow(ax, (columns + 0.3, y + 0.5), (right - 0.3, y + 0.5), color)
                mean = sum(before[y]) / len(before[y])
                variance = sum((number - mean) ** 2 for number in before[y]) / len(before[y])
                for down, said in ((0.44, f"mean {mean:g}"), (0.86, f"variance {variance:g}")):
                    ax.text(
                        (columns + right) / 2,
                        y + down,
                        said,
                        ha="center",
                        va="bottom",
                        fontsize=11,
                        color=INK,
                    )
    ax.set(xlim=(-0.1, right + columns + 0.1), ylim=(rows + 0.1, -0.9))
    ax.axis("off")
    show(
        fig,
        f"A grid of {rows} rows, the tokens, and {columns} columns, the channels, before and after the norm. Each row is framed "
        "and has an arrow of its own: mean and variance are taken along the row.",
        "One row is one token. Mean and variance are taken along the row, and no row knows about the others.",
    )


def one_block() -> None:
    """Draw a block: the stream, and the two branches that read it and add to it."""
    fig, ax = plt.subplots(figsize=(8.6, 3.0))
    _arrow(ax, (0, 2), (10.4, 2), BLUE, 3)
    ax.text(0, 2.25, "x (B, T, C)", fontsize=12, color=BLUE)
    ax.text(10.4, 2.25, "(B, T, C)", fontsize=12, color=BLUE, ha="right")
    branches = [
        (1.6, "ln_1", "attn", "gather from itself\nand earlier tokens", PURPLE),
        (6.0, "ln_2", "mlp", "work on it,\neach token alone", GREEN),
    ]
    for x, norm, name, says, color in branches:
        ax.plot([x, x, x + 3.2], [2, 0.9, 0.9], color=GREY, lw=1.5, zorder=1)
        _arrow(ax, (x + 3.2, 0.9), (x + 3.2, 1.8), GREY)
        _box(ax, x + 0.35, 0.65, 0.9, 0.5, norm, GREY)
        _box(ax, x + 1.65, 0.65, 1.1, 0.5, name, color)
        ax.text(x + 2.2, 0.45, says, ha="center", va="top", fontsize=12, color=INK)
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
    share = [pre[0] * (depths[0] / L) ** 0.5 for L in depths]
    ax.loglog(depths, share, ls=":", color=GREY, lw=2)
    _name_at_end(ax, "1/√depth", depths[-1], share[-1], GREY, away=9, up=4)
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
        "deep stack as in a shallow one. Pre-norm: the deeper the stack, the smaller, a little faster than 1/√depth (dotted), the share of one term in a sum of independent ones. Both axes are logarithmic.",
    )


def stream_growth(curves: Mapping[str, Sequence[float]]) -> None:
    """Draw how long the stream is after each block, as a multiple of its length at the start, doublings apart."""
    fig, ax = plt.subplots(figsize=(7.6, 3.8))
    for (name, sizes), color in zip(curves.items(), cycle((RED, GREEN, BLUE))):
        ax.semilogy(sizes, color=color, lw=2, base=2)
        ax.plot(len(sizes) - 1, sizes[-1], "o", color=color)
        _name_at_end(ax, name, len(sizes) - 1, sizes[-1], color, away=8)
    longest = max(map(len, curves.values()))
    highest = max(map(max, curves.values()))
    doublings = [2**i for i in range(1 + math.ceil(math.log2(highest)))]
    ax.set(
        xlabel="block",
        ylabel="length of the stream (start = 1)",
        xlim=(0, 1.6 * longest),
        xticks=[0, 12, 24, 36, 48],
    )
    ax.set_yticks(doublings, map(str, doublings))
    ax.hlines(doublings, 0, longest - 1, color=GREY, lw=0.5, alpha=0.5)
    ax.minorticks_off()
    ax.spines["bottom"].set_bounds(0, longest - 1)
    show(
        fig,
        "The length of the stream in fresh models, as a multiple of its length at the start, on an axis of doublings. With the "
        "smaller c_proj, the streams of 12 and of 48 blocks end at nearly the same length, about eleven times that of the start. "
        "Without it, the stream of 48 blocks grows to over a hundred times.",
        "Fresh stacks as wide as GPT-2, 768 channels. From one gridline to the next, the length doubles. With the smaller `c_proj`, the stream ends at the same "
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
        ax.text(right, height, f" {name}", va="center", color=INK, fontsize=12)
    ax.set(xlabel="the block that is broken", ylabel="surprise", xlim=(-0.6, right))
    ax.set_xticks(range(len(surprise)))
    ax.legend(frameon=False, fontsize=12, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    show(
        fig,
        "Bars: the surprise of the model when one of its blocks is broken. With a block left out it stays near that of the "
        "whole model, except for block 0; with its plus sign left out it is far above that, except for block 0.",
        "Leave out what a block adds, and little changes. Let it replace the stream, and much is lost. Block 0 is the "
        "exception: there it's the other way around.",
    )


def stream_norms(sizes: Sequence[float], added: Sequence[float]) -> None:
    """Draw how long a vector of the stream is after the embedding and each block, and what each block added."""
    fig, ax = plt.subplots(figsize=(8.6, 3.6))
    blocks = range(1, len(sizes))
    ax.bar([at - 0.2 for at in blocks], added, 0.38, color=ORANGE, label="what the block adds")
    ax.bar([0.2, *[at + 0.2 for at in blocks]], sizes, 0.38, color=SKY, label="the stream after it")
    for bars in ax.containers:
        ax.bar_label(bars, fmt="%.0f", padding=2, fontsize=11)
    ax.set_xticks(range(len(sizes)), ["embedding", *[f"block {at - 1}" for at in blocks]], fontsize=11)
    ax.set(ylabel="length of the vector")
    ax.margins(y=0.08)
    ax.legend(frameon=False, fontsize=12, loc="upper left")
    show(
        fig,
        "The length of the last token's stream after the embedding, where it is close to nothing, and after each block: it "
        "grows all the way up. Beside it, the length of what each block adds: from block 1 on shorter than the stream.",
        "How long the last token's vector is on its way up, and the length of what each block adds. The embedding is a "
        "whisper beside what block 0 adds. From then on the stream is longer than anything added to it.",
    )
