"""The service for tests: an application on the small bundle, asked without a network."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from PIL import Image
from structlog.testing import capture_logs

from binsight.interfaces.service.application import create_app
from binsight.interfaces.service.settings import Settings

JPEG = {"Content-Type": "image/jpeg"}


@contextmanager
def service(bundle: Path, **settings: Any) -> Iterator[TestClient]:
    """Ask the application in this process; an error in it becomes its 500, as on the network."""
    chosen = {"workers": 2, "watch_seconds": 0.0} | settings
    app = create_app(Settings(model=str(bundle), **chosen))
    with capture_logs(), TestClient(app, raise_server_exceptions=False) as client:
        yield client


def encoded(photo: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    photo.save(file, kind)
    return file.getvalue()


def form(*photos: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    """Photos as httpx sends them in a form."""
    return [("photos", (name, data, "image/png")) for name, data in photos]
