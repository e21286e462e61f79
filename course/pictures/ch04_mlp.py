"""The pictures of chapter 4."""

import itertools
import math

import torch
from matplotlib import pyplot as plt
from matplotlib.patches import Polygon, Rectangle

from course.figures import BLUE, BROWN, GREEN, GREY, INK, ORANGE, PALE, PURPLE, RED, SIGNED, show


def riddle(words: list[str], pushes: list[float], everyone: torch.Tensor) -> None:
    """Draw how strongly one neuron points at some words, beside how strongly it does at all tokens (V,)."""
    low, high = everyone.quantile(torch.tensor([0.005, 0.995])).tolist()
    fig, ax = plt.subplots(figsize=(7.2, 1.2 + 0.32 * len(words)))
    ax.axvspan(low, high, color=PALE, lw=0)
    ax.axvline(0, color=GREY, lw=1)
    ax.barh(range(len(words)), pushes, color=ORANGE, height=0.7)
    ax.set_yticks(range(len(words)), words, fontsize=13)
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.text(low / 2, (len(words) - 1) / 2, "99% of\nall tokens", ha="center", va="center", color=INK)
    ax.set(xlabel="how strongly the neuron points at each token (average token: 0)")
    show(
        fig,
        f"Bars: the words that one neuron of the trained model raises most. They are {', '.join(words)}. Their bars end "
        f"between {min(pushes):.2f} and {max(pushes):.2f}; 99% of all tokens are between {low:.2f} and {high:.2f}.",
        "The words that one neuron of `tales` raises most, above nearly everything else in its vocabulary (gray). What do they "
        "have in common?",
    )


def two_ramps() -> None:
    """Draw the absolute value as the sum of two ReLU neurons."""
    x = torch.linspace(-3, 3, 121)
    fig, axes = plt.subplots(1, 3, figsize=(8, 2.6), sharey=True)
    panels = (
        ("relu(x)", x.relu(), BLUE),
        ("relu(-x)", (-x).relu(), GREEN),
        ("their sum: |x|", x.abs(), ORANGE),
    )
    for ax, (title, y, color) in zip(axes, panels, strict=True):
        ax.axhline(0, color=PALE, lw=1)
        ax.plot(x, y, color=color, lw=2.5)
        ax.set(title=title, xlabel="x")
    show(
        fig,
        "Three panels: a ramp that is 0 left of 0 and rises to the right; its mirror image; their sum, a V.",
        "Two neurons, each bent at 0, add up to the V of the absolute value. Without the bend they would be x "
        "and -x, and add up to 0 everywhere.",
    )


def follow_curve(*counts: int) -> None:
    """Draw a wavy curve and, for each count, the sum of that many ReLU neurons (and a constant) that follows it."""
    x = torch.linspace(0, 6, 601, dtype=torch.float64)
    fig, axes = plt.subplots(1, len(counts), figsize=(8.4, 2.7), sharey=True, squeeze=False)
    told = []
    for ax, n in zip(axes.flat, counts):
        corners = torch.linspace(0, 6, n + 1, dtype=torch.float64)
        slopes = wave(corners).diff() / corners.diff()
        weights = slopes.diff(
            prepend=torch.zeros(1, dtype=torch.float64)
        )  # how much each neuron changes the slope
        followed = wave(corners[0]) + (x[:, None] - corners[:-1]).relu() @ weights
        told.append(f"{n} neurons miss it by up to {(followed - wave(x)).abs().max():.2f}")
        ax.plot(x, wave(x), color=GREY, lw=5, alpha=0.45)
        ax.plot(x, followed, color=ORANGE, lw=2)
        ax.plot(corners[:-1], wave(corners[:-1]), "o", color=BROWN, ms=4)
        ax.set(title=f"{n} neurons", xlabel="x")
    show(
        fig,
        f"A wavy gray curve, and an orange line of straight pieces that follows it. {'; '.join(told)}.",
        "Gray: a curve. Orange: the sum of a few ReLU neurons (and a constant). A dot marks where a neuron switches on and bends the line; "
        "the dots are evenly spaced, and the weights are computed, not trained. "
        f"{'; '.join(told)}.",
    )


def wave(x: torch.Tensor) -> torch.Tensor:
    """Return the curve that `follow_curve` follows, a sum of two waves."""
    return torch.sin(2 * x) + 0.6 * torch.sin(0.9 * x + 1)


