"""Any number of photos through a model, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from binsight.errors import ImageError
from binsight.images import ImageSource

__all__ = ["answer_each"]

Floats = NDArray[np.float32]
Answer = TypeVar("Answer")


def answer_each(
    photos: Iterable[ImageSource],
    prepare: Callable[[ImageSource], Floats],
    ask: Callable[[Floats], Iterable[Answer]],
    *,
    batch: int,
) -> Iterator[Answer | ImageError]:
    """An answer for each photo, in order and constant memory; a broken one gives its error.

    Args:
        photos: taken as they are needed.
        prepare: photo to image (3, H, W); may raise `ImageError`.
        ask: images (N, 3, H, W) to N answers.
        batch: largest N.
    """
    waiting: list[Floats | ImageError] = []
    for photo in photos:
        try:
            waiting.append(prepare(photo))
        except ImageError as error:
            waiting.append(error)
        if len(waiting) == batch:
            yield from _answers(waiting, ask)
            waiting = []
    yield from _answers(waiting, ask)


def _answers(
    waiting: list[Floats | ImageError], ask: Callable[[Floats], Iterable[Answer]]
) -> Iterator[Answer | ImageError]:
    readable = [one for one in waiting if not isinstance(one, ImageError)]
    answers = iter(ask(np.stack(readable)) if readable else ())
    for one in waiting:
        yield one if isinstance(one, ImageError) else next(answers)
