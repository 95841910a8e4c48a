"""Cross-validation from the command line, and labels that it finds to be wrong."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from command_line import binsight, output, refusal
from tiny_training import SMALL, draw_photos, write_weights

from binsight.data.catalog import scan

pytest.importorskip("torch")
pytest.importorskip("cleanlab")

PLANTED = "paper/planted.png"
EPOCHS = 4
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def settings(weights: Path) -> list[str]:
    """The head alone learns what tells the drawn colours apart."""
    values = SMALL | {
        "eval_resize_to": 32,
        "batch": 12,
        "epochs": EPOCHS,
        "warmup_epochs": EPOCHS - 1,
        "warmup_learning_rate": 5e-3,
        "learning_rate": 1e-6,
        "head_learning_rate": 1e-6,
        **{f"augmentation.{name}": 0 for name in ("brightness", "contrast", "saturation")},
    }
    changes = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    return [
        *("--recipe", "seed", "--weights", str(weights), *changes),
        *("--workers", "0", "--accelerator", "cpu"),
    ]


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, one of them under a wrong label, and two folds of them."""
    folder = tmp_path_factory.mktemp("folds")
    photos = draw_photos(folder / "photos", each=16)
    (photos / "glass" / "15.png").rename(photos / PLANTED)
    for name in "ab":  # a group of duplicates
        shutil.copy(photos / "metal" / "0.png", photos / "metal" / f"{name}.png")
    write_weights(folder / "w.safetensors")
    return folder