def bell(at: float) -> None:
    """Draw the normal distribution's share below a number, and x times that share."""
    x = torch.linspace(-4, 4, 401)
    density = torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    share = 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    here = 0.5 * (1 + math.erf(at / math.sqrt(2)))
    fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    left.plot(x, density, color=GREY)
    left.fill_between(x[x <= at], density[x <= at], color=BLUE, alpha=0.35, lw=0)
    left.annotate(
        f"Φ({at:g}) = {here:.2f}".replace("-", "−"),
        (at - 0.4, 0.06),
        (at - 2.0, 0.27),
        ha="center",
        arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.8},
    )
    left.set(xlabel="what is drawn", yticks=[], title="The share below x")
    right.plot(x, share, color=BLUE, lw=1.5)
    right.text(-2.6, 0.3, "Φ(x)", color=BLUE)
    right.plot(x, x * share, color=BROWN, lw=2.5)
    right.text(1.3, 2.6, "x · Φ(x)", color=BROWN, ha="right")
    right.plot([at], [here], "o", color=BLUE)
    right.plot([at], [at * here], "o", color=BROWN)
    right.set(xlabel="x", ylim=(-0.6, 4), title="GELU: x times that share")
    show(
        fig,
        f"Left: the bell of the normal distribution, shaded below {at:g}; the area is {here:.2f}. Right: the "
        "share below x, which rises from 0 to 1, and x times this share: nearly 0 far left, nearly x far right.",
        f"Left: the shaded area is the share of draws below x, here {at:g}. Right: x times this area is the exact GELU. "
        f"The dots: at {at:g}, the share is {here:.2f}, and GELU is {at:g} times that, {at * here:.2f}.",
    )


