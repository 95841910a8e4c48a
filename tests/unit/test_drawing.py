from __future__ import annotations

import subprocess
import sys

import pytest
from matplotlib.figure import Figure

from binsight import drawing
from binsight.drawing import new_figure, save


def test_figure_that_cannot_be_saved_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    figure = Figure()

    def half_written(target, **options):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", half_written)
    with pytest.raises(OSError, match="disk full"):
        save(figure, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_names_in_any_script_are_written_without_a_word(tmp_path, caplog):
    figure = new_figure(3, 2)
    axes = figure.add_subplot()
    axes.set_title("glass, 玻璃, ガラス, 유리, काँच, \N{WASTEBASKET}")
    save(figure, tmp_path / "figure.png")
    assert caplog.records == []
    assert axes.title.get_fontfamily()[0] == "DejaVu Sans"


def test_a_font_of_another_script_comes_after_our_own(monkeypatch):
    monkeypatch.setattr(
        "binsight.drawing.get_font_names", lambda: ["Yu Gothic", "Comic", "PingFang SC"]
    )
    assert drawing._families.__wrapped__() == ["DejaVu Sans", "PingFang SC", "Yu Gothic"]


def test_drawing_does_without_pyplot():
    code = (
        "import sys; from binsight.drawing import new_figure; new_figure(1, 1)\n"
        "from binsight.training.curves import learning_curves\n"
        "learning_curves([{'epoch': 0, 'learning_rate': 1}])\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
