"""Does a new bundle answer like what it was made of? Asked before it gets its name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from binsight.bundle import Metadata, Parity, describe, write_bundle
from binsight.errors import ParityError
from binsight.images import ImageSource

from .classifier import Classifier
from .prediction import Prediction

__all__ = [
    "NOVELTY_TOLERANCE",
    "PARITY_TOLERANCE",
    "check_novelty",
    "check_parity",
    "novelty_difference",
    "write_if_alike",
]

PARITY_TOLERANCE = 1e-4
# Of 1, or of the novelty where that is more. It counts in deviations, and where photos are much
# alike one of these is so little that float32 cannot tell it to a thousandth.
NOVELTY_TOLERANCE = 1e-2


def write_if_alike(
    out: Path,
    model: Any,
    description: Callable[[Parity], Metadata],
    photos: Sequence[ImageSource],
    expected_nc: NDArray[np.float32],
    *,
    novelty_n: NDArray[np.floating[Any]] | None = None,
    most: int,
) -> Metadata:
    """Show photos to a draft of a bundle, and write it if it answers as expected.

    Args:
        out: the bundle's path.
        model: ONNX ModelProto; its description is replaced.
        description: of the bundle, once its parity is known.
        photos: to draw from, evenly.
        expected_nc: probabilities (N, C) of all of them, by what the model was made of.
        novelty_n: likewise their novelty, if the model has that output.
        most: about how many photos to show, at least 1; never more than twice as many.

    Raises:
        ParityError: a label differs, or a probability by more than `PARITY_TOLERANCE`, or the
            novelty by more than `NOVELTY_TOLERANCE`.
    """
    step = max(1, len(photos) // most)
    shown = list(photos)[::step]
    describe(model, description(Parity(photos=len(shown), same_label=1.0, max_difference=0.0)))
    answers = _answers_of(model.SerializeToString(), shown)
    found_nc = np.array([list(answer.probs.values()) for answer in answers], np.float32)
    parity = check_parity(expected_nc[::step], found_nc)
    if novelty_n is not None:
        found_n = np.array([answer.novelty for answer in answers], np.float64)
        difference = check_novelty(novelty_n[::step], found_n)
        parity = parity.model_copy(update={"max_novelty_difference": difference})
    metadata = description(parity)
    describe(model, metadata)
    write_bundle(out, model.SerializeToString())
    return metadata


def _answers_of(model: bytes, photos: Sequence[ImageSource]) -> list[Prediction]:
    """What a described but unsealed model says, through the runtime."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "draft.onnx"
        write_bundle(path, model)
        return Classifier(path).classify(list(photos))


def check_parity(expected_nc: NDArray[np.float32], found_nc: NDArray[np.float32]) -> Parity:
    """Compare two sets of probabilities of the same photos.

    Raises:
        ParityError: a label differs, or a probability by more than `PARITY_TOLERANCE`.
    """
    same = expected_nc.argmax(axis=1) == found_nc.argmax(axis=1)
    difference = float(np.abs(expected_nc - found_nc).max())
    if not same.all() or not difference <= PARITY_TOLERANCE:
        raise ParityError(
            f"the exported model does not answer like its checkpoint: {int((~same).sum())} of "
            f"{len(same)} labels differ, probabilities by up to {difference:.2g} (allowed "
            f"{PARITY_TOLERANCE:g}); no bundle was written"
        )
    return Parity(photos=len(same), same_label=float(same.mean()), max_difference=difference)


def novelty_difference(
    expected_n: NDArray[np.floating[Any]], found_n: NDArray[np.floating[Any]]
) -> float:
    """The largest difference of two novelties of the same photos, as a share of those above 1."""
    return float((np.abs(expected_n - found_n) / np.maximum(1, np.abs(expected_n))).max())


def check_novelty(
    expected_n: NDArray[np.floating[Any]], found_n: NDArray[np.floating[Any]]
) -> float:
    """See `novelty_difference`.

    Raises:
        ParityError: it is above `NOVELTY_TOLERANCE`.
    """
    difference = novelty_difference(expected_n, found_n)
    if not difference <= NOVELTY_TOLERANCE:
        raise ParityError(
            f"the novelty in the exported model differs by up to {difference:.2g} from what it was "
            f"made of (allowed {NOVELTY_TOLERANCE:g}); no bundle was written; a network that has "
            "hardly learned tells photos so little apart: train it longer, or from weights"
        )
    return difference
