from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from binsight import calibration
from binsight.calibration import (
    HAIR,
    choose_threshold,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from binsight.errors import TrainingError, UsageError


def logits_at(temperature, photos=20_000):
    """Labels drawn from softmax(honest); the logits are `temperature` times too large."""
    generator = np.random.default_rng(7)
    honest = generator.normal(scale=2.0, size=(photos, 5))
    uniform = generator.random((photos, 1))
    labels = (softmax(honest, axis=1).cumsum(axis=1) < uniform).sum(axis=1).clip(max=4)
    return temperature * honest, labels


def test_softmax_is_that_of_scipy_and_bears_large_logits():
    logits = np.array([[1000.0, 999.0, -1000.0], [0.5, 0.25, 2.0]], np.float32)
    for temperature in (1.0, 2.5):
        found = calibration.softmax(logits, temperature)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, softmax(logits / temperature, axis=1), rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5, 6.0])
def test_known_temperature_is_found(temperature):
    logits, labels = logits_at(temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.04)


def test_log_probabilities_and_float32_give_the_same_answer():
    logits, labels = logits_at(2.0, photos=2000)
    found = fit_temperature(logits, labels)
    assert fit_temperature(log_softmax(logits, axis=1), labels) == pytest.approx(found, rel=1e-5)
    assert fit_temperature(logits.astype(np.float32), labels) == pytest.approx(found, rel=1e-4)


@pytest.mark.parametrize("photos", [20, 500])
def test_found_temperature_has_the_least_loss(photos):
    logits, labels = logits_at(1.7, photos=photos)
    targets = np.full(logits.shape, 1 / (photos + 2) / 4)
    targets[np.arange(photos), labels] = (photos + 1) / (photos + 2)

    def loss(temperature):
        return -(targets * log_softmax(logits / temperature, axis=1)).sum(axis=1).mean()

    found = fit_temperature(logits, labels)
    assert loss(found) < min(loss(found * factor) for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2))


@pytest.mark.parametrize("photos", [8, 40, 4000])
def test_few_photos_without_a_mistake_leave_a_doubt(photos):
    """As much as the rule of succession: one in N + 2."""
    labels = np.arange(photos) % 4
    logits = np.eye(4)[labels] * 30
    probs = softmax(logits / fit_temperature(logits, labels), axis=1)
    assert 1 - probs.max() == pytest.approx(1 / (photos + 2), rel=0.01)


def test_ends_of_the_range_are_for_the_faultless_and_the_hopeless():
    labels = np.arange(4000) % 4
    logits = np.eye(4)[labels]
    assert fit_temperature(logits / 10, labels) == pytest.approx(0.1, rel=1e-3)
    assert fit_temperature(logits, (labels + 1) % 4) == pytest.approx(10.0, rel=1e-3)


def test_a_single_class_has_a_temperature():
    assert 0.1 <= fit_temperature(np.ones((3, 1)), np.zeros(3, int)) <= 10


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "at least one photo"),
        (np.zeros((2, 3)), np.zeros(3, int), "give"),
        (np.zeros(3), np.zeros(3, int), "give"),
        (np.array([[0.0, -np.inf]]), np.zeros(1, int), "not finite"),
        (np.zeros((1, 2)), np.array([2]), "outside"),
    ],
)
def test_logits_that_cannot_be_fitted_are_refused(logits, labels, message):
    with pytest.raises(TrainingError, match=message):
        fit_temperature(logits, labels)


answered = st.lists(
    st.tuples(st.integers(0, 20).map(lambda step: step / 20), st.booleans()),
    min_size=1,
    max_size=60,
)


