"""Pictures of several domains beside each other; how each looks alone is `figures`' part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from binsight.drawing import BLUE, GREEN, GREY, ORANGE, RED, calm, new_figure, one_line

from .domains import Domain, DomainMetrics
from .metrics import Metrics
from .novelty import Acceptance

__all__ = ["recall_by_domain", "side_by_side", "strangeness"]

LARGEST_INCHES = 40.0
HISTOGRAM_BINS = 30


def side_by_side(measured: Sequence[DomainMetrics]) -> Figure:
    """Draw a row of marks for each domain, on one scale from 0 to 100 %."""
    figure = new_figure(8.0, min(1.7 + 0.75 * len(measured), LARGEST_INCHES))
    axes = figure.subplots()
    for row, one in enumerate(measured):
        if one.known:
            _known_marks(axes, row, one.known, one.sure)
        if one.strange and one.strange.accepted is not None:
            axes.plot(
                one.strange.accepted.value,
                row,
                "X",
                color=RED,
                markersize=9,
                label="none, but sure",
            )
    axes.set_yticks(range(len(measured)), [one_line(one.name) for one in measured])
    axes.set_ylim(len(measured) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, 0))
    calm(axes, grid="x")
    axes.set_title("Domains side by side")
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    if once:
        figure.legend(
            once.values(), once.keys(), loc="outside lower center", ncols=3, frameon=False
        )
    return figure


def _known_marks(axes: Axes, row: int, known: Metrics, sure: Acceptance | None) -> None:
    accuracy = known.accuracy
    ends = [[accuracy.value - accuracy.low], [accuracy.high - accuracy.value]]
    axes.errorbar(
        accuracy.value,
        row,
        xerr=np.maximum(ends, 0.0),
        fmt="o",
        color=BLUE,
        markersize=9,
        capsize=4,
        label="accuracy, 95 % interval",
    )
    axes.plot(known.mean_confidence, row, "D", color=ORANGE, label="mean confidence")
    if sure:
        axes.plot(sure.coverage.value, row, "s", color=GREY, label="answered (sure)")
        if sure.accuracy:
            axes.plot(sure.accuracy.value, row, "^", color=GREEN, label="right when sure")


def recall_by_domain(measured: Sequence[DomainMetrics]) -> Figure:
    """Draw the recall of each class (rows) in each domain (columns); empty without a photo."""
    shown = [(one.name, one.known) for one in measured if one.known]
    assert shown
    classes = [row.name for row in shown[0][1].per_class]
    recall_cd = np.array(
        [[row.recall if row.support else np.nan for row in known.per_class] for _, known in shown]
    ).T
    width = min(3.2 + 1.3 * len(shown), LARGEST_INCHES)
    figure = new_figure(width, min(1.9 + 0.5 * len(classes), LARGEST_INCHES))
    axes = figure.subplots()
    axes.imshow(recall_cd, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    for row, column in np.argwhere(np.isfinite(recall_cd)):
        value = recall_cd[row, column]
        colour = "white" if value > 0.55 else "black"
        axes.text(column, row, f"{value:.0%}", ha="center", va="center", color=colour)
    axes.set_xticks(
        range(len(shown)), [one_line(name) for name, _ in shown], rotation=25, ha="right"
    )
    axes.set_yticks(range(len(classes)), [one_line(name) for name in classes])
    axes.spines[:].set_visible(False)
    axes.set_title("Recall of each class")
    return figure


def strangeness(domains: Sequence[Domain]) -> Figure | None:
    """Draw how strange known photos and those of no class are; ``None`` without the latter."""
    shown = [one for one in domains if one.strange is not None]
    if not shown:
        return None
    all_known = [one.known.strangeness_n for one in domains]
    figure = new_figure(7.0, min(0.9 + 2.3 * len(shown), LARGEST_INCHES))
    panels = figure.subplots(len(shown), 1, squeeze=False).ravel()
    for axes, one in zip(panels, shown, strict=True):
        assert one.strange is not None
        own = bool(len(one.known))
        known_n = one.known.strangeness_n if own else np.concatenate(all_known)
        strange_n = one.strange.strangeness_n
        edges = np.histogram_bin_edges(np.concatenate([known_n, strange_n]), HISTOGRAM_BINS)
        names = ("known" if own else "known, all domains", "none of the classes")
        series = zip((known_n, strange_n), (BLUE, RED), names, strict=True)
        for value_n, colour, name in series:
            if len(value_n):
                weights = np.full(len(value_n), 1.0 / len(value_n))
                axes.hist(value_n, edges, weights=weights, color=colour, alpha=0.55, label=name)
        axes.set_ylabel("share of photos")
        axes.set_title(one_line(one.name))
        axes.legend(frameon=False)
        calm(axes, grid="y")
    score = "1 - confidence" if shown[0].strange.novelty_n is None else "novelty"  # type: ignore[union-attr]
    panels[-1].set_xlabel(f"{score}: right is stranger")
    return figure
