"""The pictures of chapter 3."""

import math
from itertools import cycle

import torch
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch, Rectangle

from course.figures import BLUE, BROWN, GREEN, GREY, ORANGE, PALE, PURPLE, RED, SHARES, SIGNED, show

WORDS = (GREY, PURPLE, RED, BLUE)


def ink(share: float) -> str:
    """Return the color of text on a cell of the map for shares."""
    return "white" if share > 0.55 else "black"


def label_tokens(ax, rows: list[str], columns: list[str]) -> None:
    ax.set_xticks(range(len(columns)), columns, rotation=90)
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def same_start(beginnings: list[str], vectors: list, predictions: list, tokenizer) -> None:
    """Draw, per beginning, the last token's vector (C,) and the five most likely next tokens of (V,)."""
    fig, axes = plt.subplots(2, 2, figsize=(8, 3.6), width_ratios=(1.2, 1))
    for (left, right), beginning, vector, shares in zip(axes, beginnings, vectors, predictions, strict=True):
        left.imshow(vector[None, :32], cmap=SIGNED, vmin=-0.4, vmax=0.4, aspect="auto")
        left.set(
            yticks=[], xticks=[], title=f"“{beginning}”", xlabel="vector of the last token, first 32 numbers"
        )
        top = shares.topk(5)
        names = [repr(tokenizer.decode([i])) for i in top.indices.tolist()]
        right.barh(range(5), 100 * top.values, color=ORANGE)
        right.set_yticks(range(5), names, fontsize=11)
        right.invert_yaxis()
        right.set(xlim=(0, 100 * max(p.max().item() for p in predictions) * 1.1), xlabel="next token, %")
    show(
        fig,
        f"Two beginnings, {' and '.join(beginnings)}. The vectors of the two last tokens, drawn as strips of color, "
        "are the same. The five most likely next tokens beside them differ.",
        "Left: the last token's vector before the first layer, the same both times (red: above 0, blue: below). "
        "Right: what the model expects next, not the same.",
    )


