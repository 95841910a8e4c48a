"""A model for tests that is no network: it answers from a photo's mean colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from binsight.errors import ImageError
from binsight.evaluation.asking import Answer
from binsight.preprocess import PreprocessSpec, load

CLASSES = ("red", "green", "blue")


class ByColour:
    """Says which of three colours a photo has most of; sure above a probability of 0.8.

    ``novelty`` makes it say how grey a photo is.
    """

    classes = CLASSES
    preprocess = PreprocessSpec(size=32, resize_to=32)

    def __init__(self, *, novelty: bool = False, stop_after: int | None = None) -> None:
        self.novelty = novelty
        self.stop_after = stop_after
        self.asked = 0

    def answers(self, photos: Iterable[Any]) -> Iterator[Answer | ImageError]:
        for photo in photos:
            if self.asked == self.stop_after:
                raise KeyboardInterrupt
            self.asked += 1
            try:
                mean_c = load(photo, self.preprocess).mean(axis=(1, 2))
            except ImageError as error:
                yield error
                continue
            powers_c = np.exp(2 * (mean_c - mean_c.max()))
            probs_c = (powers_c / powers_c.sum()).astype(np.float32)
            novelty = float(-mean_c.std()) if self.novelty else None
            yield Answer(probs_c, bool(probs_c.max() >= 0.8), novelty)
