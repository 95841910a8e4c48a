"""Pictures of robustness: what was done to a photo, and what the model made of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter
from PIL import Image, ImageOps

from binsight.drawing import new_figure, one_line

from .corruptions import FAMILIES, Family, corrupt
from .robustness import Robustness

__all__ = ["corrupted_photo", "robustness_map"]

TILE_PX = (240, 180)
BLOCKS = 2  # families beside each other


def robustness_map(measured: Robustness) -> Figure:
    """Draw accuracy by family and severity, and beside it the share that the model is sure of."""
    tables = [("accuracy", measured.clean.value, measured.accuracy)]
    if measured.coverage is not None and measured.clean_coverage is not None:
        tables.append(("sure answers", measured.clean_coverage, measured.coverage))
    severities = list(next(iter(measured.accuracy.values())))
    width = 2.4 + len(tables) * (1.2 + 0.62 * (len(severities) + 2))
    figure = new_figure(width, 1.6 + 0.42 * len(measured.accuracy))
    panels = figure.subplots(1, len(tables), squeeze=False, sharey=True).ravel()
    for axes, (name, clean, table) in zip(panels, tables, strict=True):
        image = _heat(axes, clean, table, severities)
        axes.set_title(name)
    bar = figure.colorbar(image, ax=panels.tolist(), shrink=0.8, aspect=25)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, 0))
    figure.suptitle(f"{measured.photos:,} photos, each clean and under every corruption")
    return figure


def _heat(
    axes: Axes, clean: float, table: dict[str, dict[int, float]], severities: Sequence[int]
) -> AxesImage:
    value_fs = np.array([[row[severity] for severity in severities] for row in table.values()])
    shown = np.column_stack([np.full(len(value_fs), clean), value_fs, value_fs.mean(axis=1)])
    image = axes.imshow(shown, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    for row, column in np.ndindex(*shown.shape):
        value = shown[row, column]
        colour = "white" if value > 0.55 else "black"
        axes.text(
            column, row, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=9
        )
    axes.axvline(0.5, color="white", linewidth=4)
    axes.axvline(len(severities) + 0.5, color="white", linewidth=4)
    axes.set_xticks(range(len(severities) + 2), ["clean", *map(str, severities), "mean"])
    axes.set_yticks(range(len(table)), [one_line(name) for name in table])
    axes.set_xlabel("severity")
    axes.spines[:].set_visible(False)
    return image


def corrupted_photo(
    image_rgb: Image.Image,
    *,
    seed: int,
    families: Sequence[Family] = FAMILIES,
    severities: Sequence[int] = (1, 3, 5),
) -> Figure:
    """Show one photo clean and under every family, in up to three of the severities."""
    chosen = sorted({severities[0], severities[len(severities) // 2], severities[-1]})
    rows = -(-len(families) // BLOCKS)
    across = 1 + len(chosen)
    figure = new_figure(1.65 * BLOCKS * across, 0.3 + 1.5 * rows)
    panels = figure.subplots(rows, BLOCKS * across, squeeze=False)
    for axes in panels.ravel():
        axes.set_axis_off()
    for number, family in enumerate(families):
        block, row = divmod(number, rows)
        tiles = panels[row, block * across : (block + 1) * across]
        tiles[0].imshow(_tile(image_rgb))
        tiles[0].set_title(one_line(family.name), fontsize=10, loc="left")
        for axes, severity in zip(tiles[1:], chosen, strict=True):
            axes.imshow(_tile(corrupt(image_rgb, family, severity, seed=seed)))
            axes.set_title(f"{severity}", fontsize=10)
    return figure


def _tile(image: Image.Image) -> Image.Image:
    return ImageOps.pad(image, TILE_PX, color="#F0F0F0")