@settings(deadline=None)
@given(answered, st.sampled_from([0.0, 0.02, 0.1, 0.25, 0.5, 1.0]), st.sampled_from([0.0, 0.5]))
def test_threshold_is_the_most_generous_that_respects_the_risk(pairs, risk, least):
    confidence = np.array([pair[0] for pair in pairs], dtype=np.float32)
    correct = np.array([pair[1] for pair in pairs])
    chosen = choose_threshold(confidence, correct, risk=risk, least=least)

    def respected(threshold):
        accepted = correct[confidence >= threshold]
        return accepted.size > 0 and (~accepted).sum() / accepted.size <= risk

    assert least <= chosen <= 1.0
    assert respected(chosen) or chosen == 1.0
    assert not any(respected(other) for other in np.unique(confidence) if least <= other < chosen)
    if least < chosen < 1:
        assert np.abs(confidence - chosen).min() > 0.9 * HAIR, "no photo is on the border"


def test_threshold_worked_by_hand():
    confidence = np.array([0.6, 0.9, 0.7, 0.8, 0.5])
    correct = np.array([True, True, False, True, False])
    assert choose_threshold(confidence, correct, risk=0.0) == pytest.approx(0.8 - HAIR)
    assert choose_threshold(confidence, correct, risk=0.25) == pytest.approx(0.6 - HAIR)
    assert choose_threshold(confidence, correct, risk=0.4) == 0.5
    assert choose_threshold(confidence, correct, risk=0.4, least=0.0) == 0.0


def test_an_answer_that_the_others_outweigh_is_never_sure():
    confidence = np.array([0.3, 0.45, 0.6])
    assert choose_threshold(confidence, np.array([True, True, True]), risk=0.02) == 0.5
    assert choose_threshold(confidence[:2], np.array([True, True]), risk=0.02) == 1.0


def test_equal_confidences_are_accepted_together():
    confidence = np.array([0.9, 0.7, 0.7])
    chosen = choose_threshold(confidence, np.array([True, True, False]), risk=0.0)
    assert chosen == pytest.approx(0.9 - HAIR)
    near = np.array([0.9, 0.9 - HAIR / 2])
    assert choose_threshold(near, np.array([True, False]), risk=0.0) == near.mean()


def test_impossible_risk_gives_one():
    assert choose_threshold(np.array([0.9, 0.8]), np.array([False, True]), risk=0.1) == 1.0


def test_threshold_refuses_what_makes_no_sense():
    with pytest.raises(UsageError, match="risk"):
        choose_threshold(np.array([0.5]), np.array([True]), risk=2)
    with pytest.raises(TrainingError, match="at least one photo"):
        choose_threshold(np.zeros(0), np.zeros(0, bool))
    for confidence in (np.nan, -0.1, 1.1):
        with pytest.raises(TrainingError, match="outside 0 to 1"):
            choose_threshold(np.array([confidence]), np.array([True]))
    with pytest.raises(TrainingError, match="booleans"):
        choose_threshold(np.array([0.5]), np.array([1]))


def test_calibration_error_worked_by_hand():
    # 15 bins: 0.95 and 0.98 share the last (mean 0.965, half right), 0.62 is alone and right.
    confidence = np.array([0.95, 0.98, 0.62])
    correct = np.array([True, False, True])
    wanted = (2 * abs(0.5 - 0.965) + 1 * abs(1.0 - 0.62)) / 3
    assert expected_calibration_error(confidence, correct) == pytest.approx(wanted)


def test_bins_are_open_below_and_closed_above():
    table = reliability(np.array([0.0, 0.5, 0.51, 1.0]), np.array([True] * 4), bins=2)
    assert table.counts_b.tolist() == [2, 2]
    assert table.confidence_b == pytest.approx([0.25, 0.755])


@settings(deadline=None)
@given(answered)
def test_model_that_is_always_right_errs_by_its_doubt(pairs):
    confidence = np.array([pair[0] for pair in pairs])
    correct = np.ones(len(pairs), dtype=bool)
    error = expected_calibration_error(confidence, correct)
    assert error == pytest.approx(1.0 - confidence.mean(), abs=1e-9)
    assert reliability(confidence, correct).counts_b.sum() == len(pairs)


def test_importing_calibration_loads_nothing_heavy():
    code = (
        "import sys, binsight.calibration, binsight.evaluation.scored\n"
        "print([m for m in ('scipy', 'sklearn', 'matplotlib', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
