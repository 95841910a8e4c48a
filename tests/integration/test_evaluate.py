"""``binsight evaluate``: on other domains, with their own class names, and under corruptions."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import binsight
from PIL import Image
from small_bundle import SmallBundle, squares, write_small_bundle
from tiny_training import SMALL, draw_photos, make_run, write_weights
from typer.testing import CliRunner, Result

from binsight import Classifier
from binsight.data.catalog import scan
from binsight.data.relabel import DROP, LabelIssue, corrected
from binsight.data.split import split_by_ratios, write_split
from binsight.errors import BinsightError
from binsight.evaluation import asking
from binsight.interfaces.cli import app
from binsight.training.recipe import load_recipe
from binsight.training.run import create_run, open_run

NAMES = {"bottles": "glass", "tins": "metal", "cats": "none", "blurred": "skip"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("home") / "photos", each=6)


@pytest.fixture(scope="module")
def kitchen(home: Path) -> Path:
    """The same kind of photos in folders of other names, and three of other things."""
    drawn = draw_photos(home.parent / "drawn", each=4, seed=1)
    folder = home.parent / "kitchen"
    for source, name in (("glass", "bottles"), ("metal", "tins"), ("paper", "paper")):
        shutil.copytree(drawn / source, folder / name)
    shutil.copytree(drawn / "paper", folder / "blurred")
    (folder / "cats").mkdir()
    for number, square in enumerate(squares(3)):
        square.save(folder / "cats" / f"{number}.png")
    (folder / "tins" / "broken.jpg").write_text("no photo")
    return folder


@pytest.fixture(scope="module")
def names(home: Path) -> Path:
    lines = [f'"{name}" = "{means}"' for name, means in NAMES.items()]
    path = home.parent / "mapping.toml"
    path.write_text("\n".join(["[classes]", *lines]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(home: Path) -> Path:
    """A run folder whose best epoch is its first weights."""
    made = make_run(home, home.parent / "run", "seed")
    shutil.copy(write_weights(home.parent / "first.safetensors"), made.best)
    return made.folder


def told(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text("utf-8"))


def ran(*arguments: object, cwd: Path = Path()) -> Result:
    """The command in this process, which spares loading torch anew."""
    with chdir(cwd):
        return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def said_by(*arguments: object, cwd: Path = Path()) -> str:
    done = ran(*arguments, cwd=cwd)
    assert done.exit_code == 0, done.exception
    return done.stdout


def refused(*arguments: object, cwd: Path = Path()) -> str:
    done = ran(*arguments, cwd=cwd)
    assert isinstance(done.exception, BinsightError)
    assert done.stdout == ""
    return str(done.exception)


def cells(said: str, row: str) -> list[str]:
    """What a printed table says in one row."""
    (line,) = (one for one in said.splitlines() if one.startswith(row))
    return line.removeprefix(row).split()


def test_domains_side_by_side(
    home: Path, kitchen: Path, names: Path, small_bundle: SmallBundle, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    options = ("--on", kitchen, "--map", names, "--out", out)
    done = binsight("evaluate", small_bundle.path, home, *options)
    assert done.returncode == 0
    assert done.stderr == (
        "kitchen: files left out: 1, such as tins/broken.jpg: not an image that can be read\n"
    )
    assert cells(done.stdout, "photos of known classes") == ["18", "12"]
    assert cells(done.stdout, "photos of none of them") == ["-", "3"]
    assert cells(done.stdout, "left out") == ["0", "4"]
    assert cells(done.stdout, "could not be read") == ["0", "1"]
    assert "kitchen: none of them ranked by 1 - confidence, told from" in done.stdout
    found = told(out)
    assert list(found["domains"]) == ["photos", "kitchen"]
    assert found["photos"] == 18
    away = found["domains"]["kitchen"]
    classifier = Classifier(small_bundle.path)
    answers = {
        folder: classifier.classify(
            [str(path) for path in sorted((kitchen / folder).glob("*.png"))]
        )
        for folder in ("bottles", "tins", "paper", "cats")
    }
    right = [
        one.label == NAMES.get(folder, folder)
        for folder in ("bottles", "tins", "paper")
        for one in answers[folder]
    ]
    assert away["known"]["accuracy"]["value"] == pytest.approx(sum(right) / 12)
    known_sure = [one.sure for folder in ("bottles", "tins", "paper") for one in answers[folder]]
    assert away["sure"]["coverage"]["value"] == pytest.approx(sum(known_sure) / 12)
    cats = answers["cats"]
    assert away["strange"]["accepted"]["value"] == pytest.approx(sum(c.sure for c in cats) / 3)
    assert (out / "2-kitchen-reliability.png").is_file()


def test_a_sample_of_each_domain(
    home: Path, kitchen: Path, names: Path, small_bundle: SmallBundle, tmp_path: Path
) -> None:
    options = ("--on", kitchen, "--map", names, "--sample", 5, "--out", tmp_path)
    said_by(small_bundle.path, home, *options)
    found = told(tmp_path)
    assert found["photos"] == 5
    away = found["domains"]["kitchen"]
    strange = away["strange"]["photos"] if away["strange"] else 0
    assert away["known"]["photos"] + strange + away["unreadable"] == 5
    assert found["facts"]["sample"] == "at most 5 photos of each domain"


def test_only_other_domains_each_with_its_map(
    home: Path, kitchen: Path, names: Path, small_bundle: SmallBundle, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text('[classes]\nglass = "none"\nmetal = "none"\npaper = "none"\n')
    options = ("--on", kitchen, "--map", names, "--on", home, "--map", other)
    said = said_by(small_bundle.path, *options, cwd=tmp_path)
    assert said.endswith("report: small-evaluation-kitchen+photos/report.html\n")
    assert cells(said, "photos of known classes") == ["12", "-"]
    assert cells(said, "photos of none of them") == ["3", "18"]
    assert (
        "photos: none of them ranked by 1 - confidence, told from the known photos of kitc" in said
    )


def test_the_same_folder_twice_is_two_domains(
    home: Path, small_bundle: SmallBundle, tmp_path: Path
) -> None:
    said_by(small_bundle.path, home, "--on", home, "--out", tmp_path)
    found = told(tmp_path)["domains"]
    assert list(found) == ["photos", "photos #2"]
    assert found["photos"]["known"]["confusion"] == found["photos #2"]["known"]["confusion"]


def test_a_run_on_its_own_photos_and_elsewhere(
    run: Path, kitchen: Path, names: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    said = said_by(run, "--on", kitchen, "--map", names, "--out", out)
    assert list(told(out)["domains"]) == ["photos (val)", "kitchen"]
    assert "answered (sure)" not in said  # a run knows no threshold
    assert cells(said, "  accepted (sure)") == ["-", "-"]
    assert cells(said, "  AUROC")[1].endswith("%")


def test_a_run_whose_own_photos_are_gone(
    run: Path, kitchen: Path, names: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    facts = json.loads((moved / "run.json").read_text("utf-8"))
    (moved / "run.json").write_text(json.dumps(facts | {"sources": [str(tmp_path / "gone")]}))
    done = ran(moved, "--on", kitchen, "--map", names, "--out", tmp_path / "out")
    assert done.exit_code == 0
    assert "the run's own photos are left out: " in done.stderr
    assert list(told(tmp_path / "out")["domains"]) == ["kitchen"]
    assert "no such folder" in refused(moved)


def test_mistakes_are_told_before_any_photo_is_shown(
    home: Path, kitchen: Path, names: Path, small_bundle: SmallBundle, tmp_path: Path
) -> None:
    bundle = small_bundle.path
    line = refused(bundle, home, "--on", home, "--on", kitchen, cwd=tmp_path)
    for name in ("blurred", "bottles", "cats", "tins"):
        assert f'"{name}" = "..."' in line
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[classes]\ntins = "tin"\ncats = "no"\n')
    line = refused(bundle, home, "--on", kitchen, "--map", wrong, cwd=tmp_path)
    assert '"tins" = "tin", "cats" = "no"' in line
    assert "--map needs --on" in refused(bundle, home, "--map", names)
    options = ("--on", home, "--on", home, "--on", home, "--map", names, "--map", names)
    assert "2 --map for 3 --on" in refused(bundle, *options)
    assert "no such folder" in refused(bundle, "--on", tmp_path / "gone")
    assert "name labelled photos" in refused(bundle)
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.toml"]


def test_corruptions(home: Path, small_bundle: SmallBundle, tmp_path: Path) -> None:
    options = ("--corruptions", "--sample", 3, "--severities", "5,1", "--out", tmp_path)
    said = said_by(small_bundle.path, home, *options)
    found = json.loads((tmp_path / "corruptions.json").read_text("utf-8"))
    assert (found["photos"], found["wanted"]) == (3, 3)
    assert len(found["accuracy"]) == 12
    assert all(list(row) == ["1", "5"] for row in found["accuracy"].values())
    assert found["clean"]["value"] == told(tmp_path)["accuracy"]["value"]
    assert len(cells(said, "gaussian noise")) == 3
    assert cells(said, "clean")[0] == f"{found['clean']['value']:.1%}"
    for name in ("corruptions.png", "corruptions_shown.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 300


def test_corruptions_of_a_run(run: Path, tmp_path: Path) -> None:
    options = ("--corruptions", "--severities", "3", "--out", tmp_path)
    said_by(run, *options)
    found = json.loads((tmp_path / "corruptions.json").read_text("utf-8"))
    assert found["clean"]["value"] == told(tmp_path)["accuracy"]["value"]
    assert found["coverage"] is None


@pytest.mark.parametrize("severities", ["0", "1,6", "", "1;2", "two"])
def test_severities_that_are_none_are_refused(
    home: Path, small_bundle: SmallBundle, severities: str
) -> None:
    options = ("--corruptions", "--severities", severities)
    assert "give some of 1,2,3,4,5" in refused(small_bundle.path, home, *options)


def test_severities_without_corruptions_are_refused(home: Path, small_bundle: SmallBundle) -> None:
    line = refused(small_bundle.path, home, "--severities", "1")
    assert line == "--severities goes with --corruptions; add that"


def test_corruptions_need_a_known_class(
    home: Path, kitchen: Path, small_bundle: SmallBundle, tmp_path: Path
) -> None:
    none = tmp_path / "none.toml"
    none.write_text("[classes]\n" + "\n".join(f'{one} = "none"' for one in (*NAMES, "paper")))
    options = ("--on", kitchen, "--map", none, "--corruptions")
    assert "needs photos of classes" in refused(small_bundle.path, *options)


def test_interrupting_corruptions_keeps_what_is_done(
    home: Path, small_bundle: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = asking.BundleModel.answers

    def interrupted(self, photos):
        shown = iter(photos)
        first = next(shown)
        if not isinstance(first, Image.Image):  # files are not corrupted
            yield from whole(self, [first, *shown])
            return
        yield from whole(self, [first, *(next(shown) for _ in range(2 * 13 + 4))])
        raise KeyboardInterrupt

    monkeypatch.setattr(asking.BundleModel, "answers", interrupted)
    options = ["--corruptions", "--severities", "2", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, ["evaluate", str(small_bundle.path), str(home), *options])
    assert done.exit_code == 130
    assert "2 of 18, interrupted" in done.output
    assert json.loads((tmp_path / "corruptions.json").read_text("utf-8"))["photos"] == 2
    assert "(of 18: it was interrupted)" in (tmp_path / "report.html").read_text("utf-8")


def test_what_cannot_be_read_is_said(
    home: Path, small_bundle: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(home, tmp_path / "photos")
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "photos" / "glass" / name).write_text("no photo")
    monkeypatch.chdir(tmp_path)
    done = ran(small_bundle.path, "photos")
    assert done.exit_code == 0
    assert "photos: files left out: 2, such as glass/a.jpg" in done.stderr
    report = tmp_path / "small-evaluation-photos"
    assert told(report)["unreadable"] == 2
    assert "2 more files could not be read" in (report / "report.html").read_text("utf-8")


def test_each_data_set_has_a_report_of_its_own(
    home: Path, small_bundle: SmallBundle, tmp_path: Path
) -> None:
    other = tmp_path / "there" / "photos"
    shutil.copytree(home, other)
    shutil.copytree(home, tmp_path / "台所 1")
    for folder in ("台所 1", home, other, other, home):
        assert ran(small_bundle.path, folder, cwd=tmp_path).exit_code == 0
    made = {path.name: path for path in tmp_path.iterdir() if path.name.startswith("small-")}
    assert set(made) == {f"small-evaluation-{name}" for name in ("台所-1", "photos", "photos-2")}
    assert told(made["small-evaluation-photos"])["facts"]["photos"] == str(home)
    assert told(made["small-evaluation-photos-2"])["facts"]["photos"] == str(other)


def test_a_report_does_not_land_among_photos_or_on_a_file(
    home: Path, small_bundle: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(home, tmp_path / "photos")
    line = refused(small_bundle.path, ".", cwd=tmp_path / "photos")
    assert "lies in .; give --out elsewhere" in line
    (tmp_path / "file").touch()
    line = refused(small_bundle.path, home, "--out", tmp_path / "file")
    assert "is not a folder; give --out a folder" in line


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names that are text")
def test_a_folder_whose_name_is_no_text(
    home: Path, small_bundle: SmallBundle, tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(home, odd)
    assert ran(small_bundle.path, odd, "--out", tmp_path / "out").exit_code == 0
    assert told(tmp_path / "out")["title"] == "small on caf\\udce9"


def test_photos_that_a_run_learned_from_are_not_counted(
    run: Path, home: Path, tmp_path: Path
) -> None:
    opened = open_run(run)
    opened.note_learned(opened.photos())
    more = tmp_path / "more"
    shutil.copytree(home, more)
    extra = squares(3)
    for number, square in enumerate(extra):
        square.save(more / "paper" / f"new{number}.png")
    learned = len(opened.split.paths("train"))
    new = 18 - learned + len(extra)
    done = ran(run, more, "--out", tmp_path / "a")
    assert done.stderr.endswith(f"left out {learned} photos that {run} has learned from\n")
    assert "not quite the photos of" in done.stderr
    assert "(0 are missing, 3 are new)" in done.stderr
    assert f"{run} is not trained to the end" in done.stderr
    assert (told(tmp_path / "a")["photos"], told(tmp_path / "a")["skipped"]) == (new, learned)
    assert f"{learned} more photos were left out" in (tmp_path / "a/report.html").read_text("utf-8")
    done = ran(run, "--on", more, "--out", tmp_path / "b")
    assert f"more: left out {learned} photos that {run} has learned from\n" in done.stderr
    assert told(tmp_path / "b")["domains"]["more"]["known"]["photos"] == new
    done = ran(run, "--on", more, "--sample", 2, "--out", tmp_path / "d")
    assert told(tmp_path / "d")["domains"]["more"]["known"]["photos"] == 2
    split = tmp_path / "split.csv"
    write_split(
        split, split_by_ratios(scan([more], duplicates=False), {"train": 0.2, "test": 0.8}, seed=0)
    )
    line = refused(run, more, "--split", split, "--out", tmp_path / "c")
    assert f"{run} has learned" in line
    (run / "learned.txt").unlink()
    done = ran(run, "--on", more, "--out", tmp_path / "e")
    assert f"{run} kept no record of its photos; more may have some of them" in done.stderr


def test_a_sample_to_corrupt_is_shown_in_no_order(
    home: Path, small_bundle: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from binsight.evaluation import robustness

    shown: list[str] = []
    whole = robustness.show_corrupted

    def noted(model, root, paths, labels, **options):
        shown.extend(paths)
        return whole(model, root, paths, labels, **options)

    monkeypatch.setattr(robustness, "show_corrupted", noted)
    options = ["--corruptions", "--severities", "1", "--sample", "9", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, ["evaluate", str(small_bundle.path), str(home), *options])
    assert done.exit_code == 0
    assert len(set(shown)) == 9
    assert shown != sorted(shown)


def test_corruptions_need_a_photo_that_can_be_read(
    small_bundle: SmallBundle, tmp_path: Path
) -> None:
    for name in ("glass", "cats"):
        (tmp_path / "odd" / name).mkdir(parents=True)
    (tmp_path / "odd" / "glass" / "a.jpg").write_text("no photo")
    squares(1)[0].save(tmp_path / "odd" / "cats" / "a.png")
    means = tmp_path / "map.toml"
    means.write_text('[classes]\ncats = "none"\n', encoding="utf-8-sig")
    options = ("--on", tmp_path / "odd", "--map", means, "--corruptions", "--out", tmp_path / "o")
    assert str(ran(small_bundle.path, *options).exception) == (
        "--corruptions: no photo of a class that the model knows can be read"
    )


def test_predictions_say_what_is_sure(
    home: Path, kitchen: Path, names: Path, tmp_path: Path
) -> None:
    bundle = write_small_bundle(tmp_path / "strict.onnx", threshold=1.0).path
    options = ("--on", kitchen, "--map", names, "--out", tmp_path / "out")
    said_by(bundle, home, *options)
    for name, photos in (("", 18), ("2-kitchen-", 15)):
        path = tmp_path / "out" / f"{name}predictions.csv"
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["sure"] for row in rows] == ["0"] * photos


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be changed."""
    return Path(shutil.copytree(run, tmp_path / "run"))


