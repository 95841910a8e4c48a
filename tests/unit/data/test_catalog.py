from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from binsight.data import duplicates
from binsight.data.catalog import Catalog, Photo, Problem, scan, write_catalog
from binsight.data.tables import read_table
from binsight.errors import CatalogError, MissingExtraError


def draw(path: Path, seed: int, size=(40, 30), **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    draw(folder / "glass" / "1.jpg", 1)
    draw(folder / "glass" / "2.PNG", 2)
    draw(folder / "metal" / "1.jpg", 3)
    return folder


def rows(catalog: Catalog) -> list[tuple[str, str]]:
    return [(photo.path, photo.label) for photo in catalog.photos]


def test_class_folders(photos):
    catalog = scan([photos])
    assert rows(catalog) == [
        ("glass/1.jpg", "glass"),
        ("glass/2.PNG", "glass"),
        ("metal/1.jpg", "metal"),
    ]
    assert catalog.classes == ("glass", "metal")
    assert catalog.counts == {"glass": 2, "metal": 1}
    assert catalog.problems == ()
    assert catalog.file(catalog.photos[0]) == photos / "glass" / "1.jpg"
    assert [photo.group for photo in catalog.photos] == [0, 1, 2]


def test_facts_of_a_photo(photos):
    photo = scan([photos]).photos[0]
    file = photos / "glass" / "1.jpg"
    assert photo.bytes == file.stat().st_size
    assert (photo.width, photo.height) == (40, 30)
    assert len(photo.sha256) == 64


def test_size_is_as_a_person_sees_it(photos):
    exif = Image.Exif()
    exif[0x0112] = 6
    # Nearly square and large, so that the reduced decode is exactly square.
    draw(photos / "glass" / "turned.jpg", 5, size=(1000, 999), exif=exif)
    sizes = {photo.path: (photo.width, photo.height) for photo in scan([photos]).photos}
    assert sizes["glass/turned.jpg"] == (999, 1000)


def test_folders_in_a_class_folder_belong_to_the_class(photos):
    draw(photos / "glass" / "kitchen" / "green" / "1.jpg", 7)
    assert ("glass/kitchen/green/1.jpg", "glass") in rows(scan([photos]))


def test_several_sources_have_paths_from_their_common_folder(photos, tmp_path):
    draw(tmp_path / "more" / "glass" / "1.jpg", 9)
    catalog = scan([tmp_path / "more", photos])
    assert catalog.root == tmp_path
    assert rows(catalog) == [
        ("more/glass/1.jpg", "glass"),
        ("photos/glass/1.jpg", "glass"),
        ("photos/glass/2.PNG", "glass"),
        ("photos/metal/1.jpg", "metal"),
    ]


def test_dots_in_a_source_do_not_get_into_the_paths(photos, tmp_path, monkeypatch):
    draw(tmp_path / "here" / "more" / "glass" / "1.jpg", 9)
    monkeypatch.chdir(tmp_path / "here")
    relative = scan([Path("../photos"), Path("more")], duplicates=False)
    absolute = scan([photos, tmp_path / "here" / "more"], duplicates=False)
    assert relative.digest == absolute.digest
    assert not any(".." in photo.path for photo in relative.photos)


def test_source_inside_another_that_labels_otherwise_is_refused(photos):
    draw(photos / "glass" / "green" / "1.jpg", 11)
    with pytest.raises(CatalogError, match="is listed as glass and as green"):
        scan([photos, photos / "glass"], duplicates=False)


def test_csv(photos):
    table = photos / "labels.csv"
    table.write_text("label,note,path\ncan,x,metal/1.jpg\njar,,./glass/1.jpg\n\n")
    catalog = scan([table])
    assert rows(catalog) == [("glass/1.jpg", "jar"), ("metal/1.jpg", "can")]
    assert catalog.root == photos


def test_csv_of_a_spreadsheet(photos):
    table = photos / "labels.csv"
    table.write_bytes("\ufeffpath,label\r\nglass/1.jpg,Gläser\r\n".encode())
    assert rows(scan([table])) == [("glass/1.jpg", "Gläser")]


@pytest.mark.parametrize("name", ["../photos/glass/1.jpg", "/etc/passwd", "glass/../../x.jpg"])
def test_csv_that_leaves_its_folder_is_refused(photos, name):
    table = photos / "labels.csv"
    table.write_text(f"path,label\nglass/1.jpg,glass\n{name},glass\n")
    with pytest.raises(CatalogError, match=r"line 3: .* must be relative"):
        scan([table])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"path,class\na.jpg,glass\n", "no column label"),
        (b"", "no column path and no column label"),
        (b"path,label\nglass/1.jpg\n", "line 2: path and label must not be empty"),
        (b"path,label\nglass/1.jpg, \n", "line 2: path and label must not be empty"),
        (b"path,label\nglass/1.jpg,gl\xe4ser\n", "not a CSV file in UTF-8"),
        (b"path,label\n", "no photos"),
        (b"path,label\nglass/1.jpg,a\nglass/1.jpg,b\n", "is listed as a and as b"),
    ],
)
def test_broken_csv_is_refused(photos, content, words):
    (photos / "labels.csv").write_bytes(content)
    with pytest.raises(CatalogError, match=words):
        scan([photos / "labels.csv"])


