"""Start Streamlit with the app, and with nothing that it does unasked."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from binsight.errors import UsageError

from .desk import MAX_MEGABYTES
from .settings import Settings

__all__ = ["options", "serve"]

GREEN, LIGHT_GREEN = "#14634a", "#46c194"


def options(host: str, port: int, certificate: Path | None, key: Path | None) -> dict[str, object]:
    """Streamlit's options: no browser opened, nothing reported, nobody else's files watched."""
    chosen: dict[str, object] = {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.maxUploadSize": MAX_MEGABYTES,
        "browser.gatherUsageStats": False,
        "logger.hideWelcomeMessage": True,  # it would ask the internet for this machine's address
        "client.toolbarMode": "minimal",
        "client.disableDataExport": True,  # many.as_csv is the one way, with names made harmless
        "client.showErrorDetails": "none",
        "theme.light.primaryColor": GREEN,
        "theme.dark.primaryColor": LIGHT_GREEN,
    }
    if certificate and key:
        chosen |= {"server.sslCertFile": str(certificate), "server.sslKeyFile": str(key)}
    return chosen


def serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Serve until interrupted.

    Raises:
        UsageError: host and port cannot be listened on, or certificate and key are not a pair.
    """
    from streamlit.web import bootstrap

    if (certificate is None) != (key is None):
        raise UsageError("--certificate and --key go together; give both")
    if certificate and key:
        _check_pair(certificate, key)
    _check_free(host, port)
    chosen = options(host, port, certificate, key)
    bootstrap.load_config_options(chosen)
    script = str(Path(__file__).with_name("script.py"))
    bootstrap.run(script, False, [settings.to_argument()], chosen)


def _check_pair(certificate: Path, key: Path) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(
            f"{certificate}, {key}: {error.strerror or error}; give a certificate and its key (PEM)"
        ) from error


def _check_free(host: str, port: int) -> None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"cannot listen on {host}:{port} ({error}); give another --port or --host"
        ) from error