def test_photos_that_the_run_before_learned_from_are_not_counted_either(
    copied: Path, tmp_path: Path
) -> None:
    """It began with the weights of a run that had another split of the same photos."""
    opened = open_run(copied)
    catalog = opened.photos()
    digest_of = {one.path: one.sha256 for one in catalog.photos}
    judged = opened.split.paths("val")
    learned = [*opened.split.paths("train"), *judged[:2]]
    text = "".join(f"{digest_of[path]}\n" for path in learned)
    (copied / "learned.txt").write_text(text)
    done = ran(copied, "--out", tmp_path / "a")
    assert done.stderr.endswith(f"part val: left out 2 photos that {copied} has learned from\n")
    assert told(tmp_path / "a")["photos"] == len(judged) - 2
    assert told(tmp_path / "a")["skipped"] == 2
    ran(copied, "--part", "train", "--out", tmp_path / "b")
    assert told(tmp_path / "b")["photos"] == len(opened.split.paths("train"))
    text = "".join(f"{digest}\n" for digest in digest_of.values())
    (copied / "learned.txt").write_text(text)
    assert "has learned from all of part val's" in refused(copied, "--out", tmp_path / "c")


def test_a_copy_of_what_it_learned_is_not_counted_either(
    copied: Path, home: Path, tmp_path: Path
) -> None:
    """Where a split tears copies apart, the run counts what its bundle would."""
    opened = open_run(copied)
    catalog = opened.photos()
    opened.note_learned(catalog)
    parts = opened.split.part_of
    taken = next(one for one in catalog.photos if parts[one.path] == "train")
    judged = next(one for one in catalog.photos if parts[one.path] == "val")
    shutil.copytree(home, tmp_path / "photos")
    shutil.copy(home / taken.path, tmp_path / "photos" / judged.path)
    photos = scan([tmp_path / "photos"], duplicates=False)
    assert photos.digest != catalog.digest
    facts = json.loads((copied / "run.json").read_text("utf-8"))
    facts |= {"catalog_digest": photos.digest, "sources": [str(tmp_path / "photos")]}
    (copied / "run.json").write_text(json.dumps(facts))
    write_split(copied / "split.csv", replace(opened.split, catalog_digest=photos.digest))
    done = ran(copied, "--out", tmp_path / "a")
    assert f"part val: left out 1 photos that {copied} has learned from\n" in done.stderr
    assert told(tmp_path / "a")["photos"] == len(opened.split.paths("val")) - 1


