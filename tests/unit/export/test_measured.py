from __future__ import annotations

import numpy as np
import pytest

from binsight.errors import ParityError
from binsight.export import measured
from binsight.export.measured import (
    TOLERANCES,
    Answers,
    check,
    compare,
    fall_of,
    parity_of,
    times_as_fast,
)


def answers(*rows: list[float]) -> Answers:
    return Answers(np.array(rows, np.float32), None, None)


def test_labels_and_probabilities_are_compared() -> None:
    parity = compare(answers([0.9, 0.1], [0.6, 0.4]), answers([0.8, 0.2], [0.4, 0.6]))
    assert (parity.photos, parity.same_label) == (2, 0.5)
    assert parity.max_difference == pytest.approx(0.2)


def test_what_is_no_number_is_no_answer() -> None:
    with pytest.raises(ParityError, match="1 of 2 photos with what is no number"):
        compare(answers([0.9, 0.1], [0.6, 0.4]), answers([0.9, 0.1], [np.nan, 0.4]))


def test_a_novelty_that_is_no_number_is_no_answer() -> None:
    probs = np.array([[0.9, 0.1]], np.float32)
    with pytest.raises(ParityError, match="1 of 1 photos with what is no number"):
        compare(Answers(probs), Answers(probs, None, np.array([np.inf], np.float32)))


@pytest.mark.parametrize(
    ("precision", "off", "agrees"),
    [("fp32", 0.004, True), ("fp32", 0.05, False), ("fp16", 0.05, True), ("fp16", 1.0, False)],
)
def test_what_is_strange_is_compared_too(precision: str, off: float, agrees: bool) -> None:
    probs, novelty = np.array([[0.9, 0.1]] * 3, np.float32), np.array([-1.0, 0.2, 4.0], np.float32)
    parent, found = Answers(probs, None, novelty), Answers(probs, None, novelty + np.float32(off))
    if agrees:
        assert parity_of(parent, found, precision).max_novelty_difference > 0  # type: ignore[arg-type,operator]
        return
    with pytest.raises(ParityError, match=r"the novelty differs by up to .* it was not written"):
        parity_of(parent, found, precision)  # type: ignore[arg-type]


def test_int8_may_change_one_label_of_few_and_some_of_many() -> None:
    right, wrong = [0.9, 0.1], [0.1, 0.9]
    before = answers(*[right] * 6)
    tolerance = TOLERANCES["int8"]
    assert check(compare(before, answers(*[right] * 5, wrong)), tolerance) is None
    assert check(compare(before, answers(*[right] * 4, wrong, wrong)), tolerance)
    many = answers(*[right] * 100)
    assert check(compare(many, answers(*[right] * 95, *[wrong] * 5)), tolerance) is None
    assert check(compare(many, answers(*[right] * 94, *[wrong] * 6)), tolerance)


class Slow:
    """A runner that takes so long, by a clock that it moves itself."""

    now = 0.0

    def __init__(self, *seconds: float) -> None:
        self.seconds = list(seconds)

    def run(self, images_nchw: np.ndarray) -> Answers:
        assert images_nchw.shape == (1, 3, 4, 4)
        self.seconds.append(self.seconds.pop(0))
        Slow.now += self.seconds[-1]
        return Answers(np.ones((1, 1), np.float32), None, None)


def test_how_many_times_as_fast_is_a_ratio_of_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured.time, "perf_counter", lambda: Slow.now)
    parent, found = Slow(0.5), Slow(0.125, 0.25, 0.25, 4.0, 0.25)
    image = np.zeros((3, 4, 4), np.float32)
    assert times_as_fast(parent, found, image) == pytest.approx(2.0)
    assert times_as_fast(found, parent, image) == pytest.approx(0.5)


@pytest.mark.parametrize(("precision", "most"), [("fp16", 5), ("int8", 10)])
def test_so_many_right_answers_may_be_lost(precision, most: int) -> None:
    """Half a point for weights in float16, a point for int8."""

    def answers(wrong: int) -> Answers:
        said = np.arange(1000) < wrong
        return Answers(np.stack([~said, said], axis=1).astype(np.float32), None, None)

    labels = np.zeros(1000, np.int64)
    told = fall_of(answers(20), answers(20 + most), labels, precision)
    assert told["val_photos"] == 1000
    assert told[f"val_accuracy_before_{precision}"] == 0.98
    assert told["val_accuracy"] == 0.98 - most / 1000
    with pytest.raises(ParityError, match=f"{precision} costs too much: of 1000"):
        fall_of(answers(20), answers(21 + most), labels, precision)
