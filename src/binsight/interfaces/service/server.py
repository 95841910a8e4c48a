"""Run the application with uvicorn: open the port, log as JSON, stop without losing a request."""

from __future__ import annotations

import signal
import socket
import sys

import uvicorn

from binsight.errors import UsageError

from . import logs
from .application import create_app
from .connections import ACCEPTED_AT_ONCE, Limits, allow_files, limited
from .settings import Settings

__all__ = ["run"]

QUEUE = 1024  # connections that the system holds until they are taken
LOOPBACK = ("127.", "::1", "localhost")


def run(settings: Settings, *, host: str, port: int, grace_seconds: int) -> None:
    """Serve until SIGTERM or an interrupt, then finish what was begun.

    Args:
        settings: of the service.
        host: address to listen on.
        port: to listen on; 0 takes a free one, which the log names.
        grace_seconds: that running requests have to end.

    Raises:
        BinsightError: the model or the bins cannot be used, the port is not free, or hardly any
            files may be opened.
    """
    connections = allow_files()
    listening = _listen(host, port)
    with listening:
        logs.configure()
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            # Named, not left to what happens to be installed: the limits are made for these two.
            http=limited(Limits(most=connections)),
            loop="asyncio",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=grace_seconds,
            backlog=ACCEPTED_AT_ONCE,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn raises the signal once more when all is done.
            signal.signal(number, lambda *_: sys.exit(0))
        _say(settings, host, listening.getsockname()[1], connections)
        _Server(config).run(sockets=[listening])


class _Server(uvicorn.Server):
    """asyncio has one number for the connections that it takes at once and for those that queue."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for one in sockets or []:
            one.listen(QUEUE)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=QUEUE)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{host}, port {port}: {reason}; give another --host or --port") from error


def _say(settings: Settings, host: str, port: int, connections: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    logs.logger.info(
        "serving",
        url=f"http://{shown}:{port}",
        tokens=len(settings.tokens),
        workers=settings.workers,
        places=settings.places,
        connections=connections,
    )
    if not settings.tokens and not host.startswith(LOOPBACK):
        logs.logger.warning("whoever reaches this address may ask; give tokens to change that")
