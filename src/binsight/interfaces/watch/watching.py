"""The two loops: over the pictures of a view, and over the photos of a folder."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from .frames import Frame, camera_frames, open_source, video_frames
from .scene import Scene, SceneOptions
from .source import Kind, Source
from .teller import Teller

__all__ = ["stopping", "watch_folder", "watch_view"]

Say = Callable[[str], None]
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def watch_view(
    source: Source,
    teller: Teller,
    *,
    options: SceneOptions,
    rate: float,
    stop: threading.Event,
    say: Say,
) -> None:
    """Tell of each new thing that lies still, until a video ends or ``stop`` is set.

    Args:
        source: a camera, stream or video.
        teller: is given whole pictures.
        options: when a thing counts as new and still.
        rate: pictures a second that are looked at.
        stop: ends it.
        say: told what becomes of the camera.

    Raises:
        SourceError: it cannot be opened.
    """
    scene = Scene(options)
    for frame in _frames(source, rate, stop, say):
        if stop.is_set():
            return
        if scene.look(frame.grey_hw_u8, frame.at_s):
            at_s = frame.at_s if source.kind is Kind.VIDEO else None
            teller.picture(frame.picture(), at_s=at_s)


def watch_folder(
    folder: Path, teller: Teller, *, existing: bool, stop: threading.Event, say: Say
) -> None:
    """Tell of each photo that comes into a folder, until ``stop`` is set.

    Args:
        folder: with all below it.
        teller: is given files.
        existing: also tell of those that are there already.
        stop: ends it.
        say: told what becomes of the folder.

    Raises:
        SourceError: it cannot be listed.
    """
    from .folder import NewPhotos

    photos = NewPhotos(folder, existing=existing, stop=stop, say=say)
    for path in photos:
        teller.photo(path, retry=photos.again)


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets; the second ends the process."""
    stop = threading.Event()
    before = {one: signal.getsignal(one) for one in SIGNALS}

    def ask_to_stop(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for one in SIGNALS:
        signal.signal(one, ask_to_stop)
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _frames(source: Source, rate: float, stop: threading.Event, say: Say) -> Iterable[Frame]:
    if source.kind is Kind.VIDEO:
        return video_frames(open_source(source), rate=rate)
    return camera_frames(source, rate=rate, stop=stop, say=say)
