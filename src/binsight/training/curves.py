"""The learning curves of a run as a picture. It knows rows of numbers, not where they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from binsight.drawing import BLUE, GREY, ORANGE, RED, calm, new_figure, save
from binsight.errors import TrainingError

__all__ = ["draw_curves", "learning_curves", "rank"]

Rows = Sequence[Mapping[str, Any]]
FULL = 1.005  # the most that an axis of accuracy shows: all right, and half of its point


def draw_curves(path: Path, rows: Rows) -> None:
    """Write `learning_curves` as PNG.

    Raises:
        TrainingError: no epochs.
    """
    save(learning_curves(rows), path)


def learning_curves(rows: Rows) -> Figure:
    """Draw loss, accuracy and learning rate over the epochs of a run.

    The best epoch is marked: of the highest ``val_accuracy``, and among equals of the lowest
    ``val_loss``.

    Args:
        rows: one mapping an epoch with ``epoch``, ``train_loss``, ``val_loss``, ``val_accuracy``
            and ``learning_rate``, as numbers or as text read from ``metrics.csv``. A value that
            is missing, empty or not finite is left out.

    Raises:
        TrainingError: no epochs.
    """
    if not rows:
        raise TrainingError("no epochs to draw; train for at least one")
    figure = new_figure(9.0, 5.4)
    panels = figure.subplot_mosaic([["loss", "accuracy"], ["rate", "rate"]], height_ratios=[3, 1])
    loss, accuracy, rate = (panels[name] for name in ("loss", "accuracy", "rate"))
    _curve(loss, rows, "train_loss", BLUE, "training")
    _curve(loss, rows, "val_loss", ORANGE, "validation")
    _curve(accuracy, rows, "val_accuracy", ORANGE, "validation")
    _curve(rate, rows, "learning_rate", GREY, "learning rate")
    best = _best_epoch(rows)
    for axes, label in ((loss, "loss"), (accuracy, "accuracy"), (rate, "learning rate")):
        _dress(axes, label, best)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
    accuracy.set_ylim(top=min(accuracy.get_ylim()[1], FULL))
    rate.set_xlabel("epoch")
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    handles, labels = loss.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return figure


def _curve(axes: Axes, rows: Rows, key: str, colour: str, label: str) -> None:
    points = _points(rows, key)
    if points:
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, "o-", ms=3, color=colour, label=label)


def _points(rows: Rows, key: str) -> list[tuple[int, float]]:
    raw = [(row.get("epoch", ""), row.get(key, "")) for row in rows]
    filled = [pair for pair in raw if None not in pair and "" not in pair]
    pairs = [(float(epoch), float(value)) for epoch, value in filled]
    return [(int(epoch), value) for epoch, value in pairs if math.isfinite(epoch + value)]


def _best_epoch(rows: Rows) -> int | None:
    loss_of = dict(_points(rows, "val_loss"))
    points = _points(rows, "val_accuracy")
    best = max(points, key=lambda it: rank(it[1], loss_of.get(it[0], math.inf)), default=None)
    return best[0] if best else None


def rank(accuracy: float, loss: float) -> tuple[float, float]:
    """What the best epoch has most of: validation accuracy, then the lowest validation loss."""
    return accuracy, -loss


def _dress(axes: Axes, label: str, best: int | None) -> None:
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    calm(axes, grid="y")
    if best is not None:
        axes.axvline(best, color=RED, linestyle=":", label=f"best epoch ({best})")
