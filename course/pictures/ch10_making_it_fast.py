"""The figures of chapter 10: where the time goes, the roof, parts, ticks, picks, rounds of guesses, the ladder."""

import math
from collections.abc import Callable, Collection
from itertools import cycle

import torch
from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.ticker import LogLocator, NullLocator

from course.figures import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, RED, SHARES, SKY, show

WORK = {
    "matrices": BLUE,
    "attention": ORANGE,
    "norms, GELU, sums": GREEN,
    "everything else": PALE,
    "not a product": PURPLE,
}


def bars_of_work(bars: list[dict[str, float]], names: list[str], write: str) -> tuple:
    """Draw bars of kinds of work, the larger parts with their size as `write` formats it; return figure, axes, ends."""
    fig, ax = plt.subplots(figsize=(8, 0.7 * len(bars) + 1.3))
    ends = [sum(bar.values()) for bar in bars]
    for i, bar in enumerate(bars):
        left = 0.0
        for kind, size in bar.items():
            color = WORK[kind]
            ax.barh(i, size, left=left, color=color, height=0.6, label=kind if i == 0 else None)
            if size >= 0.055 * max(ends):
                ink = "w" if color in (BLUE, GREEN) else "k"
                ax.text(left + size / 2, i, write.format(size), ha="center", va="center", color=ink)
            left += size
    ax.set_yticks(range(len(bars)), names)
    ax.set_xlim(0, 1.18 * max(ends))
    ax.invert_yaxis()
    return fig, ax, ends


def where_the_time_goes(profiles: dict[str, dict[str, float]]) -> None:
    """Draw the seconds of several runs by kind of work, each run as a bar of 100%."""
    whole = [sum(parts.values()) for parts in profiles.values()]
    shares = [
        {kind: 100 * seconds / total for kind, seconds in parts.items()}
        for parts, total in zip(profiles.values(), whole)
    ]
    fig, ax, _ = bars_of_work(shares, list(profiles), "{:.0f}%")
    for i, seconds in enumerate(whole):
        ax.text(102, i, f"{1000 * seconds:.1f} ms", va="center")
    ax.set(xticks=[0, 25, 50, 75, 100], xlabel="share of the time (%)")
    fig.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=10)
    show(
        fig,
        "A bar of 100 percent for each run: " + ", ".join(profiles) + ". Each is divided into the shares of "
        "the matrix products, the attention, norms with GELU and sums, and everything else.",
        "Blue is what a run saves if every product returns zeros at once. Orange and green are added up operator by operator. Gray is the "
        "rest: Python between the calls, views, copies. (Recording each operator's time takes time, too. If they add up to more than what's left over, there's no gray.)",
    )


def before_and_now(profiles: dict[str, dict[str, float]], floors: list[float]) -> None:
    """Draw the milliseconds of some runs by kind of work, on one axis, with what memory allows each of them."""
    bars = [{kind: 1000 * seconds for kind, seconds in parts.items()} for parts in profiles.values()]
    fig, ax, ends = bars_of_work(bars, list(profiles), "{:.1f}")
    for i, (end, floor) in enumerate(zip(ends, floors)):
        ax.text(end + 0.02 * max(ends), i, f"{end:.1f} ms", va="center")
        label = None if i else "the weights alone, at full speed"
        ax.plot(1000 * floor, i - 0.39, "v", color=INK, ms=9, label=label)
        ax.text(1000 * floor + 0.015 * max(ends), i - 0.42, f"{1000 * floor:.1f}", va="center", fontsize=10)
    ax.set_xlabel("ms per token")
    fig.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=10)
    show(
        fig,
        "A bar of milliseconds for each run: " + ", ".join(profiles) + ". Each is divided into the matrix "
        "products and everything else. A mark shows what memory allows.",
        "The same step, before your changes and after them, on one axis. Each mark is the shortest time in which memory delivers the weights of that bar.",
    )


Roof = Callable[
    [float, float, float], float
]  # operations per byte, flops, bandwidth -> operations per second


