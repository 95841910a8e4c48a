from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binsight.data.catalog import Catalog, Photo, Problem
from binsight.data.split import (
    DEFAULT_RATIOS,
    UNUSED,
    Split,
    read_split,
    split_by_lists,
    split_by_ratios,
    split_into_folds,
    without_grouping,
    write_split,
)
from binsight.errors import SplitError


def photo(path: str, label: str, group: int) -> Photo:
    content = hashlib.sha256(path.encode()).hexdigest()
    return Photo(path=path, label=label, bytes=1, width=9, height=9, sha256=content, group=group)


def catalog_of(*rows: tuple[str, int]) -> Catalog:
    """Photos from paths such as ``glass/1.jpg`` and group numbers."""
    return Catalog(Path(), tuple(photo(path, path.split("/")[0], group) for path, group in rows))


def singles(**counts: int) -> Catalog:
    names = [f"{label}/{n}.jpg" for label, count in counts.items() for n in range(count)]
    return catalog_of(*((name, group) for group, name in enumerate(names)))


@st.composite
def catalogs(draw, *, one_label_a_group=False) -> Catalog:
    """Groups of one to four photos; a group may carry several labels."""
    labels = st.sampled_from("abc")
    photos = []
    for group in range(draw(st.integers(12, 30))):
        its_label = draw(labels)
        for number in range(draw(st.integers(1, 4))):
            label = its_label if one_label_a_group else draw(labels)
            photos.append(photo(f"{label}/{group}-{number}.jpg", label, group))
    return Catalog(Path(), tuple(photos))


def dealt(catalog: Catalog, seed: int) -> Split:
    return split_by_ratios(catalog, {"train": 0.6, "val": 0.2, "test": 0.2}, seed=seed)


@given(catalogs(), st.integers(0, 99))
@settings(deadline=None)
def test_every_photo_has_one_part_and_no_group_straddles(catalog, seed):
    split = dealt(catalog, seed)
    assert sorted(split.part_of) == sorted(photo.path for photo in catalog.photos)
    assert set(split.part_of.values()) == {"train", "val", "test"}
    parts_of_group = {(photo.group, split.part_of[photo.path]) for photo in catalog.photos}
    assert len(parts_of_group) == len({photo.group for photo in catalog.photos})
    assert split.straddling() == ()


@given(catalogs(), st.integers(0, 9), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_order_of_the_photos_does_not_matter(catalog, seed, random):
    split = dealt(catalog, seed)
    shuffled = list(catalog.photos)
    random.shuffle(shuffled)
    assert dealt(Catalog(Path(), tuple(shuffled)), seed) == split


@given(
    st.lists(st.integers(10, 60), min_size=1, max_size=4),
    st.sampled_from([{"train": 0.8, "val": 0.2}, DEFAULT_RATIOS, {"a": 0.5, "b": 0.3, "c": 0.2}]),
    st.integers(0, 9),
)
@settings(deadline=None)
def test_every_class_is_divided_by_the_ratios(counts, ratios, seed):
    catalog = singles(**{f"class{n}": count for n, count in enumerate(counts)})
    table = split_by_ratios(catalog, ratios, seed=seed).counts()
    for label, total in catalog.counts.items():
        for part, share in ratios.items():
            assert abs(table[part][label] - share * total) <= 1


@given(catalogs(one_label_a_group=True), st.integers(0, 9))
@settings(deadline=None)
def test_every_class_is_divided_within_the_size_of_a_group(catalog, seed):
    table = dealt(catalog, seed).counts()
    for label, total in catalog.counts.items():
        groups = Counter(item.group for item in catalog.photos if item.label == label)
        for part, share in {"train": 0.6, "val": 0.2, "test": 0.2}.items():
            assert abs(table[part][label] - share * total) <= max(groups.values())


def test_golden_split():
    """Written down once: the same photos and seed must give this split everywhere, for ever."""
    split = split_by_ratios(singles(glass=6, metal=4), {"train": 0.5, "test": 0.5}, seed=0)
    assert split.paths("test") == (
        "glass/2.jpg",
        "glass/3.jpg",
        "glass/4.jpg",
        "metal/0.jpg",
        "metal/3.jpg",
    )
    assert split.catalog_digest == (
        "62086ca0fc38406673556e3e3b95c17c1ead7f4fe241b4c8447bfa5bcea0655d"
    )


def test_seeds_differ_and_zero_is_a_seed():
    catalog = singles(glass=50, metal=50)
    splits = [split_by_ratios(catalog, DEFAULT_RATIOS, seed=seed) for seed in (0, 1, 2, 0)]
    parts = [tuple(split.part_of.items()) for split in splits]
    assert len(set(parts)) == 3
    assert parts[0] == parts[3]
    assert [split.seed for split in splits] == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        ({}, "every part needs a ratio above 0"),
        ({"train": 1.2, "val": -0.2}, "every part needs a ratio above 0"),
        ({"train": 1.0, "val": 0.0}, "every part needs a ratio above 0"),
        ({"train": float("nan"), "val": 0.5}, "every part needs a ratio above 0"),
        ({"train": 0.5, "val": 0.3}, "add up to 0.8, not 1"),
        ({"train": 0.5, "unused": 0.5}, "names the photos of no part"),
    ],
)
def test_ratios_that_make_no_sense_are_refused(ratios, words):
    with pytest.raises(SplitError, match=words):
        split_by_ratios(singles(glass=9), ratios, seed=0)


