from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from binsight.data.catalog import Catalog, Photo, Problem, scan
from binsight.data.check import ClassCount, Conflict, TinyPhoto, check, contact_sheet
from binsight.errors import UsageError


def photo(path: str, group: int, sha256="", size=(640, 480)) -> Photo:
    return Photo(
        path=path,
        label=path.partition("/")[0],
        bytes=1,
        width=size[0],
        height=size[1],
        sha256=sha256 or path,
        group=group,
    )


def many(label: str, count: int, start: int) -> list[Photo]:
    return [photo(f"{label}/{n}.jpg", start + n) for n in range(count)]


def catalog_of(*photos: Photo, problems: tuple[Problem, ...] = ()) -> Catalog:
    return Catalog(Path(), photos, problems)


CLEAN = (*many("glass", 30, 0), *many("metal", 10, 100))


def test_clean_photos_have_no_warning():
    report = check(catalog_of(*CLEAN))
    assert report.photos == 40
    assert report.classes == (ClassCount("glass", 30, 0.75), ClassCount("metal", 10, 0.25))
    assert report.problems == report.tiny == report.exact == report.near == report.conflicts == ()
    assert report.warnings == ()


def test_left_out_files_are_reported():
    problems = (Problem("glass/a.jpg", "the file is empty"),)
    report = check(catalog_of(*CLEAN, problems=problems))
    assert report.problems == problems
    (warning,) = report.warnings
    assert warning.startswith("1 file left out, such as glass/a.jpg; repair")


def test_tiny_photos_are_those_with_a_short_shorter_side():
    sizes = {"wide": (640, 63), "tall": (63, 640), "fits": (64, 64)}
    extra = [photo(f"glass/{name}", 200 + n, size=s) for n, (name, s) in enumerate(sizes.items())]
    report = check(catalog_of(*CLEAN, *extra))
    assert report.tiny == (TinyPhoto("glass/wide", 640, 63), TinyPhoto("glass/tall", 63, 640))
    (warning,) = report.warnings
    assert warning.startswith("2 photos with a side under 64 pixels, such as glass/wide; replace")
    assert len(check(catalog_of(*CLEAN, *extra), tiny_side=65).tiny) == 3


def test_duplicates_are_told_apart():
    extra = [
        photo("glass/a", 200, "same"), photo("glass/b", 200, "same"),
        photo("glass/c", 201, "one"), photo("glass/d", 201, "other"),
        photo("glass/e", 202, "copy"), photo("glass/f", 202, "copy"), photo("glass/g", 202, "turn"),
    ]  # fmt: skip
    report = check(catalog_of(*CLEAN, *extra))
    assert report.exact == (("glass/a", "glass/b"), ("glass/e", "glass/f"))
    assert report.near == (("glass/c", "glass/d"), ("glass/e", "glass/f", "glass/g"))
    assert report.conflicts == ()
    (warning,) = report.warnings
    assert warning.startswith("4 of the photos repeat another one")


def test_label_conflicts_are_named():
    extra = [photo("glass/a", 200), photo("glass/b", 200), photo("metal/a", 200)]
    report = check(catalog_of(*CLEAN, *extra))
    paths = ("glass/a", "glass/b", "metal/a")
    assert report.conflicts == (Conflict(paths, ("glass", "glass", "metal")),)
    assert report.warnings[0] == (
        "1 picture with more than one label, such as glass/a and metal/a; "
        "correct the labels or remove the photos"
    )


def test_single_small_class():
    warnings = check(catalog_of(*many("glass", 9, 0))).warnings
    assert len(warnings) == 2
    assert warnings[0].startswith("glass is the only class; add")
    assert warnings[1].startswith("a class needs 10 photos at the very least, and glass has 9; add")


@pytest.mark.parametrize(("count", "warned"), [(100, False), (101, True)])
def test_imbalance_beyond_ten_times_is_told(count, warned):
    catalog = catalog_of(*many("glass", count, 0), *many("metal", 10, 200))
    warnings = check(catalog).warnings
    assert [w.startswith("glass has 10 times as many photos as metal") for w in warnings] == (
        [True] if warned else []
    )


def test_every_warning_is_one_line():
    tiny = photo("metal/a", 0, size=(1, 1))
    catalog = catalog_of(*many("glass", 200, 0), tiny, problems=(Problem("x", "y"),))
    warnings = check(catalog).warnings
    assert len(warnings) == 6
    assert not any("\n" in warning for warning in warnings)


