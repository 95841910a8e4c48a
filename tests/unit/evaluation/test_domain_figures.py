"""Figures of domains and of corruptions: what they show, and that nothing is cut off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from binsight.evaluation import corruption_figures, domain_figures
from binsight.evaluation.domains import Domain, measure_domains
from binsight.evaluation.robustness import Corrupted, measure_robustness
from binsight.evaluation.scored import Scored, Strange

CLASSES = ("glass", "$metal$ " * 9)


def domain(name: str, right: int, wrong: int, strange: int) -> Domain:
    """Photos of the first class, all of them sure."""
    probs = [[0.9, 0.1]] * right + [[0.2, 0.8]] * wrong
    paths = tuple(f"{n}.jpg" for n in range(right + wrong))
    known = Scored(
        paths,
        np.zeros(len(paths), np.int64),
        np.array(probs, np.float32).reshape(-1, 2),
        CLASSES,
        np.ones(len(paths), np.bool_),
    )
    if not strange:
        return Domain(name, Path(), known)
    names = tuple(f"s{n}.jpg" for n in range(strange))
    probs_nc = np.array([[0.6, 0.4]] * strange, np.float32)
    sure_n = np.arange(strange) < 1
    return Domain(name, Path(), known, Strange(names, probs_nc, CLASSES, sure_n))


DOMAINS = (domain("home", 3, 1, 0), domain("a kitchen\n" * 9, 1, 1, 4), domain("none", 0, 0, 2))
MEASURED = measure_domains(DOMAINS, threshold=0.5, resamples=20)


def robustness(severities: tuple[int, ...], *, sure: bool):
    random = np.random.default_rng(0)
    shape = (8, 2, len(severities))
    return measure_robustness(
        Corrupted(
            tuple(Path(str(n)) for n in range(8)),
            8,
            ("fog", "rain"),
            severities,
            np.ones(8, np.bool_),
            random.random(shape) < 0.5,
            np.ones(8, np.bool_) if sure else None,
            random.random(shape) < 0.5 if sure else None,
        ),
        resamples=20,
    )


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


FIGURES = {
    "side by side": lambda: domain_figures.side_by_side(MEASURED),
    "recall": lambda: domain_figures.recall_by_domain(MEASURED),
    "strangeness": lambda: domain_figures.strangeness(DOMAINS),
    "map": lambda: corruption_figures.robustness_map(robustness((1, 2, 3, 4, 5), sure=True)),
    "one severity": lambda: corruption_figures.robustness_map(robustness((4,), sure=False)),
    "shown": lambda: corruption_figures.corrupted_photo(
        Image.new("RGB", (30, 90), "green"), seed=0
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off(name: str) -> None:
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert min(drawn.x0, drawn.y0) >= 0
    assert drawn.x1 <= width
    assert drawn.y1 <= height


def test_marks_stand_at_their_values() -> None:
    (axes,) = domain_figures.side_by_side(MEASURED).axes
    marks = {
        (line.get_label(), float(line.get_ydata()[0])): float(line.get_xdata()[0])
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    }
    assert marks["mean confidence", 0.0] == pytest.approx((3 * 0.9 + 0.8) / 4)
    assert marks["answered (sure)", 0.0] == 1.0
    assert marks["right when sure", 0.0] == 0.75
    assert marks["none, but sure", 1.0] == 0.25
    assert marks["none, but sure", 2.0] == 0.5
    assert ("mean confidence", 2.0) not in marks
    (accuracy, _) = (container.lines[0].get_xdata()[0] for container in axes.containers)
    assert accuracy == 0.75


def test_recall_is_shown_for_classes_with_photos_in_domains_with_known_ones() -> None:
    (axes,) = domain_figures.recall_by_domain(MEASURED).axes
    assert {text.get_text() for text in axes.texts} == {"75%", "50%"}


def test_each_series_of_strangeness_adds_up_to_one() -> None:
    figure = domain_figures.strangeness(DOMAINS)
    assert figure is not None
    for axes in figure.axes:
        assert sum(patch.get_height() for patch in axes.patches) == pytest.approx(2.0)
    assert "known, all domains" in words(figure)
    assert domain_figures.strangeness(DOMAINS[:1]) is None


def test_the_map_shows_clean_each_severity_and_the_mean() -> None:
    measured = robustness((1, 5), sure=True)
    figure = corruption_figures.robustness_map(measured)
    left, right, _ = figure.axes
    found = [text.get_text() for text in left.texts]
    row = measured.accuracy["fog"]
    wanted = [1.0, row[1], row[5], (row[1] + row[5]) / 2]
    assert found[:4] == [f"{100 * value:.0f}" for value in wanted]
    assert [text.get_text() for text in left.get_xticklabels()] == ["clean", "1", "5", "mean"]
    assert right.get_title() == "sure answers"


def test_the_photo_is_shown_clean_and_in_up_to_three_strengths() -> None:
    photo = Image.new("RGB", (40, 30), (180, 40, 40))
    figure = corruption_figures.corrupted_photo(photo, seed=0, severities=(2, 4))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert (titles.count("2"), titles.count("4")) == (12, 12)
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == 12 * 3