def test_unreadable_photos_are_named_and_the_rest_stays(photos):
    (photos / "glass" / "broken.jpg").write_text("not a photo")
    (photos / "glass" / "empty.jpg").touch()
    (photos / "glass" / "notes.txt").write_text("no photo, not looked at")
    draw(photos / "loose.jpg", 4)
    catalog = scan([photos])
    assert len(catalog.photos) == 3
    assert catalog.problems == (
        Problem("glass/broken.jpg", "not an image that can be read"),
        Problem("glass/empty.jpg", "the file is empty"),
        Problem("loose.jpg", "not in a class folder"),
    )


def test_a_name_that_is_no_text_is_a_problem(photos):
    name = os.fsdecode(b"glas\xe4s.png")
    try:
        shutil.copy(next((photos / "glass").iterdir()), photos / "glass" / name)
    except OSError:
        pytest.skip("this file system takes no such name")
    before = scan([photos], duplicates=False)
    assert Problem(f"glass/{name}", "its name is not UTF-8; rename it") in before.problems
    assert name not in {photo.path for photo in before.photos}
    assert before.digest


def test_csv_row_without_a_file_is_a_problem(photos):
    (photos / "labels.csv").write_text("path,label\nglass/1.jpg,glass\ngone.jpg,glass\n")
    catalog = scan([photos / "labels.csv"])
    assert rows(catalog) == [("glass/1.jpg", "glass")]
    assert [problem.path for problem in catalog.problems] == ["gone.jpg"]


def test_hidden_files_and_folders_are_left_alone(photos):
    draw(photos / "glass" / "._1.jpg", 5)
    draw(photos / ".cache" / "1.jpg", 6)
    catalog = scan([photos])
    assert len(catalog.photos) == 3
    assert catalog.problems == ()