def test_report_goes_into_json():
    extra = [photo("glass/a", 200), photo("metal/a", 200, size=(5, 5))]
    report = check(catalog_of(*CLEAN, *extra, problems=(Problem("x", "y"),)))
    content = json.loads(json.dumps(report.to_dict()))
    assert content["photos"] == 42
    assert content["classes"][1] == {"name": "metal", "photos": 11, "share": pytest.approx(11 / 42)}
    assert content["tiny"] == [{"path": "metal/a", "width": 5, "height": 5}]
    assert content["conflicts"] == [{"paths": ["glass/a", "metal/a"], "labels": ["glass", "metal"]}]
    assert content["problems"] == [{"path": "x", "reason": "y"}]
    assert len(content["warnings"]) == 4


COLOURS = {"glass": (0, 160, 0), "metal": (0, 0, 200)}


@pytest.fixture
def drawn(tmp_path) -> Catalog:
    """Green and blue photos, each of another brightness; one class has two, the other eight."""
    for (label, colour), count in zip(COLOURS.items(), (2, 8), strict=True):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for n in range(count):
            shade = tuple(value - 8 * n if value else 0 for value in colour)
            path = tmp_path / "photos" / label / f"{n}.png"
            Image.new("RGB", (64, 64), shade).save(path)
    return scan([tmp_path / "photos"], duplicates=False)


def sheet(catalog: Catalog, path: Path, **options) -> np.ndarray:
    contact_sheet(catalog, path, **options)
    return np.asarray(Image.open(path).convert("RGB"), int)


def shades(pixels: np.ndarray, channel: int) -> set[int]:
    """Values of the tiles that show one channel and nothing else."""
    others = [other for other in range(3) if other != channel]
    pure = (pixels[..., others] == 0).all(axis=-1) & (pixels[..., channel] > 60)
    return set(pixels[..., channel][pure].tolist())


def test_sheet_shows_a_sample_of_each_class(drawn, tmp_path):
    pixels = sheet(drawn, tmp_path / "sheet.png", per_class=5)
    middle = pixels.shape[0] // 2
    assert shades(pixels[:middle], 1) == {160, 152}
    assert shades(pixels[:middle], 2) == set()
    assert len(shades(pixels[middle:], 2)) == 5
    for half in (pixels[:middle], pixels[middle:]):
        assert (half[:, :200] < 100).any()  # a name is written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "sheet.png"]


def test_sample_depends_on_the_seed_alone(drawn, tmp_path):
    first, again, other = (
        sheet(drawn, tmp_path / f"{number}.png", per_class=4, seed=seed)
        for number, seed in enumerate((0, 0, 1))
    )
    assert (first == again).all()
    assert shades(first, 2) != shades(other, 2)


def test_photo_that_is_gone_is_a_grey_tile(drawn, tmp_path):
    whole = sheet(drawn, tmp_path / "whole.png")
    drawn.file(drawn.photos[0]).unlink()
    pixels = sheet(drawn, tmp_path / "sheet.png")
    assert pixels.shape == whole.shape
    assert shades(pixels, 1) == {152}
    assert (pixels[6:134, 200:328] == 190).all()


def test_long_and_odd_names_stay_out_of_the_photos(tmp_path):
    folder = tmp_path / "photos" / ("many words in a very long name " * 4).strip()
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 64), (250, 0, 0)).save(folder / "1.png")
    catalog = scan([tmp_path / "photos"], duplicates=False)
    pixels = sheet(catalog, tmp_path / "sheet.png")
    assert (pixels[6:134, 200:328] == (250, 0, 0)).all()


def test_many_classes_make_smaller_tiles(tmp_path):
    photos = [photo(f"class{n:04}/1.jpg", n) for n in range(700)]
    contact_sheet(Catalog(tmp_path, tuple(photos)), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.height <= 16_100


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet.JPEG", "sheet.webp"])
def test_suffix_says_the_format(drawn, tmp_path, name):
    contact_sheet(drawn, tmp_path / name)
    kind = "WEBP" if name.endswith("webp") else "JPEG"
    with Image.open(tmp_path / name) as image:
        assert image.format == kind


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("sheet.pdf", {}, "write a picture as one of .jpg, .jpeg, .png, .webp"),
        ("sheet", {}, "write a picture as one of .jpg, .jpeg, .png, .webp"),
        ("sheet.png", {"per_class": 0}, "give 1 or more"),
    ],
)
def test_sheet_that_cannot_be_is_refused(drawn, tmp_path, name, options, words):
    with pytest.raises(UsageError, match=words):
        contact_sheet(drawn, tmp_path / name, **options)
    assert not (tmp_path / name).exists()