def weighted_sum(words: list[str], query, keys, values, shares, meanings: tuple[str, str]) -> None:
    """Draw a query (2,) at keys (S, 2), and values (S, 2) scaled by their shares (S,) and added up."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.7), width_ratios=(1.5, 1))
    two = "{:g}, {:g}".format
    left.text(1.3, -0.75, f"query of “{words[-1]}”: {two(*query.tolist())}", color=BROWN, ha="center")
    for x, head in zip((0, 1.3, 2.5, 3.75, 5.1), ("folder", "key", "match", "share", "value"), strict=True):
        left.text(x, 0, head, ha="center", color=GREY)
    for i, (word, color) in enumerate(zip(words, cycle(WORDS))):
        y = i + 1
        left.text(0, y, word, ha="center", va="center", color=color, weight="bold")
        left.text(1.3, y, two(*keys[i].tolist()), ha="center", va="center")
        left.text(2.5, y, f"{(keys[i] @ query).item():g}", ha="center", va="center")
        left.add_patch(Rectangle((3.2, y - 0.3), 1.1, 0.6, color=PALE, lw=0))
        left.add_patch(Rectangle((3.2, y - 0.3), 1.1 * shares[i].item(), 0.6, color="#f3c866", lw=0))
        left.text(3.75, y, f"{shares[i]:.2f}", ha="center", va="center")
        left.text(5.1, y, two(*values[i].tolist()), ha="center", va="center")
    left.set(xlim=(-0.6, 5.6), ylim=(len(words) + 0.6, -1.2))
    left.axis("off")
    at = torch.zeros(2)
    for word, color, share, value in zip(words, cycle(WORDS), shares, values):
        right.plot(*value, "o", color=color, ms=5)
        side = {"ha": "right", "xytext": (-7, 4)} if value[0] == 0 else {"xytext": (6, 4)}
        right.annotate(word, value.tolist(), textcoords="offset points", color=color, **side)
        tip = at + share * value
        if 0.05 < (tip - at).norm() < 0.5:  # too short for a head
            right.plot(*zip(at.tolist(), tip.tolist()), color=color, lw=5, solid_capstyle="butt", zorder=3)
        elif (tip - at).norm() >= 0.5:
            right.annotate(
                "",
                tip.tolist(),
                at.tolist(),
                arrowprops={"arrowstyle": "-|>", "color": color, "lw": 2, "shrinkA": 0, "shrinkB": 0},
            )
        at = tip
    right.plot(*zip((0, 0), at.tolist(), strict=True), "--", color=ORANGE, lw=2, zorder=1)
    right.plot(*at, "o", mfc="none", mec=ORANGE, mew=1.2, ms=19)
    right.text(at[0] + 0.9, at[1] + 0.3, "the mixture", color=BROWN, va="center")
    right.set(xlim=(-4.2, 11), ylim=(-0.8, 9.4), xlabel=meanings[0], ylabel=meanings[1])
    parts = "; ".join(f"{w} {s:.2f}" for w, s in zip(words, shares.tolist()))
    show(
        fig,
        f"Left: four folders with key, match, share and value. The shares are {parts}. Right: the values as dots in "
        f"a plane of {meanings[0]} and {meanings[1]}. The values, shortened to their shares, are set tip to tail; "
        f"they end at the mixture, {at[0]:.1f} and {at[1]:.1f}.",
        "Left: the query's dot product with each key is the match; softmax makes the shares. Right: each value, shortened to its "
        "share, is an arrow (“growled” adds only a short blue piece); set end to end, they lead to the ring: the mixture.",
    )


def spreading_scores(widths, raw: list[float], divided: list[float], shares: dict[str, torch.Tensor]) -> None:
    """Draw variances over the head's width, and sorted shares (queries, keys) with and without the division."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
    left.loglog(widths, raw, "o-", color=ORANGE, base=2)
    left.loglog(widths, divided, "s-", color=BLUE, base=2)
    left.text(12, 60, "q·k", color=BROWN, ha="right")
    left.text(20, 1.5, "q·k / √D", color=BLUE)
    left.set(
        xlabel="width of the head, D", ylabel="variance", title="q · k spreads with D …", ylim=(0.5, 400)
    )
    left.set_xticks(widths, widths)
    left.set_yticks(widths, widths)
    left.minorticks_off()
    top = []
    for (name, p), color, marker in zip(shares.items(), cycle((ORANGE, BLUE)), cycle("os")):
        typical = p.sort(dim=-1, descending=True).values.median(dim=0).values
        top.append(typical[0].item())
        right.plot(range(1, p.shape[1] + 1), typical, marker + "-", color=color, label=name, ms=5)
    right.set(xlabel="the 16 keys, best match first", ylabel="share", title="… and the softmax picks one")
    right.set_xticks([1, 4, 8, 12, 16])
    right.legend(frameon=False)
    show(
        fig,
        "Left: the variance of q·k grows as D, from 1 to about 256; divided by the root of D it stays at 1. "
        f"Right: shares that 16 random keys get, sorted. Without the division the best gets {top[0]:.1f}, the "
        f"others next to nothing; with it the best gets {top[1]:.1f} and the shares fall off gently.",
        "Left: without the division (orange) the numbers spread more, the wider the head. Right: the median "
        "shares of 1000 random queries. Without the division, one random key takes nearly everything.",
    )


def three_masks(sentence: list[str], masks: dict[str, torch.Tensor]) -> None:
    """Draw masks (T, S) of a sentence of S words; the rows are its last T words."""
    fig, axes = plt.subplots(1, len(masks), figsize=(8, 3.4))
    S = len(sentence)
    for ax, (title, mask) in zip(axes, masks.items()):
        for r, row in enumerate(mask.tolist()):
            for c, allowed in enumerate(row):
                box = (c - 0.46, r + S - len(mask) - 0.46)
                ax.add_patch(Rectangle(box, 0.92, 0.92, color=BLUE if allowed else PALE, lw=0))
        label_tokens(ax, sentence, sentence)
        ax.set_yticks(range(S - len(mask), S), sentence[S - len(mask) :])
        ax.set(xlim=(-0.6, S - 0.4), ylim=(S - 0.4, -0.6), aspect="equal")
        ax.set_title(title, fontsize=12)
    axes[0].set_ylabel("who asks")
    fig.supxlabel("who is asked", fontsize=12)
    counts = [int(mask.sum()) for mask in masks.values()]
    show(
        fig,
        f"Three masks for the words {' '.join(sentence)}. BERT: all {counts[0]} cells are allowed. GPT-2: the "
        f"lower triangle, {counts[1]} cells. GPT-2 with two new tokens: the last two rows of that triangle, "
        f"{counts[2]} cells.",
        "Blue: may look. The third mask is the bottom two rows of the second.",
    )


