"""How every figure looks: paper, colours, grid, and how it is saved.

Figures are built as objects, never through pyplot, so there is no global state and no display.
What they show is left to `training.curves` and `evaluation.figures`.
"""

from __future__ import annotations

import logging
import warnings
from functools import cache
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

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
# As Linux, macOS and Windows bring them along.
OTHER_SCRIPTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "WenQuanYi Zen Hei"),
    *("PingFang SC", "Hiragino Sans", "Arial Unicode MS"),
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Nirmala UI"),
    *("Noto Sans Devanagari", "Noto Sans Thai", "Noto Emoji"),
)


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
    """Write a figure as PNG, under a temporary name until it is whole.

    Names in other scripts are written with a font of the system that has them; without one they
    become boxes.
    """
    families = _families()
    for text in figure.findobj(Text):
        text.set_fontfamily(families)
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing")
        figure.savefig(temporary, format="png", dpi=DPI)


@cache
def _families() -> list[str]:
    """Matplotlib's own font, then those of other scripts that are installed."""
    # It says how it chose among weights, which no reader of a report asked.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    installed = set(get_font_names())
    return ["DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in installed)]


def one_line(name: str) -> str:
    """Make a name fit one line of a figure, and keep its dollars from becoming formulas."""
    printable = "".join(letter if letter.isprintable() else " " for letter in name)
    if len(printable) > LONGEST_NAME:
        printable = printable[: LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return printable.replace("$", r"\$")
