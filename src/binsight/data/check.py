"""What is wrong with a set of photos, before a model learns it.

`check` counts and names; `contact_sheet` lets a person look. Finding duplicates is left to
`duplicates`, keeping them together to `split`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from binsight.errors import ImageError, UsageError
from binsight.images import check_picture, decode, write_picture

from .catalog import Catalog, Photo, Problem

__all__ = ["ClassCount", "Conflict", "Report", "TinyPhoto", "check", "contact_sheet"]

FEWEST_PHOTOS = 10
LARGEST_IMBALANCE = 10

TILE_PX = 128
GAP_PX = 6
NAMES_PX = 200
# Many classes get smaller tiles rather than a picture that no viewer opens.
LARGEST_HEIGHT_PX = 16_000
SMALLEST_TILE_PX = 16
PAPER, MOUNT, INK, UNREADABLE = "#FFFFFF", "#F0F0F0", "#202020", "#BEBEBE"


@dataclass(frozen=True)
class ClassCount:
    """One class, its photos, and their share of all photos, 0 to 1."""

    name: str
    photos: int
    share: float


@dataclass(frozen=True)
class TinyPhoto:
    """A photo with fewer pixels than a network looks at."""

    path: str
    width: int
    height: int


@dataclass(frozen=True)
class Conflict:
    """One picture that carries several labels: paths and labels side by side."""

    paths: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `check` found.

    Args:
        photos: number of readable photos.
        classes: in alphabetical order.
        problems: files that were left out, and why.
        tiny: photos with a short shorter side.
        exact: paths of files with equal bytes, a tuple for each content.
        near: paths of each duplicate group whose files are not all equal: resized, re-encoded,
            turned or mirrored. Equal files among them are in ``exact``, too.
        conflicts: duplicate groups whose photos carry different labels.
        warnings: one line each, that says what to do.
    """

    photos: int
    classes: tuple[ClassCount, ...]
    problems: tuple[Problem, ...]
    tiny: tuple[TinyPhoto, ...]
    exact: tuple[tuple[str, ...], ...]
    near: tuple[tuple[str, ...], ...]
    conflicts: tuple[Conflict, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        return asdict(self)


def check(catalog: Catalog, *, tiny_side: int = 64) -> Report:
    """Look for what commonly spoils a data set; the photos themselves are not opened.

    Args:
        catalog: from `scan`; near duplicates are those that it was scanned for.
        tiny_side: a shorter side below this many pixels is reported.
    """
    groups = _repeated(catalog.photos, "group")
    tiny = tuple(
        TinyPhoto(photo.path, photo.width, photo.height)
        for photo in catalog.photos
        if min(photo.width, photo.height) < tiny_side
    )
    conflicts = tuple(_conflicts(groups))
    return Report(
        photos=len(catalog.photos),
        classes=_class_counts(catalog),
        problems=catalog.problems,
        tiny=tiny,
        exact=tuple(_paths(group) for group in _repeated(catalog.photos, "sha256")),
        near=tuple(_paths(group) for group in groups if len({p.sha256 for p in group}) > 1),
        conflicts=conflicts,
        warnings=(
            *_about_files(catalog.problems, tiny, tiny_side),
            *_about_classes(catalog.counts),
            *_about_duplicates(groups, conflicts),
        ),
    )


def _class_counts(catalog: Catalog) -> tuple[ClassCount, ...]:
    total = len(catalog.photos)
    return tuple(ClassCount(name, count, count / total) for name, count in catalog.counts.items())


def _repeated(photos: Iterable[Photo], key: str) -> list[list[Photo]]:
    """Photos that share a value, in order of their first photo; loners are left out."""
    found: dict[object, list[Photo]] = defaultdict(list)
    for photo in photos:
        found[getattr(photo, key)].append(photo)
    return [group for group in found.values() if len(group) > 1]


def _paths(group: Iterable[Photo]) -> tuple[str, ...]:
    return tuple(photo.path for photo in group)


def _conflicts(groups: Iterable[Sequence[Photo]]) -> Iterator[Conflict]:
    for group in groups:
        labels = tuple(photo.label for photo in group)
        if len(set(labels)) > 1:
            yield Conflict(_paths(group), labels)


def _about_files(
    problems: Sequence[Problem], tiny: Sequence[TinyPhoto], tiny_side: int
) -> Iterator[str]:
    if problems:
        yield (
            f"{_count(problems, 'file')} left out, such as {problems[0].path}; "
            "repair or remove what is listed as unreadable or left out"
        )
    if tiny:
        yield (
            f"{_count(tiny, 'photo')} with a side under {tiny_side} pixels, such as "
            f"{tiny[0].path}; replace by larger ones"
        )


def _about_classes(counts: dict[str, int]) -> Iterator[str]:
    alike = defaultdict(list)
    for name in counts:
        alike[" ".join(name.split()).casefold()].append(name)
    for names in alike.values():
        if len(names) > 1:
            yield (
                f"{' and '.join(map(repr, names))} are spelled nearly alike; move their photos "
                "together if they are one class"
            )
    if len(counts) == 1:
        yield f"{next(iter(counts))} is the only class; add a folder of photos for another class"
    if few := [f"{name} has {count}" for name, count in counts.items() if count < FEWEST_PHOTOS]:
        yield (
            f"a class needs {FEWEST_PHOTOS} photos at the very least, and {', '.join(few)}; add "
            "photos or leave such a class out"
        )
    most, fewest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[most] > LARGEST_IMBALANCE * counts[fewest]:
        yield (
            f"{most} has {counts[most] / counts[fewest]:.0f} times as many photos as {fewest}; "
            f"add photos of {fewest}, and judge a model by each class's recall"
        )


def _about_duplicates(
    groups: Sequence[Sequence[Photo]], conflicts: Sequence[Conflict]
) -> Iterator[str]:
    if conflicts:
        first = conflicts[0]
        other = next(i for i, label in enumerate(first.labels) if label != first.labels[0])
        yield (
            f"{_count(conflicts, 'picture')} with more than one label, such as {first.paths[0]} "
            f"and {first.paths[other]}; correct the labels or remove the photos"
        )
    repeated = sum(len(group) - 1 for group in groups)
    if repeated:
        yield (
            f"{repeated:,} of the photos repeat another one; a split of binsight keeps them "
            "together, remove them before splitting by other means"
        )


def _count(items: Sequence[object], noun: str) -> str:
    return f"{len(items):,} {noun}" if len(items) == 1 else f"{len(items):,} {noun}s"


def contact_sheet(catalog: Catalog, path: Path, *, per_class: int = 12, seed: int = 0) -> None:
    """Write one picture with a row for each class: its name, its count, some of its photos.

    Args:
        catalog: the photos. One that can no longer be read shows as a grey tile.
        path: where to write; the suffix says the format.
        per_class: photos in a row, at most.
        seed: for choosing them.

    Raises:
        UsageError: a suffix that names no picture format, or no photos to show.
    """
    check_picture(path)
    if per_class < 1:
        raise UsageError(f"{per_class} photos a class show nothing; give 1 or more")
    generator = np.random.default_rng(seed)
    photos_of: dict[str, list[Photo]] = {name: [] for name in catalog.classes}
    for photo in catalog.photos:
        photos_of[photo.label].append(photo)
    rows = [_sample(photos, per_class, generator) for photos in photos_of.values()]
    sheet = _draw_sheet(catalog, rows, _tile_side(len(rows)))
    write_picture(path, sheet)


def _sample(photos: Sequence[Photo], limit: int, generator: np.random.Generator) -> list[Photo]:
    chosen = generator.choice(len(photos), min(limit, len(photos)), replace=False)
    return [photos[index] for index in sorted(chosen)]


def _tile_side(rows: int) -> int:
    return max(SMALLEST_TILE_PX, min(TILE_PX, LARGEST_HEIGHT_PX // rows - GAP_PX))


def _draw_sheet(catalog: Catalog, rows: Sequence[Sequence[Photo]], side: int) -> Image.Image:
    pitch = side + GAP_PX
    columns = max(len(row) for row in rows)
    size = (NAMES_PX + columns * pitch + GAP_PX, len(rows) * pitch + GAP_PX)
    sheet = Image.new("RGB", size, PAPER)
    for number, row in enumerate(rows):
        top = GAP_PX + number * pitch
        _write_name(sheet, row[0].label, catalog.counts[row[0].label], top, side)
        for column, photo in enumerate(row):
            sheet.paste(_tile(catalog.file(photo), side), (NAMES_PX + column * pitch, top))
    return sheet


def _write_name(sheet: Image.Image, name: str, count: int, top: int, side: int) -> None:
    font = ImageFont.load_default(size=min(20.0, side / 3))
    draw = ImageDraw.Draw(sheet)
    shown = "".join(letter if letter.isprintable() else " " for letter in name)
    room = NAMES_PX - 3 * GAP_PX
    while len(shown) > 1 and draw.textlength(shown, font) > room:
        shown = shown.rstrip("\N{HORIZONTAL ELLIPSIS}")[:-1] + "\N{HORIZONTAL ELLIPSIS}"
    text = f"{shown}\n{count:,}"
    draw.text((2 * GAP_PX, top + side / 2), text, INK, font, anchor="lm")


def _tile(file: Path, side: int) -> Image.Image:
    try:
        photo = decode(file, min_side=2 * side)
    except ImageError:
        return Image.new("RGB", (side, side), UNREADABLE)
    return ImageOps.pad(photo, (side, side), color=MOUNT)
