from __future__ import annotations

import os
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from binsight.interfaces.cli import photo_paths as module
from binsight.interfaces.cli.photo_paths import count, every_photo, photo_paths


def refuse(error: OSError) -> None:
    raise error


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in photo_paths([folder], problem=refuse)]


def test_a_link_in_a_circle_is_a_photo_with_an_error_and_hides_no_other(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "z.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert names(tmp_path) == ["a.jpg", "loop.jpg", "z.jpg"]
    assert count([tmp_path]) == 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    touch(
        tmp_path,
        "b.JPG",
        "a.png",
        "notes.txt",
        ".hidden.jpg",
        ".git/c.jpg",
        "d/e.webp",
        "d/f/g.gif",
    )
    touch(tmp_path, "c/h.jpg")
    (tmp_path / "album.jpg").mkdir()
    touch(tmp_path, "album.jpg/i.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "d")
    (tmp_path / "z.jpg").symlink_to(tmp_path / "a.png")
    return tmp_path


def test_a_folders_own_photos_come_first_and_all_in_order(folder: Path) -> None:
    assert names(folder) == [
        *("a.png", "b.JPG", "z.jpg"),
        *("album.jpg/i.jpg", "c/h.jpg", "d/e.webp", "d/f/g.gif"),
    ]


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 100])
def test_chunks_leave_nothing_out_and_repeat_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    whole = names(folder)
    monkeypatch.setattr(module, "CHUNK", chunk)
    assert names(folder) == whole


def test_names_beyond_a_chunk_are_not_listed_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, *(f"{number:03}.jpg" for number in range(100)))
    monkeypatch.setattr(module, "CHUNK", 10)
    paths = photo_paths([tmp_path], problem=refuse)
    assert next(paths).name == "000.jpg"
    touch(tmp_path, "005a.jpg", "050a.jpg")
    rest = [path.name for path in paths]
    assert ("005a.jpg" in rest, "050a.jpg" in rest) == (False, True)
    assert len(rest) == 100


def test_named_photos_are_taken_one_by_one() -> None:
    endless = photo_paths(repeat(Path("missing.jpg")), problem=refuse)
    assert [next(endless) for _ in range(3)] == [Path("missing.jpg")] * 3


def test_a_folder_that_cannot_be_listed_is_told_and_the_others_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "c":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(module.os, "scandir", scandir)
    problems: list[OSError] = []
    found = [path.name for path in photo_paths([folder], problem=problems.append)]
    assert found == ["a.png", "b.JPG", "z.jpg", "i.jpg", "e.webp", "g.gif"]
    assert [Path(one.filename).name for one in problems] == ["c"]


def test_the_count_is_of_what_will_come(folder: Path) -> None:
    photos = [folder, folder / "a.png", folder / "missing.jpg"]
    assert count(photos) == len(list(photo_paths(photos, problem=refuse))) == 9


def test_the_heic_of_a_phone_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    for name in ("a.HEIC", "b.jpg"):
        (tmp_path / name).touch()
    assert list(photo_paths([tmp_path], problem=_fail)) == [tmp_path / "a.HEIC", tmp_path / "b.jpg"]
    assert count([tmp_path]) == 2
    assert every_photo([tmp_path]) == [tmp_path / "b.jpg"]


def _fail(error: OSError) -> None:
    raise AssertionError(error)
