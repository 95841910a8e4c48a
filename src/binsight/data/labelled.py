"""Which photos a part of a split has, and which class each of them is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from binsight.errors import SplitError

from .catalog import Catalog, scan
from .relabel import LabelIssue, corrected
from .split import Split

__all__ = ["LabelledPhotos", "choose_part", "labelled_part", "matching_catalog"]


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


def matching_catalog(
    sources: tuple[Path, ...], split: Split, decisions: Sequence[LabelIssue] = ()
) -> Catalog:
    """Scan the photos, correct their labels, and make sure that they are those of the split.

    Raises:
        SplitError: photos are missing, new or changed.
        CorrectionError: the decisions do not fit the photos.
    """
    catalog = corrected(scan(sources, duplicates=False), decisions)
    if catalog.digest == split.catalog_digest:
        for photo in catalog.photos:
            its = split.label_of.get(photo.path)
            if its is None:
                raise SplitError(f"{photo.path} has no row in the split; put it back, as unused")
            if its != photo.label:
                raise SplitError(
                    f"{photo.path} is {photo.label}, and {its} in the split, where labels cannot "
                    "be changed; decide them in a file of --corrections"
                )
        return catalog
    here = {photo.path: photo.label for photo in catalog.photos}
    missing = sorted(set(split.label_of) - set(here))
    added = sorted(set(here) - set(split.label_of))
    if missing:
        what = f"{len(missing)} of its photos are missing, such as {missing[0]}"
    elif added:
        what = f"{len(added)} photos are new, such as {added[0]}"
    else:
        what = "some photos or their classes changed"
    raise SplitError(
        f"the split was made for other photos: {what}; make a new split, or give the --corrections "
        "that it was made with"
    )
