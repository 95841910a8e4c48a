"""Does an exported file answer like its parent on real photos, and does that cost accuracy?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from binsight.bundle import Parity, Precision
from binsight.errors import ParityError
from binsight.preprocess import PreprocessSpec, load
from binsight.runtime.parity import NOVELTY_TOLERANCE, novelty_difference

__all__ = [
    "LARGEST_FALL",
    "TOLERANCES",
    "Answers",
    "Floats",
    "Progress",
    "Runner",
    "Tolerance",
    "answers_of",
    "answers_of_each",
    "check",
    "compare",
    "fall_of",
    "parity_of",
    "times_as_fast",
]

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]
LARGEST_FALL = {"fp16": 0.005, "int8": 0.01}  # of accuracy on validation photos
TURNS = 15


class Answers(NamedTuple):
    """What a file says of N images; ``None`` for what it does not say.

    Args:
        probs_nc: (N, C) calibrated probabilities.
        embedding_nd: (N, D).
        novelty_n: (N,).
    """

    probs_nc: Floats
    embedding_nd: Floats | None = None
    novelty_n: Floats | None = None

    @classmethod
    def by_name(cls, made: Mapping[str, Floats]) -> Answers:
        """From outputs by their names in a bundle."""
        return cls(made["probs"], made.get("embedding"), made.get("novelty"))


class Runner(Protocol):
    """An exported file, opened and ready to answer."""

    def run(self, images_nchw: Floats) -> Answers:
        """Answer preprocessed images (N, 3, size, size) float32, of any N of at least 1."""


class Tolerance(NamedTuple):
    """How far a file may be from its parent.

    Args:
        same_label: least share of photos with the same label.
        max_difference: of a probability.
        max_novelty_difference: of the novelty, or of 1 where it is less.
        spared: labels that may differ however few photos there are.
    """

    same_label: float
    max_difference: float = 1.0
    max_novelty_difference: float = math.inf
    spared: int = 0


TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(0.995, 1e-3, NOVELTY_TOLERANCE),
    "fp16": Tolerance(0.995, 0.1, 0.1),
    "int8": Tolerance(0.95, spared=1),  # what it costs in accuracy decides; its limits are its own
}


def answers_of(
    runner: Runner,
    files: Sequence[Path],
    spec: PreprocessSpec,
    *,
    progress: Progress | None = None,
) -> Answers:
    """What a runner says of photos, shown one by one; see `answers_of_each`."""
    (answers,) = answers_of_each((runner,), files, spec, progress=progress)
    return answers


def answers_of_each(
    runners: Sequence[Runner],
    files: Sequence[Path],
    spec: PreprocessSpec,
    *,
    progress: Progress | None = None,
) -> list[Answers]:
    """What several runners say of the same photos, each of which is read once.

    Raises:
        ImageError: a photo cannot be used.
    """
    rows: list[list[Answers]] = [[] for _ in runners]
    for image_chw in _loaded(files, spec, progress):
        for runner, its in zip(runners, rows, strict=True):
            its.append(runner.run(image_chw[np.newaxis]))
    return [_joined(its) for its in rows]


def _joined(rows: Sequence[Answers]) -> Answers:
    embeddings = [row.embedding_nd for row in rows if row.embedding_nd is not None]
    novelties = [row.novelty_n for row in rows if row.novelty_n is not None]
    return Answers(
        np.concatenate([row.probs_nc for row in rows]),
        np.concatenate(embeddings) if embeddings else None,
        np.concatenate(novelties) if novelties else None,
    )


def _loaded(
    files: Sequence[Path], spec: PreprocessSpec, progress: Progress | None
) -> Iterator[Floats]:
    for done, file in enumerate(files, start=1):
        yield load(file, spec)
        if progress:
            progress(done, len(files))


def compare(parent: Answers, found: Answers) -> Parity:
    """How alike two models' answers to the same photos are.

    Raises:
        ParityError: the second one's are no numbers.
    """
    broken_n = ~np.isfinite(found.probs_nc).all(axis=1)
    if found.novelty_n is not None:
        broken_n |= ~np.isfinite(found.novelty_n)
    broken = int(broken_n.sum())
    if broken:
        raise ParityError(
            f"it answers {broken} of {len(found.probs_nc)} photos with what is no number; take "
            "another precision or format"
        )
    same_n = parent.probs_nc.argmax(axis=1) == found.probs_nc.argmax(axis=1)
    novelty = None
    if parent.novelty_n is not None and found.novelty_n is not None:
        novelty = novelty_difference(parent.novelty_n, found.novelty_n)
    return Parity(
        photos=len(same_n),
        same_label=float(same_n.mean()),
        max_difference=float(np.abs(parent.probs_nc - found.probs_nc).max()),
        max_novelty_difference=novelty,
    )


def check(parity: Parity, tolerance: Tolerance) -> str | None:
    """What is wrong with a parity; ``None`` if nothing is."""
    wrong = round((1 - parity.same_label) * parity.photos)
    if parity.same_label < tolerance.same_label and wrong > tolerance.spared:
        return (
            f"{wrong} of {parity.photos} labels differ from its parent's (at most "
            f"{1 - tolerance.same_label:.1%} may)"
        )
    if parity.max_difference > tolerance.max_difference:
        return (
            f"probabilities differ by up to {parity.max_difference:.2g} from its parent's (at "
            f"most {tolerance.max_difference:g} may)"
        )
    if (parity.max_novelty_difference or 0.0) > tolerance.max_novelty_difference:
        return (
            f"the novelty differs by up to {parity.max_novelty_difference:.2g} from its parent's "
            f"(at most {tolerance.max_novelty_difference:g} may)"
        )
    return None


def parity_of(parent: Answers, found: Answers, precision: Precision) -> Parity:
    """Compare, and refuse what `TOLERANCES` do not allow.

    Raises:
        ParityError: it does not answer like its parent.
    """
    parity = compare(parent, found)
    if wrong := check(parity, TOLERANCES[precision]):
        raise ParityError(f"the exported file does not answer alike: {wrong}; it was not written")
    return parity


def fall_of(
    parent: Answers,
    found: Answers,
    labels_n: NDArray[np.int64],
    precision: Literal["fp16", "int8"],
) -> dict[str, float]:
    """Accuracy before and after, for the description.

    Raises:
        ParityError: it falls by more than `LARGEST_FALL`.
    """
    photos = len(labels_n)
    right, still = (int((one.probs_nc.argmax(axis=1) == labels_n).sum()) for one in (parent, found))
    most = LARGEST_FALL[precision]
    if right - still > most * photos:
        raise ParityError(
            f"{precision} costs too much: of {photos} validation photos {right} were right "
            f"({right / photos:.1%}), {still} would be ({still / photos:.1%}), and at most "
            f"{most:.1%} may be lost; it was not written"
        )
    return {
        "val_photos": float(photos),
        "val_accuracy": still / photos,
        f"val_accuracy_before_{precision}": right / photos,
    }


def times_as_fast(parent: Runner, found: Runner, image_chw: Floats) -> float:
    """How many times as fast as its parent a file answers one photo: of medians, taking turns."""
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(TURNS):
        for runner, seconds in zip((parent, found), took, strict=True):
            start = time.perf_counter()
            runner.run(image_chw[np.newaxis])
            seconds.append(time.perf_counter() - start)
    return median(took[0]) / median(took[1])
