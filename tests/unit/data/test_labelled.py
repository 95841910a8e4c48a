from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from binsight.data.catalog import Catalog, Photo
from binsight.data.labelled import LabelledPhotos, choose_part, labelled_part
from binsight.data.split import Split
from binsight.errors import SplitError

CLASSES = ("glass", "metal", "paper")
PARTS = {"glass/b.jpg": "val", "metal/a.jpg": "train", "metal/c.jpg": "val"}
LABELS = {path: path.partition("/")[0] for path in PARTS}
CATALOG = Catalog(
    root=Path("/photos"),
    photos=tuple(
        Photo(
            path=path,
            label=label,
            bytes=1,
            width=1,
            height=1,
            sha256=f"digest of {path}",
            group=number,
        )
        for number, (path, label) in enumerate(LABELS.items())
    ),
)


def split(parts: dict[str, str] = PARTS) -> Split:
    return Split(
        part_of=parts,
        label_of=LABELS,
        group_of={path: number for number, path in enumerate(parts)},
        seed=0,
        catalog_digest=CATALOG.digest,
    )


def test_a_part_with_numbers_of_its_classes() -> None:
    paths, photos = labelled_part(CATALOG, split(), "val", CLASSES)
    assert paths == ("glass/b.jpg", "metal/c.jpg")
    assert photos == LabelledPhotos(
        [Path("/photos/glass/b.jpg"), Path("/photos/metal/c.jpg")],
        [0, 1],
        ["digest of glass/b.jpg", "digest of metal/c.jpg"],
        [split().group_of[path] for path in paths],
    )


def test_without_a_split_all_photos() -> None:
    paths, photos = labelled_part(CATALOG, None, None, CLASSES)
    assert paths == tuple(PARTS)
    assert photos.labels == [0, 1, 1]


def test_the_part_to_evaluate_on() -> None:
    assert choose_part(split()) == "val"
    assert choose_part(split(PARTS | {"metal/c.jpg": "test"})) == "test"
    assert labelled_part(CATALOG, split(), None, CLASSES)[0] == ("glass/b.jpg", "metal/c.jpg")
    with pytest.raises(SplitError, match="name a part to evaluate on; the split has train"):
        choose_part(split(dict.fromkeys(PARTS, "train")))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SplitError, match="no part 'test'"):
        labelled_part(CATALOG, split(), "test", CLASSES)
    with pytest.raises(SplitError, match="the model knows no 'metal', but glass"):
        labelled_part(CATALOG, split(), "val", ("glass",))
    with pytest.raises(SplitError, match="1 photos of the part are missing, such as metal/c"):
        labelled_part(replace(CATALOG, photos=CATALOG.photos[:2]), split(), "val", CLASSES)


def test_some_places_in_their_order() -> None:
    photos = LabelledPhotos([Path("a"), Path("b"), Path("c")], [0, 1, 2], ["x", "y", "z"])
    assert photos.at([2, 0]) == LabelledPhotos([Path("c"), Path("a")], [2, 0], ["z", "x"])
    assert photos.at(iter([1])) == LabelledPhotos([Path("b")], [1], ["y"])
    assert photos.at([]).files == []
    assert LabelledPhotos([Path("a")], [3]).at([0]).digests == ()


def test_a_label_for_each_file() -> None:
    with pytest.raises(AssertionError):
        LabelledPhotos([Path("a.jpg")], [0, 1])
