from __future__ import annotations

import math

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from binsight.drawing import DPI
from binsight.errors import TrainingError
from binsight.training.curves import draw_curves, learning_curves


def row(epoch, train_loss, val_loss, val_accuracy, learning_rate):
    return {
        "epoch": epoch,
        "train_loss": train_loss,
        "val_loss": val_loss,
        "val_accuracy": val_accuracy,
        "learning_rate": learning_rate,
    }


ROWS = [
    row(0, 1.5, 1.2, 0.60, 1e-3),
    row(1, 0.9, 0.8, 0.85, 5e-4),
    row(2, 0.5, 0.9, 0.85, 1e-4),
]


def marked(figure: Figure) -> list[str]:
    texts = [text.get_text() for text in figure.findobj(Text)]
    return [text for text in texts if text.startswith("best")]


def points(axes) -> dict[str, list[list[float]]]:
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def test_each_panel_shows_its_columns():
    loss, accuracy, rate = learning_curves(ROWS).axes
    assert points(loss)["training"] == [[0, 1.5], [1, 0.9], [2, 0.5]]
    assert points(loss)["validation"] == [[0, 1.2], [1, 0.8], [2, 0.9]]
    assert points(accuracy)["validation"] == [[0, 0.60], [1, 0.85], [2, 0.85]]
    assert points(rate)["learning rate"] == [[0, 1e-3], [1, 5e-4], [2, 1e-4]]


def test_the_best_epoch_is_marked():
    assert marked(learning_curves(ROWS)) == ["best epoch (1)"]
    assert marked(learning_curves([*ROWS, row(3, 0.4, 0.7, 0.85, 5e-5)])) == ["best epoch (3)"]
    assert marked(learning_curves([*ROWS, row(3, 0.4, 0.7, 0.84, 5e-5)])) == ["best epoch (1)"]


def test_text_is_taken_and_what_is_missing_is_left_out():
    rows = [
        row("0", "1.5", "", "nan", "0.1"),
        {"epoch": "1", "train_loss": "1.0", "val_accuracy": None, "learning_rate": "0.1"},
        row("2", "inf", "0.5", "0.5", "0.1"),
    ]
    figure = learning_curves(rows)
    shown = points(figure.axes[0])
    assert shown["training"] == [[0, 1.5], [1, 1.0]]
    assert shown["validation"] == [[2, 0.5]]
    assert marked(figure) == ["best epoch (2)"]
    assert marked(learning_curves([{"epoch": 0, "train_loss": math.nan}])) == []


def test_nothing_is_clipped():
    figure = learning_curves([row(epoch, 1e-4, 123.4, 0.999, 1e-7) for epoch in range(120)])
    figure.draw_without_rendering()
    drawn = figure.get_tightbbox()  # what is drawn, in inches
    width, height = figure.get_size_inches()
    assert min(drawn.x0, drawn.y0) >= 0
    assert drawn.x1 <= width
    assert drawn.y1 <= height


def test_picture_is_written(tmp_path):
    draw_curves(tmp_path / "curves.png", ROWS)
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (round(9.0 * DPI), round(5.4 * DPI))
    assert len(list(tmp_path.iterdir())) == 1


def test_no_epochs_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="no epochs"):
        draw_curves(tmp_path / "curves.png", [])
    assert list(tmp_path.iterdir()) == []


def test_epochs_are_whole_numbers_also_of_one() -> None:
    row = {"train_loss": 1.2, "val_loss": 1.0, "val_accuracy": 0.5, "learning_rate": 1e-4}
    for count in (1, 2, 20):
        figure = learning_curves([row | {"epoch": epoch} for epoch in range(count)])
        for axes in figure.axes:
            left, right = axes.get_xlim()
            ticks = [tick for tick in axes.get_xticks() if left <= tick <= right]
            assert ticks
            assert all(float(tick).is_integer() for tick in ticks)