def from_products_to_shares(words: list[str], raw, scaled, shares: torch.Tensor) -> None:
    """Draw dot products, scores and shares (T, T), and the scores with -inf where a share is 0; hidden is gray."""
    hidden = torch.where(shares == 0, -math.inf, scaled)
    tables = {"q·k": raw, "divided by √D": scaled, "masked": hidden, "shares": shares}
    fig, axes = plt.subplots(2, 2, figsize=(7.2, 6.6))
    for ax, digits, (title, table) in zip(axes.flat, (2, 4, 4, 2), tables.items(), strict=True):
        last = table is shares
        ax.imshow(table.masked_fill(table.isinf(), 0), cmap=SHARES, vmin=0, vmax=1)
        for r, row in enumerate(table.tolist()):
            for c, number in enumerate(row):
                if math.isinf(number) or (last and number == 0):
                    ax.add_patch(Rectangle((c - 0.5, r - 0.5), 1, 1, color=PALE, lw=0))
                label = (
                    "−∞" if math.isinf(number) else "0" if last and number == 0 else f"{number:.{digits}f}"
                )
                ax.text(c, r, label, ha="center", va="center", fontsize=12 - digits / 2, color=ink(number))
        label_tokens(ax, words, words)
        ax.set_title(title, fontsize=12)
    fig.supxlabel("who is asked", fontsize=12)
    fig.supylabel("who asks", fontsize=12)
    rows = "; ".join(" ".join(f"{n:.2f}" for n in row[: t + 1]) for t, row in enumerate(table.tolist()))
    show(
        fig,
        f"Four tables for the words {' '.join(words)}: the dot products; the same divided by √D; with minus "
        f"infinity where they're hidden; and the shares, whose rows are {rows}.",
        "The dot products, divided, masked, and as shares. Gray is hidden. In the last table each row adds up to 1, "
        "and above the diagonal all shares are 0.",
    )


