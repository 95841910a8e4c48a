from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.covariance import EmpiricalCovariance, shrunk_covariance
from sklearn.metrics import roc_auc_score

from binsight.errors import TrainingError, UsageError
from binsight.novelty import HAIR, SHRINKAGE, Known, choose_limit, fit_known

WIDTH = 24
CLASSES = 4


def clouds(count: int, *, seed: int, width: int = WIDTH, classes: int = CLASSES):
    """Photos around one centre for each class, with a spread that is wide in a few directions."""
    world = np.random.default_rng(5)
    centres = world.normal(size=(classes, width)) * 3
    mixing = world.normal(size=(width, width)) * np.geomspace(2, 0.05, width)
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), count)
    rows = centres[labels] + random.normal(size=(len(labels), width)) @ mixing.T
    return rows.astype(np.float32), labels


def strangers(count: int, *, seed: int = 9, width: int = WIDTH) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(count, width)) * 3).astype(np.float32)


@pytest.fixture(scope="module")
def known() -> Known:
    return fit_known(*clouds(60, seed=0))


def reference(fitted: np.ndarray, labels: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Relative Mahalanobis distance by scikit-learn's covariances and scipy's distances."""
    unit, asked = (rows / np.linalg.norm(rows, axis=1)[:, None] for rows in (fitted, shown))
    means = np.stack([unit[labels == one].mean(axis=0) for one in np.unique(labels)])
    within = EmpiricalCovariance(assume_centered=True).fit(unit - means[labels]).covariance_
    total = EmpiricalCovariance().fit(unit).covariance_
    near, far = (
        cdist(asked, centres, "mahalanobis", VI=np.linalg.inv(shrunk_covariance(cov, SHRINKAGE)))
        for centres, cov in ((means, within), (unit.mean(axis=0)[None], total))
    )
    return (near**2).min(axis=1) - far[:, 0] ** 2


def test_it_is_the_relative_mahalanobis_distance(known: Known) -> None:
    fitted, labels = clouds(60, seed=0)
    shown = np.concatenate([clouds(20, seed=1)[0], strangers(80)])
    raw = reference(fitted, labels, fitted)
    expected = (reference(fitted, labels, shown) - raw.mean()) / raw.std()
    # The graph's directions are of half precision.
    np.testing.assert_allclose(known.score(shown), expected, atol=0.01)


def test_classes_of_unlike_size_weigh_as_many_photos_as_they_have() -> None:
    fitted, labels = clouds(60, seed=0)
    some = np.concatenate([np.flatnonzero(labels == 0), np.flatnonzero(labels > 0)[::9]])
    shown = np.concatenate([clouds(20, seed=1)[0], strangers(40)])
    raw = reference(fitted[some], labels[some], fitted[some])
    expected = (reference(fitted[some], labels[some], shown) - raw.mean()) / raw.std()
    np.testing.assert_allclose(
        fit_known(fitted[some], labels[some]).score(shown), expected, atol=0.02
    )


def test_a_share_that_comes_out_a_hair_above_a_whole_number_is_that_number() -> None:
    assert 0.07 * 100 > 7
    assert choose_limit(np.arange(100.0), accepted=0.07) == 6 + HAIR
    assert choose_limit(np.array([1, 1 + HAIR]), accepted=0.5) == 1 + HAIR / 2


def test_few_directions_say_nearly_the_same() -> None:
    fitted, labels = clouds(80, seed=0, width=64)
    shown = np.concatenate([clouds(50, seed=1, width=64)[0], strangers(100, width=64)])
    whole = fit_known(fitted, labels).score(shown)
    assert np.corrcoef(fit_known(fitted, labels, rank=32).score(shown), whole)[0, 1] > 0.999
    assert np.corrcoef(fit_known(fitted, labels, rank=2).score(shown), whole)[0, 1] < 0.999


def test_strange_things_score_higher(known: Known) -> None:
    usual = known.score(clouds(100, seed=1)[0])
    assert usual.mean() == pytest.approx(0, abs=0.3)
    assert usual.std() == pytest.approx(1, abs=0.3)
    odd = known.score(strangers(200))
    assert roc_auc_score([0] * len(usual) + [1] * len(odd), [*usual, *odd]) > 0.97


def test_only_the_direction_of_an_embedding_counts(known: Known) -> None:
    shown, _ = clouds(5, seed=1)
    np.testing.assert_allclose(known.score(shown * 7), known.score(shown), atol=1e-3)
    assert np.isfinite(known.score(np.zeros((2, WIDTH), np.float32))).all()


def test_a_class_without_photos_has_no_centre() -> None:
    rows, labels = clouds(30, seed=0)
    some = fit_known(rows[labels != 2], labels[labels != 2])
    assert some.labels.tolist() == [0, 1, 3]
    assert some.score(rows[labels == 2]).mean() > some.score(rows[labels == 1]).mean() + 2


def test_what_was_taught_is_known_and_the_rest_stays_strange(known: Known) -> None:
    new = (strangers(1, seed=3) + strangers(60, seed=4) * 0.2).astype(np.float32)
    others = strangers(100)
    before = known.score(new)
    taught = known.taught_with(new[:30], np.full(30, 7))
    assert taught.labels.tolist() == [0, 1, 2, 3, 7]
    assert taught.taught.tolist() == [False] * 4 + [True]
    assert taught.counts.tolist() == [60] * 4 + [30]
    usual = np.quantile(taught.score(clouds(100, seed=1)[0]), 0.95)
    assert np.median(before) > usual
    assert np.mean(taught.score(new[30:]) <= usual) > 0.9
    assert np.mean(taught.score(others) > usual) > 0.6


def test_a_class_has_one_centre_of_all_that_it_was_taught(known: Known) -> None:
    rows = strangers(8)
    one = known.taught_with(rows[:4], np.full(4, 1))
    two = one.taught_with(rows[4:], np.full(4, 1))
    at_once = known.taught_with(rows, np.full(8, 1))
    assert one.labels.tolist() == two.labels.tolist() == [0, 1, 2, 3, 1]
    np.testing.assert_allclose(two.centres, at_once.centres, atol=1e-6)
    assert two.counts.tolist() == at_once.counts.tolist() == [60] * 4 + [8]


def test_other_class_numbers_change_no_score(known: Known) -> None:
    shown, _ = clouds(5, seed=1)
    other = known.relabelled(np.array([0, 0, 2, 1]))
    assert other.labels.tolist() == [0, 0, 2, 1]
    np.testing.assert_array_equal(other.score(shown), known.score(shown))


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_few_or_equal_photos_still_give_numbers(rows: int) -> None:
    photos = np.repeat(strangers(1), rows, axis=0)
    few = fit_known(photos, np.arange(rows) % 2)
    assert np.isfinite(few.score(strangers(10))).all()
    assert np.isfinite(few.taught_with(photos, np.zeros(rows)).score(photos)).all()


NUMBERS = st.lists(st.integers(-9, 9).map(float), min_size=1, max_size=50)


@settings(deadline=None)
@given(NUMBERS, st.sampled_from([0.01, 0.5, 0.9, 0.95, 0.99, 1.0]))
def test_the_limit_accepts_enough_and_no_value_is_on_it(novelty, accepted):
    values = np.array(novelty)
    limit = choose_limit(values, accepted=accepted)
    assert np.mean(values <= limit) >= accepted - 1e-9
    assert np.mean(values < values[values <= limit].max()) < accepted
    assert 0.9 * HAIR < np.abs(values - limit).min() < 1.1 * HAIR


def test_impossible_limits_are_refused() -> None:
    for accepted in (0.0, -0.5, 1.01, np.nan):
        with pytest.raises(UsageError, match=r"above 0 and up to 1, such as 0\.9"):
            choose_limit(np.ones(3), accepted=accepted)
    for novelty in (np.ones(0), np.array([1.0, np.nan])):
        with pytest.raises(TrainingError, match="at least one photo, all of them finite"):
            choose_limit(novelty, accepted=0.9)


def test_it_needs_numpy_alone() -> None:
    loaded = "import sys, binsight.novelty; print({'torch', 'onnx', 'scipy'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
