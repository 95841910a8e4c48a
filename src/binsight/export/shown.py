"""Photos that an export is compared and calibrated on: those of a split, or of a run's own.

PyTorch is not imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from binsight.data.catalog import Catalog
from binsight.data.labelled import matching_catalog
from binsight.data.split import Split, read_split
from binsight.errors import SplitError
from binsight.images import decode
from binsight.teaching.memory import spread
from binsight.training.run import Run

__all__ = ["CALIBRATED", "Shown", "of_files", "of_run", "of_split", "some_of"]

CALIBRATED = 240  # photos that ranges are measured on


@dataclass(frozen=True, eq=False)
class Shown:
    """Photos with their true classes, as numbers in the order of the model's classes.

    Args:
        files: N of them.
        labels_n: (N,) classes; -1 where it is not known.
        part: of the split, if they are one.
        catalog_digest: SHA-256 of the whole catalog, if they are part of a split.
        digests: SHA-256 of each file, if they are part of a split.
    """

    files: tuple[Path, ...]
    labels_n: NDArray[np.int64]
    part: str = ""
    catalog_digest: str = ""
    digests: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.labels_n.shape == (len(self.files),)
        assert len(self.digests) in {0, len(self.files)}

    def __len__(self) -> int:
        return len(self.files)


def of_split(
    photos: tuple[Path, ...], split: Path, parts: Sequence[str], classes: Sequence[str]
) -> tuple[Shown, ...]:
    """Photos of some parts of a split file.

    Raises:
        SplitError: no such part, other photos than the split's, or a class that is not known.
    """
    read = read_split(split)
    return _of_parts(matching_catalog(photos, read), read, parts, classes)


def of_files(files: Sequence[Path], most: int) -> Shown:
    """Up to ``most`` photos of any files, evenly; their classes are not known (-1).

    Raises:
        ImageError: one of them cannot be read.
    """
    step = -(-len(files) // most)
    chosen = tuple(files[::step])
    for file in chosen:  # before minutes go into what they are to be shown to
        decode(file, min_side=1)
    return Shown(chosen, np.full(len(chosen), -1, np.int64))


def of_run(run: Run, photos: tuple[Path, ...], parts: Sequence[str]) -> tuple[Shown, ...]:
    """Photos of some parts of a run's split.

    Args:
        photos: where they are now, if they moved.

    Raises:
        SplitError: no such part.
    """
    return _of_parts(run.photos(photos), run.split, parts, run.facts.classes)


def some_of(shown: Shown, most: int = CALIBRATED) -> Shown:
    """About ``most`` photos, the same number of each class, drawn with a fixed seed."""
    each = max(1, most // len(set(shown.labels_n.tolist())))
    places = spread(shown.labels_n.tolist(), each)
    return replace(
        shown,
        files=tuple(shown.files[place] for place in places),
        labels_n=shown.labels_n[places],
        digests=tuple(shown.digests[place] for place in places) if shown.digests else (),
    )


def _of_parts(
    catalog: Catalog, split: Split, parts: Sequence[str], classes: Sequence[str]
) -> tuple[Shown, ...]:
    number = {name: index for index, name in enumerate(classes)}
    return tuple(_of_part(catalog, split, part, number) for part in parts)


def _of_part(catalog: Catalog, split: Split, part: str, number: dict[str, int]) -> Shown:
    paths = split.paths(part)
    labels = [split.label_of[path] for path in paths]
    strange = sorted(set(labels) - set(number))
    if strange:
        raise SplitError(
            f"class {strange[0]!r} is not one that the model knows ({', '.join(number)})"
        )
    digest_of = {photo.path: photo.sha256 for photo in catalog.photos}
    return Shown(
        tuple(catalog.root / path for path in paths),
        np.array([number[label] for label in labels], np.int64),
        part,
        split.catalog_digest,
        tuple(digest_of[path] for path in paths),
    )
