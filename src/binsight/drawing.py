"""How every figure looks: paper, colours, grid, and how it is saved.

Figures are built as objects, never through pyplot, so there is no global state and no display.
What they show is left to `training.curves` and `evaluation.figures`.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from binsight.files import replacing

__all__ = [
    "BLUE",
    "DPI",
    "GREEN",
    "GREY",
    "ORANGE",
    "RED",
    "SKY",
    "calm",
    "new_figure",
    "one_line",
    "save",
]

DPI = 120
# Okabe and Ito 2008, "Color Universal Design": told apart with any colour vision.
BLUE, SKY, ORANGE, GREEN, RED = "#0072B2", "#56B4E9", "#E69F00", "#009E73", "#D55E00"
GREY = "#7A7A7A"
LONGEST_NAME = 24


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """Return an empty figure that gives its labels the room they need."""
    margins = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    return Figure(figsize=(width_inches, height_inches), layout=margins)


def calm(axes: Axes, *, grid: str) -> None:
    """Take away what carries no data; ``grid`` is ``"x"`` or ``"y"``."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x" if grid == "x" else "y", color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, under a temporary name until it is whole."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)


def one_line(name: str) -> str:
    """Make a name fit one line of a figure, and keep its dollars from becoming formulas."""
    printable = "".join(letter if letter.isprintable() else " " for letter in name)
    if len(printable) > LONGEST_NAME:
        printable = printable[: LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return printable.replace("$", r"\$")
