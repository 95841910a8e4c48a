"""What a model said about labelled photos: the one input of every metric, figure and report.

It checks its own shapes. Running a model is left to the caller, measuring to `metrics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from binsight.data.tables import read_table, write_table
from binsight.errors import TrainingError

__all__ = ["OUT_OF_FOLD", "Answered", "Scored", "Strange", "read_predictions", "write_predictions"]

OUT_OF_FOLD = "out-of-fold.csv"  # predictions about photos, each by the fold that held it out
SUM_TOLERANCE = 1e-3
PREFIX = "p_"  # of a column of probabilities


class Answered:
    """What `Scored` and `Strange` share: a model's answers, one for each of N photos."""

    paths: tuple[str, ...]
    probs_nc: NDArray[np.float32]
    classes: tuple[str, ...]
    sure_n: NDArray[np.bool_] | None
    novelty_n: NDArray[np.float32] | None
    group_n: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def predicted_n(self) -> NDArray[np.int64]:
        """Index of the most probable class; the first one among equals."""
        predicted_n: NDArray[np.int64] = self.probs_nc.argmax(axis=1).astype(np.int64)
        return predicted_n

    @property
    def confidence_n(self) -> NDArray[np.float32]:
        """Probability of the predicted class, 0 to 1."""
        # A row may exceed 1 by the rounding that the check allows.
        highest_n: NDArray[np.float32] = np.minimum(self.probs_nc.max(axis=1), np.float32(1.0))
        return highest_n

    @property
    def strangeness_n(self) -> NDArray[np.float32]:
        """The model's own novelty, higher is stranger; 1 - confidence where it has none.

        Hendrycks and Gimpel 2017, "A Baseline for Detecting Misclassified and Out-of-Distribution
        Examples in Neural Networks".
        """
        return 1.0 - self.confidence_n if self.novelty_n is None else self.novelty_n

    def _check_answers(self) -> None:
        photos, classes = len(self.paths), len(self.classes)
        if self.probs_nc.shape != (photos, classes):
            raise TrainingError(
                f"{photos} paths and {classes} classes do not fit probabilities of shape "
                f"{self.probs_nc.shape}"
            )
        if not classes or len(set(self.classes)) != classes:
            raise TrainingError(f"class names must be there, each once: {list(self.classes)}")
        for name in ("sure", "novelty", "group"):
            value_n = getattr(self, f"{name}_n")
            if value_n is not None and value_n.shape != (photos,):
                raise TrainingError(f"{photos} paths do not fit {name} of shape {value_n.shape}")
        if self.sure_n is not None and self.sure_n.dtype != np.bool_:
            raise TrainingError(f"sure must be booleans, not {self.sure_n.dtype}")
        self._check_probabilities()

    def _check_probabilities(self) -> None:
        sums_n = self.probs_nc.sum(axis=1, dtype=np.float64)
        in_range_n = ((self.probs_nc >= 0) & (self.probs_nc <= 1 + SUM_TOLERANCE)).all(axis=1)
        # Written so that NaN counts as bad.
        bad_n = ~(in_range_n & (np.abs(sums_n - 1.0) <= SUM_TOLERANCE))
        if bad_n.any():
            first = int(np.argmax(bad_n))
            raise TrainingError(
                f"{self.paths[first]}: the model's answer is not a probability distribution "
                f"(sum {sums_n[first]:g}, {int(bad_n.sum())} such photos); did training diverge?"
            )


@dataclass(frozen=True, eq=False)
class Strange(Answered):
    """A model's answers for photos that show none of its classes.

    Args:
        paths: relative POSIX paths.
        probs_nc: calibrated probabilities; each row is in [0, 1] and sums to 1 within 1e-3.
        classes: the C class names, in the model's order, each once.
        sure_n: whether the model was sure; ``None`` if it cannot say.
        novelty_n: how strange each photo is to the model, higher is stranger; ``None`` if it
            cannot say.
        group_n: photos of one number are copies of one picture; ``None`` if it is not known.

    Raises:
        TrainingError: the parts do not fit together, or a probability is not one.
    """

    paths: tuple[str, ...]
    probs_nc: NDArray[np.float32]
    classes: tuple[str, ...]
    sure_n: NDArray[np.bool_] | None = None
    novelty_n: NDArray[np.float32] | None = None
    group_n: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        self._check_answers()


