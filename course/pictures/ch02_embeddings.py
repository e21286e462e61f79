"""The figures of chapter 2: a lookup as a product, words on a map, positions, and logits as projections."""

from itertools import cycle

import torch
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from torch import Tensor

from course.figures import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, RED, SHARES, SIGNED, SKY, show


def _matrix(axis, numbers: Tensor, title: str, form: str, marked=()) -> None:
    """Draw a small matrix with its numbers in the cells and some rows outlined."""
    axis.imshow(numbers, vmin=0, vmax=2.5 * numbers.max(), cmap=SHARES)
    for r, row in enumerate(numbers.tolist()):
        for c, number in enumerate(row):
            axis.text(c, r, form.format(number), ha="center", va="center")
    for r, color in marked:
        box = Rectangle((-0.46, r - 0.46), numbers.shape[1] - 0.08, 0.92, fill=False, edgecolor=color, lw=2.5)
        axis.add_patch(box)
    axis.set_title(title, fontsize=12, loc="center")
    axis.set_xticks([])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def one_hot_times_table(tokens: Tensor, table: Tensor) -> None:
    """Show one-hot vectors times a table: the rows that are looked up. tokens (3,), table (5, 3)."""
    picks = torch.nn.functional.one_hot(tokens, len(table)).float()
    colors = dict(zip(tokens.tolist(), cycle((BLUE, RED, BLUE))))
    fig, axes = plt.subplots(1, 3, figsize=(8.0, 2.9), width_ratios=(5, 3, 3))
    _matrix(axes[0], picks, "one-hot vectors (3 × 5)", "{:.0f}")
    _matrix(axes[1], table, "× table (5 × 3)", "{:.1f}", colors.items())
    rows = [(r, colors[token]) for r, token in enumerate(tokens.tolist())]
    _matrix(axes[2], picks @ table, "= vectors (3 × 3)", "{:.1f}", rows)
    for axis in (axes[0], axes[2]):
        axis.set_yticks(range(len(tokens)), [f"token {i}" for i in tokens.tolist()])
    axes[0].set_xticks(range(len(table)))
    axes[0].xaxis.tick_top()
    axes[1].set_yticks(range(len(table)), [f"id {i}" for i in range(len(table))])
    show(
        fig,
        "Three matrices. The one-hot vectors of the tokens 3, 1, 3 have a single 1 each, in columns 3, 1 and 3; "
        "times the table they give its rows 3, 1 and 3: 3.1 3.2 3.3, then 1.1 1.2 1.3, then 3.1 3.2 3.3 again.",
        "Each 1 lets one row of the table through. Follow the outlines: row 3 (blue) comes out twice, row 1 (orange) once.",
    )


def word_map(groups: dict[str, list[str]], vectors: Tensor) -> None:
    """Draw words where their vectors lie along the two directions in which these differ most.

    vectors (N, C), in the order of the words in all groups.
    """
    U, S, _ = torch.linalg.svd(vectors - vectors.mean(dim=0), full_matrices=False)
    flat = U[:, :2] * S[:2]
    flat *= flat.gather(0, flat.abs().argmax(dim=0, keepdim=True)).sign()  # else the signs would be arbitrary
    share = (S[:2] ** 2).sum() / (S**2).sum()
    noise = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(0))
    S = torch.linalg.svdvals(noise - noise.mean(dim=0))
    chance = (S[:2] ** 2).sum() / (S**2).sum()
    words = [word for group in groups.values() for word in group]
    palette = (BLUE, INK, GREEN, RED, "#a21caf", GREY)
    colors = [color for group, color in zip(groups.values(), cycle(palette)) for _ in group]

    fig, axis = plt.subplots(figsize=(8.0, 4.8))
    axis.scatter(flat[:, 0], flat[:, 1], s=0)
    axis.margins(x=0.1, y=0.1)
    axis.set(xlabel="first direction", ylabel="second direction")
    fig.canvas.draw()
    places = axis.transData.transform(flat.numpy()) * 72 / fig.dpi  # in points, as the size of letters is
    y = places[:, 1].tolist()
    for _ in range(300):
        for i in range(len(words)):
            for j in range(i):
                gap = 13 - abs(y[i] - y[j])
                wide = 3.4 * (len(words[i]) + len(words[j])) + 4
                if gap > 0 and abs(places[i, 0] - places[j, 0]) < wide:
                    up, down = (i, j) if y[i] >= y[j] else (j, i)
                    y[up], y[down] = y[up] + gap / 2, y[down] - gap / 2
    for i, word in enumerate(words):
        offset = (0, y[i] - places[i, 1])
        axis.annotate(
            word,
            flat[i].tolist(),
            offset,
            textcoords="offset points",
            color=colors[i],
            ha="center",
            va="center",
        )
    names = [
        plt.Line2D([], [], color=color, ls="none", label=name) for name, color in zip(groups, cycle(palette))
    ]
    axis.legend(
        handles=names,
        labelcolor="linecolor",
        loc="upper right",
        handlelength=0,
        frameon=False,
        title="groups",
    )
    show(
        fig,
        f"{len(words)} words as points in two dimensions, which hold {share:.0%} of their differences: numbers and "
        "colors above, royalty and animals to the lower left, words for saying and for moving to the right.",
        f"{len(words)} rows of wte, flattened to two dimensions. These keep {share:.0%} of the variance; for random "
        f"rows it would be {chance:.0%}. Nouns are in one place, verbs in another, and numbers and colors, which both come before "
        "nouns, in a third. Words that would overlap have been moved up or down a little.",
    )