def test_too_few_photos_are_refused():
    with pytest.raises(SplitError, match="nothing is left for val, test"):
        split_by_ratios(catalog_of(("a/1.jpg", 0), ("a/2.jpg", 0)), DEFAULT_RATIOS, seed=0)


def test_folds_are_equal_and_whole():
    catalog = singles(glass=20, metal=10)
    split = split_into_folds(catalog, 5, seed=3)
    assert split.parts == ("fold0", "fold1", "fold2", "fold3", "fold4")
    assert all(row == {"glass": 4, "metal": 2} for row in split.counts().values())


def test_fold_validates_and_the_others_train():
    split = split_into_folds(singles(glass=20), 4, seed=0)
    chosen = split.with_fold(2)
    assert chosen.paths("val") == split.paths("fold2")
    assert chosen.parts == ("train", "val")
    assert (chosen.seed, chosen.catalog_digest) == (split.seed, split.catalog_digest)
    with pytest.raises(SplitError, match="no fold4; it has fold0, fold1"):
        split.with_fold(4)


def test_other_parts_stay_when_a_fold_is_chosen():
    parts = {"1": "fold0", "2": "fold1", "3": "test", "4": UNUSED, "5": "folded"}
    same = dict.fromkeys(parts, "glass")
    split = Split(
        part_of=parts, label_of=same, group_of=dict.fromkeys(parts, 0), seed=0, catalog_digest=""
    )
    assert split.with_fold(0).part_of == {
        "1": "val", "2": "train", "3": "test", "4": UNUSED, "5": "folded",
    }  # fmt: skip


