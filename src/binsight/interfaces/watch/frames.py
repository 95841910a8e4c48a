"""Pictures out of a video or a camera, a few a second: all that a scene needs, and no more work.

A camera may be unplugged and a stream may end; then it is opened again, later and later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from binsight.errors import SourceError

from .scene import GREY_SIZE
from .source import Kind, Source

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame

__all__ = ["Frame", "camera_frames", "open_source", "video_frames"]

Say = Callable[[str], None]
OPEN_S, READ_S = 10.0, 10.0  # a network that says nothing for so long is down
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
ROUNDING_S = 1e-6  # sums of 1 / rate must not come out later than the picture they mean
SILENT_S = 30.0
TICK_S = 0.25  # how often a wait looks whether to stop
JUMP_S = 1.0  # so far back, a video's time begins anew


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a view.

    Args:
        at_s: seconds: into a video, or of a clock that only rises.
        grey_hw_u8: the small grey picture, (72, 96).
        picture: gives the whole picture, (H, W, 3) uint8 RGB, upright.
    """

    at_s: float
    grey_hw_u8: NDArray[np.uint8]
    picture: Callable[[], NDArray[np.uint8]]


def open_source(source: Source) -> InputContainer:
    """Open a camera, stream or video.

    Raises:
        SourceError: it is not there, or holds no video.
    """
    import av

    options = {"rtsp_transport": "tcp"} if source.address.startswith("rtsp") else {}
    try:
        container = av.open(
            source.address, format=source.format, options=options, timeout=(OPEN_S, READ_S)
        )
    except (av.FFmpegError, ValueError) as error:
        raise SourceError(f"{source.name}: {_reason(error)}; {_advice(source)}") from error
    streams = container.streams.video
    if not streams or streams[0].codec_context is None:
        container.close()
        missing = "there is no video in it" if not streams else "FFmpeg here cannot decode it"
        raise SourceError(f"{source.name}: {missing}; {_advice(source)}")
    return container


def video_frames(container: InputContainer, *, rate: float) -> Iterator[Frame]:
    """Pictures of a video file, ``rate`` of each second of it, as fast as they are taken.

    Raises:
        SourceError: it is damaged so that it cannot be read on.
    """
    import av

    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    per_second = float(stream.average_rate or 25)
    clock, due_s = _RisingClock(), 0.0

    def is_due(packet: Packet[Any]) -> bool:
        if packet.pts is None:
            return True
        at_s = float(packet.pts * packet.time_base)
        return clock.jumps(at_s) or clock.at(at_s) >= due_s

    try:
        for number, frame in enumerate(_decoded(container, is_due)):
            at_s = number / per_second if frame.time is None else clock.follow(frame.time)
            if at_s >= due_s:
                due_s = max(due_s + 1 / rate, at_s) - ROUNDING_S
                yield _frame(frame, at_s)
    except av.FFmpegError as error:
        raise SourceError(f"{container.name}: {_reason(error)}; it ends there") from error


class _RisingClock:
    """Times of a video that go on where they jump back, as in recordings that were joined."""

    def __init__(self) -> None:
        self._offset_s = self._latest_s = 0.0

    def at(self, time_s: float) -> float:
        """Seconds since the start of the whole."""
        return time_s + self._offset_s

    def jumps(self, time_s: float) -> bool:
        """Whether it lies further back than pictures ever come out of order."""
        return self.at(time_s) < self._latest_s - JUMP_S

    def follow(self, time_s: float) -> float:
        """Seconds since the start of the whole, of the next picture."""
        if self.jumps(time_s):
            self._offset_s = self._latest_s - time_s
        self._latest_s = max(self._latest_s, self.at(time_s))
        return self.at(time_s)


def camera_frames(
    source: Source,
    *,
    rate: float,
    stop: threading.Event,
    say: Say,
    opened: Callable[[Source], InputContainer] = open_source,
) -> Iterator[Frame]:
    """The newest picture of a camera or stream, ``rate`` times a second, until ``stop`` is set.

    A picture that came while the last one was being looked at is replaced by a newer one. What is
    lost is opened again after 1 s, 2 s, 4 s and so on up to a minute.

    Args:
        source: a camera or a stream.
        rate: pictures a second.
        stop: ends it.
        say: told when the camera is lost, when it is back, and when no picture comes.
        opened: opens the source.

    Raises:
        SourceError: it cannot be opened the first time.
    """
    reader = _Reader(source, opened(source), opened, rate, stop, say)
    thread = threading.Thread(target=reader.run, name="camera", daemon=True)
    thread.start()
    last_s, silent = time.monotonic(), False
    while not stop.is_set():
        frame = reader.newest()
        now_s = time.monotonic()
        if frame is not None:
            last_s, silent = now_s, False
            yield frame
        elif reader.lost:
            last_s = now_s
        elif now_s - last_s >= SILENT_S and not silent:
            silent = True  # some devices stay open and say nothing, not even that they failed
            say(f"no picture of {source.name} for {SILENT_S:.0f} s; {_advice(source)}")
    thread.join(timeout=1.0)  # a read that hangs must not hold up the end


