"""The figures of chapter 2: a lookup as a product, words on a map, positions, and logits as projections."""

import math
from itertools import cycle

import torch
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from torch import Tensor

from course.figures import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, RED, SHARES, SIGNED, show


def _matrix(axis, numbers: Tensor, title: str, form: str, top: float, marked=(), cells=()) -> None:
    """Draw a small matrix with its numbers in the cells, `top` the darkest; some rows and cells outlined."""
    axis.imshow(numbers, vmin=0, vmax=top, cmap=SHARES)
    for r, row in enumerate(numbers.tolist()):
        for c, number in enumerate(row):
            axis.text(c, r, form.format(number), ha="center", va="center")
    boxes = [(r, 0, numbers.shape[1], color) for r, color in marked] + [
        (r, c, 1, color) for r, c, color in cells
    ]
    for r, c, width, color in boxes:
        box = Rectangle((c - 0.46, r - 0.46), width - 0.08, 0.92, fill=False, edgecolor=color, lw=2.5)
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
    rows = [(r, colors[token]) for r, token in enumerate(tokens.tolist())]
    ones = [(r, token, colors[token]) for r, token in enumerate(tokens.tolist())]
    top = 2.5 * max(table.max().item(), 1)  # one scale for all three
    _matrix(axes[0], picks, "one-hot vectors (3 × 5)", "{:.0f}", top, cells=ones)
    _matrix(axes[1], table, "× table (5 × 3)", "{:.1f}", top, colors.items())
    _matrix(axes[2], picks @ table, "= vectors (3 × 3)", "{:.1f}", top, rows)
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
    palette = (BLUE, "#9a3412", GREEN, RED, "#a21caf", INK)
    colors = [color for group, color in zip(groups.values(), cycle(palette)) for _ in group]

    fig, axis = plt.subplots(figsize=(8.4, 5.6))
    axis.scatter(flat[:, 0], flat[:, 1], s=28, c=colors, zorder=3)
    axis.margins(x=0.12, y=0.1)
    axis.set(xlabel="first direction", ylabel="second direction")
    for name, color in zip(groups, cycle(palette)):
        axis.scatter([], [], s=28, color=color, label=name)
    axis.legend(loc="upper right", fontsize=11, frameon=False, handletextpad=0.2)
    fig.canvas.draw()
    places = (axis.transData.transform(flat.tolist()) * 72 / fig.dpi).tolist()  # in points, as letters are
    for word, (x, y), (left, bottom), color, point in zip(
        words, places, _labels(words, places), colors, flat.tolist()
    ):
        width, height = _size(word)
        corner = min(max(x, left), left + width) - x, min(max(y, bottom), bottom + height) - y
        others = [_gap(word, left, bottom, dot) for dot in places if dot != [x, y]]
        if math.hypot(*corner) > min(7, *others):  # not plain to see which dot it's for
            line = {"arrowstyle": "-", "color": color, "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
            axis.annotate("", point, corner, textcoords="offset points", arrowprops=line)
        middle = left + width / 2 - x, bottom + height / 2 - y
        axis.annotate(
            word,
            point,
            middle,
            textcoords="offset points",
            color=color,
            ha="center",
            va="center",
            fontsize=12,
        )
    show(
        fig,
        f"{len(vectors)} words as dots in two dimensions, which hold {share:.0%} of their differences: numbers and "
        "colors above, royalty and animals to the lower left, words for saying and for moving to the right.",
        f"{len(vectors)} rows of wte, flattened to two dimensions. PCA picks the two directions in which they differ most; here those two "
        f"account for {share:.0%} of the variance, where two for random rows would get {chance:.0%}. Nouns are in one place, verbs in another, and numbers and colors, which both come before "
        "nouns, in a third. The dots are exact; only the labels were moved.",
    )


def _size(word: str) -> tuple[float, float]:
    """Return about how wide and high a label is, in points."""
    return 6.6 * len(word.strip()) + 4, 14.0


def _gap(word: str, left: float, bottom: float, dot: list[float]) -> float:
    """Return how far a dot is from a label, in points."""
    (width, height), (x, y) = _size(word), dot
    return math.hypot(min(max(x, left), left + width) - x, min(max(y, bottom), bottom + height) - y)


def _labels(words: list[str], dots: list[list[float]]) -> list[tuple[float, float]]:
    """Return the lower left corner of each word's label: near its dot, off the other dots and labels."""

    def overlap(one, two):
        wide = min(one[0] + one[2], two[0] + two[2]) - max(one[0], two[0])
        high = min(one[1] + one[3], two[1] + two[3]) - max(one[1], two[1])
        return max(wide, 0) * max(high, 0)

    taken = [(x - 4, y - 4, 8, 8) for x, y in dots]
    corners = []
    for word, (x, y) in zip(words, dots):
        width, height = _size(word)
        tries = []
        for far in (5, 11, 18, 26, 35):
            for across in (-1, -0.5, 0, 0.5, 1):
                for up in (-1, -0.5, 0, 0.5, 1):
                    if max(abs(across), abs(up)) == 1:
                        left = x - width / 2 + across * (width / 2 + far)
                        box = (left, y - height / 2 + up * (height / 2 + far), width, height)
                        price = far + 3 * abs(up) - across  # to the right is best, then to the left
                        tries.append((10 * sum(overlap(box, other) for other in taken) + price, box))
        box = min(tries)[1]
        taken.append(box)
        corners.append(box[:2])
    return corners


def token_plus_position(names: list[str], tokens: Tensor, positions: Tensor, shown: int = 12) -> None:
    """Show what a token is, plus where it stands, as strips of colors. tokens and positions (T, C).

    Of the channels, it shows a stretch around the one that's largest in position 0's row, outlined, with its numbers.
    """
    width = tokens.shape[1]
    rows = (tokens, positions, tokens + positions)
    titles = ("wte[token]: what it is", "+ wpe[position]: where it stands", "= x: what the first block gets")
    numbers = range(len(names))
    labels = (names, [f"position {t}" for t in numbers], [f"{name} at {t}" for t, name in enumerate(names)])
    top = positions[0].abs().argmax().item()
    first = min(max(top - shown // 2, 0), max(width - shown, 0))
    parts = [row[:, first : first + shown] for row in rows]
    limit = parts[2].abs().quantile(0.97).item()
    fig, axes = plt.subplots(3, 1, figsize=(8.0, 5.4), sharex=True)
    for axis, row, title, label in zip(axes, parts, titles, labels):
        image = axis.imshow(row, vmin=-limit, vmax=limit, aspect="auto", cmap=SIGNED)
        axis.set_title(title, fontsize=12)
        axis.set_yticks(numbers, label)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        box = Rectangle(
            (top - first - 0.5, -0.5), 1, len(names), fill=False, edgecolor=INK, lw=2, clip_on=False
        )
        axis.add_patch(box)
        for t, value in enumerate(row[:, top - first].tolist()):
            dark = abs(value) > 0.6 * limit
            number = f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")
            axis.text(
                top - first, t, number, ha="center", va="center", fontsize=11, color="white" if dark else INK
            )
    again = next((t for t in numbers if t and names[t] == names[0]), None)  # the first word, a second time
    below = "In the bottom strip, each row shows both."
    if again is not None:
        alone, *summed = (
            f"{value:.2f}".replace("-", "−")
            for value in (tokens[0, top], tokens[0, top] + positions[0, top], rows[2][again, top])
        )
        below = f"In channel {top} (outlined), “{names[0]}” is {alone} by itself, but {summed[0]} at position 0 and {summed[1]} at "
        below += f"position {again}: position 0 has {positions[0, top]:.2f} there, far beyond its neighbors".replace(
            "-", "−"
        )
        below += f" (colors stop at ±{limit:.2f})."
    places = range(parts[0].shape[1])
    axes[2].set_xticks(places, [first + place for place in places])
    axes[2].set_xlabel(f"channel ({first} to {first + parts[0].shape[1] - 1} of {width}, counted from 0)")
    fig.colorbar(image, ax=axes, shrink=0.6, label="value", extend="both")
    show(
        fig,
        "Three strips of colored numbers. In wte[token] the two rows of 'the' are identical. The rows of "
        f"wpe[position] all differ, and channel {top} of position 0 (outlined) is darkest. In the sum the two rows of "
        "'the' are alike but no longer equal.",
        "Red is above 0, blue below. In the top strip, equal words have equal rows. " + below,
    )


def positions_alike(cosines: Tensor, near: int = 41) -> None:
    """Show how much the rows of a table of positions resemble each other. cosines (N, N); the first `near` enlarged."""
    fig, axes = plt.subplots(1, 2, figsize=(8.8, 4.0))
    parts = {"all rows": (cosines, 0.8), f"rows 0 to {near - 1}, enlarged": (cosines[:near, :near], 0.4)}
    for axis, (title, (part, limit)) in zip(axes, parts.items()):
        image = axis.imshow(part, vmin=-limit, vmax=limit, cmap=SIGNED)
        axis.set(xlabel="position", ylabel="position", title=title)
        fig.colorbar(image, ax=axis, shrink=0.8, extend="both", label="cosine" if axis is axes[1] else None)
    axes[0].add_patch(Rectangle((-0.5, -0.5), near, near, fill=False, edgecolor=INK, lw=1.5))
    show(
        fig,
        "Two squares of cosines. Left: pale except for a red fan along the diagonal that is narrow at position 0 and wide at "
        f"the end. Right, its first {near} rows enlarged: mostly red with a dark diagonal, but white and pale blue along "
        "the top and left edges, where row 0 and the few rows after it are.",
        "Left: every row of wpe against every other. Right: the boxed corner, enlarged. Red means alike, blue slightly opposed "
        "(colors stop at ±0.8 on the left, ±0.4 on the right). Rows near each other are red, rows far apart pale or blue.",
    )


def logits_as_projections(x: Tensor, rows: Tensor) -> None:
    """Show how far a vector reaches along each row of a small table, and the logits. x (2,), rows (3, 2)."""
    logits = (rows @ x).tolist()
    colors = (ORANGE, GREEN, PURPLE)
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.7), width_ratios=(1.5, 1))
    direction = x / x.norm()
    ends = torch.stack([-0.9 * direction, 3.2 * direction])
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
    left.set(xlim=(-1.9, 3.2), ylim=(-0.7, 3.4), aspect="equal", xticks=range(-1, 4), yticks=range(4))
    bars = right.barh([f"row {i}" for i in range(len(rows))], logits, color=colors)
    right.bar_label(bars, [f"{logit:.0f}".replace("-", "−") for logit in logits], padding=4)
    right.axvline(0, color=INK, lw=1)
    right.margins(x=0.2)
    right.set(xlabel="logit", xticks=[])
    right.spines["left"].set_visible(False)
    right.tick_params(axis="y", length=0)
    right.invert_yaxis()
    show(
        fig,
        "Left: three arrows, the rows of a table, and the arrow x. From the tip of each row a dashed line falls at a "
        "right angle on the line through x. Right: the logits, "
        + ", ".join(f"{logit:.0f} for row {i}" for i, logit in enumerate(logits)),
        "Drop each row (dashed) onto the line through x (dotted). How far the dot is from the origin (with a minus "
        "sign on the far side), times the length of x, is the logit. Row 0 is closer to x in direction, but row 1 is so much longer that it wins. Row 2 points "
        "backward, so its logit is negative.",
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
        f"The same {len(labels)} tokens twice. Left: the top logit is {logits[0] - logits[-1]:.1f} above the lowest shown. Right: "
        f"the top probability is {chances[0] / chances[-1]:.0f} times the lowest shown. Softmax turns differences into ratios.",
    )


def losses_by_table(losses: dict[str, float], B: int, T: int) -> None:
    """Show what the model loses with other tables of positions, for B texts of T tokens."""
    fig, axis = plt.subplots(figsize=(8.0, 2.9))
    bars = axis.barh(list(losses), losses.values(), color=BLUE)
    axis.bar_label(bars, fmt="%.2f", padding=4)
    axis.set(
        xlabel=f"loss on {B} stories of {T} tokens (lower is better)", xlim=(0, max(losses.values()) * 1.12)
    )
    axis.invert_yaxis()
    show(
        fig,
        "Bars, the loss of tales with different tables of positions: "
        + ", ".join(f"{name} {loss:.2f}" for name, loss in losses.items()),
        f"The trained rows in the wrong order are worse than no positions. Shuffling the first 50 costs far more than "
        f"shuffling all the others (of which these texts use only those up to {T - 1}). Each bar for a shuffle is the mean of three.",
    )


def loss_by_first_row(losses: dict[int, float], levels: dict[str, float]) -> None:
    """Show the loss for each row put at position 0, with lines for what other tables of positions lose."""
    fig, axis = plt.subplots(figsize=(8.2, 3.9))
    axis.plot(list(losses), list(losses.values()), "o-", color=BLUE, ms=5)
    for (name, level), color in zip(levels.items(), cycle((GREY, INK, RED))):
        axis.axhline(level, color=color, lw=1.5, ls="--")
        axis.text(
            1.01,
            level,
            f"{name.replace(' position', chr(10) + 'position')}: {level:.2f}",
            color=color,
            va="center",
            transform=axis.get_yaxis_transform(),
        )
    axis.set(xlabel="which row stands at position 0 (all others as trained)", ylabel="loss (lower is better)")
    least, most = (pick(losses.values()) for pick in (min, max))
    worst = max(losses, key=losses.get)
    last = max(losses)
    lines = ", ".join(f"{name} {level:.2f}" for name, level in levels.items())
    show(
        fig,
        f"A curve of the loss by the row at position 0. It rises from {least:.2f} to {most:.1f} near row {worst} and ends "
        f"at {losses[last]:.1f} for row {last}. Dashed lines: {lines}.",
        f"Each dot is the loss with another row at position 0. The highest is {most:.1f}; the last row, {last}, gives {losses[last]:.1f}. "
        "Steeply up, then slowly down: rows around 100 to 200 make the worst start. "
        f"Dashed, for comparison: {', '.join(levels)}.",
    )
