"""Serve a site while a test runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

from binsight.interfaces.web.server import serving


@contextmanager
def answering(site: Path) -> Iterator[ThreadingHTTPServer]:
    with serving(site, "127.0.0.1", 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()
