from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from binsight.evaluation.metrics import evaluate
from binsight.evaluation.novelty import NoveltyMetrics, acceptance, novelty_metrics
from binsight.evaluation.resampling import Resampler, pictures_of, together
from binsight.evaluation.scored import Scored

RANDOM = np.random.default_rng(5)
PHOTOS = 120
LABELS = RANDOM.integers(0, 3, PHOTOS)
SAID = np.where(RANDOM.random(PHOTOS) < 0.7, LABELS, (LABELS + 1) % 3)
TIMES = 4


def answers(times: int, *, grouped: bool) -> Scored:
    """The same pictures so many times over."""
    probs = np.full((PHOTOS, 3), 0.1, np.float32)
    probs[np.arange(PHOTOS), SAID] = 0.8
    return Scored(
        tuple(f"{number}.jpg" for number in range(PHOTOS * times)),
        np.tile(LABELS, times),
        np.tile(probs, (times, 1)),
        ("a", "b", "c"),
        group_n=np.tile(np.arange(PHOTOS), times) if grouped else None,
    )


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=30))
def test_a_picture_takes_all_its_copies_along(photos):
    groups, cells = (np.array(column) for column in zip(*photos, strict=True))
    # A photo's own cell each, so that what was drawn can be seen.
    drawn = Resampler(np.arange(len(cells)), groups, len(cells)).draw(np.random.default_rng(0), 20)
    for group in np.unique(groups):
        of_group = drawn[:, groups == group]
        assert (of_group == of_group[:, :1]).all()
    first_of_each = [int(np.argmax(groups == group)) for group in np.unique(groups)]
    assert (drawn[:, first_of_each].sum(axis=1) == pictures_of(groups, len(groups))).all()
    counted = Resampler(cells, groups, 4).draw(np.random.default_rng(0), 20)
    assert counted.shape == (20, 4)
    assert not counted[:, np.bincount(cells, minlength=4) == 0].any()


def of_copies(
    known: np.ndarray, strange: np.ndarray, groups: np.ndarray, *, resamples: int
) -> NoveltyMetrics:
    """Each photo so many times."""
    return novelty_metrics(
        np.tile(known, TIMES),
        np.tile(strange, TIMES),
        known_groups=groups,
        strange_groups=groups,
        resamples=resamples,
    )


def test_without_copies_groups_change_nothing():
    metrics = evaluate(answers(1, grouped=False))
    assert evaluate(answers(1, grouped=True)) == metrics
    assert metrics.pictures == metrics.photos == PHOTOS


def test_copies_say_no_more_than_their_picture():
    once = evaluate(answers(1, grouped=True))
    copied = evaluate(answers(TIMES, grouped=True))
    loose = evaluate(answers(TIMES, grouped=False))
    assert (copied.photos, copied.pictures) == (TIMES * PHOTOS, PHOTOS)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        wide, same, narrow = (getattr(one, name) for one in (once, copied, loose))
        assert same.value == pytest.approx(wide.value)
        assert same.high - same.low == pytest.approx(wide.high - wide.low, rel=0.15)
        assert narrow.high - narrow.low < 0.65 * (same.high - same.low)


def test_few_pictures_are_few_however_often_they_were_copied():
    right = replace(answers(TIMES, grouped=True), labels_n=np.tile(SAID, TIMES))
    alone = replace(answers(1, grouped=True), labels_n=SAID)
    low = evaluate(alone).accuracy.low
    assert low < 0.98
    assert evaluate(right).accuracy.low == pytest.approx(low)


def test_sure_and_strange_are_counted_by_picture_too():
    sure, right = RANDOM.random(PHOTOS) < 0.7, RANDOM.random(PHOTOS) < 0.8
    groups = np.tile(np.arange(PHOTOS), TIMES)
    once = acceptance(sure, right)
    copied = acceptance(np.tile(sure, TIMES), np.tile(right, TIMES), group_n=groups)
    assert copied.coverage.low == pytest.approx(once.coverage.low, abs=0.02)
    assert once.accuracy
    assert copied.accuracy
    assert copied.accuracy.low == pytest.approx(once.accuracy.low, abs=0.02)

    # Of sure answers the pictures among them count, however many copies the others have.
    lone = np.arange(5)
    few = acceptance(
        np.repeat([True, False], [5, 95]),
        np.repeat([True, False], [5, 95]),
        group_n=np.concatenate([lone, np.full(95, 99)]),
    )
    assert few.accuracy == acceptance(np.ones(5, np.bool_), np.ones(5, np.bool_)).accuracy

    known, strange = RANDOM.normal(size=PHOTOS), RANDOM.normal(1.0, size=PHOTOS)
    told = novelty_metrics(known, strange, resamples=300)
    again = of_copies(known, strange, groups, resamples=300)
    assert again.auroc.value == pytest.approx(told.auroc.value)
    assert again.auroc.low == pytest.approx(told.auroc.low, abs=0.02)


def test_few_that_are_sure_or_pass_are_few_pictures():
    """Of so few the intervals are Wilson's, which count pictures."""
    groups = np.tile(np.arange(40), TIMES)
    sure = np.arange(40) < 3
    once = acceptance(sure, sure)
    copied = acceptance(np.tile(sure, TIMES), np.tile(sure, TIMES), group_n=groups)
    assert (copied.coverage.low, copied.coverage.high) == (once.coverage.low, once.coverage.high)
    known, strange = np.zeros(40), np.where(sure, 0.0, 1.0)
    told = novelty_metrics(known, strange, resamples=50).fpr_at_95_tpr
    again = of_copies(known, strange, groups, resamples=50).fpr_at_95_tpr
    assert (again.low, again.high) == (told.low, told.high)


def test_data_sets_share_no_pictures():
    both = together([np.array([0, 1, 1]), np.array([1, 0, 1])])
    assert both is not None
    assert len(set(both.tolist())) == 4
    assert both[1] == both[2] != both[3] == both[5]
    assert together([np.array([0]), None]) is None


def test_many_wrong_copies_of_one_picture_are_one_mistake():
    """Else no resample without it would be thought of as one of many."""
    labels = np.zeros(1000, np.int64)
    probs = np.tile(np.array([[0.9, 0.1]], np.float32), (1000, 1))
    probs[:12] = probs[:12, ::-1]
    groups = np.concatenate([np.zeros(12, np.int64), np.arange(1, 989)])
    names = tuple(map(str, range(1000)))
    copied = evaluate(Scored(names, labels, probs, ("a", "b"), group_n=groups)).accuracy
    assert copied.value == 0.988
    low, high = binomtest(988, 989).proportion_ci(0.95, method="wilson")
    assert (copied.low, copied.high) == (copied.value, pytest.approx(high))
    assert low > copied.value