def test_a_run_keeps_its_corrections_where_its_photos_are_named(home: Path, tmp_path: Path) -> None:
    photos = scan([home], duplicates=False)
    moved = [one for one in photos.photos if one.label == "paper"][:2]
    decisions = (
        LabelIssue(path=moved[0].path, label="paper", decision="glass"),
        LabelIssue(path=moved[1].path, label="paper", decision=DROP),
    )
    catalog = corrected(photos, decisions)
    split = split_by_ratios(catalog, {"train": 0.4, "val": 0.3, "test": 0.3}, seed=0)
    made = create_run(
        tmp_path / "run",
        recipe=load_recipe("seed", [f"{key}={value}" for key, value in SMALL.items()]),
        split=split,
        sources=(home,),
        weights="none",
        decisions=decisions,
    )
    shutil.copy(write_weights(tmp_path / "first.safetensors"), made.best)
    shutil.copytree(home, tmp_path / "elsewhere")
    for number, named in enumerate(([], [home], [tmp_path / "elsewhere"])):
        done = ran(made.folder, *named, "--out", tmp_path / f"{number}")
        assert done.exit_code == 0, done.exception
        assert "not quite" not in done.stderr
    first, *others = (
        (tmp_path / f"{number}" / "predictions.csv").read_text() for number in range(3)
    )
    assert others == [first, first]
    assert told(tmp_path / "1")["photos"] == len(split.paths("test"))
    (tmp_path / "elsewhere" / moved[0].path).unlink()
    done = ran(made.folder, tmp_path / "elsewhere", "--out", tmp_path / "3")
    assert "(1 are missing, 0 are new)" in done.stderr


