"""Numbers that say how good a model is, with intervals that say how sure we are of them.

Drawing them is left to `figures`, writing them to `report`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support

from binsight.calibration import expected_calibration_error
from binsight.errors import TrainingError, UsageError

from .resampling import Resampler, pictures_among, pictures_of
from .scored import Scored

__all__ = [
    "ClassMetrics",
    "Interval",
    "Metrics",
    "Selective",
    "bootstrapped",
    "by_source",
    "evaluate",
    "may_be_otherwise",
    "of_share",
    "selective",
]

LEVEL_PERCENT = 95.0
FEW = 10  # photos of a kind, below which a bootstrap interval of their share is too narrow
LEAST_PROBABILITY = 1e-12


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Frozen):
    """A value and the ends of its 95 % interval, all 0 to 1; of a difference, -1 to 1."""

    value: float
    low: float
    high: float


class ClassMetrics(_Frozen):
    """One class: its scores, 0 to 1, and the number of photos that show it."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


class Selective(_Frozen):
    """What happens when answers that are not sure become "not sure".

    ``threshold`` is the least confidence of a sure answer, ``None`` if it is not known; a model
    may be unsure of more than that, because a photo is strange to it. ``coverage`` is the share of
    photos that still get an answer, ``accuracy`` the share of those that is right; ``None`` when
    no photo gets an answer.
    """

    threshold: float | None
    coverage: float
    accuracy: float | None


