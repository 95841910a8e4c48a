"""What the folds of a cross-validation say together, and what leaked duplicates would add to it.

Training them is left to `training.folds`, writing it down to `report`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from binsight.data.split import Split
from binsight.errors import TrainingError
from binsight.training.curves import rank

from .metrics import Interval, bootstrapped, evaluate, may_be_otherwise
from .resampling import Resampler
from .scored import Scored

__all__ = [
    "Comparison",
    "CrossValidation",
    "Fold",
    "Leakage",
    "Spread",
    "cross_validation",
    "pooled",
]

Rows = Sequence[Mapping[str, float]]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def __getitem__(self, name: str) -> Any:
        """For templates, which name a figure by a variable."""
        return getattr(self, name)


class Spread(_Frozen):
    """Mean, sample standard deviation, least and most of a figure over the folds, 0 to 1."""

    mean: float
    deviation: float
    least: float
    most: float


class Fold(_Frozen):
    """One fold, judged by the run that did not train with it.

    Args:
        name: such as ``fold0``.
        photos: that it validates on.
        accuracy: of its best epoch, as are the next two.
        balanced_accuracy: mean recall.
        macro_f1: mean F1.
        best_epoch: from 0; chosen on this fold's own photos. This and the rest are ``None`` for
            weights that are of no epoch, such as with heads that were refit.
        epochs: that were trained.
        last_accuracy: of the last epoch, which nobody chose.
        others_accuracy: of the epoch in which the other folds' mean accuracy is best.
    """

    name: str
    photos: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    best_epoch: int | None = None
    epochs: int | None = None
    last_accuracy: float | None = None
    others_accuracy: float | None = None


class Comparison(_Frozen):
    """Accuracy on the same photos with duplicates kept together and with random folds."""

    name: str
    photos: int
    grouped: float
    ungrouped: float
    difference: Interval


class Leakage(_Frozen):
    """What random folds would have said, and how many duplicates they tear apart.

    Args:
        accuracy: of the random folds.
        groups: of two or more photos that show the same picture.
        straddling: those of them with photos in more than one random fold.
        rows: all photos; those with a copy in another random fold; the others.
    """

    accuracy: Spread
    groups: int
    straddling: int
    rows: tuple[Comparison, ...]


class CrossValidation(_Frozen):
    """Every fold, and how far they differ; groups of duplicates that ``straddling`` folds share."""

    folds: tuple[Fold, ...]
    accuracy: Spread
    balanced_accuracy: Spread
    macro_f1: Spread
    last_accuracy: Spread | None
    others_accuracy: Spread | None
    straddling: int
    leakage: Leakage | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, numbers and strings, ready for JSON."""
        return self.model_dump(mode="json")


def pooled(parts: Sequence[Scored]) -> Scored:
    """All photos of several parts, in order of their paths.

    Raises:
        TrainingError: the parts have other classes, or share a photo.
    """
    if len({part.classes for part in parts}) != 1:
        raise TrainingError("only parts with the same classes can be pooled")
    paths = [path for part in parts for path in part.paths]
    if len(set(paths)) < len(paths):
        raise TrainingError("a photo is in two of the parts to pool")
    order = sorted(range(len(paths)), key=paths.__getitem__)
    return Scored(
        tuple(paths[place] for place in order),
        np.concatenate([part.labels_n for part in parts])[order],
        np.concatenate([part.probs_nc for part in parts])[order],
        parts[0].classes,
        group_n=_pooled_groups(parts, order),
    )


def _pooled_groups(parts: Sequence[Scored], order: Sequence[int]) -> NDArray[np.int64] | None:
    """Groups are numbered alike in all parts of a split."""
    groups = [part.group_n for part in parts if part.group_n is not None]
    return np.concatenate(groups)[order] if len(groups) == len(parts) else None


