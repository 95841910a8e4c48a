"""What photos there are: path, label, size, SHA-256 and duplicate group of each.

A data set is one folder of class folders, several of them, or a CSV with ``path`` and ``label``.
Which photo goes into which part is `split`'s business; how two photos are found to be the same
picture is `duplicates`'.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from PIL import Image

from binsight.bundle import class_name
from binsight.cpus import available_cpus
from binsight.errors import CatalogError, ImageError
from binsight.images import HEIC_SUFFIXES, PHOTO_SUFFIXES, decode, read_file, upright_size

from .tables import read_table, write_table

__all__ = [
    "Catalog",
    "Listed",
    "Photo",
    "Problem",
    "common_root",
    "is_table",
    "list_photos",
    "scan",
    "write_catalog",
]

Progress = Callable[[int, int], None]
NO_CLASS = "not in a class folder"
COLUMNS = ("path", "label", "bytes", "width", "height", "sha256", "group")
# Photos as phones and cameras keep them, which a person should hear of.
FOREIGN = HEIC_SUFFIXES | {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf"}
LISTED = PHOTO_SUFFIXES | FOREIGN


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One readable, labelled photo.

    Args:
        path: relative to the catalog's root, with ``/``.
        label: class name.
        bytes: size of the file.
        width: in pixels, as a person sees it (after the EXIF turn).
        height: in pixels.
        sha256: of the file's bytes, hexadecimal.
        group: number of the duplicate group; photos of one group show the same picture.
    """

    path: str
    label: str
    bytes: int
    width: int
    height: int
    sha256: str
    group: int


