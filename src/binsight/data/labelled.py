"""Which photos a part of a split has, and which class each of them is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from binsight.errors import SplitError

from .catalog import Catalog
from .split import Split

__all__ = ["LabelledPhotos", "choose_part", "labelled_part"]


@dataclass(frozen=True)
class LabelledPhotos:
    """Files and class numbers, side by side.

    Args:
        files: photos.
        labels: class number of each.
        digests: SHA-256 of each, where views need it.
        groups: equal numbers for copies of one picture, where measuring needs it.
    """

    files: Sequence[Path]
    labels: Sequence[int]
    digests: Sequence[str] = ()
    groups: Sequence[int] = ()

    def __post_init__(self) -> None:
        assert len(self.files) == len(self.labels)
        assert len(self.digests) in {0, len(self.files)}
        assert len(self.groups) in {0, len(self.files)}

    def at(self, places: Iterable[int]) -> LabelledPhotos:
        """Those at some places, in their order."""
        places = list(places)
        return LabelledPhotos(
            [self.files[place] for place in places],
            [self.labels[place] for place in places],
            [self.digests[place] for place in places] if self.digests else (),
            [self.groups[place] for place in places] if self.groups else (),
        )

    def __add__(self, others: LabelledPhotos) -> LabelledPhotos:
        """These photos, then others; which are copies is not known of both together."""
        return LabelledPhotos(
            [*self.files, *others.files],
            [*self.labels, *others.labels],
            [*self.digests, *others.digests],
        )


def choose_part(split: Split) -> str:
    """The part to evaluate on when none is named: ``test``, or else ``val``.

    Raises:
        SplitError: the split has neither.
    """
    for part in ("test", "val"):
        if part in split.parts:
            return part
    raise SplitError(f"name a part to evaluate on; the split has {', '.join(split.parts)}")


def labelled_part(
    catalog: Catalog, split: Split | None, part: str | None, classes: Sequence[str]
) -> tuple[tuple[str, ...], LabelledPhotos]:
    """Paths, files and class numbers of one part, or of all photos where there is no split.

    Raises:
        SplitError: no such part, or a class that the model does not know.
    """
    photo_of = {photo.path: photo for photo in catalog.photos}
    paths = tuple(photo_of) if split is None else split.paths(part or choose_part(split))
    gone = [path for path in paths if path not in photo_of]
    if gone:
        raise SplitError(f"{len(gone)} photos of the part are missing, such as {gone[0]}")
    photos = [photo_of[path] for path in paths]
    number = {name: index for index, name in enumerate(classes)}
    strange = sorted({photo.label for photo in photos} - set(number))
    if strange:
        raise SplitError(
            f"the model knows no {', '.join(map(repr, strange))}, but {', '.join(classes)}; say "
            "what is meant: binsight evaluate MODEL --on PHOTOS --map FILE"
        )
    return paths, LabelledPhotos(
        [catalog.file(photo) for photo in photos],
        [number[photo.label] for photo in photos],
        [photo.sha256 for photo in photos],
        [photo.group if split is None else split.group_of[photo.path] for photo in photos],
    )
