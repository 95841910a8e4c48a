"""Pictures of what was measured, each a matplotlib figure that belongs to nobody else.

It knows arrays and metrics; how figures look is `drawing`'s part, and which of them make a report
`report`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from PIL import Image, ImageOps

from binsight.calibration import expected_calibration_error, reliability
from binsight.drawing import BLUE, GREEN, GREY, ORANGE, RED, SKY, calm, new_figure, one_line
from binsight.errors import ImageError
from binsight.images import decode

from .metrics import Metrics
from .scored import Answered, Scored, Strange

__all__ = [
    "LookAt",
    "accepted",
    "confusion_matrix",
    "mistakes",
    "most_confident_mistakes",
    "per_class",
    "reliability_diagram",
]

# From a photo and a class to a picture of what in it speaks for that class.
LookAt = Callable[[Path, str], Image.Image]
TILE_PX = 224
COLUMNS = 4  # of tiles; half as many where a map stands beside each photo
MOUNT, UNREADABLE = "#F0F0F0", "#BEBEBE"
# Beyond this a figure is larger than a viewer likes; what is in it shrinks instead.
LARGEST_INCHES = 40.0
LETTER_INCHES = 0.085


def confusion_matrix(metrics: Metrics) -> Figure:
    """Draw counts; a cell is as dark as its share of the photos of its true class."""
    counts_cc = np.array(metrics.confusion)
    share_cc = counts_cc / np.maximum(counts_cc.sum(axis=1, keepdims=True), 1)
    classes = len(counts_cc)
    names = [one_line(row.name) for row in metrics.per_class]
    cell = min(0.8, LARGEST_INCHES / classes)
    label = LETTER_INCHES * max(len(name) for name in names)
    figure = new_figure(2.2 + label + cell * classes, 1.4 + 0.7 * label + cell * classes)
    axes = figure.subplots()
    image = axes.imshow(share_cc, cmap="Blues", vmin=0.0, vmax=1.0)
    _write_cells(axes, counts_cc, share_cc, font=16.0 * cell)
    axes.set_xticks(range(classes), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(classes), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.spines[:].set_visible(False)
    axes.set_title(f"Confusion matrix, {_photos(metrics.photos)}")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=25, format=PercentFormatter(1.0, 0))
    bar.set_label("share of the true class")
    return figure


def _write_cells(
    axes: Axes, counts_cc: NDArray[np.int64], share_cc: NDArray[np.float64], font: float
) -> None:
    for row, column in np.argwhere(counts_cc > 0):
        share = share_cc[row, column]
        colour = "white" if share > 0.55 else "black"
        count = f"{counts_cc[row, column]}"
        axes.text(column, row, count, ha="center", va="bottom", color=colour, fontsize=font)
        percent = f"{share:.0%}" if share >= 0.01 else "<1%"
        axes.text(column, row, percent, ha="center", va="top", color=colour, fontsize=font * 0.7)


def per_class(metrics: Metrics) -> Figure:
    """Draw precision, recall and F1 of each class that has a photo as three bars side by side."""
    rows = [row for row in metrics.per_class if row.support]
    height = min(1.6 + 0.75 * len(rows), LARGEST_INCHES)
    figure = new_figure(6.2, height)
    axes = figure.subplots()
    middle_c = np.arange(len(rows))
    series = (("precision", BLUE), ("recall", ORANGE), ("F1", GREEN))
    for offset, (name, colour) in zip((-0.27, 0.0, 0.27), series, strict=True):
        values = [getattr(row, name.lower()) for row in rows]
        bars = axes.barh(middle_c + offset, values, height=0.25, color=colour, label=name)
        axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
    axes.set_yticks(middle_c, [f"{one_line(row.name)}\n{_photos(row.support)}" for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.07)
    axes.set_xticks(np.linspace(0.0, 1.0, 6))
    calm(axes, grid="x")
    axes.set_title(f"Scores of each class, {_photos(metrics.photos)}")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def reliability_diagram(scored: Scored) -> Figure:
    """Draw accuracy against confidence in 15 bins, and how many photos each bin holds.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", figure 1.
    """
    table = reliability(scored.confidence_n, scored.correct_n)
    edges = np.linspace(0.0, 1.0, len(table.counts_b) + 1)
    filled_b = table.counts_b > 0
    figure = new_figure(6.2, 6.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    _bin_bars(upper, edges, table.accuracy_b, SKY, "accuracy")
    upper.plot([0, 1], [0, 1], "--", color="black", label="as sure as right")
    upper.plot(
        table.confidence_b[filled_b],
        table.accuracy_b[filled_b],
        "o",
        color=RED,
        label="mean confidence",
    )
    upper.set_ylabel("accuracy")
    upper.set_ylim(0.0, 1.03)
    _bin_bars(lower, edges, table.counts_b, GREY, "photos")
    lower.set_ylabel("photos")
    lower.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    lower.set_xlabel("confidence")
    lower.set_xlim(0.0, 1.0)
    for axes in (upper, lower):
        calm(axes, grid="y")
    handles, labels = upper.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    error = expected_calibration_error(scored.confidence_n, scored.correct_n)
    upper.set_title(f"Reliability, {_photos(len(scored))}, calibration error {error:.1%}")
    return figure


def _bin_bars(
    axes: Axes, edges: NDArray[np.float64], heights_b: NDArray[Any], colour: str, label: str
) -> None:
    axes.bar(
        edges[:-1],
        heights_b,
        width=np.diff(edges),
        align="edge",
        color=colour,
        edgecolor="white",
        label=label,
    )


def most_confident_mistakes(scored: Scored, limit: int = 24) -> NDArray[np.intp]:
    """Return the indices of up to ``limit`` wrong answers, the most confident first."""
    return _most_confident(scored, np.flatnonzero(~scored.correct_n), limit)


def _most_confident(answered: Answered, places: NDArray[np.intp], limit: int) -> NDArray[np.intp]:
    order = np.argsort(-answered.confidence_n[places], kind="stable")
    return places[order[:limit]]


def mistakes(
    scored: Scored,
    root: Path,
    *,
    limit: int = 24,
    look_at: LookAt | None = None,
) -> Figure:
    """Show the photos of the most confident mistakes, true class first, then the prediction.

    Args:
        scored: what the model said.
        root: folder that the paths are relative to. A photo that can no longer be read shows as
            a grey tile.
        limit: how many photos at most.
        look_at: draws what speaks for the predicted class; it stands beside its photo, in half as
            many columns.
    """
    chosen = most_confident_mistakes(scored, limit)
    wrong = int(np.count_nonzero(~scored.correct_n))
    return _gallery(
        scored,
        chosen,
        [scored.classes[label] for label in scored.labels_n[chosen]],
        root,
        title=_mistakes_title(len(chosen), wrong, len(scored)),
        look_at=look_at,
    )


def accepted(
    strange: Strange,
    root: Path,
    *,
    limit: int = 12,
    look_at: LookAt | None = None,
) -> Figure:
    """Show photos of none of the classes that the model was sure of, the most confident first.

    Above each stands its folder, then what it was taken for. Of a model that cannot say whether it
    is sure, the most confident answers are shown.

    Args:
        strange: what the model said.
        root: see `mistakes`, and for the others.
    """
    sure_n = strange.sure_n
    candidates = np.arange(len(strange)) if sure_n is None else np.flatnonzero(sure_n)
    chosen = _most_confident(strange, candidates, limit)
    return _gallery(
        strange,
        chosen,
        [PurePosixPath(strange.paths[place]).parent.name for place in chosen],
        root,
        title=_accepted_title(len(chosen), None if sure_n is None else len(candidates), strange),
        look_at=look_at,
    )


def _accepted_title(shown: int, accepted: int | None, strange: Strange) -> str:
    photos = f"{_photos(len(strange))} of none of the classes"
    if accepted is None:
        return f"The {shown} most confident answers to {photos}"
    if not accepted:
        return f"None accepted of {photos}"
    most = f"The {shown} most confident of " if shown < accepted else ""
    return f"{most}{accepted:,} accepted of {photos}"


def _gallery(
    answered: Answered,
    chosen: NDArray[np.intp],
    names: Sequence[str],
    root: Path,
    *,
    title: str,
    look_at: LookAt | None,
) -> Figure:
    """Photos with a name each and the model's answer; see `mistakes`."""
    columns = COLUMNS // 2 if look_at else COLUMNS
    rows = math.ceil(len(chosen) / columns)
    figure = new_figure((4.6 if look_at else 2.3) * columns, 0.7 + 2.9 * rows)
    figure.suptitle(title, fontsize=14)
    if not rows:
        return figure
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, index, name in zip(panels, chosen, names, strict=False):
        _tile(axes, answered, int(index), name, root, look_at)
    return figure


