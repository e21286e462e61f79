"""One look for every picture and text of the course: colours that colour-blind readers can tell apart."""

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
STYLE = {
    "axes.grid": False,
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "figure.figsize": (7.0, 3.2),
    "font.size": 10,
    "image.cmap": "cividis",
    "svg.hashsalt": "gpt2",
}
mpl.rcParams.update(STYLE)


def show(figure: Figure, alt: str) -> None:
    """Show a figure below the cell, with `alt` telling what is to be seen for those who can't see it."""
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    plt.close(figure)
    display(
        {"image/png": base64.b64encode(png.getvalue()).decode(), "text/plain": f"[picture: {alt}]"},
        metadata={"image/png": {"alt": alt}},
        raw=True,
    )


def wrapped(text: str, width: int = 90) -> str:
    """Return a text in lines of at most `width` letters, broken between words as on a page."""
    return "\n".join(textwrap.fill(line, width) for line in text.split("\n"))
