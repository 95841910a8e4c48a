"""How well strange things are told from known ones, and what remains after "not sure".

It knows arrays of novelty scores and of answers. Where they come from is left to the caller.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from binsight.errors import TrainingError, UsageError

from .metrics import Interval, bootstrapped, may_be_otherwise, of_share
from .resampling import Resampler

__all__ = ["Acceptance", "NoveltyMetrics", "acceptance", "novelty_metrics"]

TRUE_POSITIVES = 0.95  # share of known photos that the second figure accepts


class NoveltyMetrics(BaseModel):
    """How well a novelty score tells photos of known classes from photos of none.

    Args:
        known: number of photos of known classes.
        strange: number of photos of none.
        auroc: probability that a strange photo scores higher than a known one; ties count half.
        fpr_at_95_tpr: share of strange photos that pass when 95 % of the known ones do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    known: int
    strange: int
    auroc: Interval
    fpr_at_95_tpr: Interval


class Acceptance(BaseModel):
    """What is left when the other answers become "not sure".

    Args:
        photos: that were shown.
        coverage: share of them with a sure answer.
        accuracy: share of the sure answers that is right; ``None`` when there are none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    photos: int
    coverage: Interval
    accuracy: Interval | None


def novelty_metrics(
    known: NDArray[np.floating[Any]],
    strange: NDArray[np.floating[Any]],
    *,
    known_groups: NDArray[np.int64] | None = None,
    strange_groups: NDArray[np.int64] | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> NoveltyMetrics:
    """Measure a novelty score with percentile bootstrap intervals over the pictures of both kinds.

    The two figures of Hendrycks and Gimpel 2017 ("A Baseline for Detecting Misclassified and
    Out-of-Distribution Examples") and Liang et al. 2018 ("Enhancing the Reliability of
    Out-of-distribution Image Detection in Neural Networks"), with known photos as the positives.

    Args:
        known: novelty (N,) of photos of known classes; higher is stranger.
        strange: novelty (M,) of photos of none.
        known_groups: which known photos are copies of one picture; see `Resampler`.
        strange_groups: the same of the others.
        seed: of the bootstrap.
        resamples: of the bootstrap; at least 1.

    Raises:
        TrainingError: there are no photos of a kind, or a value is not finite.
        UsageError: ``resamples`` out of range.
    """
    _check_resamples(resamples)
    for name, values in (("known", known), ("strange", strange)):
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise TrainingError(
                f"novelty of {name} photos has shape {values.shape}; give one finite number for "
                "each, of at least one photo"
            )
    value_k = np.unique(np.concatenate([known, strange]))
    # Photos of equal novelty are alike here.
    known_cells, strange_cells = (np.searchsorted(value_k, one) for one in (known, strange))
    known_r = Resampler(known_cells, known_groups, len(value_k))
    strange_r = Resampler(strange_cells, strange_groups, len(value_k))
    generator = np.random.default_rng(seed)
    drawn_r2 = np.array(
        [
            _figures(known_r.draw(generator, 1)[0], strange_r.draw(generator, 1)[0])
            for _ in range(resamples)
        ]
    )
    known_k, strange_k = (
        np.bincount(cells, minlength=len(value_k)) for cells in (known_cells, strange_cells)
    )
    auroc, _ = _figures(known_k, strange_k)
    fewer = min(known_r.pictures, strange_r.pictures)  # so many pairs have no picture in common
    passed_n = strange <= value_k[_border(known_k)]
    return NoveltyMetrics(
        known=len(known),
        strange=len(strange),
        auroc=bootstrapped(auroc, drawn_r2[:, 0], may_be_otherwise(fewer)),
        fpr_at_95_tpr=of_share(passed_n, drawn_r2[:, 1], strange_groups),
    )


def _figures(known_k: NDArray[np.int64], strange_k: NDArray[np.int64]) -> tuple[float, float]:
    """AUROC and FPR at 95 % TPR from the photos at each distinct novelty, in rising order."""
    passed_k = np.cumsum(known_k)
    below_k = passed_k - known_k
    wins = (strange_k * (below_k + known_k / 2)).sum()
    strangers = strange_k.sum()
    return (
        float(wins / (passed_k[-1] * strangers)),
        float(strange_k[: _border(known_k) + 1].sum() / strangers),
    )


def _border(known_k: NDArray[np.int64]) -> int:
    """The lowest of the distinct novelties that accepts 95 % of the known photos."""
    passed_k = np.cumsum(known_k)
    return int(np.searchsorted(passed_k, TRUE_POSITIVES * passed_k[-1]))


def acceptance(
    sure_n: NDArray[np.bool_],
    correct_n: NDArray[np.bool_],
    *,
    group_n: NDArray[np.int64] | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> Acceptance:
    """Measure coverage and accuracy among the sure answers, with the intervals of `of_share`.

    A resample without a sure answer has no say in the interval of the accuracy.

    Args:
        sure_n: whether the answer is sure.
        correct_n: whether it is right; all False for photos of none of the classes.
        group_n: which photos are copies of one picture; see `Resampler`.
        seed: of the bootstrap.
        resamples: of the bootstrap; at least 1.

    Raises:
        TrainingError: no photos, or arrays that do not fit.
        UsageError: ``resamples`` out of range.
    """
    _check_resamples(resamples)
    if sure_n.ndim != 1 or sure_n.shape != correct_n.shape or not len(sure_n):
        raise TrainingError(
            f"sure of shape {sure_n.shape} and correct of shape {correct_n.shape}; give one of "
            "each for every photo, with at least one photo"
        )
    photos = len(sure_n)
    cell_n = np.where(sure_n, np.where(correct_n, 0, 1), 2)
    resampler = Resampler(cell_n, group_n, 3)
    drawn_r3 = resampler.draw(np.random.default_rng(seed), resamples)
    sure_r = drawn_r3[:, 0] + drawn_r3[:, 1]
    some_r = sure_r > 0
    share_r = drawn_r3[some_r, 0] / sure_r[some_r]
    of_sure = None if group_n is None else group_n[sure_n]
    return Acceptance(
        photos=photos,
        coverage=of_share(sure_n, sure_r / drawn_r3.sum(axis=1), group_n),
        accuracy=of_share(correct_n[sure_n], share_r, of_sure) if sure_n.any() else None,
    )


def _check_resamples(resamples: int) -> None:
    if resamples < 1:
        raise UsageError(f"resamples is {resamples}; give at least 1")
