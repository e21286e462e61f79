"""The figures of chapter 9: losses, who moves whose logits, and curves of trainings that went wrong."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import torch
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm

from course.figures import BLACK, BLUE, GREY, ORANGE, RED, show


def cost_of_letters(sentence: str, nats: Sequence[float]) -> None:
    """Draw what each letter of a sentence costs the best possible model, in nats."""
    fig, ax = plt.subplots(figsize=(6.8, 2.8))
    ax.bar(range(len(sentence)), nats, color=BLUE)
    ax.set_xticks(
        range(len(sentence)), [letter.replace(" ", "␣") for letter in sentence], family="DejaVu Sans"
    )
    ax.set(ylabel="surprise (nats)", xlim=(-0.7, len(sentence) - 0.3))
    ax.tick_params(axis="x", length=0)
    show(
        fig,
        f"A bar above each letter of {sentence!r}. Only the first letter or two of the five drawn words have bars; all "
        "other letters cost nothing.",
        "What each letter costs somebody who knows the language perfectly: something where a word is still open, nothing "
        "once it's settled. The mean over all letters is the limit.",
    )


def losses(curves: Mapping[str, Sequence[float]], limit: float) -> None:
    """Draw the losses of trainings, one line each, and the limit of the language."""
    fig, ax = plt.subplots(figsize=(6.6, 4))
    styles = [(BLUE, "-"), (ORANGE, "-"), (BLACK, "-"), (RED, (0, (2, 2)))]  # 2 and 4 take the same course
    for (name, curve), (color, style) in zip(curves.items(), cycle(styles)):
        smooth = [sum(curve[max(0, i - 9) : i + 1]) / min(i + 1, 10) for i in range(len(curve))]
        ax.plot(smooth, color=color, ls=style, lw=2, label=name)
    ax.axhline(limit, color=GREY, ls="--", lw=1.5)
    ax.text(4, limit + 0.04, "limit of the language", color=GREY, fontsize=11)
    ax.set(xlabel="step", ylabel="loss (nats per letter)", ylim=(0, 3), xlim=(0, len(curve)))
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    show(
        fig,
        "The training losses of the healthy model and of patients 1, 2 and 4 over 300 steps, with the limit of the "
        "language as a dashed line. The healthy one comes down toward the line. Patient 1 falls through it. From about "
        "step 100 on, patients 2 and 4 take the same course, above the healthy one.",
        "Blue is how it should look: down toward the limit, and not below. Patient 1 falls through the floor. From about step 100 "
        "on, patients 2 (black) and 4 (dashed) stay too high, one right on top of the other.",
    )


def _maps(maps: Mapping[str, torch.Tensor], size: tuple, what: str, moves: str, ticks: range, floor: float):
    """Draw tables of how far something moves, two in a row, on one scale; return the figure and its axes."""
    fig, axes = plt.subplots((len(maps) + 1) // 2, 2, figsize=size, sharex=True, sharey=True)
    for ax, (name, moved) in zip(axes.flat, maps.items()):
        image = ax.imshow(moved.clamp(min=floor), norm=LogNorm(floor, 10))
        ax.set(title=name, xticks=ticks, yticks=ticks)
    fig.supxlabel(f"changed {what}", fontsize=12)
    fig.supylabel(moves, fontsize=12)
    fig.colorbar(image, ax=axes, label="largest change")
    return fig, axes.flat


def influence_maps(maps: Mapping[str, torch.Tensor], floor: float = 1e-3) -> None:
    """Draw for each model how far each row of the logits moves when each token changes: maps (T, T)."""
    fig, axes = _maps(maps, (6.6, 5.8), "token j", "row i of the logits", range(0, 12, 3), floor)
    for ax, moved in zip(axes, maps.values()):
        ax.plot([-0.5, len(moved) - 0.5], [-0.5, len(moved) - 0.5], color=ORANGE, lw=1)
    show(
        fig,
        "Four maps of 12 rows by 12 changed tokens. Healthy: a lower triangle. Patient 1: the triangle and one more "
        "diagonal above it. Model A: three steps, repeated; rows 0, 1 and 2 see up to token 3, 7 and 11, and so do rows "
        "3, 4 and 5. Model B: everything is filled, above the diagonal as well.",
        "Blue is where changing token j moves row i. Nothing should be blue above the orange diagonal.",
    )


def rows_of_one_letter(rows: Mapping[str, torch.Tensor], letters: str) -> None:
    """Draw the logits of some letters at each position of a text of equal letters: rows (T, V) of each model."""
    fig, axes = plt.subplots(1, len(rows), figsize=(6.8, 3.4), sharey=True)
    for ax, (name, logits) in zip(axes, rows.items()):
        for letter, marker in zip(letters, cycle("osv^")):
            label = "space" if letter == " " else letter
            size = 7 if letter == letters[0] else 3.5  # the first shows behind another
            ax.plot(logits[:, ord(letter)], marker=marker, ms=size, lw=size / 2.5, label=label)
        ax.set(title=name, xlabel="position", xticks=range(0, 12, 3))
    axes[0].set_ylabel("logit of the next letter")
    fig.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(letters), frameon=False
    )
    show(
        fig,
        "The logits of four letters after each of twelve letters e in a row. In the healthy model all of them move "
        "from position to position. In patients 2 and 4 all of them are flat lines.",
        "Twelve times the letter e, and the logits of four letters after each of them, a line for each letter. The healthy "
        "model's answer changes from position to position; the other two give the same one every time. (In patient 4, e, "
        "the thick line, and d nearly coincide.)",
    )


def cache_difference(apart: Mapping[str, torch.Tensor], tolerance: float = 1e-3) -> None:
    """Draw how far the logits with a cache are from those without, at each token: apart (T,) of each model."""
    fig, ax = plt.subplots(figsize=(6.6, 3.6))
    for (name, differences), color in zip(apart.items(), cycle((BLUE, ORANGE))):
        ax.semilogy(differences.clamp(min=1e-6), "o-", color=color, ms=4, label=name)
    ax.axhline(tolerance, color="black", ls="--", lw=1.5, label=f"tolerance, {tolerance:g}")
    ax.set(xlabel="token, read alone with a cache", ylabel="largest difference", ylim=(5e-7, 60))
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    show(
        fig,
        "How far the logits with a cache are from those without, on a logarithmic scale, for 15 tokens read one by "
        "one. The healthy model stays below a ten thousandth. Patient 3 agrees at the first token and is off by several "
        "units at every later one. A dashed line marks 0.001.",
        "Rounding and illness are several orders of magnitude apart, so a tolerance between them can't go wrong. Patient "
        "3 is right about the first token only.",
    )


def who_hears_whom(maps: Mapping[str, torch.Tensor], floor: float = 1e-3) -> None:
    """Draw for each model how far the logits of each text of a batch move when another changes: maps (B, B)."""
    fig, _ = _maps(maps, (6.8, 3.5), "text", "text whose logits move", range(0, 16, 5), floor)
    show(
        fig,
        "Two maps of 16 texts by 16 changed texts. Healthy: only the diagonal is filled. Patient 4: every place is "
        "filled, the diagonal darkest.",
        "A batch of 16. Blue is where changing one text moves the logits of another. In the healthy model, each text "
        "moves only itself; in patient 4, everybody hears everybody.",
    )


def trainings(runs: Mapping[str, tuple[Sequence[float], Sequence[float]]], limit: float) -> None:
    """Draw for each training its losses and the norms of its gradients: (losses, norms) under each name."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(6.8, 3.8))
    for (name, (curve, norms)), color in zip(runs.items(), cycle((BLUE, ORANGE, RED))):
        left.plot(curve, color=color, label=name)
        right.semilogy(norms, color=color, label=name)
    left.axhline(limit, color=GREY, ls="--", lw=1.5)
    left.text(60, limit + 0.08, "limit", color=GREY, fontsize=11)
    left.set(xlabel="step", ylabel="loss (nats per letter)", ylim=(0, 5))
    right.set(xlabel="step", ylabel="norm of the gradient")
    fig.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=len(runs), frameon=False)
    show(
        fig,
        "Two panels with the healthy model, patient 9 and patient 10 over 300 steps. Left, the loss: the healthy one comes "
        "down toward the limit, patient 9 turns around after a short fall and stays far above, patient 10 falls through the "
        "limit to 0. Right, the norm of the gradient on a logarithmic scale: healthy around 1 to 4, patient 9 climbs "
        "beyond 100, patient 10 sinks below 0.01.",
        "Same body, same plan, three loops; the dashed line is the limit. The healthy gradient keeps its size. One of the "
        "others climbs past a hundred, and one dies away.",
    )