def noise_learned(losses: dict[str, list[float]], level: float, shares: torch.Tensor) -> None:
    """Draw two loss curves and a table of shares (T, T)."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), width_ratios=(1.9, 1))
    for (name, curve), color, ink, height in zip(
        losses.items(), (BLUE, ORANGE), (BLUE, BROWN), (3.0, 1.1), strict=True
    ):
        left.plot(curve, color=color, lw=2)
        left.text(149, height, name, color=ink, ha="right")
    left.axhline(level, color="black", lw=1.5, ls=(0, (4, 5)), zorder=4)
    left.text(
        149, level - 0.35, f"pure guessing (dashed): {level:.1f}", color="black", ha="right", fontsize=11
    )
    left.set(xlabel="training step", ylabel="loss per token", ylim=(0, 3.6), xlim=(0, 150))
    right.imshow(shares, cmap=SHARES, vmin=0, vmax=1)
    right.set(xlabel="who is asked", ylabel="who asks", xticks=range(len(shares)), yticks=range(len(shares)))
    right.set_title("without the mask", fontsize=12)
    right.tick_params(length=0)
    show(
        fig,
        "Left: loss on random tokens over 150 steps. With the causal mask it stays at about 2.8, the level of "
        "guessing; without one it falls far below. Right: the shares of the model without a mask, a table of 8 "
        "by 8. Dark cells stand one to the right of the diagonal: each token looks at the next one.",
        "Left: without the mask the loss falls far below what can be known. Right: how. Each of the first seven "
        "tokens looks one place ahead, where its answer stands; the last has nobody ahead of it.",
    )


def split_and_view(cells: torch.Tensor, right_way: torch.Tensor, wrong_way: torch.Tensor) -> None:
    """Draw numbered cells (4, 6) and two ways to make three heads (3, 4, 2) of them."""
    heads_colors = (BLUE, ORANGE, GREEN)

    def draw(ax, left, table):
        for r, row in enumerate(table.tolist()):
            for c, number in enumerate(row):
                color = heads_colors[int(number) % 6 // 2]
                ax.add_patch(Rectangle((left + c, r), 0.94, 0.94, color=color, alpha=0.45, lw=0))
                ax.text(left + c + 0.47, r + 0.5, f"{number:.0f}", ha="center", va="center", fontsize=10)

    def arrow(ax, x, text):
        ax.add_patch(FancyArrowPatch((x, 2), (x + 1.8, 2), arrowstyle="-|>", mutation_scale=14, color=GREY))
        ax.text(x + 0.9, 1.5, text, ha="center", fontsize=10)

    fig, axes = plt.subplots(2, 1, figsize=(8, 4.4))
    titles = ("right: cut each row, then collect", "wrong: one view straight to (H, T, D)")
    for ax, heads, title in zip(axes, (right_way, wrong_way), titles, strict=True):
        draw(ax, 0, cells)
        for h in range(3):
            draw(ax, 8.6 + 2.6 * h, heads[h])
            ax.text(9.6 + 2.6 * h, -0.35, f"head {h}", ha="center", fontsize=10)
        ax.text(3, -0.35, "q: one row per token", ha="center", fontsize=10)
        for t in range(4):
            ax.text(-0.3, t + 0.5, f"token {t}", ha="right", va="center", fontsize=10)
        arrow(ax, 6.4, "split")
        ax.set(xlim=(-2.4, 24.8), ylim=(4.2, -0.9), aspect="equal")
        ax.set_title(title, fontsize=12)
        ax.axis("off")
    arrow(axes[0], 16.4, "merge")
    draw(axes[0], 18.6, cells)
    axes[0].text(21.6, -0.35, "as before", ha="center", fontsize=10)
    story = "Head 0 holds all of token 0\nand part of token 1: rows\nare no longer tokens."
    axes[1].text(17, 2, story, va="center", fontsize=10)
    show(
        fig,
        "A table of 4 tokens by 6 numbers, counted 0 to 23. Right way: columns 0 and 1 become head 0 (0 1, 6 7, "
        "12 13, 18 19), columns 2 and 3 head 1, columns 4 and 5 head 2; merging restores the table. Wrong way: a "
        "single view gives head 0 the numbers 0 to 7, all of token 0 and part of token 1.",
        "Each color is one head. Above, every row of a head belongs to one token. Below, the shape is the same, but "
        "the colors are mixed up.",
    )


def layer_shapes() -> None:
    """Draw the attention layer from x to y with the shape after each step."""
    fig, ax = plt.subplots(figsize=(8.4, 4.4))

    def box(x, y, w, text, color):
        ax.add_patch(Rectangle((x - w / 2, y - 0.34), w, 0.68, facecolor=color, alpha=0.3, lw=0))
        ax.text(x, y, text, ha="center", va="center", fontsize=11)

    def arrow(x, y, x2, y2):
        ax.add_patch(FancyArrowPatch((x, y), (x2, y2), arrowstyle="-|>", mutation_scale=11, color=GREY))

    def shape(x, y, text, ha="left"):
        ax.text(x, y, text, ha=ha, va="center", fontsize=10, color=GREY)

    middle = 4.2
    shape(middle, 0.05, "x (B, T, C)", "center")
    arrow(middle, 0.2, middle, 0.55)
    box(middle, 0.9, 2.4, "c_attn", ORANGE)
    shape(7.5, 0.9, "(B, T, 3C): q, k, v")
    for x, name in zip((2.0, 4.2, 6.4), "qkv", strict=True):
        arrow(middle, 1.24, x, 1.66)
        box(x, 2.0, 1.9, f"split_heads({name})", BLUE)
    shape(7.5, 2.0, "(B, H, T, D)")
    for x in (4.2, 6.4):
        arrow(x, 2.34, x, 2.66)
    box(5.3, 3.0, 4.1, "cache.append(k, v), if there is one", PALE)
    shape(7.5, 3.0, "(B, H, S, D)")
    arrow(2.0, 2.34, 3.0, 3.66)
    for x in (4.2, 6.2):
        arrow(x, 3.34, x, 3.66)
    box(4.2, 4.0, 4.9, "attend(q, k, v, causal_mask(T, S))", BLUE)
    shape(7.5, 4.0, "(B, H, T, D)")
    arrow(middle, 4.34, middle, 4.66)
    box(middle, 5.0, 2.4, "merge_heads", BLUE)
    shape(7.5, 5.0, "(B, T, C)")
    arrow(middle, 5.34, middle, 5.66)
    box(middle, 6.0, 2.4, "c_proj", ORANGE)
    shape(7.5, 6.0, "(B, T, C)")
    ax.set(xlim=(0.6, 9.8), ylim=(6.5, -0.2))
    ax.axis("off")
    show(
        fig,
        "The attention layer from top to bottom. x, (B, T, C), goes through c_attn to (B, T, 3C). q, k and v are "
        "split into heads, (B, H, T, D). The cache, if there is one, makes k and v (B, H, S, D). attend gives "
        "(B, H, T, D), merge_heads (B, T, C), and c_proj keeps that shape.",
        "The layer from top to bottom, with the shape after each step. Yellow boxes have weights; blue ones are "
        "your functions.",
    )


def heads_at_work(pieces: list[str], heads: dict[str, tuple]) -> None:
    """Draw heads' shares (T, T); each value is (block, head, shares, cells bool (T, T), share, uniform share)."""
    T = len(pieces)
    fig, axes = plt.subplots(2, 2, figsize=(8.4, 8.6), sharex=True, sharey=True)
    told = []
    for ax, (habit, (block, head, shares, cells, share, uniform)) in zip(
        axes.flat, heads.items(), strict=True
    ):
        image = ax.imshow(shares, cmap=SHARES, vmin=0, vmax=1)
        for r, c in cells.nonzero().tolist():
            ax.add_patch(Rectangle((c - 0.5, r - 0.5), 1, 1, fill=False, edgecolor=RED, lw=1.3))
        label_tokens(ax, pieces, pieces)
        ax.set_xticks(range(T), pieces, rotation=90, fontsize=10)
        ax.set_yticks(range(T), pieces, fontsize=10)
        ax.set_title(f"{habit}\nblock {block}, head {head}: {share:.0%} (even: {uniform:.0%})", fontsize=11)
        told.append(
            f"{habit} (block {block}, head {head}): {share:.0%}, where even shares would give {uniform:.0%}"
        )
    fig.colorbar(image, ax=axes, shrink=0.4, label="share")
    axes[0, 0].set_ylabel("who asks")
    axes[1, 0].set_ylabel("who asks")
    for ax in axes[1]:
        ax.set_xlabel("who is asked")
    show(
        fig,
        "Shares of four heads of the trained model on one sentence, each a lower triangle with the cells of the "
        "habit outlined. " + "; ".join(told) + ".",
        "Four heads of `tales`. Orange outlines mark the cells that the habit names; each title gives the share "
        "that falls into them and what a head with even shares would have there.",
    )