def test_links_are_followed_but_not_in_circles(photos, tmp_path):
    draw(tmp_path / "elsewhere" / "1.jpg", 8)
    try:
        (photos / "paper").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        (photos / "glass" / "up").symlink_to(photos, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no symbolic links")
    assert [path for path, _ in rows(scan([photos]))] == [
        "glass/1.jpg",
        "glass/2.PNG",
        "metal/1.jpg",
        "paper/1.jpg",
    ]


def test_a_class_folder_itself_is_no_folder_of_classes(photos):
    with pytest.raises(CatalogError, match="no class folders in it; give the folder above"):
        scan([photos / "glass"])


def test_a_csv_that_lies_elsewhere_is_told_what_its_paths_mean(tmp_path):
    (tmp_path / "mine.csv").write_text("path,label\nglass/1.jpg,glass\n")
    with pytest.raises(CatalogError, match=r"glass/1\.jpg: .*a CSV's paths are relative to its"):
        scan([tmp_path / "mine.csv"])


def test_columns_that_are_called_otherwise_are_named(tmp_path):
    (tmp_path / "mine.csv").write_text("file,Label\nglass/1.jpg,glass\n")
    with pytest.raises(CatalogError, match="no column path and no column label, but file, Label"):
        scan([tmp_path / "mine.csv"])


def test_a_second_way_to_a_class_is_told_of(photos):
    try:
        (photos / "cans").symlink_to(photos / "metal", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no symbolic links")
    catalog = scan([photos])
    assert catalog.counts == {"cans": 1, "glass": 2}
    assert [(one.path, one.reason) for one in catalog.problems] == [
        ("metal", "the same folder as cans; remove the link")
    ]


def test_folder_that_cannot_be_listed_is_not_skipped_in_silence(photos, monkeypatch):
    def denied(folder, **options):
        options["onerror"](PermissionError(13, "Permission denied", str(folder)))
        return iter(())

    monkeypatch.setattr("os.walk", denied)
    with pytest.raises(CatalogError, match="photos: Permission denied"):
        scan([photos])


def test_digest_knows_content_and_not_place(photos, tmp_path):
    digest = scan([photos]).digest
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in sorted(photos.rglob("*.*"), reverse=True):  # made in another order
        target = moved / file.relative_to(photos)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, target)
    assert scan([moved], duplicates=False).digest == digest
    shuffled = Catalog(photos, scan([photos]).photos[::-1])
    assert shuffled.digest == digest


def test_digest_changes_with_label_name_and_content(photos):
    digests = {scan([photos]).digest}
    (photos / "glass" / "2.PNG").rename(photos / "metal" / "2.PNG")
    digests.add(scan([photos]).digest)
    (photos / "metal" / "2.PNG").rename(photos / "metal" / "3.PNG")
    digests.add(scan([photos]).digest)
    draw(photos / "metal" / "3.PNG", 77)
    digests.add(scan([photos]).digest)
    for label in ("metal", "glass"):
        (photos / "labels.csv").write_text(f"path,label\nglass/1.jpg,{label}\n")
        digests.add(scan([photos / "labels.csv"]).digest)
    assert len(digests) == 6


def test_copies_share_a_group(photos):
    shutil.copyfile(photos / "glass" / "1.jpg", photos / "metal" / "copy.jpg")
    with Image.open(photos / "glass" / "2.PNG") as image:
        image.save(photos / "glass" / "3.jpg", quality=60)
    near = {photo.path: photo.group for photo in scan([photos]).photos}
    assert near["glass/1.jpg"] == near["metal/copy.jpg"]
    assert near["glass/2.PNG"] == near["glass/3.jpg"]
    assert len(set(near.values())) == 3
    exact = {photo.path: photo.group for photo in scan([photos], duplicates=False).photos}
    assert exact["glass/1.jpg"] == exact["metal/copy.jpg"]
    assert len(set(exact.values())) == 4


def test_missing_extra_is_said_before_anything_is_read(photos, monkeypatch):
    monkeypatch.setattr(duplicates, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"\.\[data\]"):
        scan([photos / "missing"])
    assert len(scan([photos], duplicates=False).photos) == 3


def test_progress_counts_every_photo(photos):
    (photos / "glass" / "broken.jpg").write_text("not a photo")
    seen = []
    scan([photos], duplicates=False, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_nothing_to_read_says_what_is_expected(tmp_path):
    with pytest.raises(CatalogError, match=r"no photos; expected one folder per class"):
        scan([tmp_path])
    with pytest.raises(CatalogError, match="no such folder"):
        scan([tmp_path / "gone"])
    with pytest.raises(CatalogError, match="no folder given"):
        scan([])
    (tmp_path / "glass").mkdir()
    (tmp_path / "glass" / "1.jpg").touch()
    with pytest.raises(CatalogError, match=r"no readable photo.*glass/1\.jpg: the file is empty"):
        scan([tmp_path])


def test_a_catalog_is_written_as_a_table(tmp_path):
    names = ["glass/a,b.jpg", 'glass/"quoted".jpg', "glass/über.jpg"]
    catalog = Catalog(
        tmp_path,
        tuple(
            Photo(
                path=name, label="glass", bytes=5, width=3, height=4, sha256="a" * 64, group=group
            )
            for group, name in enumerate(names)
        ),
    )
    write_catalog(tmp_path / "catalog.csv", catalog)
    rows = read_table(tmp_path / "catalog.csv", CatalogError).rows
    assert rows == [
        {name: str(value) for name, value in asdict(photo).items()} for photo in catalog.photos
    ]


def test_photos_of_kinds_that_cannot_be_read_are_told_of(photos):
    (photos / "glass" / "3.HEIC").write_bytes(b"heic")
    draw(photos / "metal" / "2.png", 4).rename(photos / "metal" / "2.jfif")
    catalog = scan([photos])
    assert ("metal/2.jfif", "metal") in rows(catalog)
    assert catalog.problems == (Problem("glass/3.HEIC", "cannot be read; save it as JPEG"),)


def test_a_class_is_called_alike_however_its_accents_are_written(tmp_path):
    for name, seed in (("me\u0301tal", 1), ("m\u00e9tal", 2)):
        draw(tmp_path / "a" / str(seed) / name / "1.jpg", seed)
    catalog = scan([tmp_path / "a" / "1", tmp_path / "a" / "2"])
    assert catalog.classes == ("m\u00e9tal",)
    assert all(catalog.file(one).is_file() for one in catalog.photos)


def test_what_is_a_csv_and_what_is_a_folder(photos):
    (photos / "LIST.CSV").write_text("path,label\nglass\\1.jpg,glass\nmetal/1.jpg,metal\n")
    assert rows(scan([photos / "LIST.CSV"])) == [("glass/1.jpg", "glass"), ("metal/1.jpg", "metal")]
    folder = photos.rename(photos.with_suffix(".csv"))
    assert len(scan([folder]).photos) == 3
    with pytest.raises(CatalogError, match="a file; give a folder of class folders, or a CSV"):
        scan([folder / "glass" / "1.jpg"])
    (folder / "list.csv").write_text("path;label\nglass/1.jpg;glass\n")
    with pytest.raises(CatalogError, match="it has semicolons, save it with commas"):
        scan([folder / "list.csv"])