def under_a_roof(
    roof: Roof, flops: float, bandwidth: float, points: dict, width: float = 8, room: float = 6
) -> tuple:
    """Draw a machine's roof with room for points below it; return the figure, its axes, and a label for each point.

    points: name -> operations per byte, operations per second. A label has the share of the roof above its point.
    The axis of operations per byte goes on for `room` times as far as the points and the bend.
    """
    fig, ax = plt.subplots(figsize=(width, 5))
    bend = flops / bandwidth
    xs = [bend, *(x for x, _ in points.values())]
    low, high = min(xs) / room, max(xs) * room
    xs = torch.logspace(math.log10(low), math.log10(high), 200).tolist()
    ys = [roof(x, flops, bandwidth) for x in xs]
    heights = [y for _, y in points.values()]
    ax.plot(xs, ys, color=INK, lw=2)
    ax.axvline(bend, color=INK, lw=1, ls=":")
    for x, waits_for, side in (
        (bend / 1.08, "memory is the limit", "right"),
        (bend * 1.08, "arithmetic is the limit", "left"),
    ):
        ax.text(x, 0.03, waits_for, transform=ax.get_xaxis_transform(), ha=side, fontsize=12, color=INK)
    ax.text(xs[-1], 1.08 * ys[-1], "your roof", ha="right", fontsize=12, color=INK)
    bottom, top = 0.35 * min(heights + ys[-1:]), 1.6 * max(ys + heights)
    ax.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="billion operations per second")
    ax.set(xlim=(low, high), ylim=(bottom, top))
    for axis, ends in ((ax.xaxis, (low, high)), (ax.yaxis, (bottom, top))):
        few = ends[1] / ends[0] < 1e5  # powers of ten, so that each label has room
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=20))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(lambda y, _: f"{y / 1e9:g}")
    return fig, ax, {name: f"{100 * y / roof(x, flops, bandwidth):.0f}%" for name, (x, y) in points.items()}


def arrow(ax: plt.Axes, start: tuple[float, float], end: tuple[float, float], color: str = GREY) -> None:
    """Draw an arrow from one point to another."""
    ax.annotate("", end, start, arrowprops=dict(arrowstyle="->", color=color, lw=1, shrinkA=5, shrinkB=5))


LOOKS = list(
    zip("os^DvPX", (INK, BLUE, ORANGE, GREEN, RED, PURPLE, SKY), strict=True)
)  # of points in a legend


def roofline(roof: Roof, flops: float, bandwidth: float, points: dict[str, tuple[float, float]]) -> None:
    """Draw a machine's roof and what two runs reach: name -> operations per byte, operations per second."""
    fig, ax, shares = under_a_roof(roof, flops, bandwidth, points)
    for name, (x, y) in points.items():
        ax.plot([x, x], [y, roof(x, flops, bandwidth)], color=BLUE, lw=1, ls=(0, (4, 3)))
        ax.plot(x, y, "o", color=BLUE, ms=7)
        text = ax.annotate(
            f"{name}: {shares[name]}", (x, y), (8, -12), textcoords="offset points", color=BLUE
        )
        text.set(in_layout=False, va="center", bbox={"fc": "w", "ec": "none", "pad": 0.3, "alpha": 0.8})
    show(
        fig,
        "A roofline on logarithmic axes: a line that rises with the operations per byte and then is flat, and "
        "below it a point for each of: " + ", ".join(points) + ".",
        "Left of the bend memory is the limit, right of it arithmetic. A point near the roof has hit that limit; a point far "
        "below it waits for something else. The dashed line is what's left to gain; the percentages say how much of the roof above it a point reaches.",
    )


def several_tokens(
    roof: Roof, flops: float, bandwidth: float, rows: dict[str, dict[int, tuple[float, float]]]
) -> None:
    """Draw a machine's roof and calls that read more and more tokens: row -> tokens -> point, as `under_a_roof` has it."""
    points = {f"{row}, {n}": at for row, calls in rows.items() for n, at in calls.items()}
    fig, ax, _ = under_a_roof(roof, flops, bandwidth, points, width=9.5, room=3)
    for (row, calls), (mark, color) in zip(rows.items(), cycle(LOOKS)):
        places = list(calls.values())
        for start, end in zip(places, places[1:]):
            arrow(ax, start, end, color)
        ax.plot(*zip(*places), mark, color=color, ms=8, mec="w", ls="", label=row, zorder=3)
        for n, at in calls.items():
            aside = {INK: (6, -13), BLUE: (-4, 7), GREEN: (5, -14)}.get(color, (-13, 4))  # never on an arrow
            box = {"fc": "w", "ec": "none", "pad": 0.3, "alpha": 0.8}
            ax.annotate(
                str(n), at, aside, textcoords="offset points", color=color, fontsize=12, bbox=box, zorder=4
            )
    fig.legend(loc="outside right upper", frameon=False, fontsize=11, title="tokens in a call")
    show(
        fig,
        "The roofline again, with calls of the model that read more and more tokens, for each of: "
        + ", ".join(rows)
        + ".",
        "Each number is how many tokens a call reads. Left of the bend, points that climb alongside the roof got their extra tokens "
        "free; where they fall behind, those tokens cost time. Right of it, even a perfect routine takes longer with each token. "
        "(Fewer bytes per weight, more operations for each: float16 starts at 1 operation per byte, and your pick farther right. The roof is float32's; for whole numbers it may be higher.)",
    )