@pytest.fixture(scope="module")
def said(here: Path) -> str:
    done = binsight(
        *("train", here / "photos", "--folds", "2", "--also-ungrouped", "--out", here / "cv"),
        *settings(here / "w.safetensors"),
        **ONE_THREAD,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    for name in ("fold", "random fold"):
        for place in (1, 2):
            assert f" {name} {place} of 2: epoch {EPOCHS - 1}: " in done.stderr
    return done.stdout


@pytest.fixture
def folds(here: Path, said: str, tmp_path: Path) -> Path:
    """A copy to write into."""
    return Path(shutil.copytree(here / "cv", tmp_path / "cv"))


def test_every_photo_is_judged_by_a_run_that_did_not_learn_it(here: Path, said: str) -> None:
    photos = scan([here / "photos"], duplicates=False).photos
    judged = rows_of(here / "cv" / "out-of-fold.csv")
    assert list(judged) == [photo.path for photo in photos]
    assert list(rows_of(here / "cv" / "ungrouped" / "out-of-fold.csv")) == list(judged)
    measured = json.loads((here / "cv" / "metrics.json").read_text())
    right = sum(row["label"] == row["predicted"] for row in judged.values())
    assert measured["accuracy"]["value"] == pytest.approx(right / len(photos))
    folds = measured["cross_validation"]["folds"]
    for number, fold in enumerate(folds):
        run = json.loads((here / "cv" / f"fold{number}" / "metrics.json").read_text())
        assert fold["accuracy"] == pytest.approx(run["best"]["val_accuracy"], abs=1e-6)
        assert fold["last_accuracy"] == run["epochs"][-1]["val_accuracy"]
    assert sum(fold["photos"] for fold in folds) == len(photos)
    assert f"{measured['cross_validation']['accuracy']['mean']:.1%}" in said
    assert "random folds tear apart 1 of 1 duplicate groups" in said
    assert "flatters" in (here / "cv" / "report.html").read_text()


def test_the_planted_label_is_found(here: Path, folds: Path) -> None:
    told = output("data", "check", here / "photos", "--labels", folds)
    assert f"{PLANTED}: paper (" in told
    issues = rows_of(folds / "label-issues.csv")
    assert issues[PLANTED]["suggested"] == "glass"
    assert issues[PLANTED]["decision"] == ""
    assert PLANTED in (folds / "label-issues.html").read_text()
    as_json = output("data", "check", here / "photos", "--labels", folds, "--json")
    assert [one["path"] for one in json.loads(as_json)["label_issues"]] == list(issues)


def test_decisions_flow_on(here: Path, folds: Path, tmp_path: Path) -> None:
    photos, table = here / "photos", folds / "label-issues.csv"
    output("data", "check", photos, "--labels", folds)
    text = table.read_text().splitlines()
    decided = [f"{row}glass" if row.startswith(PLANTED) else row for row in text]
    table.write_text("\n".join([*decided, "metal/b.png,metal,,,drop", ""]))

    line = refusal("data", "check", photos, "--labels", folds)
    assert "decisions that would be lost" in line
    told = output("data", "check", photos, "--labels", folds, "--corrections", table)
    assert PLANTED not in told
    assert rows_of(table)[PLANTED]["decision"] == "glass"

    split, run = tmp_path / "split.csv", tmp_path / "run"
    output(
        *("data", "split", photos, "--ratios", "train=0.6,val=0.4", "--out", split),
        *("--corrections", table),
    )
    row = rows_of(split)
    assert row[PLANTED]["label"] == "glass"
    assert "metal/b.png" not in row
    options = ("train", photos, "--split", split, "--out", run, *settings(here / "w.safetensors"))
    output(*options, "--corrections", table, **ONE_THREAD)
    assert rows_of(run / "corrections.csv")[PLANTED]["decision"] == "glass"


def test_resume_trains_what_is_missing_and_nothing_else(here: Path, folds: Path) -> None:
    shutil.rmtree(folds / "ungrouped")
    before = (folds / "fold0" / "metrics.csv").read_bytes()
    judged = (folds / "out-of-fold.csv").read_bytes()
    recipe = (here / "cv" / "fold1" / "metrics.csv").read_bytes()
    for name in (
        "metrics.json",
        "metrics.csv",
        "checkpoints/last.ckpt",
        "checkpoints/best.safetensors",
    ):
        (folds / "fold1" / name).unlink()
    done = binsight(
        *("train", "--out", folds, "--resume", "--workers", "0", "--accelerator", "cpu"),
        **ONE_THREAD,
    )
    assert done.returncode == 0, done.stderr
    assert "fold 1 of 2: was trained before" in done.stderr
    assert "fold 1 of 2: epoch" not in done.stderr
    assert "fold 2 of 2: epoch 0" in done.stderr
    assert (folds / "fold0" / "metrics.csv").read_bytes() == before
    assert (folds / "fold1" / "metrics.csv").read_bytes() == recipe
    assert (folds / "out-of-fold.csv").read_bytes() == judged


def test_folds_go_on_from_folds(here: Path, folds: Path, tmp_path: Path) -> None:
    """Steps of hardly anything: each network answers as the one that it went on from."""
    asked = ["train", here / "photos", *settings(folds), "--out", tmp_path / "on"]
    asked += ["--set", "epochs=1", "--set", "warmup_epochs=0", "--set", "frozen_batchnorm=true"]
    assert "its folds are others" in refusal(*asked, "--folds", "3")
    assert "leave it out" in refusal(*asked, "--folds", "2", "--also-ungrouped")
    assert not (tmp_path / "on").exists()
    output(*asked, "--folds", "2", **ONE_THREAD)
    was, now = (rows_of(one / "out-of-fold.csv") for one in (folds, tmp_path / "on"))
    for path, row in now.items():
        assert float(row["p_glass"]) == pytest.approx(float(was[path]["p_glass"]), abs=0.02)


def test_check_labels_without_cleanlab_says_what_to_install(here: Path, folds: Path) -> None:
    line = refusal("data", "check", here / "photos", "--labels", folds, without="cleanlab")
    assert (
        line
        == "binsight: cleanlab is not installed; run in binsight's sources: pip install '.[labels]'"
    )


def test_who_knows_little_is_not_trusted_with_labels(
    here: Path, folds: Path, tmp_path: Path
) -> None:
    lines = (folds / "out-of-fold.csv").read_text().splitlines()
    head, *rows = csv.reader(lines)
    first = head.index("p_glass")
    turned = [[*row[:first], row[first + 1], row[first + 2], row[first]] for row in rows]
    with (tmp_path / "out-of-fold.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head[: first + 3], *turned])
    asked = ("data", "check", here / "photos", "--labels")
    note = "note: the models are right of"
    assert note in binsight(*asked, tmp_path).stderr
    assert note not in binsight(*asked, folds).stderr


def test_probabilities_of_other_photos_are_refused(here: Path, folds: Path, tmp_path: Path) -> None:
    other = draw_photos(tmp_path / "other", each=2, seed=1)
    assert "other photos" in refusal("data", "check", other, "--labels", folds)
    assert "No such file" in refusal("data", "check", other, "--labels", tmp_path)
    assert "--labels" in refusal("data", "check", other, "--issues", tmp_path)


def test_heads_of_folds_are_refit_one_by_one_and_judged_together(
    here: Path, folds: Path, tmp_path: Path
) -> None:
    out = tmp_path / "refit"
    asked = ("refit", folds, "--out", out, "--workers", "0", "--accelerator", "cpu")
    told = output(*asked)
    for number in range(2):
        assert f"wrote {out / f'fold{number}'}, its head fitted on " in told
    assert "epoch" not in told
    judged = rows_of(out / "out-of-fold.csv")
    assert list(judged) == list(rows_of(folds / "out-of-fold.csv"))
    measured = json.loads((out / "metrics.json").read_text())["cross_validation"]
    for number, fold in enumerate(measured["folds"]):
        run = json.loads((out / f"fold{number}" / "metrics.json").read_text())
        assert fold["accuracy"] == pytest.approx(run["best"]["val_accuracy"], abs=1e-6)
        assert fold["best_epoch"] is None
    page = (out / "report.html").read_text()
    assert "The heads were fitted once more" in page
    assert "Best epoch" not in page

    assert "not empty; choose another --out, or --resume it" in refusal(*asked)
    kept = (out / "fold0" / "run.json").stat()
    shutil.rmtree(out / "fold1")
    (out / "folds.csv").unlink()
    again = output(*asked, "--resume")
    assert f"wrote {out / 'fold0'}" not in again
    assert f"wrote {out / 'fold1'}" in again
    assert (out / "fold0" / "run.json").stat() == kept
    assert rows_of(out / "out-of-fold.csv") == judged
    facts = out / "fold0" / "run.json"
    facts.write_text(facts.read_text().replace(str(folds / "fold0"), str(tmp_path / "others")))
    assert f"{out / 'fold0'} holds a run" in refusal(*asked, "--resume")
    assert "has a refit head" in refusal("train", "--out", out, "--resume")


def test_of_heads_that_training_fitted_once_more_epochs_say_nothing(folds: Path) -> None:
    for number in range(2):
        checkpoints = folds / f"fold{number}" / "checkpoints"
        shutil.copy(checkpoints / "best.safetensors", checkpoints / "refit.safetensors")
    output("train", "--out", folds, "--resume", "--workers", "0", "--accelerator", "cpu")
    measured = json.loads((folds / "metrics.json").read_text())["cross_validation"]
    assert measured["last_accuracy"] is None
    assert [fold["best_epoch"] for fold in measured["folds"]] == [None, None]


def test_folds_that_are_not_trained_to_the_end_are_not_refit(folds: Path, tmp_path: Path) -> None:
    file = folds / "fold1" / "metrics.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps(said | {"epochs": said["epochs"][:-1]}))
    line = refusal("refit", folds, "--out", tmp_path / "refit")
    assert f"fold1: not trained to the end; go on with: binsight train --out {folds}" in line
    assert not (tmp_path / "refit").exists()
    assert "is no folder of folds" in refusal(
        "refit", folds / "fold0", "--out", tmp_path / "one", "--resume"
    )