FIRST = ("0.png", "1.png")


@pytest.fixture(scope="module")
def taught(home: Path, small_bundle: SmallBundle) -> Path:
    """A bundle that was taught two photos of each class, one class by another name."""
    first = {name: [home / name / one for one in FIRST] for name in ("glass", "metal", "paper")}
    out = home.parent / "taught.onnx"
    Classifier(small_bundle.path).teach(first, out, rename={"metal": "tin"}, anyway=True)
    return out


def test_photos_that_a_bundle_was_taught_are_not_counted(
    taught: Path, home: Path, tmp_path: Path
) -> None:
    """Also under another name of their class, and on the page that others are shown."""
    bin_ = tmp_path / "bin"
    shutil.copytree(home, bin_)
    (bin_ / "metal").rename(bin_ / "tin")
    done = ran(taught, bin_, "--out", tmp_path / "a")
    assert done.stderr.startswith(f"left out 6 photos that {taught} has learned from\n")
    assert (told(tmp_path / "a")["photos"], told(tmp_path / "a")["skipped"]) == (12, 6)
    assert "6 more photos were left out" in (tmp_path / "a/report.html").read_text("utf-8")
    done = ran(taught, "--on", bin_, "--out", tmp_path / "b")
    assert f"bin: left out 6 photos that {taught} has learned from\n" in done.stderr
    assert (told(tmp_path / "b")["photos"], told(tmp_path / "b")["skipped"]) == (12, 6)


