"""How much is let in at once; the others are told so without waiting.

A request holds room for its body while that arrives, and a place once it is there: a client that
sends slowly keeps nobody from being answered. Both are used from the event loop alone, so they need
no locks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .problems import full

__all__ = ["BodyRoom", "Places", "Room"]


class Places:
    """A fixed number of places for requests that are worked on or wait for that.

    Args:
        number: of places.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.taken = 0

    def check(self) -> None:
        """Refuse a request that would find no place now, before its body is sent for nothing.

        Raises:
            RefusedError: 503, if all are taken.
        """
        if self.taken >= self.number:
            raise full("all places are taken; try again")

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            RefusedError: 503, if all are taken.
        """
        self.check()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class Room:
    """Room in memory for the bodies of all requests together.

    Args:
        max_bytes: of all of them.
        max_bodies: that are held at once, however few bytes of them are there.
    """

    def __init__(self, max_bytes: int, max_bodies: int) -> None:
        self.max_bytes, self.max_bodies = max_bytes, max_bodies
        self.bytes = self.bodies = 0

    @contextmanager
    def one(self) -> Iterator[BodyRoom]:
        """Hold room for one body, which has none of its bytes yet.

        Raises:
            RefusedError: 503, if there are too many.
        """
        if self.bodies >= self.max_bodies:
            raise full("too many requests send at once; try again")
        self.bodies += 1
        body = BodyRoom(self)
        try:
            yield body
        finally:
            self.bodies -= 1
            self.bytes -= body.bytes


class BodyRoom:
    """What one body takes of the room.

    Args:
        room: for all.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self.bytes = 0

    def take(self, number: int) -> None:
        """Take room for bytes that came.

        Raises:
            RefusedError: 503, if there is none left.
        """
        if self._room.bytes + number > self._room.max_bytes:
            raise full("no room for more photos now; try again")
        self._room.bytes += number
        self.bytes += number
