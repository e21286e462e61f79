"""The figures of chapter 0: the map, three steps of writing, who may look at whom, the sizes."""

from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch, Patch

from course.figures import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, show


def the_map() -> None:
    """Draw the way of a text through GPT-2, with the chapters that build each part."""
    stations = [
        ("text", "“Once upon a”", GREY),
        ("ids", "1 tokenization", PURPLE),
        ("vectors", "2 embeddings", ORANGE),
        ("blocks", "3 attention, 4 MLP,\n5 stacking", BLUE),
        ("scores", "2 embeddings,\nin reverse", ORANGE),
        ("next token", "6 sampling", GREEN),
    ]
    fig, ax = plt.subplots(figsize=(6.6, 4.3))
    arrow = dict(arrowstyle="->", color=INK, lw=1.4)
    for i, (name, chapter, color) in enumerate(stations):
        above = i < 3  # once around: to the right above, and back below
        x, y = 3 * (i if above else 5 - i), 2.4 if above else 0
        box = FancyBboxPatch(
            (x - 0.95, y - 0.35), 1.9, 0.7, "round,pad=0.06", fc=color + "33", ec=color, lw=2
        )
        ax.add_patch(box)
        ax.text(x, y, name, ha="center", va="center", fontsize=14, color=INK)
        side = dict(va="bottom") if above else dict(va="top")
        ax.text(x, y + (0.52 if above else -0.52), chapter, ha="center", fontsize=12, color=INK, **side)
        if i == 3:
            ax.annotate("", (x, 0.48), (x, 1.92), arrowprops=arrow)
        elif i:
            ahead = 1 if above else -1
            ax.annotate("", (x - 1.08 * ahead, y), (x - 1.92 * ahead, y), arrowprops=arrow)
    ax.annotate("", (0, 1.92), (0, 0.48), arrowprops=dict(arrowstyle="->", color=GREEN, lw=2.5))
    ax.text(0.25, 1.2, "append it, read again:\n6 generation, 7 cache", va="center", fontsize=12, color=INK)
    below = "8 training makes the numbers inside\n9 finds what's wrong · 10 makes it fast"
    ax.text(3, -1.45, below, ha="center", va="top", fontsize=12, color=INK)
    ax.set(xlim=(-1.3, 7.4), ylim=(-2.2, 3.3))
    ax.axis("off")
    show(
        fig,
        "A map. Text becomes ids (chapter 1), ids become vectors (2), which go through blocks (3, 4, 5) and come out as "
        "scores (2), from which the next token is chosen (6). It is appended to the text, and all begins again (6, 7). "
        "Below: training (8), finding faults (9), speed (10).",
        "The path a text takes through GPT-2, and your path through the course. The numbers are chapters; the green arrow "
        "is the loop you just clicked through.",
    )


def writing(steps: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> None:
    """Draw steps of writing: for each the text so far, and the candidates for the next token with their probabilities."""
    fig, axes = plt.subplots(1, len(steps), figsize=(7.8, 2.7))
    for ax, (text, candidates) in zip(axes, steps):
        names, shares = zip(*candidates)
        ax.barh(range(len(names)), shares, color=[ORANGE] + [BLUE] * (len(names) - 1))
        for row, share in enumerate(shares):
            label = "under 1%" if share < 0.01 else f"{share:.0%}"
            inside = share > 0.5
            ax.text(
                share + (-0.03 if inside else 0.03),
                row,
                label,
                ha="right" if inside else "left",
                va="center",
                color=INK,
                fontsize=11,
            )
        ax.set_yticks(range(len(names)), [name.replace(" ", "␣") for name in names], fontsize=12)
        ax.tick_params(axis="y", length=0)
        ax.invert_yaxis()
        ax.set(xlim=(0, 1), xticks=())
        ax.spines.bottom.set_visible(False)
        ax.set_title(text, fontsize=12)
    show(
        fig,
        "Steps of writing, side by side. Each shows the text so far and the five most likely next tokens; the most likely "
        "one is appended, and the next step begins with it.",
        "The first three steps, token by token: the text so far (above) and the five most likely next tokens. The orange "
        "one is taken and appended. ␣ is a space.",
    )


def who_looks_at_whom() -> None:
    """Draw the three families of transformers as tables of which word may look at which."""
    cat = "the cat sat down".split()
    square = [[1] * 4 for _ in range(4)]
    triangle = [[int(j <= i) for j in range(4)] for i in range(4)]
    both = [[1] * 3 + [0] * 3 if i < 3 else [2] * 3 + [int(j <= i) for j in range(3, 6)] for i in range(6)]
    tables = [
        ("GPT-2: decoder only", triangle, cat),
        ("BERT: encoder only", square, cat),
        ("original: both", both, "the cat sat die Katze saß".split()),
    ]
    fig, axes = plt.subplots(1, 3, figsize=(8, 3.9), width_ratios=(4, 4, 5))
    for ax, (title, may, labels) in zip(axes, tables, strict=True):
        for i, row in enumerate(may):
            for j, allowed in enumerate(row):
                color = (PALE, BLUE, ORANGE)[allowed]
                ax.add_patch(plt.Rectangle((j, i), 0.92, 0.92, fc=color))
        n = len(may)
        ax.set(xlim=(0, n), ylim=(n, 0), aspect="equal", xlabel="… may look at")
        ax.set_xticks([j + 0.46 for j in range(n)], labels, rotation=45, fontsize=12)
        ax.set_yticks([i + 0.46 for i in range(n)], labels, fontsize=12)
        ax.set_title(title, fontsize=12)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    axes[0].set_ylabel("this word …")
    patches = [
        Patch(color=BLUE, label="yes, in its own text"),
        Patch(color=ORANGE, label="yes, in the text to be translated"),
        Patch(color=PALE, label="no"),
    ]
    fig.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False, fontsize=11)
    show(
        fig,
        "Three tables of which word may look at which. GPT-2: the lower triangle, itself and everything before. BERT: "
        "everything. Original: the three English words look at each other; each German word looks at all three English "
        "words, at itself and at the German words before it.",
        "Read a row from left to right. In GPT-2 no word sees anything to its right; in BERT each word sees all of them. "
        "The translator has both: English reads itself freely, German reads all the English and its own past.",
    )


def stacks(models: Sequence[tuple[str, int, int, float]]) -> None:
    """Draw models as stacks of layers to scale. Each is its name, its layers, its width and its millions of parameters."""
    fig, ax = plt.subplots(figsize=(7.4, 3.5))
    x = 0.0
    for i, (name, layers, width, million) in enumerate(models):
        wide = width / 200
        for layer in range(layers):
            ax.add_patch(plt.Rectangle((x, layer), wide, 0.65, fc=GREEN if i == 0 else BLUE, lw=0))
        ax.text(x + wide / 2, -1.5, f"{name}\n{million:,.0f} million", ha="center", va="top", fontsize=12)
        x += wide + 4
    ax.set(xlim=(-2, x - 2), ylim=(-9, 50))
    ax.axis("off")
    show(
        fig,
        "Stacks of layers drawn to scale: tales, the smallest, and the four sizes of GPT-2, each higher and wider than the "
        "one before: " + "; ".join(f"{name} {layers} layers" for name, layers, _, _ in models) + ".",
        "One bar is one layer, as wide as the model is. `tales` (green) is built like the others, only smaller. The "
        "numbers are parameters.",
    )