def forms_of_gelu(x, exact, tanh) -> None:
    """Draw ReLU and GELU's exact and tanh form over x (N,), and how far the two are apart."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
    near = x.abs() <= 3
    left.plot(x[near], x[near].relu(), color=GREY, ls=":", lw=2, label="ReLU")
    left.plot(x[near], exact[near], color=ORANGE, lw=5, alpha=0.6, label="GELU, exact")
    left.plot(x[near], tanh[near], color=BLUE, lw=1.5, ls="--", label="GELU, tanh form")
    left.set(xlabel="x", title="The bend")
    left.legend(frameon=False, fontsize=10)
    right.axhline(0, color=PALE, lw=1)
    right.plot(x, (tanh - exact) * 1e4, color=BLUE)
    right.set(xlabel="x", title="tanh form − exact form", ylabel="in units of 0.0001")
    show(
        fig,
        "Left: ReLU with its corner, and the exact GELU with the tanh form drawn on it; the two can't be told "
        "apart. Right: the tanh form minus the exact one, at most 4.7 in units of 0.0001.",
        "Left: the dashed tanh form lies on the exact GELU; ReLU is dotted. Right: how far apart the two are, in units of 0.0001.",
    )


def widen_and_back() -> None:
    """Draw the MLP of GPT-2 small to scale."""
    fig, ax = plt.subplots(figsize=(8.4, 3.4))
    boxes = (
        (0, 768, BLUE, "the token's\nvector: 768"),
        (3, 3072, ORANGE, "3072\nnumbers"),
        (4.8, 3072, GREEN, "3072\nneurons"),
        (7.8, 768, BLUE, "what the MLP\nadds: 768"),
    )
    for x, height, color, label in boxes:
        ax.add_patch(Rectangle((x, -height / 2), 0.45, height, color=color))
        ax.text(x + 0.225, height / 2 + 90, label, ha="center", va="bottom", fontsize=11)
    for x, x2, h, h2 in ((0.45, 3, 768, 3072), (5.25, 7.8, 3072, 768)):
        ax.add_patch(Polygon([(x, h / 2), (x2, h2 / 2), (x2, -h2 / 2), (x, -h / 2)], color=PALE))
    ax.text(1.85, 0, "c_fc\n3072 × 768\nweights", ha="center", va="center", fontsize=11)
    ax.text(6.4, 0, "c_proj\n768 × 3072\nweights", ha="center", va="center", fontsize=11)
    ax.annotate("", (4.75, 0), (3.5, 0), arrowprops={"arrowstyle": "->", "color": GREY})
    ax.text(4.12, 80, "GELU", ha="center", va="bottom", fontsize=11)
    arrow = {"arrowstyle": "->", "color": GREY, "shrinkA": 0, "shrinkB": 0}
    ax.plot([0.225, 0.225, 9.1], [-384, -1800, -1800], color=GREY, lw=1)  # the vector itself, around the MLP
    ax.annotate("", (9.1, -170), (9.1, -1800), arrowprops=arrow)
    ax.annotate("", (8.9, 0), (8.3, 0), arrowprops=arrow)
    ax.annotate("", (9.75, 0), (9.3, 0), arrowprops=arrow)
    ax.text(9.1, 0, "+", ha="center", va="center", bbox={"boxstyle": "circle", "fc": "white", "ec": GREY})
    ax.text(9.85, 0, "new\nvector", va="center", fontsize=11)
    ax.set(xlim=(-0.8, 10.9), ylim=(-1900, 2500))
    ax.axis("off")
    show(
        fig,
        "The MLP drawn to scale: a bar of 768 numbers, widened by c_fc to a bar of 3072, four times as tall; GELU "
        "bends each of them; c_proj brings them back to 768. A line leads around all this to a plus at the end.",
        "GPT-2 small's MLP, to scale: 768 numbers are widened to 3,072, bent, and brought back to 768. The result is added to "
        "the token's vector. (The LayerNorm before `c_fc` is left out. `tales` is half as wide: 384, 1,536 neurons, 384.)",
    )


def who_moves(moved: dict[str, torch.Tensor]) -> None:
    """Draw bool tables (T, T): whether output t (row) moves when input s (column) is changed."""
    fig, axes = plt.subplots(1, len(moved), figsize=(6.8, 3.4))
    for ax, (name, table) in zip(axes, moved.items()):
        for r, row in enumerate(table.tolist()):
            for c, cell in enumerate(row):
                ax.add_patch(Rectangle((c - 0.46, r - 0.46), 0.92, 0.92, color=BLUE if cell else PALE, lw=0))
        T = len(table)
        ax.set(xlim=(-0.6, T - 0.4), ylim=(T - 0.4, -0.6), aspect="equal", xticks=range(T), yticks=range(T))
        ax.set(title=f"{name}: {int(table.sum())} of {T * T}", xlabel="input that is changed")
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    axes[0].set_ylabel("output that moves")
    show(
        fig,
        "Two grids of 6 by 6: which outputs move when one input changes. Attention: the lower triangle with the "
        "diagonal, 21 of 36. MLP: the diagonal only, 6 of 36.",
        "Blue: the output moves. Each column stands for one changed token. Attention's output moves at that token and every "
        "later one; the MLP's, only at that token.",
    )


def facts_known(widths, known: dict[int, list[float]], straight: list[float]) -> None:
    """Draw the share of facts known over the hidden width: a line for each number of facts, and one without a bend."""
    fig, ax = plt.subplots(figsize=(8.4, 3.4))
    for (n, shares), color, marker in zip(
        known.items(), itertools.cycle(("#00704f", BLUE, BROWN, PURPLE, RED)), itertools.cycle("^osDv")
    ):
        ax.plot(widths, [100 * share for share in shares], color=color, marker=marker, label=f"{n} facts")
    ax.plot(widths, [100 * share for share in straight], ".--", color=GREY, label="128 facts,\nno bend")
    ax.set(xscale="log", ylim=(0, 105), xlabel="hidden width", ylabel="facts known, %")
    ax.set_xticks(widths, [f"{width:g} C" for width in widths])
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=10, loc="center left", bbox_to_anchor=(1.0, 0.5))
    show(
        fig,
        "Facts known over the hidden width. Each line climbs to 100 percent: 64 facts at 2 C, 128 at 4 C, 256 at 8 C. "
        "Without the bend the share stays low however wide the layer is.",
        "In 200 steps, and among these widths, knowing twice the facts took twice the width. Without the bend (dashed), going beyond C doesn't help.",
    )


def where_parameters_are(block: dict[str, int], models: dict[str, dict[str, int]]) -> None:
    """Draw the shares of parameters of one block, and of whole models, by part."""
    colors = {"attention": BLUE, "mlp": "#f3c866", "embeddings": "#7fceb9", "norms": PURPLE}
    names = {"attention": "attention", "mlp": "MLP", "embeddings": "embeddings"}
    rows = {"one block": {part: block[part] for part in ("attention", "mlp")}} | models
    fig, ax = plt.subplots(figsize=(7.8, 3.8))
    told = []
    for y, (row, parts) in enumerate(rows.items()):
        total, start = sum(parts.values()), 0
        for part, count in parts.items():
            share = 100 * count / total
            ax.barh(y, share, left=start, color=colors[part], height=0.72)
            if share > 5:
                text = f"{names[part]} " if share > 25 else ""
                color = "white" if part == "attention" else "black"
                ax.text(
                    start + share / 2,
                    y,
                    f"{text}{share:.0f}%",
                    ha="center",
                    va="center",
                    color=color,
                    fontsize=11,
                )
            start += share
        told.append(
            f"{row}: " + ", ".join(f"{names[p]} {c / total:.0%}" for p, c in parts.items() if p in names)
        )
    ax.set(xlim=(0, 100), xlabel="share of the parameters, %")
    ax.set_yticks(range(len(rows)), list(rows))
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    show(
        fig,
        "Where the parameters are. " + "; ".join(told) + ".",
        "Top: one block of GPT-2 small. The larger the model, the smaller the share of the embeddings (green). In the largest one nearly two thirds "
        "of everything is MLP (yellow). The norms are too thin to see.",
    )


def memory(inputs, outputs, x, keys, fits, strengths, values) -> None:
    """Draw x (C,) at keys (N, C), fits and strengths (N,) before and after the bend, values (N, C), what is added up.

    `inputs` and `outputs` name the columns of x and of the values.
    """
    N, C = keys.shape
    fig, axes = plt.subplots(N + 2, 4, figsize=(9, 0.62 * (N + 3)), width_ratios=(1, 0.7, 1, 1))
    limit = max(keys.abs().max(), values.abs().max(), x.abs().max()).item()
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)

    def strip(ax, row, label, limit=limit):
        ax.imshow(row[None], cmap=SIGNED, vmin=-limit, vmax=limit, aspect="auto")
        ax.vlines(torch.arange(C - 1) + 0.5, -0.5, 0.5, color="white", lw=2)  # to be counted
        ax.set_ylabel(label, rotation=0, ha="right", va="center")

    def name_columns(ax, names):
        ax.set_xticks(range(len(names)), names, rotation=60, ha="left", rotation_mode="anchor", fontsize=11)
        ax.tick_params(axis="x", top=True, labeltop=True, bottom=False, labelbottom=False, length=0, pad=2)

    strip(axes[0, 0], x, "x ")
    name_columns(axes[0, 0], inputs)
    for ax, title in zip(axes[0, 1:], ("fit → $a_i$", "value $v_i$", "adds $a_i v_i$"), strict=True):
        ax.text(0.5, 1.3, title, ha="center", transform=ax.transAxes, fontsize=12)
    added = strengths[:, None] * values
    loudest = max(added.abs().max(), added.sum(dim=0).abs().max()).item()
    told = [f"{fit:z.1f} → {a:z.1f}".replace("-", "−") for fit, a in zip(fits.tolist(), strengths.tolist())]
    for i in range(N):
        strip(axes[i + 1, 0], keys[i], f"$k_{i}$ ")
        a = strengths[i].item()
        color = ORANGE if a > 0.3 else PALE
        axes[i + 1, 1].barh(0, max(a, 0), color=color, height=0.6)
        axes[i + 1, 1].text(0, 0, f" {told[i]}", va="center", fontsize=11)
        axes[i + 1, 1].set(xlim=(0, max(1, strengths.max().item())), ylim=(-0.5, 0.5))
        strip(axes[i + 1, 2], values[i], "")
        strip(axes[i + 1, 3], added[i], "", loudest)
    for ax in axes[1, 2:]:
        name_columns(ax, outputs)
    strip(axes[N + 1, 3], added.sum(dim=0), "sum ", loudest)
    show(
        fig,
        f"A vector x above {N} keys, drawn as strips of color. Their columns: {', '.join(inputs)}. "
        f"Beside each key stands how well x fits it, before the bend and after: {'; '.join(told)}. Then comes the neuron's value, "
        f"and the value times the second number. Their columns: {', '.join(outputs)}. Where x fits, "
        "the value comes through; where it doesn't, hardly anything does. Below the last column stands its sum.",
        "Red is positive, blue negative. x is compared with each key. Where the colors agree, the fit is large (it includes the bias). GELU bends "
        "it, and what comes out (the bar) is how much of the neuron's value comes through on the right. The sum at the bottom "
        "is what the MLP returns (here without a bias at the end). The right column has a color scale of its own.",
    )


def lit_texts(texts: dict[str, tuple[list[str], torch.Tensor]], strongest: float = 5.0) -> None:
    """Draw texts, (pieces, strengths), with each token the more orange the more active a neuron is."""
    width, lines = 64, []
    for title, (pieces, strengths) in texts.items():
        mean = round(strengths.mean().item(), 1) + 0.0  # no -0.0
        lines.append([(f"{title}: mean {mean:.1f}, at most {strengths.max():.1f}", -1.0)])
        line, used = [], 0
        for i, (piece, strength) in enumerate(zip(pieces, strengths.tolist())):
            rest = itertools.takewhile(lambda after: after[0] not in " \n", pieces[i + 1 :])
            if "\n" in piece or piece[0] == " " and used + len(piece + "".join(rest)) > width:
                lines.append(line)
                line, used = [], 0
            piece = piece.strip("\n") if used else piece.strip("\n").lstrip(" ")
            if piece:
                line.append((piece, strength))
                used += len(piece)
        lines += [line, []]
    lines = [line for line, before in zip(lines, [[1], *lines]) if line or before]
    fig, ax = plt.subplots(figsize=(6.4, 0.23 * len(lines) + 0.1))
    for y, line in enumerate(lines):
        x = 0
        for piece, strength in line:
            share = max(0.0, min(1.0, strength / strongest))
            ax.add_patch(Rectangle((x, y - 0.5), len(piece), 1, color=ORANGE, alpha=0.85 * share, lw=0))
            for i, letter in enumerate(piece):
                weight = "bold" if strength == -1.0 else "normal"
                ax.text(
                    x + i + 0.5,
                    y,
                    letter,
                    ha="center",
                    va="center",
                    family="monospace",
                    fontsize=9,
                    weight=weight,
                )
            x += len(piece)
    ax.set(xlim=(0, width), ylim=(len(lines) - 0.4, -0.6))
    ax.axis("off")
    said = "; ".join(
        f"{title}: mean {round(strengths.mean().item(), 1) + 0.0:.1f}"
        for title, (_, strengths) in texts.items()
    )
    show(
        fig,
        f"Texts with each token on a ground that is the more orange the more active the neuron is. {said}.",
        "The stronger the orange, the better the token's vector fits the neuron's key. White: the neuron is at 0 or less. "
        f"Full orange: {strongest:g} or more.",
    )


def knob(settings: list[float], times: list[float], others: list[list[float]]) -> None:
    """Draw how many times as likely something gets, over the number that a neuron is set to, and others are."""
    fig, ax = plt.subplots(figsize=(7.2, 3.6))
    for other in others:
        ax.plot(settings, other, color=GREY, lw=0.8, alpha=0.6)
    ax.plot(settings, times, "o-", color=ORANGE, lw=2.5)
    for name, y, color in (("the Oz neuron", times[-1], BROWN), (f"{len(others)} others", 1.0, GREY)):
        ax.text(settings[-1] + 0.7, y, name, va="center", color=color)
    ax.set(xlabel="the neuron is set to", ylabel="names from Oz, times as likely", yscale="log")
    ax.set(xlim=(-0.5, 1.3 * settings[-1]), xticks=settings)
    ax.spines["bottom"].set_bounds(settings[0], settings[-1])
    ax.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    ax.minorticks_off()
    show(
        fig,
        "How many times as likely a name from Oz gets, over what a neuron is set to. For the Oz neuron it rises steadily, to "
        f"about {times[-1]:.0f} times at {settings[-1]}. The thin lines of {len(others)} other neurons all stay far below.",
        "How many times as likely a name from Oz gets as the next token of Snow-white when a neuron is set to a fixed "
        "number. Log scale: the same distance up always multiplies by the same number. Gray: other neurons of the same block, turned up as far.",
    )
