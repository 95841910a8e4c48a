"""How many requests are let in at once; the others are told so without waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .problems import full

__all__ = ["Places"]


class Places:
    """A fixed number of places. Used from the event loop alone, so it needs no lock.

    Args:
        number: of places.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            RefusedError: 503, if all are taken.
        """
        if self.taken >= self.number:
            raise full("all places are taken; try again")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
