"""Copies of photos in one folder for each answer. The photos themselves are only read."""

from __future__ import annotations

import errno
import filecmp
import os
import re
import shutil
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from binsight.errors import ImageError, UnreadableImageError, UsageError
from binsight.files import creating, file_digest, numbered

__all__ = ["Sorter", "folder_names", "is_inside"]

# What a file system says of one name, or one size, and not of those that come after it.
OF_ONE_PHOTO = {errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ, errno.EFBIG}
LONGEST_FILE, ROOM_FOR_NUMBER = 255, 8  # bytes; most file systems allow 255
LONGEST = 60  # letters of a folder's name; file systems allow 255 bytes
FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\ud800-\udfff]')


class Sorter:
    """Puts copies of photos into the folder of their answer.

    Args:
        folder: where the folders of the answers are made.
        answers: every answer that may come.
        undecided: what the folder of photos without an answer is called.
        sources: what is classified; folders of it must not meet the copies.

    Raises:
        UsageError: the folder is a file, or it and a folder of sources lie one in the other.
    """

    def __init__(
        self, folder: Path, answers: Sequence[str], *, undecided: str, sources: Iterable[Path]
    ) -> None:
        if os.path.exists(folder) and not os.path.isdir(folder):  # noqa: PTH110, PTH112
            raise UsageError(f"{folder} is not a folder; give --copy-to a folder")
        for source in sources:
            _refuse_overlap(folder, source)
        names = folder_names([undecided, *answers])
        self._folders = {
            answer: folder / name for answer, name in zip([None, *answers], names, strict=True)
        }
        self._namesakes: dict[Path, _Namesakes] = {}

    def copy(self, photo: Path, answer: str | None) -> Path:
        """Copy a photo, and return where its copy lies.

        A file of that name that is the same is left as the copy; beside a different one the copy
        gets a number.

        Args:
            photo: what to copy; it is only read.
            answer: one of the answers; ``None`` if there is none.

        Raises:
            ImageError: the photo is gone, or no copy can have its name or size.
            UsageError: no copy can be written any more.
        """
        folder = self._folders[answer]
        place = folder / photo.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if _is_copy(photo, place) or _copied(photo, place):
                return place
            return self._namesakes.setdefault(place, _Namesakes(place)).copy(photo)
        except OSError as error:
            if not os.path.lexists(photo):
                raise UnreadableImageError("gone before it was copied", str(photo)) from error
            if error.errno in OF_ONE_PHOTO:
                reason = f"cannot be copied to {folder}: {error.strerror}"
                raise ImageError(reason, str(photo)) from error
            raise UsageError(f"cannot copy {photo} to {folder}: {error.strerror}") from error


class _Namesakes:
    """The other photos of one name in one folder, each asked for by its content, not one by one.

    Args:
        place: of the first of them.
    """

    def __init__(self, place: Path) -> None:
        stem = place.stem
        while stem and len(os.fsencode(stem + place.suffix)) > LONGEST_FILE - ROOM_FOR_NUMBER:
            stem = stem[:-1]
        others = islice(numbered(stem, place.suffix), 1, None)
        self._untried = (place.with_name(name) for name in others)
        self._place_of: dict[str, Path] = {}  # by the SHA-256 of what lies there

    def copy(self, photo: Path) -> Path:
        digest = file_digest(photo)
        known = self._place_of.get(digest)
        if known is not None and _is_copy(photo, known):  # nobody has changed it since
            return known
        for place in self._untried:
            if _copied(photo, place):
                self._place_of[digest] = place
                return place
            if place.is_file():
                self._place_of.setdefault(file_digest(place), place)
                if self._place_of.get(digest) == place:
                    return place
        raise AssertionError("numbers do not end")


def folder_names(answers: Iterable[str]) -> list[str]:
    """A folder's name for each answer, no two alike, even where case does not count.

    What cannot stand in a folder's name on Linux, macOS or Windows becomes ``_``.
    """
    names: list[str] = []
    taken: set[str] = set()
    for answer in answers:
        plain = FORBIDDEN.sub("_", unicodedata.normalize("NFC", answer))
        plain = plain[:LONGEST].strip(". ") or "_"
        name = next(name for name in numbered(plain) if name.casefold() not in taken)
        taken.add(name.casefold())
        names.append(name)
    return names


def _refuse_overlap(folder: Path, source: Path) -> None:
    if not os.path.isdir(source):  # noqa: PTH112
        return
    if is_inside(folder, source):
        raise UsageError(
            f"copies in {folder} would be classified too; give --copy-to a folder outside {source}"
        )
    if is_inside(source, folder):
        raise UsageError(f"{source} lies among the copies in {folder}; give another --copy-to")


def is_inside(folder: Path, other: Path) -> bool:
    """Whether a folder is another, or lies in it."""
    inner, outer = folder.resolve(), other.resolve()
    return inner == outer or outer in inner.parents


def _is_copy(photo: Path, place: Path) -> bool:
    return place.is_file() and filecmp.cmp(photo, place, shallow=False)


def _copied(photo: Path, place: Path) -> bool:
    """Copy to a name that is still free; if it is not, do nothing and say so."""
    if os.path.lexists(place):
        return False
    try:
        with creating(place) as temporary:
            shutil.copy2(photo, temporary)
    except FileExistsError:
        return False
    return True