def token_plus_position(names: list[str], tokens: Tensor, positions: Tensor, shown: int = 32) -> None:
    """Show what a token is, plus where it stands, as strips of colors. tokens and positions (T, C)."""
    width = tokens.shape[1]
    rows = (tokens, positions, tokens + positions)
    titles = ("wte[token]: what it is", "+ wpe[position]: where it stands", "= x: what the first block gets")
    numbers = range(len(names))
    labels = (names, [f"position {t}" for t in numbers], [f"{name} at {t}" for t, name in enumerate(names)])
    limit = rows[2][:, :shown].abs().max().item()
    fig, axes = plt.subplots(3, 1, figsize=(8.0, 5.4), sharex=True)
    for axis, row, title, label in zip(axes, rows, titles, labels):
        image = axis.imshow(row[:, :shown], vmin=-limit, vmax=limit, aspect="auto", cmap=SIGNED)
        axis.set_title(title, fontsize=12)
        axis.set_yticks(numbers, label)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    axes[2].set_xlabel(f"channel (the first {shown} of {width})")
    fig.colorbar(image, ax=axes, shrink=0.6, label="value")
    show(
        fig,
        "Three strips of colored numbers. In wte[token] the two rows of 'the' are identical. The rows of "
        "wpe[position] all differ. In the sum the two rows of 'the' are alike but no longer equal.",
        "Red is above 0, blue below. In the top strip the first and the fourth row, both *the*, are the same. "
        "In the bottom strip they are similar, and no longer the same.",
    )


