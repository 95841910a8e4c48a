"""``binsight data split --learned-by``: what a model knows already is kept from judging it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from small_bundle import write_small_bundle
from tiny_training import draw_photos, make_run
from typer.testing import CliRunner

from binsight.data.split import Split, read_split
from binsight.errors import NotABundleError, SplitError, UsageError
from binsight.interfaces.cli import app
from binsight.runtime import Classifier

TAUGHT = ("glass/0.png", "glass/3.png", "metal/1.png", "paper/2.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten photos of each class, and a copy of one that is taught."""
    folder = draw_photos(tmp_path_factory.mktemp("drawn") / "photos")
    shutil.copy(folder / "glass" / "0.png", folder / "glass" / "again.png")
    return folder


@pytest.fixture(scope="module")
def bundle(photos: Path) -> Path:
    path = write_small_bundle(photos.parent / "taught.onnx").path
    by_class: dict[str, list[Path]] = {}
    for name in TAUGHT:
        by_class.setdefault(name.partition("/")[0], []).append(photos / name)
    Classifier(path).teach(by_class, path, anyway=True)
    return path


def asked(photos: Path, out: Path, *options: object) -> Result:
    given = ["data", "split", photos, "--out", out, *options]
    return CliRunner().invoke(app, [str(one) for one in given])


def split_by(photos: Path, out: Path, *options: object) -> Split:
    done = asked(photos, out, *options)
    assert done.exit_code == 0, done.exception
    return read_split(out)


def test_known_photos_and_their_copies_train_and_others_are_dealt_out(
    photos: Path, bundle: Path, tmp_path: Path
) -> None:
    split = split_by(photos, tmp_path / "s.csv", "--learned-by", bundle)
    known = {*TAUGHT, "glass/again.png"}
    assert {split.part_of[path] for path in known} == {"train"}
    sizes = {part: len(split.paths(part)) for part in split.parts}
    assert sum(sizes.values()) == 31
    others = 31 - len(known)
    assert sizes["val"] == pytest.approx(0.15 * others, abs=2)
    assert sizes["test"] == pytest.approx(0.15 * others, abs=2)


def test_folds_train_with_them(photos: Path, bundle: Path, tmp_path: Path) -> None:
    split = split_by(photos, tmp_path / "s.csv", "--learned-by", bundle, "--folds", 2)
    assert set(split.paths("train")) == {*TAUGHT, "glass/again.png"}
    assert set(split.with_fold(0).paths("train")) > set(TAUGHT)


def test_beside_a_list_the_others_stay_unused(photos: Path, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("glass/5.png\n")
    listed = ("--list", f"test={tmp_path / 'test.txt'}", "--learned-by", bundle)
    split = split_by(photos, tmp_path / "s.csv", *listed)
    assert split.paths("test") == ("glass/5.png",)
    assert len(split.paths("train")) == 5
    (tmp_path / "test.txt").write_text("glass/3.png\n")
    done = asked(photos, tmp_path / "t.csv", *listed)
    assert isinstance(done.exception, SplitError)
    assert "glass/3.png is on the lists of test and of train" in str(done.exception)


def test_a_listed_copy_of_a_known_photo_trains_as_well(
    photos: Path, bundle: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(photos, own)
    Image.open(own / "glass" / "0.png").save(own / "glass" / "saved.png", compress_level=1)
    (tmp_path / "test.txt").write_text("glass/saved.png\nglass/5.png\n")
    listed = ("--list", f"test={tmp_path / 'test.txt'}", "--learned-by", bundle)
    said = asked(own, tmp_path / "s.csv", *listed).stdout
    assert "note: 1 listed photos, such as glass/saved.png, are copies of photos" in said
    split = read_split(tmp_path / "s.csv")
    assert split.paths("test") == ("glass/5.png",)
    assert set(split.paths("train")) == {*TAUGHT, "glass/again.png", "glass/saved.png"}
    kept = split_by(own, tmp_path / "k.csv", *listed, "--keep-straddling")
    assert "glass/saved.png" in kept.paths("test")


def test_a_listed_photo_that_is_left_out_is_told_of(photos: Path, tmp_path: Path) -> None:
    for part, name in (("test", "again"), ("train", "0")):
        (tmp_path / f"{part}.txt").write_text(f"glass/{name}.png\n")
    lists = [f"--list={part}={tmp_path / part}.txt" for part in ("test", "train")]
    said = asked(photos, tmp_path / "s.csv", *lists).stdout
    assert "note: 1 listed photos are left unused, such as glass/0.png: copies of them are" in said
    assert "left unused" not in asked(photos, tmp_path / "t.csv", lists[0]).stdout


def test_a_class_of_which_nothing_can_be_read_is_named(photos: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(photos, broken)
    (broken / "wood").mkdir()
    (broken / "wood" / "1.jpg").write_bytes(b"no photo")
    (broken / "glass" / "x.jpg").write_bytes(b"no photo")
    said = asked(broken, tmp_path / "s.csv").stdout
    assert "note: 2 files were left out, such as glass/x.jpg: not an image" in said
    assert "note: no photo in wood is left; see binsight data check" in said
    assert "no photo in glass" not in said


def test_a_run_says_what_it_learned_and_several_models_add_up(
    photos: Path, bundle: Path, tmp_path: Path
) -> None:
    run = make_run(photos, tmp_path / "run", "seed")
    run.note_learned(run.photos())
    both = ("--learned-by", bundle, "--learned-by", run.folder)
    split = split_by(photos, tmp_path / "s.csv", *both, "--ratios", "train=0.5,val=0.5")
    assert set(split.paths("train")) >= {*run.split.paths("train"), *TAUGHT}


@pytest.mark.parametrize(
    ("model", "error", "reason"),
    [
        ("nothing", UsageError, "--learned-by nothing: no run or bundle that kept a record"),
        ("none.onnx", NotABundleError, "none.onnx: No such file"),
    ],
)
def test_a_model_that_says_nothing_is_refused(
    photos: Path, tmp_path: Path, model: str, error: type[Exception], reason: str
) -> None:
    done = asked(photos, tmp_path / "s.csv", "--learned-by", model)
    assert isinstance(done.exception, error)
    assert reason in str(done.exception)
    assert not (tmp_path / "s.csv").exists()


def test_where_nothing_is_known_that_is_said(bundle: Path, tmp_path: Path) -> None:
    others = draw_photos(tmp_path / "others", seed=7)
    done = asked(others, tmp_path / "s.csv", "--learned-by", bundle)
    assert done.exit_code == 0
    assert f"note: {bundle} learned from none of these photos" in done.stderr
    plain = split_by(others, tmp_path / "plain.csv")
    assert read_split(tmp_path / "s.csv").part_of == plain.part_of
