"""Where results may be written: never onto photos, and never among those that were given."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from binsight.errors import UsageError
from binsight.images import PHOTO_SUFFIXES

from .photo_paths import is_listed
from .sorting import is_inside

__all__ = ["check_folder", "refuse_among", "refuse_photo"]


def check_folder(folder: Path, photos: Iterable[Path]) -> None:
    """Make sure that a folder of results can be one, before anything is computed.

    Args:
        folder: that need not exist.
        photos: files and folders that were given.

    Raises:
        UsageError: it is a file, or lies among the photos, where it would be taken for some.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; give --out a folder")
    refuse_among(folder, photos, "--out")


def refuse_among(path: Path, photos: Iterable[Path], option: str) -> None:
    """Make sure that a result lies in no folder of photos.

    Raises:
        UsageError: it would.
    """
    for given in photos:
        if is_listed(given) and is_inside(path, given):
            raise UsageError(f"{path} lies in {given}; give {option} elsewhere")


def refuse_photo(file: Path, option: str) -> None:
    """Make sure that what is no picture is not written over one.

    Raises:
        UsageError: the file is a folder, or there and a photo by its name.
    """
    if file.is_dir():
        raise UsageError(f"{option} {file} is a folder; give a file")
    if file.exists() and file.suffix.lower() in PHOTO_SUFFIXES:
        raise UsageError(f"{option} {file} is a picture; give another file")
