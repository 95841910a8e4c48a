"""Logs: one JSON object a line on stderr, without photos and without their names."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import structlog

__all__ = ["Seldom", "configure", "logger"]

Processor = Any  # structlog's own type of it names types that change

SECONDS_BETWEEN = 10.0
# asyncio says it for each connection that it cannot take, up to thousands of times a second.
NO_FILES = "socket.accept() out of system resource"

logger = structlog.stdlib.get_logger("binsight.service")


class Seldom:
    """When to say again what could be said all the time.

    Args:
        seconds: at least between two times.
    """

    def __init__(self, seconds: float = SECONDS_BETWEEN) -> None:
        self._seconds, self._last = seconds, -seconds

    def due(self) -> bool:
        """Whether it may be said now; then it counts as said."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


class _Flood(logging.Filter):
    """Lets `NO_FILES` through only once in a while."""

    def __init__(self) -> None:
        super().__init__()
        self._seldom = Seldom()

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(NO_FILES) or self._seldom.due()


def configure() -> None:
    """Send every log of this process through structlog; the service's start alone calls it."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Without the values of variables, among which are photos and tokens.
        structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        ),
        _without_colour,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=())],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("asyncio").filters[:] = [_Flood()]


def _without_colour(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """uvicorn sends its messages a second time, with colours."""
    event.pop("color_message", None)
    return event