@dataclass(frozen=True)
class Problem:
    """A file that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Catalog:
    """Photos in order of their paths, under one root folder."""

    root: Path
    photos: tuple[Photo, ...]
    problems: tuple[Problem, ...] = ()

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names in alphabetical order."""
        return tuple(sorted({photo.label for photo in self.photos}))

    @cached_property
    def counts(self) -> dict[str, int]:
        """Photos of each class."""
        found = Counter(photo.label for photo in self.photos)
        return {name: found[name] for name in self.classes}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every path, label and content; the same on every machine."""
        lines = (f"{photo.path}\0{photo.label}\0{photo.sha256}\n" for photo in self.photos)
        return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()

    def file(self, photo: Photo) -> Path:
        """Where the photo lies."""
        return self.root / photo.path


@dataclass(frozen=True)
class Listed:
    """A photo by its name alone: path relative to a root, with ``/``, and class."""

    path: str
    label: str


@dataclass(frozen=True)
class _Seen:
    photo: Photo
    thumbnail: Image.Image | None


def scan(
    sources: Sequence[Path], *, duplicates: bool = True, progress: Progress | None = None
) -> Catalog:
    """Read every photo under folders of class folders, or those that a CSV names.

    Args:
        sources: folders or CSV files. Paths in the catalog are relative to the folder, or to the
            CSV's folder; with several sources, to the folder that they have in common.
        duplicates: also look for near duplicates (needs the extra ``data``); otherwise only
            files with equal bytes share a group.
        progress: called with (done, total) photos.

    Raises:
        CatalogError: a source is missing or holds no labelled photo.
    """
    if duplicates:
        from .duplicates import require_hashing

        require_hashing()
    root, listed, problems = list_photos(sources)
    seen: list[_Seen] = []
    for item in _inspect_all(root, listed, duplicates, progress):
        if isinstance(item, Problem):
            problems.append(item)
        else:
            seen.append(item)
    if not seen:
        raise CatalogError(_nothing_found(sources, problems))
    photos = _with_groups(seen, near=duplicates)
    return Catalog(root, photos, tuple(sorted(problems, key=lambda problem: problem.path)))


def _nothing_found(sources: Sequence[Path], problems: Sequence[Problem]) -> str:
    named = ", ".join(str(source) for source in sources)
    if problems and all(problem.reason == NO_CLASS for problem in problems):
        return f"{named}: no class folders in it; give the folder above, or make one for each class"
    if problems:
        first = problems[0]
        hint = "; a CSV's paths are relative to its folder" if any(map(is_table, sources)) else ""
        return (
            f"{named}: no readable photo; 1 of {len(problems)}: {first.path}: {first.reason}{hint}"
        )
    return f"{named}: no photos; expected one folder per class, such as {named}/glass/1.jpg"


def list_photos(sources: Sequence[Path]) -> tuple[Path, list[Listed], list[Problem]]:
    """Name the photos of folders or CSVs, as `scan` does, without opening any.

    Returns:
        The root that paths are relative to, photos in order of their paths, and files that are
        in no class folder.

    Raises:
        CatalogError: a source is missing, or a photo is listed in two classes.
    """
    if not sources:
        raise CatalogError("no folder given")
    root, prefixes = common_root(sources)
    listed: dict[str, Listed] = {}
    problems: list[Problem] = []
    for source, prefix in zip(sources, prefixes, strict=True):
        rows, wrong = _list_csv(source) if is_table(source) else _list_folder(source)
        for row in rows:
            path = (prefix / row.path).as_posix()
            if not _is_text(path):
                problems.append(Problem(path, "its name is not UTF-8; rename it"))
                continue
            if path in listed and listed[path].label != row.label:
                raise CatalogError(f"{path} is listed as {listed[path].label} and as {row.label}")
            listed[path] = Listed(path, row.label)
        problems += [Problem((prefix / p.path).as_posix(), p.reason) for p in wrong]
    return root, sorted(listed.values(), key=lambda row: row.path), problems


def common_root(sources: Sequence[Path]) -> tuple[Path, list[Path]]:
    """The folder that sources have in common, and where below it the photos of each are."""
    folders = [source.parent if is_table(source) else source for source in sources]
    # Path.absolute would keep "..", Path.resolve would follow a link to some other common root.
    folders = [Path(os.path.abspath(folder)) for folder in folders]  # noqa: PTH100
    root = Path(os.path.commonpath(folders))
    return root, [folder.relative_to(root) for folder in folders]


def is_table(source: Path) -> bool:
    """Whether a source is a CSV, by its name, and not a folder."""
    return source.suffix.lower() == ".csv" and not source.is_dir()


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _list_folder(folder: Path) -> tuple[list[Listed], list[Problem]]:
    if folder.is_file():
        raise CatalogError(f"{folder}: a file; give a folder of class folders, or a CSV of photos")
    if not folder.is_dir():
        raise CatalogError(f"{folder}: no such folder")
    rows: list[Listed] = []
    problems: list[Problem] = []
    for path in _photo_files(folder, problems):
        relative = path.relative_to(folder)
        if path.suffix.lower() in FOREIGN:
            problems.append(Problem(relative.as_posix(), "cannot be read; save it as JPEG"))
        elif len(relative.parts) == 1:
            problems.append(Problem(relative.as_posix(), NO_CLASS))
        else:
            rows.append(Listed(relative.as_posix(), class_name(relative.parts[0])))
    return rows, problems


def _photo_files(folder: Path, problems: list[Problem]) -> Iterator[Path]:
    """Photos at any depth, also of kinds that cannot be read.

    Links are followed, but no folder is entered twice; a second way to one becomes a problem.
    """
    entered: dict[str, str] = {}
    for here, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        real, path = os.path.realpath(here), Path(here).relative_to(folder).as_posix()
        if real in entered:
            folders.clear()
            if not Path(path).is_relative_to(entered[real]):  # as in a loop, which hides nothing
                reason = f"the same folder as {entered[real]}; remove the link"
                problems.append(Problem(path, reason))
            continue
        entered[real] = path
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in LISTED:
                yield Path(here, name)


def _refuse(error: OSError) -> None:
    raise CatalogError(f"{error.filename}: {error.strerror}") from error


def _list_csv(path: Path) -> tuple[list[Listed], list[Problem]]:
    rows = []
    for number, row in enumerate(_read_rows(path, required=("path", "label")), start=2):
        name, label = (row["path"] or "").strip(), class_name((row["label"] or "").strip())
        if "\\" in name and not (path.parent / name).exists():
            name = name.replace("\\", "/")  # as Windows has it
        if not name or not label:
            raise CatalogError(f"{path}, line {number}: path and label must not be empty")
        if _escapes(name):
            raise CatalogError(
                f"{path}, line {number}: {name} must be relative to the folder of the CSV"
            )
        rows.append(Listed(Path(name).as_posix(), label))
    return rows, []


def _escapes(name: str) -> bool:
    return Path(name).is_absolute() or ".." in Path(name).parts


def _read_rows(path: Path, *, required: Iterable[str]) -> list[dict[str, str]]:
    table = read_table(path, CatalogError)
    if missing := table.lacking(required):
        raise CatalogError(
            f"{path}: no column {' and no column '.join(missing)}, but {', '.join(table.columns)}"
            f"{table.separator_hint}"
        )
    return table.rows


def _inspect_all(
    root: Path, listed: Sequence[Listed], near: bool, progress: Progress | None
) -> Iterator[_Seen | Problem]:
    with ThreadPoolExecutor(available_cpus()) as pool:
        for done, item in enumerate(
            pool.map(lambda row: _inspect(root, row, near), listed), start=1
        ):
            if progress:
                progress(done, len(listed))
            yield item


def _inspect(root: Path, row: Listed, near: bool) -> _Seen | Problem:
    from .duplicates import thumbnail

    try:
        data = read_file(root / row.path, name=row.path)
        image = decode(data, min_side=64, name=row.path)
        width, height = upright_size(data, name=row.path)
    except ImageError as error:
        return Problem(row.path, error.reason)
    photo = Photo(
        path=row.path,
        label=row.label,
        bytes=len(data),
        width=width,
        height=height,
        sha256=hashlib.sha256(data).hexdigest(),
        group=-1,
    )
    return _Seen(photo, thumbnail(image) if near else None)


def _with_groups(seen: Sequence[_Seen], *, near: bool) -> tuple[Photo, ...]:
    from .duplicates import group_by_content, group_near

    digests = [item.photo.sha256 for item in seen]
    if near:
        thumbnails = [item.thumbnail for item in seen if item.thumbnail is not None]
        assert len(thumbnails) == len(seen)
        groups = group_near(digests, thumbnails)
    else:
        groups = group_by_content(digests)
    return tuple(replace(item.photo, group=group) for item, group in zip(seen, groups, strict=True))


def write_catalog(path: Path, catalog: Catalog) -> None:
    """Write ``catalog.csv``: path, label, bytes, width, height, sha256, group."""
    rows = ([getattr(photo, name) for name in COLUMNS] for photo in catalog.photos)
    write_table(path, COLUMNS, rows)
