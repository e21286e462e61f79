"""The figures of chapter 1: merging step by step, merges as a tree, texts cut into tokens."""

from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from course.figures import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, SKY, show

MONO = "DejaVu Sans Mono"
Pair = tuple[bytes, bytes]


def written(symbol: bytes) -> str:
    """Return how a symbol is drawn: ASCII as letters, with ␣ for a space, all else as hexadecimal bytes."""
    if all(32 <= byte < 127 for byte in symbol):
        return symbol.decode().replace(" ", "␣")
    return symbol.hex(" ").upper()


def box(ax: Axes, x: float, y: float, symbol: bytes, color: str, size: float = 12) -> float:
    """Draw a symbol in a box whose left end is at x; return where the box ends."""
    text = written(symbol)
    width = 0.45 + 0.32 * len(text)
    ax.add_patch(plt.Rectangle((x, y - 0.36), width, 0.72, fc=color, ec="white", lw=1.5))
    ax.text(x + width / 2, y, text, ha="center", va="center", fontsize=size, family=MONO, color=INK)
    return x + width


def merging(frames: Sequence[tuple[str, Sequence[Sequence[bytes]]]]) -> None:
    """Draw words after each merge, one row for each: its title and the words as symbols. What is new is orange."""
    fig, ax = plt.subplots(figsize=(7.4, 0.58 * len(frames) + 0.4))
    known = set()
    for row, (title, words) in enumerate(frames):
        ax.text(-0.4, -row, title, ha="right", va="center", fontsize=12, color=INK)
        symbols = {symbol for word in words for symbol in word}
        for place, word in enumerate(words):
            x = 4.2 * place
            for symbol in word:
                fresh = row > 0 and symbol not in known
                x = box(ax, x, -row, symbol, ORANGE + "99" if fresh else BLUE + "26") + 0.06
        known |= symbols
    ax.set(xlim=(-4.8, 4.2 * len(frames[0][1])), ylim=(0.6 - len(frames), 0.6))
    ax.axis("off")
    rows = "; ".join(
        f"{title}: " + ", ".join(" ".join(written(symbol) for symbol in word) for word in words)
        for title, words in frames
    )
    show(
        fig,
        f"The same words after each merge. {rows}.",
        "Byte-pair encoding at work, one merge a row. Boxes are symbols; what the merge has just made is orange.",
    )


def merge_trees(words: Mapping[str, Sequence[bytes]], merges: Sequence[Pair], caption: str) -> None:
    """Draw how merges made the symbols of words: bytes at the bottom, joined pair by pair.

    words maps a title to the symbols that are left of a word; the number at a joint is its pair's place in merges.
    """
    made_of = {left + right: (rank, left, right) for rank, (left, right) in enumerate(merges)}

    def height(symbol: bytes) -> int:
        return 1 + max(map(height, made_of[symbol][1:])) if len(symbol) > 1 else 0

    highest = max(height(symbol) for symbols in words.values() for symbol in symbols)
    lengths = [len(b"".join(symbols)) for symbols in words.values()]
    fig, axes = plt.subplots(
        1,
        len(words),
        figsize=(min(8.2, 1.6 + 0.62 * sum(lengths)), 0.75 + 0.62 * highest),
        squeeze=False,
        width_ratios=lengths,
    )

    def draw(ax: Axes, symbol: bytes, start: int, top: bool) -> tuple[float, float]:
        """Draw a symbol above what it's made of; return its place."""
        x, y = start + (len(symbol) - 1) / 2, height(symbol)
        if len(symbol) > 1:
            rank, left, right = made_of[symbol]
            for part, begin in ((left, start), (right, start + len(left))):
                below = draw(ax, part, begin, False)
                ax.plot([x, below[0]], [y, below[1]], color=GREY, lw=1.2, zorder=1)
            ax.text(x, y - 0.5, f"{rank:,}", ha="center", va="center", fontsize=10, color=INK, zorder=4,
                    bbox=dict(fc="white", ec="none", pad=0.8))  # fmt: skip
        color = ORANGE if top else PALE
        ax.text(x, y, written(symbol), ha="center", va="center", fontsize=12, family=MONO, color=INK, zorder=3,
                bbox=dict(boxstyle="round,pad=0.22", fc=color, ec="white"))  # fmt: skip
        return x, y

    for ax, (title, symbols) in zip(axes[0], words.items(), strict=True):
        start = 0
        for symbol in symbols:
            draw(ax, symbol, start, True)
            start += len(symbol)
        ax.set(xlim=(-0.9, start - 0.1), ylim=(-0.6, highest + 0.6))
        ax.set_title(title.replace(" ", "␣"), fontsize=12)
        ax.axis("off")
    texts = (f"{title}: {' '.join(map(written, symbols))}" for title, symbols in words.items())
    show(fig, f"How merges make symbols, as trees with the bytes at the bottom. {'; '.join(texts)}.", caption)