def positions_alike(cosines: Tensor, rows: tuple[int, ...] = (3, 100, 300)) -> None:
    """Show how much the rows of a table of positions resemble each other. cosines (N, N)."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.7), width_ratios=(1, 1.15))
    image = left.imshow(cosines, vmin=-0.8, vmax=0.8, cmap=SIGNED)
    left.set(xlabel="position", ylabel="position", title="all rows, with all rows")
    fig.colorbar(image, ax=left, shrink=0.8, label="cosine")
    others = cosines.clone().fill_diagonal_(float("nan"))
    for row, color in zip(rows, cycle((GREEN, BLUE, RED))):
        right.plot(others[row], color=color, lw=1, label=f"row {row}")
    right.axhline(0, color=GREY, lw=1)
    right.set(xlabel="position", ylim=(-0.3, 0.7), title="three rows, with all others")
    right.legend(frameon=False, ncols=3, loc="upper center", handlelength=0.8, columnspacing=1.2)
    show(
        fig,
        "Left: a square of cosines, pale except for a fan along the diagonal that is narrow at position 0 and wide at "
        f"the end. Right: the cosines of the rows {', '.join(map(str, rows))} with all others; the first has a "
        "narrow peak around its own position, the others broad, ragged hills; that of row 300 is highest beyond 300.",
        "How alike the rows of wpe are. Left, every row with every other: red is alike, white "
        "unrelated, blue pointing slightly the other way. Toward the lower right, the rows all look much alike. Right: "
        "three rows of that square, without the 1 that each row has with itself. A cosine above 0.2: "
        + ", ".join(f"row {row} with {(others[row] > 0.2).sum()} other rows" for row in rows)
        + ". Random rows would mostly stay within ±0.1.",
    )


def logits_as_projections(x: Tensor, rows: Tensor) -> None:
    """Show how far a vector reaches along each row of a small table, and the logits. x (2,), rows (3, 2)."""
    logits = (rows @ x).tolist()
    colors = (ORANGE, GREEN, PURPLE)
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.7), width_ratios=(1.5, 1))
    direction = x / x.norm()
    ends = torch.stack([-0.5 * direction, 3.2 * direction])
    left.plot(ends[:, 0], ends[:, 1], color=GREY, lw=1, ls=":")
    arrow = {"arrowstyle": "-|>", "lw": 2.5, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 16}
    for i, (row, color) in enumerate(zip(rows, cycle(colors))):
        foot = (row @ direction) * direction
        left.plot([row[0], foot[0]], [row[1], foot[1]], color=color, lw=1.5, ls="--")
        left.plot(*foot.tolist(), "o", color=color, ms=7)
        left.annotate("", row.tolist(), (0, 0), arrowprops=arrow | {"color": color})
        left.text(row[0] - 0.08, row[1] + (0.12 if row[1] else -0.35), f"row {i}", ha="right")
    left.annotate("", x.tolist(), (0, 0), arrowprops=arrow | {"color": BLUE, "lw": 3.5})
    left.text(*(x + torch.tensor([0.08, -0.25])).tolist(), "x", color=BLUE, weight="bold")
    left.set(xlim=(-1.9, 3.2), ylim=(-0.6, 3.4), aspect="equal", xticks=range(-1, 4), yticks=range(4))
    bars = right.barh([f"row {i}" for i in range(len(rows))], logits, color=colors)
    right.bar_label(bars, fmt="%.0f", padding=4)
    right.set(xlabel="logit", xlim=(0, 1.2 * max(logits)), xticks=[])
    right.invert_yaxis()
    show(
        fig,
        "Left: three arrows, the rows of a table, and the arrow x. From the tip of each row a dashed line falls at a "
        "right angle on the line through x. Right: the logits, "
        + ", ".join(f"{logit:.0f} for row {i}" for i, logit in enumerate(logits)),
        "Drop each row onto the line through x (dashed). How far the dot is from the origin, times the length of x, "
        "is the logit. Row 0 is closer to x in direction, but row 1 is so much longer that it wins. Row 2 is at a right "
        "angle to x, so it gets 0.",
    )


def logits_and_probabilities(prompt: str, labels: list[str], logits: Tensor, chances: Tensor) -> None:
    """Show the highest logits beside what the softmax makes of them."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.4), sharey=True)
    left.plot(logits, labels, "o", color=GREY, ms=9)
    right.barh(labels, chances, color=BLUE)
    left.set(xlabel="logit", title=f"after “{prompt}”")
    left.margins(x=0.1)
    left.grid(axis="y", color=PALE)
    right.set(xlabel="probability", xlim=(0, 1.15 * chances.max()))
    left.invert_yaxis()
    fig.get_layout_engine().set(wspace=0.1)
    show(
        fig,
        f"The {len(labels)} tokens with the highest logits, {labels[0]} and {labels[1]} first, as dots and as bars. The "
        f"logits (dots) fall from {logits[0]:.1f} to {logits[-1]:.1f}, the probabilities (bars) from {chances[0]:.2f} to "
        f"{chances[-1]:.2f}.",
        f"The same tokens twice. Left: the first logit is {logits[0] - logits[-1]:.1f} above the last. Right: the first "
        f"probability is {chances[0] / chances[-1]:.0f} times the last. Softmax turns differences into ratios.",
    )


def losses_by_table(losses: dict[str, float], B: int, T: int) -> None:
    """Show what the model loses with other tables of positions, for B texts of T tokens."""
    fig, axis = plt.subplots(figsize=(8.0, 3.3))
    bars = axis.barh(list(losses), losses.values(), color=[BLUE, SKY, GREEN, ORANGE, GREY, RED])
    axis.bar_label(bars, fmt="%.2f", padding=4)
    axis.set(
        xlabel=f"loss on {B} stories of {T} tokens (lower is better)", xlim=(0, max(losses.values()) * 1.12)
    )
    axis.invert_yaxis()
    show(
        fig,
        "Bars, the loss of tales with different tables of positions: "
        + ", ".join(f"{name} {loss:.2f}" for name, loss in losses.items()),
        "The first two bars are nearly the same: counting from 1 is a bug that you can hardly see here. Shuffling from 50 on "
        "hardly adds more. Shuffling the first 50 costs far more than shuffling all the later ones (these texts reach "
        f"only position {T - 1}). Wrong rows ({losses['all shuffled']:.2f}) are worse than none ({losses['all zero']:.2f}).",
    )