def cut_into_parts(parts: int = 4) -> None:
    """Draw a matrix that one core reads, and the same matrix in parts that several read."""
    fig, axes = plt.subplots(1, 2, figsize=(8, 2.9), sharey=True)
    colors, high = (BLUE, ORANGE), 8
    for ax, cuts in zip(axes, (1, parts), strict=True):
        each = high / cuts
        for i in range(cuts):
            y, color = i * (each + 0.35 * (cuts > 1)), colors[i % 2]
            ax.add_patch(Rectangle((0, y), 5, each, fc=color, alpha=0.3, ec=color, lw=2))
            rows = "(N, K)" if cuts == 1 else f"(N / {cuts}, K)"
            ax.text(2.5, y + each / 2, rows, ha="center", va="center", fontsize=12)
            look = {"arrowstyle": "-|>", "color": color, "lw": 2}
            ax.annotate("", (7.2, y + each / 2), (5.1, y + each / 2), arrowprops=look)
            core = "one core reads it all,\nthe others wait" if cuts == 1 else f"core {i % 2 + 1}"
            ax.text(7.4, y + each / 2, core, va="center", fontsize=12, color=INK)
        ax.set(xlim=(-0.3, 12.5), ylim=(high + 1.5, -0.4))
        ax.axis("off")
    axes[0].set_title("weight (N, K) times one vector", fontsize=12, loc="left")
    axes[1].set_title(f"a batch of {parts} parts ({parts}, N / {parts}, K)", fontsize=12, loc="left")
    show(
        fig,
        f"Left, a whole matrix, read by one core. Right, the same matrix cut into {parts} slabs of rows, which two cores read side by side.",
        "The same weight twice. Neighboring rows lie side by side in memory, so cutting between them is a view: nothing is copied. "
        "(One core reads it all on some processors, and in some shapes.)",
    )


Tried = dict[str, tuple[dict[str, float], dict[str, float]]]  # kind of matrix -> way -> seconds, way -> error


def choices(tried: Tried, picks: dict[str, str], most: float) -> None:
    """Draw what each way takes for each kind of matrix and how far it's off, framed what was picked, hatched what's off by more than `most`."""
    ways = list(dict.fromkeys(way for times, _ in tried.values() for way in times))
    fig, ax = plt.subplots(figsize=(9.5, 0.62 * len(ways) + 0.8))
    for column, (kind, (times, errors)) in enumerate(tried.items()):
        best = min(times.values())
        for row, way in enumerate(ways):
            if way not in times:
                ax.text(column, row, "doesn't run", ha="center", va="center", fontsize=10, color=GREY)
                continue
            refused, share = not errors[way] <= most, best / times[way]
            look = dict(ec=GREY, hatch="///", lw=0) if refused else dict(ec="w", lw=2)
            look["fc"] = plt.get_cmap(SHARES)(0.75 * share)
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **look))
            off = "exact" if errors[way] < 5e-5 else f"{errors[way]:.2%} off"
            ink = "w" if share > 0.9 and not refused else "k"
            back = {"fc": "w", "ec": "none", "pad": 1} if refused else None
            ax.text(
                column,
                row,
                f"{1000 * times[way]:.2f} ms\n{off}",
                ha="center",
                va="center",
                fontsize=10,
                color=ink,
                bbox=back,
            )
        row = ways.index(picks[kind])
        ax.add_patch(Rectangle((column - 0.47, row - 0.46), 0.94, 0.92, fc="none", ec=ORANGE, lw=4))
    ax.set_xticks(range(len(tried)), list(tried))
    ax.set_yticks(range(len(ways)), ways)
    ax.set(xlim=(-0.5, len(tried) - 0.5), ylim=(len(ways) - 0.5, -0.5))
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    refusals = any(not error <= most for _, errors in tried.values() for error in errors.values())
    show(
        fig,
        "A table of ways to multiply and kinds of matrix, with times and errors. Picked: "
        + ", ".join(f"{kind}: {way}" for kind, way in picks.items())
        + ".",
        "In each column, darker is faster. The orange frame marks your `pick`: the most exact of the fast ones. Times are GPT-2 small's, errors those of `tales`."
        + (f" Hatched cells are ruled out: off by more than {100 * most:g}%." if refusals else ""),
    )


