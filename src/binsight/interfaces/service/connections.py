"""How many connections may be open, and for how long one may keep the service waiting.

uvicorn closes a connection that stays silent after an answer, and no other: one that never sends
the whole head of a request, or never takes its answer, would hold its file for good. When all files
are taken, nobody is let in any more. How long a body may take is not decided here, but in `bodies`
and `edge`; who sends one may have to make way all the same.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from binsight.errors import UsageError

from .logs import Seldom, logger

__all__ = ["ACCEPTED_AT_ONCE", "Connection", "Limits", "allow_files", "limited"]

MOST = 1000
# Taken from the queue in one turn of the event loop, which closes those that are too many some
# turns later only.
ACCEPTED_AT_ONCE = 16
TURNS = 5
OWN_FILES = 48  # bundle, corrections, the loop's own, and whatever a library opens
SPARE = TURNS * ACCEPTED_AT_ONCE + OWN_FILES
LEAST = 16


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long connections may keep the service waiting.

    Args:
        most: that are open at once; for the next one, the one that waits longest is closed.
        head_seconds: in which the whole head of a request must be there, from the connection's
            start or the end of the answer before. (A client that stays silent after an answer
            is left sooner, by uvicorn's `timeout_keep_alive`.)
        answer_seconds: in which a client must have taken its answer.
    """

    most: int = MOST
    head_seconds: float = 30.0
    answer_seconds: float = 300.0


class Connection(H11Protocol):
    """uvicorn's connection, closed when it is its client that lets the service wait.

    `limited` makes the class that uvicorn is given.
    """

    limits: ClassVar[Limits]
    waiting: ClassVar[dict[Connection, float]]  # since when; the longest one comes first
    crowded: ClassVar[Seldom]
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, in the place of another connection if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.most:
            self._make_way()
        if not transport.is_closing():
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._stop()

    def handle_events(self) -> None:
        """Take what came, which may have been the end of a request's head."""
        super().handle_events()
        self._look()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, or go on with one that is there."""
        self._stop()
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """Begin to wait for the client to take its answer."""
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        """Go on with the answer."""
        super().resume_writing()
        self._look()

    def _look(self) -> None:
        """Count the time exactly while it is the client's turn: to send, or to take."""
        if self._is_answering() and not self.cycle.more_body and not self.flow.write_paused:
            self._stop()
        elif self not in self.waiting:
            self.waiting[self] = self.loop.time()
            self._timer = self.loop.call_later(self.limits.head_seconds, self._late)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _late(self) -> None:
        if self.transport.get_write_buffer_size() > 0:
            over = self.loop.time() - self.waiting[self] >= self.limits.answer_seconds
        else:
            over = not self._is_answering()  # a body has limits of its own
        if over:
            self._leave()
        else:
            self._timer = self.loop.call_later(self.limits.head_seconds, self._late)

    def _make_way(self) -> None:
        if self.crowded.due():
            logger.warning(
                "too many connections; those that wait longest are closed", most=self.limits.most
            )
        # Who has a request to send does so at once: no crowd that dawdles keeps anybody out. If
        # all others are being answered, it is the new one that goes.
        next(iter(self.waiting), self)._leave()

    def _leave(self) -> None:
        self._stop()
        # Not close(), which waits for the client to take what is left of an answer.
        self.transport.abort()

    def _stop(self) -> None:
        self.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def limited(limits: Limits) -> type[Connection]:
    """The class of the connections of one server, for `http` of uvicorn's configuration."""
    own = {"limits": limits, "waiting": {}, "crowded": Seldom()}
    return type("LimitedConnection", (Connection,), own)


def allow_files(most: int = MOST) -> int:
    """Let this process open as many files as the connections need, as far as it may.

    Args:
        most: connections that are wanted.

    Returns:
        Connections that there are files for.

    Raises:
        UsageError: for hardly any.
    """
    if sys.platform == "win32":  # sockets are no files there
        return most
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite, files = resource.RLIM_INFINITY, most + SPARE
    if soft == infinite:
        return most
    if soft < files and soft != hard:
        soft = files if hard == infinite else min(files, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    found = min(most, soft - SPARE)
    if found < LEAST:
        raise UsageError(
            f"this process may open {soft} files; allow {LEAST + SPARE} or more: ulimit -n"
        )
    return found