@dataclass(frozen=True, eq=False)
class Scored(Answered):
    """A model's answers for labelled photos, and the labels.

    Args:
        paths: relative POSIX paths, as in the catalog.
        labels_n: true class index of each photo, 0 to C-1.
        probs_nc: calibrated probabilities; each row is in [0, 1] and sums to 1 within 1e-3.
        classes: the C class names, in the model's order, each once.
        sure_n: whether the model was sure; ``None`` if it cannot say.
        novelty_n: how strange each photo is to the model, higher is stranger; ``None`` if it
            cannot say.
        group_n: photos of one number are copies of one picture; ``None`` if it is not known.

    Raises:
        TrainingError: the parts do not fit together, or a probability is not one.
    """

    paths: tuple[str, ...]
    labels_n: NDArray[np.int64]
    probs_nc: NDArray[np.float32]
    classes: tuple[str, ...]
    sure_n: NDArray[np.bool_] | None = None
    novelty_n: NDArray[np.float32] | None = None
    group_n: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.labels_n.shape != (len(self.paths),):
            raise TrainingError(
                f"{len(self.paths)} paths do not fit labels of shape {self.labels_n.shape}"
            )
        if not np.issubdtype(self.labels_n.dtype, np.integer):
            raise TrainingError(f"labels must be integers, not {self.labels_n.dtype}")
        self._check_answers()
        if ((self.labels_n < 0) | (self.labels_n >= len(self.classes))).any():
            raise TrainingError(f"a label is outside 0 to {len(self.classes) - 1}")

    @property
    def correct_n(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the true one."""
        correct_n: NDArray[np.bool_] = self.predicted_n == self.labels_n
        return correct_n

    def subset(self, mask_n: NDArray[np.bool_]) -> Scored:
        """Return the photos where ``mask_n`` is true, in their order."""
        if mask_n.shape != (len(self),) or mask_n.dtype != np.bool_:
            raise TrainingError(f"a mask must be {len(self)} booleans, one for each photo")
        paths = tuple(self.paths[index] for index in np.flatnonzero(mask_n))
        return Scored(
            paths,
            self.labels_n[mask_n],
            self.probs_nc[mask_n],
            self.classes,
            None if self.sure_n is None else self.sure_n[mask_n],
            None if self.novelty_n is None else self.novelty_n[mask_n],
            None if self.group_n is None else self.group_n[mask_n],
        )


def write_predictions(path: Path, scored: Scored, strange: Strange | None = None) -> None:
    """Write ``path,label,predicted,confidence`` and one ``p_<class>`` column for each class.

    Labels are class names, and empty for strange photos; numbers carry six digits after the
    point. Columns ``sure`` (0 or 1) and ``novelty`` follow where the model says so.
    """
    also = [name for name in ("sure", "novelty") if getattr(scored, f"{name}_n") is not None]
    shares = (f"{PREFIX}{name}" for name in scored.classes)
    rows = _rows(scored, [scored.classes[label] for label in scored.labels_n])
    more = _rows(strange, [""] * len(strange)) if strange is not None else ()
    columns = ["path", "label", "predicted", "confidence", *shares, *also]
    write_table(path, columns, chain(rows, more))


def _rows(answered: Answered, labels: Sequence[str]) -> Iterator[list[str]]:
    columns = [answered.confidence_n[:, np.newaxis], answered.probs_nc]
    if answered.novelty_n is not None:
        columns.append(answered.novelty_n[:, np.newaxis])
    numbers = np.concatenate(columns, axis=1)
    names = [answered.classes[index] for index in answered.predicted_n]
    for place, (photo, label, name) in enumerate(zip(answered.paths, labels, names, strict=True)):
        values = [f"{value:.6f}" for value in numbers[place]]
        if answered.sure_n is not None:
            values.insert(1 + len(answered.classes), str(int(answered.sure_n[place])))
        yield [photo, label, name, *values]


def read_predictions(path: Path) -> Scored:
    """Read what `write_predictions` wrote; only ``path``, ``label`` and ``p_<class>`` count.

    Raises:
        TrainingError: not such a file.
    """
    table = read_table(path, TrainingError)
    classes = tuple(name.removeprefix(PREFIX) for name in table.columns if name.startswith(PREFIX))
    if table.lacking(("path", "label")) or not classes or not table.rows:
        raise TrainingError(f"{path}: no predictions; the columns are path, label and p_CLASS")
    return _scored(path, table.rows, classes)


def _scored(path: Path, rows: list[dict[str, str]], classes: tuple[str, ...]) -> Scored:
    number = {name: index for index, name in enumerate(classes)}
    strange = sorted({row["label"] or "" for row in rows} - set(number))
    if strange:
        raise TrainingError(f"{path}: label {strange[0]!r} has no column {PREFIX}{strange[0]}")
    names = tuple(row["path"] for row in rows)
    if len(set(names)) < len(names):
        raise TrainingError(f"{path}: a photo is listed twice")
    try:
        probs_nc = np.array([[float(row[PREFIX + name]) for name in classes] for row in rows])
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{path}: a probability is no number ({error})") from error
    labels_n = np.array([number[row["label"]] for row in rows], np.int64)
    return Scored(names, labels_n, probs_nc.astype(np.float32), classes)
