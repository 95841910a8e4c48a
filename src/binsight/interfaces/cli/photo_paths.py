"""Which photos are meant: those named, and those below named folders, found as they are needed.

A folder may hold millions of photos, so at no time are more than `CHUNK` names of one folder in
memory. They still come in order: a folder is listed again for each chunk, which is little work
beside classifying that many photos.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from binsight.errors import UsageError
from binsight.images import HEIC_SUFFIXES, PHOTO_SUFFIXES

__all__ = ["CHUNK", "count", "every_photo", "is_listed", "nothing_found", "photo_paths"]

CHUNK = 50_000
SUFFIXES = tuple(PHOTO_SUFFIXES | HEIC_SUFFIXES)
Problem = Callable[[OSError], None]
Wanted = Callable[["os.DirEntry[str]"], bool]


def every_photo(photos: Sequence[Path]) -> list[Path]:
    """All paths of `photo_paths` at once, where one that is missing would falsify a comparison.

    Raises:
        UsageError: a folder cannot be listed, or there is no photo.
    """

    def refuse(error: OSError) -> None:
        raise UsageError(f"{error.filename}: {error.strerror}") from error

    found = photo_paths(photos, problem=refuse)
    files = [file for file in found if file.suffix.lower() not in HEIC_SUFFIXES or file in photos]
    if not files:
        raise UsageError(nothing_found(photos))
    return files


def nothing_found(photos: Sequence[Path], unlisted: Sequence[OSError] = ()) -> str:
    """Say why no photo was found: a folder that cannot be listed, or that holds none."""
    if unlisted:
        return f"{unlisted[0].filename}: {unlisted[0].strerror}"
    return f"no photos in {', '.join(map(str, photos))}"


def photo_paths(photos: Iterable[Path], *, problem: Problem) -> Iterator[Path]:
    """Yield files as they are named, and photos below folders: first its own, then those deeper.

    Among these are the HEIC of phones, which cannot be read, so that somebody hears of it. Names
    that start with a dot are left out, and links to folders are not followed.

    Args:
        photos: files, which need not exist, and folders.
        problem: called with what kept a folder from being listed; the others go on.
    """
    for path in photos:
        if is_listed(path):
            yield from _below(path, problem)
        else:
            yield path


def count(photos: Iterable[Path]) -> int:
    """How many `photo_paths` will yield, in memory that does not grow with them."""
    waiting, number = list(photos), 0
    while waiting:
        path = waiting.pop()
        if not is_listed(path):
            number += 1
            continue
        number += sum(1 for _ in _names(path, _is_photo, _ignore))
        waiting += [path / name for name in _names(path, _is_folder, _ignore)]
    return number


def _below(top: Path, problem: Problem) -> Iterator[Path]:
    # Not recursive: paths can be deeper than Python's stack.
    waiting = [iter((top,))]
    while waiting:
        folder = next(waiting[-1], None)
        if folder is None:
            waiting.pop()
            continue
        yield from (folder / name for name in _in_order(folder, _is_photo, problem))
        waiting.append(map(folder.joinpath, _in_order(folder, _is_folder, _ignore)))


def _in_order(folder: Path, wanted: Wanted, problem: Problem) -> Iterator[str]:
    """Names in alphabetical order, `CHUNK` at a time."""
    last = ""
    while True:
        chunk = heapq.nsmallest(CHUNK, _names(folder, wanted, problem, after=last))
        yield from chunk
        if len(chunk) < CHUNK:
            return
        last = chunk[-1]


def _names(folder: Path, wanted: Wanted, problem: Problem, *, after: str = "") -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name > after and not name.startswith(".") and wanted(entry):
                    yield name
    except OSError as error:
        problem(error)


def is_listed(path: Path) -> bool:
    """Whether a path is a folder, whose photos are meant."""
    # Path.is_dir raises where a folder above may not be entered; as a photo it gives its error.
    return os.path.isdir(path)  # noqa: PTH112


def _is_photo(entry: os.DirEntry[str]) -> bool:
    if not entry.name.lower().endswith(SUFFIXES):
        return False
    try:
        return not entry.is_dir()
    except (
        OSError
    ):  # a link in a circle, or to where nobody may look; as a photo it gives its error
        return True


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _ignore(_: OSError) -> None:
    """The same folder was, or will be, listed by a caller that minds."""
