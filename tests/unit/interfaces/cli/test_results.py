from __future__ import annotations

from pathlib import Path

import pytest

from binsight.errors import UsageError
from binsight.interfaces.cli.results import check_file, check_folder, refuse_among, refuse_photo


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
    with pytest.raises(UsageError, match="called like a picture, and would be a folder"):
        check_folder(photos.parent / "maps.JPG", [])
    with pytest.raises(UsageError, match="is a folder; give a file"):
        refuse_photo(photos, "--out")


def test_a_photo_is_not_written_over(photos: Path) -> None:
    with pytest.raises(UsageError, match="is a picture; give another file"):
        refuse_photo(photos / "glass" / "1.jpg", "--out")
    refuse_photo(photos / "new.jpg", "--out")
    refuse_photo(photos.parent / "check.json", "--out")


def test_results_do_not_lie_among_photos_that_a_csv_names(photos: Path) -> None:
    folder = photos.parent
    (folder / "list.csv").write_text("path,label\nphotos/glass/1.jpg,glass\n")
    (folder / "flat.csv").write_text("path,label\nphotos/glass/1.jpg,bottle\n")
    for path in (photos / "report", photos / "glass" / "report"):
        with pytest.raises(UsageError, match=r"lies in .*photos; give --out elsewhere"):
            check_folder(path, [folder / "list.csv"])
    check_folder(folder / "report", [folder / "list.csv"])
    check_folder(photos / "report", [folder / "flat.csv"])


def test_what_is_read_is_not_written_over(photos: Path) -> None:
    listed = photos.parent / "list.csv"
    listed.touch()
    (photos.parent / "link.csv").symlink_to(listed)
    for name in ("list.csv", "link.csv"):
        with pytest.raises(UsageError, match="is what is read; give another file"):
            check_file(photos.parent / name, "--out", [photos, listed])
    check_file(photos.parent / "new" / "split.csv", "--out", [photos, listed])
    with pytest.raises(UsageError, match=r"cannot be written .*; give another"):
        check_file(listed / "split.csv", "--out", [])
    with pytest.raises(UsageError, match="is a picture"):
        check_file(photos / "glass" / "1.jpg", "--out", [])


def test_results_may_lie_where_a_csv_does(photos: Path) -> None:
    listed = photos / "list.csv"
    listed.write_text("path,label\nglass/1.jpg,glass\n")
    check_folder(photos / "report", [listed])
    refuse_among(photos / "sheet.jpg", [listed], "--sheet")
    with pytest.raises(UsageError, match=r"lies in .*glass; give --out elsewhere"):
        check_folder(photos / "glass" / "report", [listed])