def read_twice(heads: dict[tuple[int, int], tuple[torch.Tensor, float]], even: float) -> None:
    """Draw heads' shares (T, T) in texts whose second half repeats the first, with the share in the stripe."""
    fig, axes = plt.subplots(1, len(heads), figsize=(8.4, 4.4), sharey=True)
    told = []
    for ax, ((block, head), (shares, share)) in zip(axes, heads.items(), strict=True):
        T = len(shares)
        half = T // 2
        image = ax.imshow(shares, cmap=SHARES, vmin=0, vmax=0.4)
        corners = [(0.5, half - 0.5), (1.5, half - 0.5), (half + 0.5, T - 1.5), (half + 0.5, T - 0.5)]
        corners += [(half - 0.5, T - 0.5), (0.5, half + 0.5), (0.5, half - 0.5)]
        ax.plot(*zip(*corners), color=RED, lw=1.2)
        ax.axhline(half - 0.5, color=GREY, lw=0.8, ls=":")
        ax.set_xticks([0, half, T - 1], [0, half, T - 1])
        ax.set_yticks([0, half, T - 1], [0, half, T - 1])
        ax.set(xlabel="who is asked")
        ax.set_title(f"block {block}, head {head}: {share:.0%} (even: {even:.0%})", fontsize=12)
        told.append(f"block {block}, head {head} puts {share:.0%} there")
    axes[0].set_ylabel("who asks")
    fig.colorbar(image, ax=axes, shrink=0.6, label="share", extend="max")
    show(
        fig,
        "Mean shares of two heads in texts of 25 random tokens read twice, as lower triangles of 50 by 50. A stripe "
        f"in the lower left is outlined: what came after the same token the first time. {'; '.join(told)}; even "
        f"shares would put {even:.0%} there.",
        "Random tokens, read twice (the second time below the dotted line). The orange outline marks what came after "
        "the same token the first time: an induction head draws a stripe there. (The colors stop at 0.4, to make it visible.)",
    )