def _mistakes_title(shown: int, wrong: int, photos: int) -> str:
    if not wrong:
        return f"No mistakes in {_photos(photos)}"
    count = f"{wrong:,} mistake" if wrong == 1 else f"{wrong:,} mistakes"
    most = f"The {shown} most confident of " if shown < wrong else ""
    return f"{most}{count} in {_photos(photos)}"


def _tile(
    axes: Axes, answered: Answered, index: int, name: str, root: Path, look_at: LookAt | None
) -> None:
    true, label = one_line(name), answered.classes[answered.predicted_n[index]]
    answer = f"\N{RIGHTWARDS ARROW} {one_line(label)}, {answered.confidence_n[index]:.0%}"
    # Long names get small letters rather than a neighbour's room.
    font = min(13.0, 2.2 * 72 / (0.62 * max(len(true), len(answer))))
    axes.set_title(f"{true}\n{answer}", fontsize=font)
    file = root / answered.paths[index]
    try:
        pictures = [decode(file, min_side=TILE_PX)]
        if look_at:
            pictures.append(look_at(file, label))
    except ImageError:
        axes.imshow(Image.new("RGB", (TILE_PX, TILE_PX), UNREADABLE))
        axes.text(0.5, 0.5, "cannot be read", ha="center", va="center", transform=axes.transAxes)
    else:
        axes.imshow(_side_by_side(pictures))


def _side_by_side(pictures: list[Image.Image]) -> Image.Image:
    row = Image.new("RGB", (TILE_PX * len(pictures), TILE_PX))
    for number, picture in enumerate(pictures):
        row.paste(ImageOps.pad(picture, (TILE_PX, TILE_PX), color=MOUNT), (number * TILE_PX, 0))
    return row


def _photos(count: int) -> str:
    return f"{count:,} photo" if count == 1 else f"{count:,} photos"