class _Reader:
    """Reads a camera in a thread of its own, so that nothing piles up meanwhile."""

    def __init__(
        self,
        source: Source,
        container: InputContainer,
        opened: Callable[[Source], InputContainer],
        rate: float,
        stop: threading.Event,
        say: Say,
    ) -> None:
        self._source = source
        self._container: InputContainer | None = container
        self._opened = opened
        self._every_s = 1 / rate
        self._stop = stop
        self._say = say
        self._due_s = 0.0
        self._wait_s = FIRST_WAIT_S
        self._lost_at_s: float | None = None
        self._newest: VideoFrame | None = None
        self._failure: Exception | None = None
        self._came = threading.Condition()

    @property
    def lost(self) -> bool:
        """Whether it is being opened again, which was said."""
        return self._lost_at_s is not None

    def newest(self) -> Frame | None:
        """The newest picture that nobody has taken; ``None`` if none comes soon."""
        with self._came:
            self._came.wait_for(self._has_come, timeout=TICK_S)
            frame, self._newest = self._newest, None
        if self._failure:
            raise self._failure
        return None if frame is None else _frame(frame, time.monotonic())

    def _has_come(self) -> bool:
        return self._newest is not None or self._failure is not None

    def run(self) -> None:
        """Read until told to stop; what nobody thought of ends the reader of pictures, too."""
        try:
            self._read_on()
        except Exception as error:  # else it would wait for ever
            with self._came:
                self._failure = error
                self._came.notify()

    def _read_on(self) -> None:
        while not self._stop.is_set():
            reason = self._read()
            if self._stop.is_set():
                return
            if self._lost_at_s is None:
                self._lost_at_s = time.monotonic()
            self._say(f"lost {self._source.name} ({reason}); next try in {self._wait_s:.0f} s")
            self._stop.wait(self._wait_s)
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)

    def _read(self) -> str:
        """Read to the end; say why it ended."""
        import av

        try:
            container = self._container or self._opened(self._source)
            self._container = None
            self._due_s = 0.0
            with container:
                for frame in _decoded(container, lambda _: self._is_due()):
                    if self._stop.is_set():
                        break
                    self._offer(frame)
        except (av.FFmpegError, SourceError) as error:
            return _reason(error)
        return "it ended"

    def _is_due(self) -> bool:
        return time.monotonic() >= self._due_s

    def _offer(self, frame: VideoFrame) -> None:
        if self._lost_at_s is not None:
            gone_s = time.monotonic() - self._lost_at_s
            self._say(f"{self._source.name} is back after {gone_s:.0f} s")
            self._lost_at_s = None
        self._wait_s = FIRST_WAIT_S
        if not self._is_due():
            return
        self._due_s = time.monotonic() + self._every_s
        with self._came:
            self._newest = frame
            self._came.notify()


def _decoded(
    container: InputContainer, is_due: Callable[[Packet[Any]], bool]
) -> Iterator[VideoFrame]:
    """Decoded pictures; where each stands alone (MJPEG), those that are not due are left out."""
    import av

    stream = container.streams.video[0]
    alone = stream.codec_context.codec.intra_only
    for packet in container.demux(stream):
        if alone and packet.size and not is_due(packet):
            continue
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:  # a torn packet; the next key frame mends it
            continue


def _frame(frame: VideoFrame, at_s: float) -> Frame:
    width, height = GREY_SIZE
    grey = frame.reformat(width=width, height=height, format="gray", interpolation="AREA")
    grey_hw_u8: NDArray[Any] = grey.to_ndarray()
    return Frame(at_s, grey_hw_u8, lambda: _upright(frame))


def _upright(frame: VideoFrame) -> NDArray[np.uint8]:
    rgb: NDArray[Any] = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(rgb, frame.rotation // 90))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _advice(source: Source) -> str:
    return {
        Kind.CAMERA: "is it plugged in, free, and may you read it?",
        Kind.STREAM: "try the URL in a player such as VLC",
    }.get(source.kind, "give a video that FFmpeg can read")