def cross_validation(
    split: Split,
    parts: Sequence[Scored],
    epochs: Sequence[Rows],
    *,
    ungrouped: tuple[Split, Sequence[Scored]] | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> CrossValidation:
    """Measure each fold and all of them.

    Args:
        split: into folds, with its duplicate groups.
        parts: what each fold's run said about its own photos, in the order of ``split.folds``.
        epochs: of each run, a row an epoch with ``val_accuracy`` and ``val_loss``; see
            `training.folds.epochs_of`. A run without any leaves out what is said of epochs.
        ungrouped: the same photos in random folds, and what their runs said.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        TrainingError: the random folds are not of the same photos.
    """
    folds = tuple(
        _fold(f"fold{number}", part, epochs, place)
        for place, (number, part) in enumerate(zip(split.folds, parts, strict=True))
    )
    leakage = None
    if ungrouped:
        leakage = _leakage(split, pooled(parts), *ungrouped, seed=seed, resamples=resamples)
    return CrossValidation(
        folds=folds,
        accuracy=_spread([fold.accuracy for fold in folds]),
        balanced_accuracy=_spread([fold.balanced_accuracy for fold in folds]),
        macro_f1=_spread([fold.macro_f1 for fold in folds]),
        last_accuracy=_spread_if_known([fold.last_accuracy for fold in folds]),
        others_accuracy=_spread_if_known([fold.others_accuracy for fold in folds]),
        straddling=len(split.straddling(split.fold_parts)),
        leakage=leakage,
    )


def _fold(name: str, scored: Scored, epochs: Sequence[Rows], place: int) -> Fold:
    metrics = evaluate(scored)
    return Fold(
        name=name,
        photos=len(scored),
        accuracy=metrics.accuracy.value,
        balanced_accuracy=metrics.balanced_accuracy.value,
        macro_f1=metrics.macro_f1.value,
        **_of_epochs(epochs, place),
    )


def _of_epochs(epochs: Sequence[Rows], place: int) -> dict[str, Any]:
    shortest = min(map(len, epochs))  # someone may have trained one fold further
    if not shortest:
        return {}
    accuracy_fe = np.array([[row["val_accuracy"] for row in rows[:shortest]] for rows in epochs])
    own_e = np.array([row["val_accuracy"] for row in epochs[place]])
    ranks = [rank(row["val_accuracy"], row["val_loss"]) for row in epochs[place]]
    others_e = np.delete(accuracy_fe, place, axis=0).mean(axis=0)
    return {
        "best_epoch": max(range(len(own_e)), key=lambda epoch: ranks[epoch]),
        "epochs": len(own_e),
        "last_accuracy": float(own_e[-1]),
        "others_accuracy": float(own_e[others_e.argmax()]),
    }


def _spread_if_known(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return _spread(known) if len(known) == len(values) else None


def _spread(values: Sequence[float]) -> Spread:
    return Spread(
        mean=float(np.mean(values)),
        deviation=float(np.std(values, ddof=1)),
        least=min(values),
        most=max(values),
    )


def _leakage(
    split: Split,
    grouped: Scored,
    random: Split,
    parts: Sequence[Scored],
    *,
    seed: int,
    resamples: int,
) -> Leakage:
    ungrouped = pooled(parts)
    if ungrouped.paths != grouped.paths or not (ungrouped.labels_n == grouped.labels_n).all():
        raise TrainingError("the random folds are not of the same photos as the folds")
    group_n = np.array([split.group_of[path] for path in grouped.paths])
    sizes_g = np.unique(group_n, return_counts=True)[1]
    straddling = random.straddling(random.fold_parts)
    leaked_n = np.isin(group_n, straddling)
    masks = {
        "all photos": np.ones(len(grouped), np.bool_),
        "with a copy in another random fold": leaked_n,
        "the others": ~leaked_n,
    }
    rows = tuple(
        _compared(
            name, grouped.correct_n[mask], ungrouped.correct_n[mask], group_n[mask], seed, resamples
        )
        for name, mask in masks.items()
        if mask.any()
    )
    return Leakage(
        accuracy=_spread([float(part.correct_n.mean()) for part in parts]),
        groups=int((sizes_g > 1).sum()),
        straddling=len(straddling),
        rows=rows,
    )


def _compared(
    name: str,
    grouped_n: NDArray[np.bool_],
    ungrouped_n: NDArray[np.bool_],
    group_n: NDArray[np.int64],
    seed: int,
    resamples: int,
) -> Comparison:
    return Comparison(
        name=name,
        photos=len(group_n),
        grouped=float(grouped_n.mean()),
        ungrouped=float(ungrouped_n.mean()),
        difference=_paired(grouped_n, ungrouped_n, group_n, seed, resamples),
    )


def _paired(
    first_n: NDArray[np.bool_],
    second_n: NDArray[np.bool_],
    group_n: NDArray[np.int64],
    seed: int,
    resamples: int,
) -> Interval:
    """Second minus first, with the interval of a bootstrap over pictures; see `Resampler`."""
    gain_n = second_n.astype(np.int64) - first_n.astype(np.int64)
    gains = np.array([-1, 0, 1])
    resampler = Resampler(gain_n - gains[0], group_n, len(gains))
    drawn_r3 = resampler.draw(np.random.default_rng(seed), resamples)
    drawn_r = drawn_r3 @ gains / drawn_r3.sum(axis=1)
    otherwise = may_be_otherwise(resampler.pictures)
    return bootstrapped(float(gain_n.mean()), drawn_r, otherwise, least=-1.0)
