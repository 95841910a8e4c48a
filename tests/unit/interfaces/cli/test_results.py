from __future__ import annotations

from pathlib import Path

import pytest

from binsight.errors import UsageError
from binsight.interfaces.cli.results import check_folder, refuse_among, refuse_photo


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos" / "glass").mkdir(parents=True)
    (tmp_path / "photos" / "glass" / "1.jpg").touch()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.mark.parametrize("name", ["photos", "photos/glass/maps", "link/maps", "out/../photos/x"])
def test_results_do_not_lie_among_photos(photos: Path, name: str) -> None:
    folder = photos.parent / name
    with pytest.raises(UsageError, match=r"lies in .*; give --out elsewhere"):
        check_folder(folder, [photos])
    with pytest.raises(UsageError, match=r"lies in .*; give --sheet elsewhere"):
        refuse_among(folder / "sheet.jpg", [photos], "--sheet")


def test_beside_or_above_photos_is_fine(photos: Path) -> None:
    check_folder(photos.parent, [photos, photos / "glass" / "1.jpg"])
    check_folder(photos.parent / "photos2", [photos])
    refuse_among(photos.parent / "sheet.jpg", [photos], "--sheet")


def test_a_file_is_no_folder_and_a_folder_no_file(photos: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        check_folder(photos / "glass" / "1.jpg", [])
    with pytest.raises(UsageError, match="is a folder; give a file"):
        refuse_photo(photos, "--out")


def test_a_photo_is_not_written_over(photos: Path) -> None:
    with pytest.raises(UsageError, match="is a picture; give another file"):
        refuse_photo(photos / "glass" / "1.jpg", "--out")
    refuse_photo(photos / "new.jpg", "--out")
    refuse_photo(photos.parent / "check.json", "--out")