def test_of_a_split_only_the_part_to_learn_from_is_shown_whole(
    taught: Path, home: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(home, photos)
    (photos / "metal").rename(photos / "tin")
    split = split_by_ratios(scan([photos], duplicates=False), {"train": 0.5, "test": 0.5}, seed=0)
    write_split(tmp_path / "split.csv", split)
    named = (taught, photos, "--split", tmp_path / "split.csv")
    firsts = {f"{name}/{one}" for name in ("glass", "tin", "paper") for one in FIRST}
    known = len(firsts & set(split.paths("test")))
    assert 0 < known < 6
    done = ran(*named, "--out", tmp_path / "a")
    assert f"part test: left out {known} photos" in done.stderr
    assert told(tmp_path / "a")["photos"] == 9 - known
    done = ran(*named, "--part", "train", "--out", tmp_path / "b")
    assert "left out" not in done.stderr
    assert told(tmp_path / "b")["photos"] == 9


def test_a_bundle_that_has_learned_every_photo(taught: Path, home: Path, tmp_path: Path) -> None:
    for name in ("glass", "paper"):
        (tmp_path / "bin" / name).mkdir(parents=True)
        for one in FIRST:
            shutil.copy(home / name / one, tmp_path / "bin" / name)
    line = refused(taught, tmp_path / "bin", "--out", tmp_path / "a")
    assert line == f"{taught} has learned from all of these 4 photos; name others"
    line = refused(taught, "--on", tmp_path / "bin", "--out", tmp_path / "a")
    assert line == f"{taught} has learned from all 4 photos of bin"


def test_a_bundle_without_a_record_knows_only_the_whole_data_set(
    home: Path, tmp_path: Path
) -> None:
    training = {"photos": 9, "counts": {}, "catalog_digest": scan([home]).digest, "sources": []}
    bundle = write_small_bundle(tmp_path / "old.onnx", training=training).path
    done = ran(bundle, home, "--out", tmp_path / "a")
    said = "the bundle was made from these very photos, and knows most of them"
    assert f"photos: {said}\n" in done.stderr
    assert told(tmp_path / "a")["facts"]["note"] == said
    assert said in (tmp_path / "a/report.html").read_text("utf-8")
