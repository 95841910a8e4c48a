from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from binsight.errors import SourceError
from binsight.interfaces.watch import folder as module
from binsight.interfaces.watch.folder import NewPhotos


class Watched:
    """A folder that is watched in a thread."""

    def __init__(self, folder: Path, *, existing: bool = False, **patience: float) -> None:
        self.stop = threading.Event()
        self.said: list[str] = []
        self.found: list[str] = []
        self.news = threading.Condition()
        times = {"steady_s": 0.1, "patience_s": 0.3} | patience
        self.photos = NewPhotos(
            folder, existing=existing, stop=self.stop, say=self.said.append, **times
        )
        self.folder = folder
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        for path in self.photos:
            with self.news:
                self.found.append(path.relative_to(self.folder).as_posix())
                self.news.notify_all()

    def wait_for(self, *names: str) -> None:
        with self.news:
            assert self.news.wait_for(lambda: set(names) <= set(self.found), timeout=20), self.found

    def __enter__(self) -> Watched:
        self.thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop.set()
        self.thread.join()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.02)
    monkeypatch.setattr(module, "LIST_EVERY_S", 0.2)


def test_new_photos_come_once_and_old_ones_not(tmp_path: Path) -> None:
    (tmp_path / "old.jpg").write_text("old")
    with Watched(tmp_path) as watched:
        (tmp_path / "b.jpg").write_text("b")
        (tmp_path / "notes.txt").write_text("no photo")
        (tmp_path / ".hidden.jpg").write_text("being written")
        (tmp_path / "below").mkdir()
        (tmp_path / "below" / "c.PNG").write_text("c")
        watched.wait_for("b.jpg", "below/c.PNG")
        (tmp_path / "b.jpg").rename(tmp_path / "renamed.jpg")
        (tmp_path / "old.jpg").rename(tmp_path / "old2.jpg")
        (tmp_path / "last.jpg").write_text("last")
        watched.wait_for("last.jpg")
    assert sorted(watched.found) == ["b.jpg", "below/c.PNG", "last.jpg"]


def test_what_was_away_for_a_while_is_not_new(tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    (tmp_path / "in" / "below").mkdir(parents=True)
    with Watched(tmp_path / "in") as watched:
        (tmp_path / "in" / "below" / "a.jpg").write_text("a")
        watched.wait_for("below/a.jpg")
        (tmp_path / "in" / "below").rename(away / "below")
        (tmp_path / "in" / "b.jpg").write_text("b")
        watched.wait_for("b.jpg")
        (away / "below").rename(tmp_path / "in" / "below")
        (tmp_path / "in" / "c.jpg").write_text("c")
        watched.wait_for("c.jpg")
    assert sorted(watched.found) == ["b.jpg", "below/a.jpg", "c.jpg"]


def test_what_was_away_for_long_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FORGET_S", 0.1)
    (tmp_path / "in").mkdir()
    with Watched(tmp_path / "in") as watched:
        for name in ("a.jpg", "b.jpg"):
            (tmp_path / "in" / name).write_text(name)
            watched.wait_for(name)
            (tmp_path / "in" / name).unlink()
        time.sleep(0.5)
        (tmp_path / "in" / "c.jpg").write_text("c")
        watched.wait_for("c.jpg")
        assert len(watched.photos._done) == 1


def test_a_file_that_is_no_photo_does_not_wake_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIST_EVERY_S", 60.0)
    listed: list[Path] = []

    def noted(folder: Path) -> dict[Path, object]:
        listed.append(folder)
        return listing(folder)

    listing = module._listed
    monkeypatch.setattr(module, "_listed", noted)
    with Watched(tmp_path) as watched:
        end_s = time.monotonic() + 20
        while len(listed) < 2 and time.monotonic() < end_s:  # at the start, and when it listens
            time.sleep(0.01)
        before = len(listed)
        for number in range(20):
            (tmp_path / "growing.log").write_text("x" * number)
            time.sleep(0.02)
        assert len(listed) == before
        part = tmp_path / ".part"
        part.write_text("x")
        part.rename(tmp_path / "a.jpg")
        watched.wait_for("a.jpg")


def test_old_ones_come_if_asked_for(tmp_path: Path) -> None:
    (tmp_path / "old.jpg").write_text("old")
    with Watched(tmp_path, existing=True) as watched:
        watched.wait_for("old.jpg")


def test_a_photo_with_new_content_is_new(tmp_path: Path) -> None:
    with Watched(tmp_path) as watched:
        for number in (1, 2):
            part = tmp_path / ".part"
            part.write_text("x" * number)
            part.replace(tmp_path / "latest.jpg")
            with watched.news:
                there = watched.news.wait_for(lambda: len(watched.found) == number, timeout=20)  # noqa: B023
            assert there
    assert watched.found == ["latest.jpg"] * 2


def test_a_photo_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    photos = NewPhotos(
        tmp_path, existing=False, stop=threading.Event(), say=print, steady_s=5, patience_s=9
    )
    now = 100.0

    def taken() -> list[Path]:
        photos._list()
        return list(photos._steady())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.time, "monotonic", lambda: now)
        (tmp_path / "a.jpg").write_text("1")
        assert taken() == []
        now = 104.0
        (tmp_path / "a.jpg").write_text("12")
        assert taken() == []
        now = 108.0
        assert taken() == []
        now = 109.0
        assert taken() == [tmp_path / "a.jpg"]
        now = 120.0
        assert taken() == []


def test_what_cannot_be_decoded_comes_again_until_patience_ends(tmp_path: Path) -> None:
    photos = NewPhotos(
        tmp_path, existing=False, stop=threading.Event(), say=print, steady_s=1, patience_s=9
    )
    now, told = 100.0, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.time, "monotonic", lambda: now)
        (tmp_path / "a.jpg").write_text("half")
        for now in (100.0, 101.0, 105.0, 109.0, 110.0):
            photos._list()
            told += [(now, photos.again(path)) for path in photos._steady()]
    assert told == [(101.0, True), (105.0, True), (109.0, False)]


def test_a_folder_that_goes_and_comes_back(tmp_path: Path) -> None:
    folder, aside = tmp_path / "share", tmp_path / "aside"
    folder.mkdir()
    with Watched(folder) as watched:
        folder.rename(aside)
        while not watched.said:
            watched.stop.wait(0.02)
        (aside / "new.jpg").write_text("new")
        shutil.move(aside, folder)
        watched.wait_for("new.jpg")
    assert watched.said == [
        f"lost {folder} (No such file or directory); waiting for it",
        f"{folder} is back",
    ]


def test_without_notes_of_changes_the_list_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(module.Observer, "start", full)
    with Watched(tmp_path) as watched:
        (tmp_path / "a.jpg").write_text("a")
        watched.wait_for("a.jpg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    with pytest.raises(SourceError, match="Permission denied"):
        NewPhotos(tmp_path, existing=False, stop=threading.Event(), say=print)
    tmp_path.chmod(0o700)