def test_folds_beside_lists():
    catalog = catalog_of(*((f"a/{n}.jpg", n // 2) for n in range(16)))
    lists = {"val": ["a/0.jpg"], "test": ["a/4.jpg", "a/5.jpg"]}
    split = split_into_folds(catalog, 3, lists=lists, seed=0)
    assert split.paths("val") == ("a/0.jpg",)
    assert split.paths("test") == ("a/4.jpg", "a/5.jpg")
    assert split.paths(UNUSED) == ("a/1.jpg",)
    assert {row["a"] for part, row in split.counts().items() if "fold" in part} == {4}


def test_photos_that_were_kept_aside_to_validate_are_no_part_of_a_fold():
    split = split_into_folds(singles(a=10), 3, lists={"val": ["a/0.jpg"]}, seed=0)
    chosen = split.with_fold(1)
    assert chosen.paths("val") == split.paths("fold1")
    assert chosen.paths(UNUSED) == ("a/0.jpg",)


def test_folds_joined_train():
    split = split_into_folds(singles(a=10), 3, lists={"val": ["0.jpg"], "test": ["1.jpg"]}, seed=0)
    joined = split.with_folds_joined()
    assert joined.parts == ("train", "val", "test")
    assert joined.paths("val") == ("a/0.jpg",)
    assert len(joined.paths("train")) == 8


def test_the_fold_of_a_photo_is_that_of_its_duplicates():
    parts = {"1": "fold0", "2": "fold3", "3": UNUSED, "4": "val", "5": "fold3"}
    split = Split(
        part_of=parts,
        label_of=dict.fromkeys(parts, "glass"),
        group_of={"1": 7, "2": 8, "3": 7, "4": 9, "5": 8},
        seed=0,
        catalog_digest="",
    )
    assert split.fold_of == {"1": 0, "2": 3, "3": 0, "5": 3}


def test_straddling_among_some_parts():
    parts = {"1": "fold0", "2": "fold1", "3": "test", "4": "fold1", "5": UNUSED}
    split = Split(
        part_of=parts,
        label_of=dict.fromkeys(parts, "glass"),
        group_of={"1": 7, "2": 8, "3": 7, "4": 8, "5": 8},
        seed=0,
        catalog_digest="",
    )
    assert split.straddling() == (7,)
    assert split.straddling(["fold0", "fold1"]) == ()
    assert split.straddling(["fold1", UNUSED]) == (8,)


@pytest.mark.parametrize("folds", [-1, 0, 1])
def test_fewer_than_two_folds_are_refused(folds):
    with pytest.raises(SplitError, match="give 2 or more"):
        split_into_folds(singles(glass=9), folds, seed=0)


def test_more_folds_than_groups_are_refused():
    with pytest.raises(SplitError, match="too few photos"):
        split_into_folds(singles(glass=3), 4, seed=0)


def test_lists_take_paths_and_their_ends():
    catalog = singles(glass=3, metal=2)
    lists = {
        "train": ["glass/0.jpg", "./metal/0.jpg", "glass\\1.jpg", "glass/1.jpg"],
        "test": ["2.jpg", "metal/1.jpg"],
    }
    split = split_by_lists(catalog, lists)
    assert split.paths("train") == ("glass/0.jpg", "glass/1.jpg", "metal/0.jpg")
    assert split.paths("test") == ("glass/2.jpg", "metal/1.jpg")
    assert split.parts == ("train", "test")


def test_whole_path_wins_over_one_that_ends_in_it():
    catalog = catalog_of(("glass/1.jpg", 0), ("old/glass/1.jpg", 1))
    split = split_by_lists(catalog, {"train": ["old/glass/1.jpg"], "test": ["glass/1.jpg"]})
    assert split.part_of == {"glass/1.jpg": "test", "old/glass/1.jpg": "train"}


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({"train": ["gone.jpg"]}, r"gone\.jpg \(list of train\) is not among the photos"),
        ({"train": ["s/0.jpg"]}, "is not among"),  # ends in the middle of a name
        ({"train": [""]}, "is not among"),
        ({"train": ["0.jpg"]}, r"could be glass/0\.jpg or metal/0\.jpg; give a path"),
        (
            {"train": ["glass/0.jpg"], "val": ["glass/0.jpg"]},
            r"glass/0\.jpg is on the lists of train and of val",
        ),
        ({"unused": ["glass/0.jpg"]}, "names the photos of no part"),
    ],
)
def test_lists_that_do_not_fit_are_refused(lists, words):
    with pytest.raises(SplitError, match=words):
        split_by_lists(singles(glass=3, metal=2), lists)


STRADDLING = catalog_of(
    ("a/train.jpg", 0), ("a/val.jpg", 0), ("a/test.jpg", 0), ("a/unlisted.jpg", 0),
    ("b/train.jpg", 1), ("b/val.jpg", 1),
    ("c/train.jpg", 2), ("c/unlisted.jpg", 2),
    ("d/test.jpg", 3), ("d/unlisted.jpg", 3),
    ("e/rest.jpg", 4),
)  # fmt: skip
LISTS = {
    "train": ["a/train.jpg", "b/train.jpg", "c/train.jpg"],
    "val": ["a/val.jpg", "b/val.jpg"],
    "test": ["a/test.jpg", "d/test.jpg"],
}


def test_straddling_group_stays_where_a_leak_would_harm_most():
    split = split_by_lists(STRADDLING, LISTS)
    assert split.part_of == {
        "a/train.jpg": UNUSED, "a/val.jpg": UNUSED, "a/test.jpg": "test", "a/unlisted.jpg": UNUSED,
        "b/train.jpg": UNUSED, "b/val.jpg": "val",
        "c/train.jpg": "train", "c/unlisted.jpg": "train",
        "d/test.jpg": "test", "d/unlisted.jpg": UNUSED,
        "e/rest.jpg": UNUSED,
    }  # fmt: skip
    assert split.straddling() == ()


def test_straddling_can_be_kept_and_is_told():
    split = split_by_lists(STRADDLING, LISTS, keep_straddling=True)
    for part, names in LISTS.items():
        assert all(split.part_of[name] == part for name in names)
    assert split.straddling() == (0, 1)
    assert split.part_of["a/unlisted.jpg"] == UNUSED


def test_rest_is_dealt_out_and_keeps_away_from_the_lists():
    names = [(f"glass/{n}.jpg", n) for n in range(20)]
    catalog = catalog_of(("glass/listed.jpg", 99), ("glass/copy.jpg", 99), *names)
    rest = {"train": 0.5, "val": 0.5}
    split = split_by_lists(catalog, {"test": ["listed.jpg"]}, rest=rest, seed=1)
    assert split.counts() == {
        "train": {"glass": 10}, "val": {"glass": 10}, "test": {"glass": 1}, UNUSED: {"glass": 1},
    }  # fmt: skip
    assert split.part_of["glass/copy.jpg"] == UNUSED
    assert split.parts == ("train", "val", "test", UNUSED)
    with pytest.raises(SplitError, match="add up to"):
        split_by_lists(catalog, {"test": ["listed.jpg"]}, rest={"train": 0.5})


def test_classes_are_those_in_use():
    split = split_by_lists(singles(glass=2, metal=2), {"train": ["glass/0.jpg"]})
    assert split.classes == ("glass",)


def test_part_that_is_not_there_is_named():
    split = split_by_ratios(singles(glass=9), {"train": 0.5, "val": 0.5}, seed=0)
    with pytest.raises(SplitError, match="no part 'test'; it has train, val"):
        split.paths("test")


def test_split_is_read_as_it_was_written(tmp_path):
    catalog = catalog_of(("a,b/1.jpg", 0), ('"c"/2.jpg', 1), ("ü/3.jpg", 2), ("ü/4.jpg", 0))
    split = split_by_ratios(catalog, {"train": 0.5, "test": 0.5}, seed=7)
    write_split(tmp_path / "split.csv", split)
    assert read_split(tmp_path / "split.csv") == split


def edited(tmp_path, old: str, new: str) -> Path:
    path = tmp_path / "split.csv"
    write_split(path, split_by_ratios(singles(glass=4), {"train": 0.5, "test": 0.5}, seed=7))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("path,", "file,", "not a split; make one with: binsight data split"),
        (",7,", ",8,", "rows of different splits are mixed"),
        ("glass/1.jpg", "glass/0.jpg", "a photo is listed twice"),
        (",train,", ",,", "a row is not complete"),
        ("glass/1.jpg,glass,", "glass/1.jpg", "a row is not complete"),
        (",0,7,", ",zero,7,", "not a split"),
    ],
)
def test_tampered_split_is_refused(tmp_path, old, new, words):
    with pytest.raises(SplitError, match=words):
        read_split(edited(tmp_path, old, new))


