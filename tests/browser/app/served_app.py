"""The app in a process of its own, and what Chromium is started with."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src"
RUN = "from binsight.interfaces.cli import main; main()"
PATIENCE = 180_000  # milliseconds, for a machine that is busy
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Start the app with corrections in a folder; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--model", "small", "--bins", "berlin", "--port", str(port)]
    command = [sys.executable, "-c", RUN, "app", *options, "--corrections", "corrections"]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as app:
        try:
            _wait_for(port, app)
            yield f"http://127.0.0.1:{port}"
        finally:
            app.send_signal(signal.SIGKILL)


def _wait_for(port: int, app: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < until:
        assert app.poll() is None, "the app ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise TimeoutError("the app did not start")
