from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from binsight.drawing import DPI, save
from binsight.evaluation import figures
from binsight.evaluation.metrics import evaluate
from binsight.evaluation.scored import Scored, Strange


def wrong_and_right(classes=("glass", "metal", "paper")):
    """Five photos: two right, three mistakes of confidence 0.5, 0.9 and 0.7."""
    probs = [[0.8, 0.1, 0.1], [0.3, 0.5, 0.2], [0.05, 0.05, 0.9], [0.2, 0.7, 0.1], [0, 0, 1]]
    labels = np.array([0, 0, 1, 0, 2])
    return Scored(tuple("abcde"), labels, np.array(probs, np.float32), classes)


def words(figure: Figure) -> list[str]:
    found = figure.findobj(Text)
    return [text.get_text() for text in found if text.get_visible() and text.get_text()]


def assert_nothing_is_clipped(figure: Figure) -> None:
    figure.draw_without_rendering()
    drawn = figure.get_tightbbox()  # what is drawn, in inches
    width, height = figure.get_size_inches()
    assert min(drawn.x0, drawn.y0) >= 0
    assert drawn.x1 <= width
    assert drawn.y1 <= height


@pytest.fixture
def photos(tmp_path):
    for number, name in enumerate("abcde"):
        size = (60 + 40 * number, 90)
        Image.new("RGB", size, (30, 30, 30)).save(tmp_path / name, format="JPEG")
    return tmp_path


def all_figures(scored: Scored, root) -> dict[str, Figure]:
    metrics = evaluate(scored, resamples=10)
    return {
        "confusion": figures.confusion_matrix(metrics),
        "per_class": figures.per_class(metrics),
        "reliability": figures.reliability_diagram(scored),
        "mistakes": figures.mistakes(scored, root),
    }


