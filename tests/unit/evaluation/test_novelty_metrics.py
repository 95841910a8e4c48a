from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from binsight.errors import TrainingError, UsageError
from binsight.evaluation.novelty import acceptance, novelty_metrics

# Few distinct values, so that ties are common.
SCORES = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=60)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_both_figures_agree_with_scikit_learn(known, strange):
    metrics = novelty_metrics(np.array(known), np.array(strange), resamples=5)
    is_strange = [0] * len(known) + [1] * len(strange)
    scores = np.array([*known, *strange])
    assert metrics.auroc.value == pytest.approx(sklearn.metrics.roc_auc_score(is_strange, scores))
    fpr, tpr, _ = sklearn.metrics.roc_curve(
        1 - np.array(is_strange), -scores, drop_intermediate=False
    )
    assert metrics.fpr_at_95_tpr.value == pytest.approx(fpr[np.argmax(tpr >= 0.95)])
    assert (metrics.known, metrics.strange) == (len(known), len(strange))


def test_apart_is_perfect_and_alike_is_a_coin():
    known, strange = np.arange(40.0), np.arange(100.0, 140.0)
    apart = novelty_metrics(known, strange, resamples=20)
    assert (apart.auroc.value, apart.auroc.high, apart.fpr_at_95_tpr.value) == (1, 1, 0)
    assert apart.auroc.low == pytest.approx(40 / (40 + 1.959964**2))
    fewer = novelty_metrics(known[:10], strange, resamples=20)
    assert fewer.auroc.low == pytest.approx(10 / (10 + 1.959964**2))
    # None of 40 is not none of all: Wilson's upper end is z * z / (n + z * z).
    assert apart.fpr_at_95_tpr.high == pytest.approx(1.959964**2 / (40 + 1.959964**2))
    assert novelty_metrics(known, known, resamples=2).auroc.value == 0.5
    assert novelty_metrics(strange, known, resamples=2).auroc.value == 0


def test_the_interval_is_as_wide_as_theory_says():
    """Hanley and McNeil 1982, for normal scores: the deviation of the AUROC."""
    random = np.random.default_rng(3)
    known, strange = random.normal(size=400), random.normal(1.0, size=300)
    auroc = novelty_metrics(known, strange, resamples=600).auroc
    area = auroc.value
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + 299 * (q1 - area**2) + 399 * (q2 - area**2)) / (400 * 300)
    assert auroc.high - auroc.low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.25)


def test_those_that_pass_are_binomial_where_the_border_stands_still():
    """All known photos are at 0, so that every resample has the same border."""
    strange = np.repeat([0.0, 1.0], [120, 280])
    passed = novelty_metrics(np.zeros(50), strange, resamples=2000).fpr_at_95_tpr
    assert passed.value == 0.3
    low, high = binom.interval(0.95, 400, 0.3)
    assert passed.low == pytest.approx(low / 400, abs=0.01)
    assert passed.high == pytest.approx(high / 400, abs=0.01)


def test_acceptance_counts_and_its_interval_is_binomial():
    sure = np.arange(1000) < 600
    correct = np.arange(1000) % 5 > 0
    found = acceptance(sure, correct)
    assert (found.photos, found.coverage.value) == (1000, 0.6)
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(0.8)
    low, high = binom.interval(0.95, 1000, 0.6)
    assert found.coverage.low == pytest.approx(low / 1000, abs=0.01)
    assert found.coverage.high == pytest.approx(high / 1000, abs=0.01)


def test_nothing_accepted_has_no_accuracy():
    found = acceptance(np.zeros(5, np.bool_), np.ones(5, np.bool_))
    assert (found.coverage.value, found.accuracy) == (0.0, None)


@pytest.mark.parametrize(
    ("known", "strange"),
    [([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([1.0], [np.inf]), ([[1.0]], [1.0])],
)
def test_what_cannot_be_measured_is_refused(known, strange):
    with pytest.raises(TrainingError, match="one finite number for each"):
        novelty_metrics(np.array(known), np.array(strange))


def test_wrong_input_is_refused():
    with pytest.raises(UsageError, match="resamples is 0"):
        novelty_metrics(np.ones(2), np.ones(2), resamples=0)
    with pytest.raises(TrainingError, match="one of each"):
        acceptance(np.ones(2, np.bool_), np.ones(3, np.bool_))
    with pytest.raises(TrainingError, match="at least one photo"):
        acceptance(np.ones(0, np.bool_), np.ones(0, np.bool_))
