"""Photos that are taught become known, and each is judged by folds without it."""

from __future__ import annotations

import numpy as np
import pytest

from binsight.bundle import Novelty
from binsight.novelty import SCORE, choose_limit, fit_known
from binsight.teaching.familiar import Familiar

WIDTH = 6
RANDOM = np.random.default_rng(2)


def cloud(centre: float, count: int) -> np.ndarray:
    middle = np.linspace(centre, 3 * centre, WIDTH)
    return (middle + RANDOM.normal(size=(count, WIDTH))).astype(np.float32)


TAUGHT = np.concatenate([cloud(1, 6), cloud(-9, 6)])
LABELS = np.repeat([0, 2], 6)
FOLDS = np.tile([0, 1, 2], 4)


@pytest.fixture(scope="module")
def familiar() -> Familiar:
    learned = np.concatenate([cloud(1, 40), cloud(4, 40)])
    known = fit_known(learned, np.repeat([0, 1], 40))
    return Familiar(known, Novelty(score=SCORE, limit=1.0, accepted=0.75))


def test_each_photo_is_judged_by_folds_that_it_was_not_part_of(familiar: Familiar) -> None:
    taught, novelty = familiar.taught(TAUGHT, LABELS, FOLDS)
    for place, fold in enumerate(FOLDS):
        others = fold != FOLDS
        without = familiar.known.taught_with(TAUGHT[others], LABELS[others])
        assert novelty[place] == pytest.approx(without.score(TAUGHT[place : place + 1])[0])
    whole = familiar.known.taught_with(TAUGHT, LABELS)
    assert taught.known.score(TAUGHT) == pytest.approx(whole.score(TAUGHT))
    assert (novelty > taught.known.score(TAUGHT)).mean() > 0.7, (
        "what was taught looks more familiar"
    )


def test_of_one_fold_the_novelty_is_that_before_the_lesson(familiar: Familiar) -> None:
    _, novelty = familiar.taught(TAUGHT, LABELS, np.zeros(12, np.int64))
    assert novelty == pytest.approx(familiar.known.score(TAUGHT))


def test_the_limit_passes_the_share_that_it_was_chosen_for(familiar: Familiar) -> None:
    novelty = np.arange(20.0)
    limited = familiar.limited(novelty)
    assert limited.novelty.limit == choose_limit(novelty, accepted=0.75)
    assert (novelty <= limited.novelty.limit).mean() == 0.75
    assert limited.novelty.accepted == 0.75
