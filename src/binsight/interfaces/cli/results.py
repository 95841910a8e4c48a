"""Where results may be written: never onto photos, and never among those that were given."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from binsight.data.catalog import is_table, list_photos
from binsight.errors import UsageError
from binsight.files import check_writable, is_same_file
from binsight.images import PHOTO_SUFFIXES

from .photo_paths import is_listed
from .sorting import is_inside

__all__ = ["check_file", "check_folder", "refuse_among", "refuse_photo"]


def check_folder(folder: Path, photos: Iterable[Path]) -> None:
    """Make sure that a folder of results can be one, before anything is computed.

    Args:
        folder: that need not exist.
        photos: files and folders that were given.

    Raises:
        UsageError: it is a file, or called like a picture, or cannot be written, or lies among the
            photos, where it would be taken for some.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; give --out a folder")
    if not folder.exists() and folder.suffix.lower() in PHOTO_SUFFIXES:
        raise UsageError(f"{folder} is called like a picture, and would be a folder; give another")
    refuse_among(folder, photos, "--out")
    _refuse_unwritable(folder / "report", f"--out {folder}")


def check_file(file: Path, option: str, inputs: Iterable[Path]) -> None:
    """Make sure that a file of results can be written, and is none of those that are read.

    Args:
        file: that need not exist.
        option: that names it.
        inputs: files and folders that were given.

    Raises:
        UsageError: it cannot, or it is.
    """
    refuse_photo(file, option)
    inputs = list(inputs)
    if any(is_same_file(file, given) for given in inputs):
        raise UsageError(f"{option} {file} is what is read; give another file")
    _refuse_unwritable(file, f"{option} {file}")


def _refuse_unwritable(file: Path, given: str) -> None:
    try:
        check_writable(file)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{given} cannot be written ({reason}); give another") from error


def refuse_among(path: Path, photos: Iterable[Path], option: str) -> None:
    """Make sure that a result lies in no folder of photos, also not of those that a CSV names.

    Raises:
        UsageError: it would.
    """
    for given in photos:
        for folder in _folders_of(given):
            if is_inside(path, folder):
                raise UsageError(f"{path} lies in {folder}; give {option} elsewhere")


def _folders_of(given: Path) -> set[Path]:
    """Folders that photos are looked for in."""
    if is_listed(given):
        return {given}
    if not (is_table(given) and given.is_file()):
        return set()
    root, listed, _ = list_photos([given])
    found = set()
    for one in listed:
        folder = (root / one.path).parent
        is_class = folder.name == one.label and folder.parent != root
        found.add(folder.parent if is_class else folder)
    return found - {root}  # where the CSV lies, results may lie too


def refuse_photo(file: Path, option: str) -> None:
    """Make sure that what is no picture is not written over one.

    Raises:
        UsageError: the file is a folder, or there and a photo by its name.
    """
    if file.is_dir():
        raise UsageError(f"{option} {file} is a folder; give a file")
    if file.exists() and file.suffix.lower() in PHOTO_SUFFIXES:
        raise UsageError(f"{option} {file} is a picture; give another file")
