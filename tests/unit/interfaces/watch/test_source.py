from __future__ import annotations

import sys
from pathlib import Path

import pytest

from binsight.errors import SourceError
from binsight.interfaces.watch.source import CAMERA_PASSWORD, Kind, source_of


@pytest.mark.skipif(sys.platform != "linux", reason="device names of Linux")
def test_cameras() -> None:
    for text in ("0", "/dev/video0"):
        found = source_of(text)
        assert (found.kind, found.address, found.format) == (Kind.CAMERA, "/dev/video0", "v4l2")


def test_a_stream_is_named_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CAMERA_PASSWORD, raising=False)
    found = source_of("rtsp://me:se%40cret@cam:8554/a?token=x")
    assert found.kind is Kind.STREAM
    assert found.address == "rtsp://me:se%40cret@cam:8554/a?token=x"
    assert found.name == "rtsp://cam:8554/a"


def test_a_stream_takes_its_password_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAMERA_PASSWORD, "a@b/c")
    assert source_of("rtsp://me@cam/a").address == "rtsp://me:a%40b%2Fc@cam/a"
    assert source_of("rtsp://me:own@cam/a").address == "rtsp://me:own@cam/a"
    assert source_of("rtsp://cam/a").address == "rtsp://cam/a"


def test_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    assert source_of(str(tmp_path)).kind is Kind.FOLDER
    assert source_of(str(tmp_path / "a.mp4")).kind is Kind.VIDEO


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no such", "no such file or folder: no such; give a camera's number"),
        ("file:///etc/passwd", "not a URL to watch"),
        ("concat://a", "not a URL to watch"),
        ("rtsp:///a", "not a URL to watch"),
        ("rtsp://cam:port/a", "a URL that cannot be read"),
    ],
)
def test_what_cannot_be_watched_is_refused(text: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        source_of(text)


def test_a_photo_is_sent_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "a.JPG").touch()
    with pytest.raises(SourceError, match=r"a\.JPG is a photo; run: binsight classify"):
        source_of(str(tmp_path / "a.JPG"))
