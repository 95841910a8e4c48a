from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from drawn_video import HEIGHT, RED, WIDTH, Thing, drawn, lying, write_video

av = pytest.importorskip("av")

from binsight.errors import SourceError  # noqa: E402
from binsight.interfaces.watch.frames import camera_frames, open_source, video_frames  # noqa: E402
from binsight.interfaces.watch.source import Kind, Source, source_of  # noqa: E402

CAMERA = Source(Kind.CAMERA, "camera", "camera")


def video(path: Path, seconds: float = 2, codec: str = "mpeg4") -> Path:
    thing = Thing(RED, lying(0, seconds))
    return write_video(path, (one for _, one in drawn(seconds, [thing])), codec=codec)


@pytest.mark.parametrize(("codec", "name"), [("mpeg4", "a.mp4"), ("mjpeg", "a.avi")])
def test_a_video_gives_a_few_pictures_a_second(tmp_path: Path, codec: str, name: str) -> None:
    path = video(tmp_path / name, codec=codec)
    found = list(video_frames(open_source(source_of(str(path))), rate=5))
    assert [round(one.at_s, 3) for one in found] == [round(i / 5, 3) for i in range(10)]
    picture = found[3].picture()
    assert (picture.shape, picture.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    np.testing.assert_allclose(picture[100:140, 130:190].mean((0, 1)), RED, atol=12)
    grey = found[3].grey_hw_u8
    assert (grey.shape, grey.dtype) == ((72, 96), np.uint8)
    luma = 0.299 * RED[0] + 0.587 * RED[1] + 0.114 * RED[2]
    assert grey[33:40, 42:54].mean() == pytest.approx(luma, abs=12)


def test_a_broken_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(SourceError, match=r"a\.mp4: Invalid data .* give a video that FFmpeg"):
        open_source(source_of(str(tmp_path / "a.mp4")))


def test_a_video_that_was_cut_short_gives_what_is_there(tmp_path: Path) -> None:
    data = video(tmp_path / "a.avi", codec="mjpeg").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) * 2 // 3])
    found = list(video_frames(open_source(source_of(str(tmp_path / "cut.avi"))), rate=5))
    assert 3 <= len(found) < 10


def test_a_video_of_several_whose_times_begin_anew_is_read_to_its_end(tmp_path: Path) -> None:
    data = video(tmp_path / "a.ts", codec="mpeg2video").read_bytes()
    (tmp_path / "joined.ts").write_bytes(data * 3)
    alone = [
        one.at_s for one in video_frames(open_source(source_of(str(tmp_path / "a.ts"))), rate=5)
    ]
    found = [
        one.at_s
        for one in video_frames(open_source(source_of(str(tmp_path / "joined.ts"))), rate=5)
    ]
    assert len(alone) >= 9
    assert len(found) >= 3 * len(alone) - 4
    assert found == sorted(found)
    assert found[-1] - found[0] == pytest.approx(5.8, abs=0.5)


def test_what_ffmpeg_cannot_decode_is_refused(tmp_path: Path) -> None:
    data = video(tmp_path / "a.avi", codec="mjpeg").read_bytes()
    (tmp_path / "odd.avi").write_bytes(data.replace(b"MJPG", b"ZZZZ"))
    with pytest.raises(SourceError, match=r"odd\.avi: FFmpeg here cannot decode it; give a video"):
        open_source(source_of(str(tmp_path / "odd.avi")))


def test_a_video_that_cannot_be_read_on_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = open_source(source_of(str(video(tmp_path / "a.mp4"))))

    def torn(*_: object) -> Iterator[object]:
        raise av.error.PatchWelcomeError(1, "Not yet implemented in FFmpeg")
        yield

    monkeypatch.setattr("binsight.interfaces.watch.frames._decoded", torn)
    with pytest.raises(SourceError, match=r"a\.mp4: Not yet implemented .*; it ends there"):
        list(video_frames(container, rate=5))


def test_what_nobody_thought_of_ends_the_watch_of_a_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> Iterator[object]:
        raise AttributeError("codec")
        yield

    monkeypatch.setattr("binsight.interfaces.watch.frames._decoded", failing)
    camera = Plugged(video(tmp_path / "a.avi", 0.5, "mjpeg"), [True])
    with pytest.raises(AttributeError, match="codec"):
        list(camera_frames(CAMERA, rate=5, stop=threading.Event(), say=print, opened=camera))


class Plugged:
    """A camera that gives one short video each time it is opened, with failures between."""

    def __init__(self, path: Path, opens: list[bool]) -> None:
        self.path = path
        self.opens = iter(opens)

    def __call__(self, source: Source) -> object:
        if not next(self.opens, False):
            raise SourceError("No such device")
        return open_source(source_of(str(self.path)))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the camera waited for, without the waiting."""
    waited: list[float] = []

    def wait(self: threading.Event, timeout: float | None = None) -> bool:
        waited.append(timeout or 0)
        return self.is_set()

    monkeypatch.setattr(Stop, "wait", wait)
    return waited


class Stop(threading.Event):
    """A stop whose waits a test can shorten."""


def watched(opened: Callable[[Source], object], said: list[str], enough: int) -> Iterator[None]:
    stop, seen = Stop(), threading.Event()

    def say(text: str) -> None:
        seen.wait(10)  # the camera's thread could be through before the first picture is taken
        said.append(text)
        if len(said) >= enough:
            stop.set()

    for _ in camera_frames(CAMERA, rate=30, stop=stop, say=say, opened=opened):
        seen.set()
        yield


def test_a_camera_that_is_lost_is_opened_again_later_and_later(
    tmp_path: Path, waits: list[float]
) -> None:
    said: list[str] = []
    camera = Plugged(video(tmp_path / "a.avi", 0.5, "mjpeg"), [True, False, False, True])
    assert list(watched(camera, said, 6))
    assert said[:3] == [
        "lost camera (it ended); next try in 1 s",
        "lost camera (No such device); next try in 2 s",
        "lost camera (No such device); next try in 4 s",
    ]
    assert said[3].startswith("camera is back after")
    assert said[4] == "lost camera (it ended); next try in 1 s"


def test_the_waits_end_at_a_minute(tmp_path: Path, waits: list[float]) -> None:
    said: list[str] = []
    list(watched(Plugged(video(tmp_path / "a.avi", 0.5, "mjpeg"), [True]), said, 10))
    assert waits[:8] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_camera_that_says_nothing_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("binsight.interfaces.watch.frames.SILENT_S", 0.05)
    monkeypatch.setattr("binsight.interfaces.watch.frames.TICK_S", 0.02)
    stop, said = threading.Event(), []

    def silent(*_: object) -> Iterator[object]:
        stop.wait(20)
        return
        yield

    monkeypatch.setattr("binsight.interfaces.watch.frames._decoded", silent)

    def say(text: str) -> None:
        said.append(text)
        threading.Timer(0.2, stop.set).start()  # time to say it again

    camera = Plugged(video(tmp_path / "a.avi", 0.5, "mjpeg"), [True])
    list(camera_frames(CAMERA, rate=5, stop=stop, say=say, opened=camera))
    assert said == ["no picture of camera for 0 s; is it plugged in, free, and may you read it?"]


def test_a_camera_that_is_not_there_at_the_start_is_refused() -> None:
    frames = camera_frames(
        CAMERA, rate=5, stop=threading.Event(), say=print, opened=Plugged(Path(), [])
    )
    with pytest.raises(SourceError, match="No such device"):
        next(frames)