def cut_into_tokens(rows: Sequence[tuple[str, Sequence[bytes]]]) -> None:
    """Draw texts as tokens in boxes: each row is what to call the text and the symbols of its tokens."""
    colors = [color + "59" for color in (BLUE, ORANGE, GREEN, PURPLE, SKY)]
    fig, ax = plt.subplots(figsize=(7.8, 0.44 * len(rows) + 0.3))
    for row, (name, symbols) in enumerate(rows):
        ax.text(-0.4, -row, name, ha="right", va="center", fontsize=11, color=INK)
        x = 0.0
        for i, symbol in enumerate(symbols):
            x = box(ax, x, -row, symbol, colors[i % len(colors)], size=10.5)
        n = len(symbols)
        count = f"{n} tokens" if n > 1 else "1 token"
        ax.text(x + 0.4, -row, count, ha="left", va="center", fontsize=11, color=GREY)
    ax.set(xlim=(-6.3, 15.5), ylim=(0.6 - len(rows), 0.6))
    ax.axis("off")
    show(
        fig,
        "Texts cut into tokens: " + "; ".join(f"{name} {len(symbols)}" for name, symbols in rows) + ".",
        "Each box is one token; ␣ is a space. Tokens of characters outside plain ASCII are drawn as what they are: bytes, "
        "in hexadecimal.",
    )


def tokens_per_byte(curves: Mapping[str, Mapping[int, float]], gpt2: tuple[int, float]) -> None:
    """Draw into how many tokens a byte of text is cut on average, by the number of merges.

    `curves` maps the name of a text to what each number of merges makes of it, `gpt2` is GPT-2's own number of
    merges and what they make of the last of the texts.
    """
    fig, ax = plt.subplots(figsize=(7.6, 3.4))
    for (name, curve), color in zip(curves.items(), cycle((ORANGE, BLUE))):
        ax.semilogx(list(curve), list(curve.values()), color=color, marker="o", ms=4, lw=2, label=name)
    ax.plot(*gpt2, "o", color=GREEN, ms=8)
    ax.annotate("GPT-2", gpt2, (0, 9), textcoords="offset points", ha="center")
    ticks = [10, 100, 1_000, 10_000, 50_000]
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    ax.set(xlabel="merges", ylabel="tokens per byte", ylim=(0, 1), xlim=(8, 100_000))
    ax.legend(frameon=False, fontsize=11)
    told = "; ".join(
        f"{name}: " + ", ".join(f"{share:.2f} with {n:,}" for n, share in curve.items())
        for name, curve in curves.items()
    )
    show(
        fig,
        f"Tokens per byte against the number of merges, which is on a logarithmic axis. {told}. GPT-2's {gpt2[0]:,} "
        f"merges need {gpt2[1]:.2f} on the second text.",
        "How far merges shorten a text. Each step to the right on this axis takes ten times as many merges. The green dot is "
        "GPT-2 on the story that the merges weren't learned from.",
    )