def test_other_files_are_no_split(tmp_path):
    path = tmp_path / "split.csv"
    with pytest.raises(SplitError, match="No such file"):
        read_split(path)
    for content in (b"", b"path,label,part,group,seed,catalog\n", b"\xff\xfe\x00"):
        path.write_bytes(content)
        with pytest.raises(SplitError, match="not a split"):
            read_split(path)


def pairs(each: int) -> Catalog:
    """Every picture twice."""
    rows = [
        (f"{label}/{n}.jpg", n // 2 + 1000 * k) for k, label in enumerate("ab") for n in range(each)
    ]
    return catalog_of(*rows)


def test_without_grouping_tears_duplicates_apart_and_keeps_the_rest() -> None:
    grouped = split_into_folds(pairs(60), 3, seed=0)
    assert grouped.straddling() == ()
    torn = without_grouping(grouped)
    # Two photos of a pair meet in one of three folds a third of the time.
    assert 25 < len(torn.straddling()) < 55
    assert torn.label_of == grouped.label_of
    assert torn.group_of == grouped.group_of
    assert torn.catalog_digest == grouped.catalog_digest
    assert torn.counts() == {f"fold{k}": {"a": 20, "b": 20} for k in range(3)}


def test_without_grouping_leaves_other_parts_alone() -> None:
    grouped = split_into_folds(singles(a=8, b=8), 2, seed=0)
    some = dict(grouped.part_of) | {"a/0.jpg": "test", "b/0.jpg": UNUSED}
    split = Split(
        part_of=some,
        label_of=grouped.label_of,
        group_of=grouped.group_of,
        seed=0,
        catalog_digest="",
    )
    torn = without_grouping(split)
    assert torn.part_of["a/0.jpg"] == "test"
    assert torn.part_of["b/0.jpg"] == UNUSED
    assert split.folds == torn.folds == (0, 1)


def test_without_grouping_needs_folds() -> None:
    split = split_by_ratios(singles(a=8), DEFAULT_RATIOS, seed=0)
    assert split.folds == ()
    with pytest.raises(SplitError, match="no folds"):
        without_grouping(split)


def test_folds_are_in_order_of_their_numbers() -> None:
    assert split_into_folds(singles(a=30), 11, seed=0).folds == tuple(range(11))


@pytest.mark.parametrize(("classes", "photos", "folds"), [(10, 6, 5), (6, 7, 4), (8, 4, 5)])
def test_what_is_left_over_of_classes_goes_to_different_folds(classes, photos, folds):
    catalog = singles(**{f"class{n}": photos for n in range(classes)})
    split = split_into_folds(catalog, folds, seed=0)
    sizes = [len(split.paths(f"fold{number}")) for number in range(folds)]
    assert max(sizes) - min(sizes) <= 2
    for label in catalog.classes:
        of_class = [split.counts()[part][label] for part in split.parts]
        assert max(of_class) - min(of_class) <= 1


def test_groups_that_are_left_over_go_to_different_folds_too():
    rows = [(f"class{n}/{k}.jpg", n * 10 + k // 2) for n in range(10) for k in range(6)]
    split = split_into_folds(catalog_of(*rows), 5, seed=0)
    sizes = [len(split.paths(f"fold{number}")) for number in range(5)]
    assert max(sizes) - min(sizes) <= 4


def test_parts_of_equal_ratios_are_nearly_equal():
    parts = split_by_ratios(singles(a=9, b=9, c=9, d=9, e=9, f=9), DEFAULT_RATIOS, seed=0)
    assert {part: len(parts.paths(part)) for part in parts.parts} == {
        "train": 36,
        "val": 9,
        "test": 9,
    }


def test_nothing_is_left_for_a_part_beside_lists():
    catalog = singles(glass=4)
    names = [photo.path for photo in catalog.photos]
    with pytest.raises(SplitError, match="nothing is left for val"):
        split_by_lists(catalog, {"test": names[:3]}, rest={"train": 0.5, "val": 0.5})


def test_a_listed_photo_that_cannot_be_read_is_told_of_as_such():
    catalog = replace(singles(glass=2), problems=(Problem("glass/9.jpg", "truncated"),))
    with pytest.raises(SplitError, match="not among the photos; left out: truncated"):
        split_by_lists(catalog, {"test": ["glass/9.jpg"]})


def test_some_photos_may_be_left_out_of_a_split():
    split = split_by_ratios(singles(glass=10), {"train": 0.5, "val": 0.5}, seed=0)
    gone = split.paths("val")[:2]
    less = split.without(gone)
    assert less.paths("val") == split.paths("val")[2:]
    assert less.paths(UNUSED) == gone
    assert less.paths("train") == split.paths("train")


def test_a_split_with_semicolons_is_told_of(tmp_path):
    file = tmp_path / "split.csv"
    write_split(file, split_by_ratios(singles(glass=10), {"train": 0.5, "val": 0.5}, seed=0))
    file.write_text(file.read_text().replace(",", ";"))
    with pytest.raises(SplitError, match="it has semicolons, save it with commas"):
        read_split(file)
