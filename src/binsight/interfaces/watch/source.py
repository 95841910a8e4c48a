"""What kind of thing a SOURCE is: a camera, a stream, a video or a folder."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from binsight.errors import SourceError
from binsight.images import PHOTO_SUFFIXES

__all__ = ["CAMERA_PASSWORD", "Kind", "Source", "source_of"]

CAMERA_PASSWORD = "BINSIGHT_CAMERA_PASSWORD"  # noqa: S105  # the name of a variable
SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp"})
DEVICE_FORMAT = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
STILL_PHOTOS = PHOTO_SUFFIXES - {".gif"}


class Kind(StrEnum):
    """How a source is read."""

    CAMERA = "camera"
    STREAM = "stream"
    VIDEO = "video"
    FOLDER = "folder"


@dataclass(frozen=True)
class Source:
    """A source, told apart.

    Args:
        kind: how it is read.
        address: what FFmpeg opens, or a path; may hold a password.
        name: the same for people and logs, without a password.
        format: FFmpeg's name of the device's input format; ``None`` lets it find out.
    """

    kind: Kind
    address: str
    name: str
    format: str | None = None

    @property
    def identity(self) -> str:
        """What tells it from all others, wherever it is started from; not for people to read."""
        if self.kind in {Kind.FOLDER, Kind.VIDEO}:
            return str(Path(self.address).absolute())
        # Recorders tell their cameras apart by the query.
        query = urlsplit(self.address).query if self.kind is Kind.STREAM else ""
        return f"{self.name}?{query}" if query else self.name


def source_of(text: str) -> Source:
    """Tell what is meant.

    Args:
        text: a camera's number or device, a URL, a video file or a folder. A URL with a user and no
            password gets that of the environment (`CAMERA_PASSWORD`).

    Raises:
        SourceError: no such file, a photo, or a kind of URL that is not known.
    """
    if "://" in text:
        return _stream(text)
    if re.fullmatch(r"\d{1,3}", text) or text.startswith(("/dev/", "video=")):
        return _camera(text)
    path = Path(text)
    if path.is_dir():
        return Source(Kind.FOLDER, text, text)
    if not path.exists():
        raise SourceError(
            f"no such file or folder: {text}; give a camera's number (0), a device, an rtsp:// "
            "URL, a video or a folder"
        )
    if path.suffix.lower() in STILL_PHOTOS:
        raise SourceError(f"{text} is a photo; run: binsight classify {text}")
    return Source(Kind.VIDEO, text, text)


def _camera(text: str) -> Source:
    address = f"/dev/video{text}" if text.isdigit() and sys.platform == "linux" else text
    if sys.platform == "win32" and not text.startswith("video="):
        raise SourceError(f'camera {text}: on Windows give its name, such as "video=USB Camera"')
    return Source(Kind.CAMERA, address, address, DEVICE_FORMAT.get(sys.platform))


def _stream(text: str) -> Source:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise SourceError(f"a URL that cannot be read ({error})") from error
    if parts.scheme not in SCHEMES or not host:
        known = ", ".join(sorted(SCHEMES))
        raise SourceError(f"not a URL to watch; give rtsp://HOST/PATH, or one of {known}")
    where = parts.netloc.rpartition("@")[2]
    password = os.environ.get(CAMERA_PASSWORD)
    login = parts.netloc.rpartition("@")[0]
    if login and parts.password is None and password:
        login = f"{login}:{quote(password, safe='')}"
    address = urlunsplit(parts._replace(netloc=f"{login}@{where}" if login else where))
    return Source(Kind.STREAM, address, urlunsplit(parts._replace(netloc=where, query="")))
