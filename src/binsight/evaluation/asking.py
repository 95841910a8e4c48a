"""Ask a model about photos, whatever kind of model it is: a bundle here, a run in `scoring`.

PyTorch is not imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from binsight.errors import ImageError
from binsight.images import ImageSource
from binsight.preprocess import PreprocessSpec
from binsight.runtime import Classifier

__all__ = ["Answer", "BundleModel", "Heard", "Model", "Progress", "hear"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says of one photo.

    Args:
        probs_c: calibrated probabilities (C,), as far as the model is calibrated.
        sure: ``None`` if the model cannot say.
        novelty: how strange the photo is to the model; ``None`` if it cannot say.
    """

    probs_c: NDArray[np.float32]
    sure: bool | None = None
    novelty: float | None = None


class Model(Protocol):
    """What evaluation asks: a bundle or a run, any number of photos in constant memory."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""

    @property
    def preprocess(self) -> PreprocessSpec:
        """How it prepares photos."""

    def answers(self, photos: Iterable[ImageSource]) -> Iterator[Answer | ImageError]:
        """An answer for each photo, in order; a broken one gives its error."""


class BundleModel:
    """A bundle, through the runtime that everybody uses."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    @property
    def classes(self) -> tuple[str, ...]:
        """See `Model`."""
        return self.classifier.classes

    @property
    def preprocess(self) -> PreprocessSpec:
        """See `Model`."""
        return self.classifier.metadata.preprocess

    def answers(self, photos: Iterable[ImageSource]) -> Iterator[Answer | ImageError]:
        """See `Model`."""
        for one in self.classifier.classify_each(photos):
            if isinstance(one, ImageError):
                yield one
                continue
            yield Answer(np.array(list(one.probs.values()), np.float32), one.sure, one.novelty)


@dataclass(frozen=True, eq=False)
class Heard:
    """Answers for those of N files that could be read, and the errors of the others.

    Args:
        read_n: whether a file could be read.
        probs_mc: probabilities of the M that could.
        sure_m: ``None`` if the model cannot say.
        novelty_m: ``None`` if the model cannot say.
        errors: of the N - M others, in order.
    """

    read_n: NDArray[np.bool_]
    probs_mc: NDArray[np.float32]
    sure_m: NDArray[np.bool_] | None
    novelty_m: NDArray[np.float32] | None
    errors: tuple[ImageError, ...]


def hear(model: Model, files: Sequence[Path], *, progress: Progress | None = None) -> Heard:
    """Ask a model about files. Photos are read as they are needed; answers alone are kept."""
    read_n = np.zeros(len(files), np.bool_)
    probs_nc = np.zeros((len(files), len(model.classes)), np.float32)
    sure: list[bool | None] = []
    novelty: list[float | None] = []
    errors: list[ImageError] = []
    for number, answer in enumerate(model.answers(files)):
        if isinstance(answer, ImageError):
            errors.append(answer)
        else:
            read_n[number], probs_nc[number] = True, answer.probs_c
            sure.append(answer.sure)
            novelty.append(answer.novelty)
        if progress:
            progress(number + 1, len(files))
    return Heard(
        read_n,
        probs_nc[read_n],
        None if None in sure else np.array(sure, np.bool_),
        None if None in novelty else np.array(novelty, np.float32),
        tuple(errors),
    )
