"""Serve a site on this machine: for trying it out, or behind a proxy that adds https."""

from __future__ import annotations

import socket
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from binsight.errors import UsageError

__all__ = ["serving"]


class SiteHandler(SimpleHTTPRequestHandler):
    """Static files with the types that browsers insist on, asked about anew each time."""

    extensions_map = {  # noqa: RUF012 - as the class above has it
        "": "application/octet-stream",
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".png": "image/png",
        ".txt": "text/plain; charset=utf-8",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
    }

    def end_headers(self) -> None:
        """Add what every answer has."""
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
        super().end_headers()

    def list_directory(self, path: object) -> None:
        """List nothing."""
        del path
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: a line for each file helps nobody."""


class SiteServer(ThreadingHTTPServer):
    """Does not mind visitors who leave while they are sent something."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say what went wrong, unless that is all."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class SiteServer6(SiteServer):
    """The same for IPv6."""

    address_family = socket.AF_INET6


def serving(site: Path, host: str, port: int) -> ThreadingHTTPServer:
    """A server that listens; ``serve_forever`` makes it answer.

    Args:
        site: as `write_site` left it.
        host: to listen on.
        port: to listen on; 0 takes a free one.

    Raises:
        UsageError: the port is taken, or the host is none of this machine's.
    """
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family = found[0][0]
        kind = SiteServer6 if family == socket.AF_INET6 else SiteServer
        return kind((host, port), partial(SiteHandler, directory=str(site)))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{host}:{port}: {reason}; choose another --port or --host") from error
