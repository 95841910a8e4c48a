"""Around every request: its identity, one line of log, its figures, and the rest of its body.

Plain ASGI, so that nothing is buffered on the way.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from dataclasses import dataclass, field

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .logs import logger
from .metrics import Metrics
from .problems import stopping, unexpected

__all__ = ["Drained", "Edge"]

REQUEST_ID = "X-Request-ID"
SAFE_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds
DRAIN_SECONDS = 5.0


class Drained:
    """Reads and forgets what is left of a body once its answer is sent.

    A connection that is closed while its client still sends is reset, and the client may never see
    why it was refused.

    Args:
        app: the application.
        max_bytes: that are read at most.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        unread = True

        async def receive_and_note() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and bool(message.get("more_body"))
            return message

        async def send_and_drain(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body")
            if not (last and unread):
                await send(message)
                return
            await send({**message, "more_body": True})
            await self._drain(receive)
            await send({"type": "http.response.body", "body": b""})

        await self._app(scope, receive_and_note, send_and_drain)

    async def _drain(self, receive: Receive) -> None:
        read, more = 0, True
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while more and read <= self._max_bytes:
                    message = await receive()
                    read += len(message.get("body", b""))
                    more = bool(message.get("more_body"))
        except TimeoutError:
            return


def _has_body(headers: Headers) -> bool:
    if "expect" in headers:  # its client sends nothing before it is told to
        return False
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


@dataclass
class _Seen:
    """What is told of a request when it is over."""

    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    first_byte: float = 0.0


class Edge:
    """Gives each request an identity, logs and counts it.

    Args:
        app: the application.
        metrics: to count in.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope))
        seen = _Seen()

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                seen.first_byte = time.perf_counter() - seen.started
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_and_note)
            except asyncio.CancelledError:  # the time that running requests had is over
                if seen.status:
                    raise
                await stopping()(scope, receive, send_and_note)
            except Exception:
                logger.exception("unexpected")
                if not seen.status:
                    await unexpected()(scope, receive, send_and_note)
            finally:
                self._note(scope, seen)

    def _note(self, scope: Scope, seen: _Seen) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.requests.labels(route, method, str(seen.status or 500)).inc()
        self._metrics.request_seconds.labels(route).observe(seen.first_byte)
        if route not in QUIET:
            logger.info(
                "request",
                method=method,
                route=route,
                status=seen.status or 500,
                ms=round(seen.first_byte * 1000, 1),
                **scope.get("state", {}).get("told", {}),
            )


def _request_id(headers: Headers) -> str:
    """The client's own, if it can be logged as it is, or a new one."""
    given = headers.get(REQUEST_ID, "")
    return given if SAFE_ID.fullmatch(given) else uuid.uuid4().hex