class Metrics(_Frozen):
    """Everything `evaluate` measures.

    ``pictures`` is how many there are if copies of one count once, and ``confusion[t][p]`` photos
    of class t called p.
    """

    photos: int
    pictures: int
    accuracy: Interval
    balanced_accuracy: Interval
    macro_f1: Interval
    nll: float
    expected_calibration_error: float
    mean_confidence: float
    selective: Selective | None
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    resamples: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, numbers and strings, ready for JSON."""
        return self.model_dump(mode="json")


def evaluate(
    scored: Scored, *, seed: int = 0, resamples: int = 1000, threshold: float | None = None
) -> Metrics:
    """Measure a model on labelled photos.

    Balanced accuracy is the mean recall, macro F1 the mean F1, over the classes that have a
    photo here; a class without one has no say. Intervals are percentile bootstrap intervals over
    pictures (see `Resampler`), and a class that a resample happens to miss has no say in that
    resample; that of the accuracy is `of_share`'s.
    Precision of a class that is never predicted counts as 0.

    Args:
        scored: what the model said; at least one photo.
        seed: of the bootstrap.
        resamples: of the bootstrap; at least 1.
        threshold: the model's "not sure" threshold, 0 to 1. It decides which answers count as
            sure only where ``scored`` does not say so itself.

    Raises:
        TrainingError: no photos.
        UsageError: ``resamples`` or ``threshold`` out of range.
    """
    if not len(scored):
        raise TrainingError("no photos to evaluate; choose a part of the split that has some")
    if resamples < 1:
        raise UsageError(f"resamples is {resamples}; give at least 1")
    confusion_cc = _confusion(scored)
    accuracy, balanced, macro_f1 = _with_intervals(scored, confusion_cc, seed, resamples)
    return Metrics(
        photos=len(scored),
        pictures=pictures_of(scored.group_n, len(scored)),
        accuracy=accuracy,
        balanced_accuracy=balanced,
        macro_f1=macro_f1,
        nll=_nll(scored),
        expected_calibration_error=expected_calibration_error(
            scored.confidence_n, scored.correct_n
        ),
        mean_confidence=float(scored.confidence_n.mean(dtype=np.float64)),
        selective=selective(scored, threshold),
        per_class=_per_class(scored),
        confusion=tuple(tuple(row) for row in confusion_cc.tolist()),
        resamples=resamples,
        seed=seed,
    )


def _cells(scored: Scored) -> NDArray[np.int64]:
    return scored.labels_n * len(scored.classes) + scored.predicted_n


def _confusion(scored: Scored) -> NDArray[np.int64]:
    classes = len(scored.classes)
    counts = np.bincount(_cells(scored), minlength=classes * classes).astype(np.int64)
    return counts.reshape(classes, classes)


def _with_intervals(
    scored: Scored, confusion_cc: NDArray[np.int64], seed: int, resamples: int
) -> list[Interval]:
    """Accuracy, balanced accuracy and macro F1, each with its interval.

    Photos in one cell of the confusion matrix are alike to these metrics.
    """
    cells, cell_n = np.unique(_cells(scored), return_inverse=True)
    true_k, predicted_k = np.divmod(cells, len(confusion_cc))
    counts_k = confusion_cc[true_k, predicted_k]
    resampler = Resampler(cell_n, scored.group_n, len(cells))
    drawn_rk = resampler.draw(np.random.default_rng(seed), resamples)
    value_m1 = _scores(counts_k[np.newaxis], true_k, predicted_k, len(confusion_cc))
    drawn_mr = _scores(drawn_rk, true_k, predicted_k, len(confusion_cc))
    accuracy = of_share(scored.correct_n, drawn_mr[0], scored.group_n)
    otherwise = _otherwise_of_classes(scored)
    others = zip(value_m1[1:, 0], drawn_mr[1:], strict=True)
    return [
        accuracy,
        *(bootstrapped(float(value), drawn_r, otherwise) for value, drawn_r in others),
    ]


def _otherwise_of_classes(scored: Scored) -> float:
    """`may_be_otherwise`, on average over the classes, which have a say of the same weight."""
    pictures = [
        pictures_among(scored.group_n, scored.labels_n == label)
        for label in np.unique(scored.labels_n)
    ]
    return float(np.mean([may_be_otherwise(count) for count in pictures]))


def bootstrapped(
    value: float, drawn_r: NDArray[np.float64], otherwise: float, *, least: float = 0.0
) -> Interval:
    """The percentile bootstrap interval (Efron 1979) of a value.

    Where all pictures are alike, so are all resamples, which does not show that every picture is
    like these: then a share of them may be as bad as can be, or as good.

    Args:
        value: of all photos, up to 1.
        drawn_r: of the resamples (R,).
        otherwise: that share; see `may_be_otherwise`.
        least: what a picture can be worth.
    """
    tail = (100.0 - LEVEL_PERCENT) / 2
    low, high = np.percentile(drawn_r, [tail, 100.0 - tail])
    if low == high:
        kept = (1 - otherwise) * value
        low, high = kept + otherwise * least, max(kept + otherwise, value)
    return Interval(value=value, low=float(low), high=float(high))


def may_be_otherwise(pictures: int) -> float:
    """Of so many pictures none differs; the largest share of all that may (Wilson 1927)."""
    return float(binomtest(0, pictures).proportion_ci(LEVEL_PERCENT / 100, method="wilson").high)


def of_share(
    hit_n: NDArray[np.bool_],
    drawn_r: NDArray[np.float64],
    group_n: NDArray[np.int64] | None = None,
) -> Interval:
    """The interval of a share of photos: bootstrapped, but where that cannot be trusted.

    Where few pictures are hits, or few are not, too few kinds of resamples can be drawn, and of
    five right answers none can be wrong. Then it is Wilson's (1927), of pictures.

    Args:
        hit_n: which photos count; at least one photo.
        drawn_r: the share in each resample (R,).
        group_n: which are copies of one picture; see `Resampler`.
    """
    share = float(hit_n.mean())
    hits, misses = (pictures_among(group_n, some_n) for some_n in (hit_n, ~hit_n))
    if min(hits, misses) >= FEW:
        return bootstrapped(share, drawn_r, may_be_otherwise(hits + misses))
    test = binomtest(hits, hits + misses)
    low, high = test.proportion_ci(LEVEL_PERCENT / 100, method="wilson")
    # The share of the photos may lie beside that of the pictures.
    return Interval(value=share, low=min(float(low), share), high=max(float(high), share))


def _scores(
    counts_rk: NDArray[np.int64],
    true_k: NDArray[np.intp],
    predicted_k: NDArray[np.intp],
    classes: int,
) -> NDArray[np.float64]:
    """Return accuracy, balanced accuracy and macro F1, shape (3, R), of R confusion matrices."""
    weights_rk = counts_rk.astype(np.float64)
    every_c = np.arange(classes)
    is_true_kc = (true_k[:, np.newaxis] == every_c).astype(np.float64)
    is_predicted_kc = (predicted_k[:, np.newaxis] == every_c).astype(np.float64)
    support_rc = weights_rk @ is_true_kc
    predicted_rc = weights_rk @ is_predicted_kc
    hits_rc = weights_rk @ (is_true_kc * is_predicted_kc)
    present_rc = support_rc > 0
    recall_rc = hits_rc / np.maximum(support_rc, 1.0)
    f1_rc = 2.0 * hits_rc / np.maximum(support_rc + predicted_rc, 1.0)
    return np.stack(
        [
            hits_rc.sum(axis=1) / weights_rk.sum(axis=1),
            recall_rc.mean(axis=1, where=present_rc),
            f1_rc.mean(axis=1, where=present_rc),
        ]
    )


def _per_class(scored: Scored) -> tuple[ClassMetrics, ...]:
    columns = precision_recall_fscore_support(
        scored.labels_n,
        scored.predicted_n,
        labels=np.arange(len(scored.classes)),
        zero_division=0,
    )
    return tuple(
        ClassMetrics(name=name, precision=precision, recall=recall, f1=f1, support=support)
        for name, precision, recall, f1, support in zip(
            scored.classes, *(column.tolist() for column in columns), strict=True
        )
    )


def _nll(scored: Scored) -> float:
    """Mean negative log-likelihood in nats; probabilities are taken as at least 1e-12."""
    true_n = scored.probs_nc[np.arange(len(scored)), scored.labels_n].astype(np.float64)
    return float(-np.log(np.clip(true_n, LEAST_PROBABILITY, 1.0)).mean())


def selective(scored: Scored, threshold: float | None) -> Selective | None:
    """Measure coverage and accuracy when answers that are not sure become "not sure".

    El-Yaniv and Wiener 2010, "On the Foundations of Noise-free Selective Classification".

    Args:
        scored: what the model said; at least one photo. Its ``sure_n`` decides if it is there.
        threshold: the least confidence of a sure answer, 0 to 1, or ``None``.

    Returns:
        ``None`` if neither says what is sure.

    Raises:
        UsageError: ``threshold`` is outside 0 to 1.
    """
    if threshold is not None and not 0.0 <= threshold <= 1.0:
        raise UsageError(f"threshold is {threshold:g}; give a confidence from 0 to 1")
    if scored.sure_n is not None:
        accepted_n = scored.sure_n
    elif threshold is not None:
        accepted_n = scored.confidence_n >= threshold
    else:
        return None
    accuracy = float(scored.correct_n[accepted_n].mean()) if accepted_n.any() else None
    coverage = float(accepted_n.mean())
    return Selective(threshold=threshold, coverage=coverage, accuracy=accuracy)


def by_source(scored: Scored, labels: Collection[str] = ()) -> dict[str, Scored]:
    """Group photos by where they came from: the first folder of ``<source>/<class>/<file>``.

    Args:
        scored: what the model said.
        labels: names of class folders, where they are not those of the model.

    Returns:
        Sources in alphabetical order; empty when there is one source only, when a path has fewer
        than three parts, or when the first folders are the classes themselves.
    """
    parts = [path.split("/") for path in scored.paths]
    first_n = np.array([names[0] for names in parts], dtype=object)
    sources = sorted(set(first_n))
    if len(sources) < 2 or any(len(names) < 3 for names in parts):
        return {}
    if set(sources) <= {*scored.classes, *labels}:
        return {}
    return {source: scored.subset(first_n == source) for source in sources}