def row_on_ticks(rows: dict[str, torch.Tensor]) -> None:
    """Draw how often each whole number from -127 to 127 occurs in int8 rows (K,)."""
    fig, axes = plt.subplots(1, len(rows), figsize=(8, 2.8), sharey=True)
    for ax, (title, numbers), color in zip(axes, rows.items(), cycle((BLUE, ORANGE))):
        counts = torch.bincount(numbers.long() + 127, minlength=255)
        ax.bar(range(-127, 128), counts.tolist(), width=1.0, color=color)
        ax.set(title=title, xlabel="whole number", xlim=(-132, 132), xticks=[-127, -64, 0, 64, 127])
        ax.text(0.03, 0.9, f"{(counts > 0).sum()} numbers in use", transform=ax.transAxes, fontsize=10)
        far = [n for n in (-127, 127) if counts[n + 127] and not counts[60 + 127 :].sum() - counts[254]]
        for n in far:
            ax.annotate(
                "outlier",
                (n, 2),
                (0.8 * n, counts.max().item() / 2),
                arrowprops={"arrowstyle": "->"},
                ha="center",
            )
    axes[0].set_ylabel("entries of the row")
    show(
        fig,
        "Two histograms over the whole numbers from -127 to 127. Left, the entries of a row spread over most "
        "of them. Right, with one outlier, all other entries crowd into a few numbers around 0.",
        "The same row twice. One large entry takes the whole scale for itself, and all the others must share "
        "the few numbers around 0.",
    )


def kept_or_drawn(draft: torch.Tensor, kept: torch.Tensor, drawn: torch.Tensor) -> None:
    """Draw what becomes of a guess, for each token (V,): how likely it is guessed, kept, drawn instead."""
    fig, ax = plt.subplots(figsize=(6.6, 3.1))
    places, thrown = range(len(draft)), draft - kept
    parts = [
        ("guessed and kept", kept, 0 * kept, dict(color=GREEN)),
        ("drawn instead", drawn, kept, dict(color=ORANGE)),
        ("guessed, thrown away", thrown, kept + drawn, dict(color=PALE, hatch="//", edgecolor=GREY, lw=0)),
    ]
    for label, share, below, look in parts:
        ax.bar(places, share.tolist(), 0.6, below.tolist(), label=label, **look)
    for i, most in enumerate((kept + drawn).tolist()):
        ax.plot([i - 0.42, i + 0.42], [most, most], color=INK, lw=2.5, label=None if i else "the target")
    ax.set_xticks(places, [f"token {i}" for i in places])
    ax.set(ylabel="probability", ylim=(0, 1), yticks=(0, 0.5, 1))
    fig.legend(loc="outside right upper", frameon=False, fontsize=11)
    show(
        fig,
        "A bar for each token. Up to the target it is green, guessed and kept, and orange, drawn instead. Above "
        "the target is what was guessed too often and thrown away.",
        "Green and orange together reach the target at each token. The gray above it is thrown away: there the "
        "draft guesses too often.",
    )


