"""One look for every picture and text of the course: colors that color-blind readers can tell apart."""

import base64
import io
import textwrap

import matplotlib as mpl
from cycler import cycler
from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

# Okabe and Ito 2008, "Color Universal Design"
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#000000",
)
GREY, PALE = "#6b7280", "#e5e7eb"
INK, BROWN = "#1f2937", "#9a6700"  # of text on white: nearly black, and orange that can be read
SHARES, SIGNED = "Blues", "RdBu_r"  # maps: white to blue from nothing to all; white in the middle for 0
STYLE = {
    "axes.grid": False,
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "figure.figsize": (8.0, 3.8),
    "font.size": 12,
    "image.cmap": SHARES,
    "svg.hashsalt": "gpt2",
}
mpl.rcParams.update(STYLE)


def show(figure: Figure, alt: str, caption: str) -> None:
    """Show a figure below the cell, with a caption in Markdown that says what to see in it.

    `alt` tells the same in full for those who can't see the picture.
    """
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    plt.close(figure)
    display(
        {"image/png": base64.b64encode(png.getvalue()).decode(), "text/plain": f"[picture: {alt}]"},
        metadata={"image/png": {"alt": alt}},
        raw=True,
    )
    display({"text/markdown": f"*{caption}*", "text/plain": caption}, raw=True)


def wrapped(text: str, width: int = 90) -> str:
    """Return a text in lines of at most `width` letters, broken between words as on a page."""
    return "\n".join(textwrap.fill(line, width) for line in text.split("\n"))
