"""What a model said about labelled photos: the one input of every metric, figure and report.

It checks its own shapes. Running a model is left to the caller, measuring to `metrics`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from binsight.errors import TrainingError
from binsight.files import replacing

__all__ = ["Scored", "write_predictions"]

SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Scored:
    """A model's probabilities for labelled photos, and the labels.

    Args:
        paths: relative POSIX paths, as in the catalog.
        labels_n: true class index of each photo, 0 to C-1.
        probs_nc: calibrated probabilities; each row is in [0, 1] and sums to 1 within 1e-3.
        classes: the C class names, in the model's order, each once.

    Raises:
        TrainingError: the parts do not fit together, or a probability is not one.
    """

    paths: tuple[str, ...]
    labels_n: NDArray[np.int64]
    probs_nc: NDArray[np.float32]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        self._check_shapes()
        self._check_values()

    def _check_shapes(self) -> None:
        photos, classes = len(self.paths), len(self.classes)
        if self.labels_n.shape != (photos,) or self.probs_nc.shape != (photos, classes):
            raise TrainingError(
                f"{photos} paths and {classes} classes do not fit labels of shape "
                f"{self.labels_n.shape} and probabilities of shape {self.probs_nc.shape}"
            )
        if not classes or len(set(self.classes)) != classes:
            raise TrainingError(f"class names must be there, each once: {list(self.classes)}")
        if not np.issubdtype(self.labels_n.dtype, np.integer):
            raise TrainingError(f"labels must be integers, not {self.labels_n.dtype}")

    def _check_values(self) -> None:
        if ((self.labels_n < 0) | (self.labels_n >= len(self.classes))).any():
            raise TrainingError(f"a label is outside 0 to {len(self.classes) - 1}")
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
    def correct_n(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the true one."""
        correct_n: NDArray[np.bool_] = self.predicted_n == self.labels_n
        return correct_n

    def subset(self, mask_n: NDArray[np.bool_]) -> Scored:
        """Return the photos where ``mask_n`` is true, in their order."""
        if mask_n.shape != (len(self),) or mask_n.dtype != np.bool_:
            raise TrainingError(f"a mask must be {len(self)} booleans, one for each photo")
        paths = tuple(self.paths[index] for index in np.flatnonzero(mask_n))
        return Scored(paths, self.labels_n[mask_n], self.probs_nc[mask_n], self.classes)


def write_predictions(path: Path, scored: Scored) -> None:
    """Write ``path,label,predicted,confidence`` and one ``p_<class>`` column for each class.

    Labels are class names; probabilities carry six digits after the point.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        header = ["path", "label", "predicted", "confidence"]
        writer.writerow(header + [f"p_{name}" for name in scored.classes])
        rows = zip(
            scored.paths,
            scored.labels_n,
            scored.predicted_n,
            scored.confidence_n,
            scored.probs_nc,
            strict=True,
        )
        for photo, label, predicted, confidence, probs_c in rows:
            names = [photo, scored.classes[label], scored.classes[predicted]]
            writer.writerow(names + [f"{value:.6f}" for value in (confidence, *probs_c)])