@pytest.mark.parametrize(
    "classes",
    [
        ("glass", "metal", "paper"),
        ("price $5^^ to $6", "100% _{x}^", "<b>bold</b>"),
        ("a very long class name " * 10, "line\nbreak", "b"),
    ],
)
def test_every_figure_fits_its_text_and_is_saved_whole(classes, photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name, figure in all_figures(wrong_and_right(classes), photos).items():
        assert_nothing_is_clipped(figure)
        save(figure, out / f"{name}.png")
        with Image.open(out / f"{name}.png") as image:
            wanted = [round(inches * DPI) for inches in figure.get_size_inches()]
            assert image.size == pytest.approx(wanted, abs=1)
    assert len(list(out.iterdir())) == 4


def test_confusion_matrix_shows_counts_and_shares():
    figure = figures.confusion_matrix(evaluate(wrong_and_right(), resamples=2))
    shown = words(figure)
    assert "Confusion matrix, 5 photos" in shown
    assert shown.count("glass") == 2  # one axis each
    cells = {
        (round(text.get_position()[1]), round(text.get_position()[0])): text.get_text()
        for text in figure.axes[0].texts
        if "%" not in text.get_text()
    }
    assert min(text.get_fontsize() for text in figure.axes[0].texts) >= 8
    assert cells == {(0, 0): "1", (0, 1): "2", (1, 2): "1", (2, 2): "1"}
    shares = sorted(text.get_text() for text in figure.axes[0].texts if "%" in text.get_text())
    assert shares == ["100%", "100%", "33%", "67%"]


def test_class_bars_are_as_long_as_the_scores():
    metrics = evaluate(wrong_and_right(), resamples=2)
    figure = figures.per_class(metrics)
    precision, recall, f1 = (
        [bar.get_width() for bar in container] for container in figure.axes[0].containers
    )
    assert precision == pytest.approx([1.0, 0.0, 0.5])
    assert recall == pytest.approx([1 / 3, 0.0, 1.0])
    assert f1 == pytest.approx([0.5, 0.0, 2 / 3])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["glass\n3 photos", "metal\n1 photo", "paper\n1 photo"]


def test_a_class_without_a_photo_has_no_bars():
    scored = wrong_and_right()
    absent = replace(scored, labels_n=np.where(scored.labels_n == 1, 0, scored.labels_n))
    figure = figures.per_class(evaluate(absent, resamples=10))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["glass\n4 photos", "paper\n1 photo"]


def test_reliability_bars_hold_the_photos():
    figure = figures.reliability_diagram(wrong_and_right())
    upper, lower = figure.axes
    assert sum(bar.get_height() for bar in lower.patches) == 5
    assert upper.patches[-1].get_height() == 1.0  # the photo of confidence 1 is right
    assert upper.patches[-2].get_height() == 0.0  # the one of confidence 0.9 is wrong


def test_mistakes_come_most_confident_first():
    scored = wrong_and_right()
    assert figures.most_confident_mistakes(scored).tolist() == [2, 3, 1]
    assert figures.most_confident_mistakes(scored, limit=1).tolist() == [2]


def test_mistakes_show_truth_answer_and_confidence(photos):
    figure = figures.mistakes(wrong_and_right(), photos)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["metal\n→ paper, 90%", "glass\n→ metal, 70%", "glass\n→ metal, 50%"]
    assert "3 mistakes in 5 photos" in words(figure)
    limited = figures.mistakes(wrong_and_right(), photos, limit=2)
    assert "The 2 most confident of 3 mistakes in 5 photos" in words(limited)


def test_photo_that_is_gone_or_broken_shows_as_a_grey_tile(photos):
    (photos / "c").unlink()
    (photos / "d").write_bytes(b"not a photo")
    figure = figures.mistakes(wrong_and_right(), photos)
    gone, broken, whole = (np.asarray(axes.images[0].get_array()) for axes in figure.axes[:3])
    for tile in (gone, broken):
        assert len(np.unique(tile.reshape(-1, tile.shape[-1]), axis=0)) == 1
    assert whole.min() < 60  # the photo is dark, both greys are light
    assert words(figure).count("cannot be read") == 2


def test_faultless_model_has_an_empty_gallery(tmp_path):
    scored = wrong_and_right()
    faultless = scored.subset(scored.correct_n)
    figure = figures.mistakes(faultless, tmp_path)
    assert words(figure) == ["No mistakes in 2 photos"]
    save(figure, tmp_path / "mistakes.png")
    assert (tmp_path / "mistakes.png").stat().st_size > 0


def strange_photos(sure: list[bool] | None) -> Strange:
    """Four photos of none of the classes: confidence 0.6, 0.9, 0.7 and 0.8."""
    probs = [[0.6, 0.4], [0.1, 0.9], [0.7, 0.3], [0.2, 0.8]]
    paths = ("cats/a", "cats/b", "deep/dogs/c", "d")
    sure_n = None if sure is None else np.array(sure)
    return Strange(paths, np.array(probs, np.float32), ("glass", "metal"), sure_n)


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_accepted_photos_come_surest_first(tmp_path):
    figure = figures.accepted(strange_photos([True, True, True, False]), tmp_path)
    assert titles(figure) == ["cats\n→ metal, 90%", "dogs\n→ glass, 70%", "cats\n→ glass, 60%"]
    assert "3 accepted of 4 photos of none of the classes" in words(figure)
    few = figures.accepted(strange_photos([True, True, True, False]), tmp_path, limit=1)
    title = "The 1 most confident of 3 accepted of 4 photos of none of the classes"
    assert title in words(few)
    assert_nothing_is_clipped(few)


def test_of_a_model_that_cannot_say_the_most_confident_answers_are_shown(tmp_path):
    figure = figures.accepted(strange_photos(None), tmp_path, limit=2)
    assert titles(figure) == ["cats\n→ metal, 90%", "\n→ metal, 80%"]
    said = "The 2 most confident answers to 4 photos of none of the classes"
    assert said in words(figure)


def test_where_nothing_was_accepted_the_figure_says_so(tmp_path):
    figure = figures.accepted(strange_photos([False] * 4), tmp_path)
    assert words(figure) == ["None accepted of 4 photos of none of the classes"]
    save(figure, tmp_path / "accepted.png")


def test_figures_do_without_pyplot():
    code = (
        "import sys; from binsight.evaluation import figures\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
