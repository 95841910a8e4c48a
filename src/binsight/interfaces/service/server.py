"""Run the application with uvicorn: open the port, log as JSON, stop without losing a request."""

from __future__ import annotations

import signal
import socket
import sys

import uvicorn

from binsight.errors import UsageError

from . import logs
from .application import create_app
from .settings import Settings

__all__ = ["run"]

BACKLOG = 1024
LOOPBACK = ("127.", "::1", "localhost")


def run(settings: Settings, *, host: str, port: int, grace_seconds: int) -> None:
    """Serve until SIGTERM or an interrupt, then finish what was begun.

    Args:
        settings: of the service.
        host: address to listen on.
        port: to listen on; 0 takes a free one, which the log names.
        grace_seconds: that running requests have to end.

    Raises:
        BinsightError: the model or the bins cannot be used, or the port is not free.
    """
    listening = _listen(host, port)
    with listening:
        logs.configure()
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=grace_seconds,
            backlog=BACKLOG,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn raises the signal once more when all is done.
            signal.signal(number, lambda *_: sys.exit(0))
        _say(settings, host, listening.getsockname()[1])
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{host}, port {port}: {reason}; give another --host or --port") from error


def _say(settings: Settings, host: str, port: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    logs.logger.info(
        "serving",
        url=f"http://{shown}:{port}",
        tokens=len(settings.tokens),
        workers=settings.workers,
        places=settings.places,
    )
    if not settings.tokens and not host.startswith(LOOPBACK):
        logs.logger.warning("whoever reaches this address may ask; give tokens to change that")