def rounds_of_guesses(rounds: list[tuple[list[str], list[str]]]) -> None:
    """Draw what each call of the large model made of the guesses.

    rounds: (pieces that were guessed, pieces that were taken, the last of which is the large model's own).
    """
    fig, ax = plt.subplots(figsize=(8, 0.46 * len(rounds) + 0.9))
    unit, x_most = 0.13, 0.0

    def box(x: float, y: float, text: str, color: str, struck: bool = False) -> float:
        text = text.replace("\n", "\\n").replace(" ", "·") if y < len(rounds) else text
        width = unit * (len(text) + 1.2)
        ax.add_patch(
            FancyBboxPatch(
                (x, y - 0.3), width, 0.6, boxstyle="round,pad=0,rounding_size=0.08", fc=color, ec="none"
            )
        )
        ink = "k" if color in (PALE, ORANGE) else "w"
        ax.text(x + width / 2, y, text, ha="center", va="center", family="monospace", fontsize=11, color=ink)
        if struck:
            ax.plot([x + 0.05, x + width - 0.05], [y, y], color=GREY, lw=1.2)
        return x + width + 0.08

    for y, (guessed, taken) in enumerate(rounds):
        ax.text(-0.15, y, f"call {y + 1}", ha="right", va="center", fontsize=10, color=GREY)
        x, kept = 0.0, len(taken) - 1
        for text in guessed[:kept]:
            x = box(x, y, text, GREEN)
        if kept < len(guessed):
            x = box(x, y, guessed[kept], PALE, struck=True)
            x = box(x, y, taken[-1], ORANGE)
            for text in guessed[kept + 1 :]:
                x = box(x, y, text, PALE, struck=True)
        else:
            x = box(x, y, taken[-1], BLUE)
        x_most = max(x_most, x)
    y = len(rounds) + 0.35
    x = 0.0
    ax.axhline(y - 0.6, color=PALE, lw=1)
    for text, color, struck in [
        ("kept", GREEN, 0),
        ("thrown away", PALE, 1),
        ("drawn instead", ORANGE, 0),
        ("bonus", BLUE, 0),
    ]:
        x = box(x, y, text, color, bool(struck)) + 0.1
    ax.set(xlim=(-1.0, max(x, x_most)), ylim=(len(rounds) + 0.85, -0.6))
    ax.axis("off")
    show(
        fig,
        "Rounds of speculation, a line for each call of the large model: "
        + "; ".join(f"guessed {'|'.join(g)}, taken {'|'.join(t)}" for g, t in rounds)
        + ".",
        "Each line is one call of the large model. Read only the colored boxes, line by line: that's the text. An "
        "orange box replaces the guess on its left, and what was guessed after that is lost.",
    )


def ladder_of_times(times: dict[str, float], floors: dict[str, float], apart: Collection[str] = ()) -> None:
    """Draw seconds per token as dots on a logarithmic axis, with what memory allows as marks.

    The rows in `apart` come last, in another color and after a gap.
    """
    fig, ax = plt.subplots(figsize=(8, 0.5 * len(times) + 1.1))
    places = [i + 0.6 * (name in apart) for i, name in enumerate(times)]
    for i, (name, seconds) in zip(places, times.items()):
        ax.axhline(i, color=PALE, lw=1, zorder=0)
        ax.plot(1000 * seconds, i, "o", color=GREEN if name in apart else BLUE, ms=9)
        share = f" ({floors[name] / seconds:.0%})" if name in floors else ""
        ax.text(
            1000 * seconds * 1.12,
            i - 0.22,
            f"{1000 * seconds:.{0 if seconds > 0.1 else 1}f} ms{share}",
            fontsize=11,
        )
        if name in floors:
            ax.plot([1000 * floors[name], 1000 * seconds], [i, i], color=GREY, lw=1, zorder=1)
            ax.plot(1000 * floors[name], i, "|", color=ORANGE, ms=20, mew=3)
    ax.plot([], [], "|", color=ORANGE, ms=14, mew=3, label="what memory allows")
    fig.legend(frameon=False, loc="outside upper right", fontsize=10)
    ax.set_yticks(places, list(times))
    ax.set(xscale="log", xlabel="ms per token (logarithmic)")
    ax.set_xlim(right=ax.get_xlim()[1] * 1.6)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter("{x:g}")
    ax.invert_yaxis()
    show(
        fig,
        "Dots on a logarithmic axis: the time of a token for each of: "
        + ", ".join(times)
        + ". Marks show the "
        "shortest time that memory allows.",
        "Blue dots are your rows, green ones the library's. Each orange mark is the shortest time that memory allows for that row's bytes, and the percentage is how much of memory's speed the "
        "row reaches. (The row without a cache does other work, so it has no mark.)",
    )
