"""What cannot be cross-validated is refused before a folder is made."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_training import SMALL, draw_photos

from binsight.data.catalog import scan
from binsight.data.relabel import LabelIssue, write_label_issues
from binsight.data.split import split_into_folds, write_split
from binsight.errors import BinsightError, CorrectionError, SplitError, UsageError

pytest.importorskip("torch")

from binsight.interfaces.cli import train_folds
from binsight.interfaces.cli.asked_training import AskedTraining
from binsight.interfaces.cli.train_folds import cross_validate
from binsight.training.folds import create_folds
from binsight.training.recipe import load_recipe

CHANGES = [f"{key}={value}" for key, value in SMALL.items()]
ASKED: dict[str, Any] = {
    "folds": 2,
    "recipe": "seed",
    "changes": CHANGES,
    "weights": "none",
    "also_ungrouped": False,
    "resume": False,
}


def cross_validated(
    out: Path, photos: Path, *, folds: int | None, also_ungrouped: bool, resume: bool, **asked: Any
) -> None:
    training = AskedTraining(out=out, photos=(photos,), **asked)
    cross_validate(training, folds=folds, also_ungrouped=also_ungrouped, resume=resume)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("drawn") / "photos", each=4)


@pytest.mark.parametrize(
    ("asked", "error", "reason"),
    [
        ({"folds": 1}, SplitError, "1 folds make no split"),
        ({"folds": 50}, SplitError, "too few photos"),
        ({"teachers": (Path("run"),)}, UsageError, "--teacher goes with one run"),
        ({"fold": 0}, UsageError, "one of the two"),
        ({"folds": None, "also_ungrouped": True}, UsageError, "give --folds, such as"),
        ({"corrections": Path("none.csv")}, CorrectionError, "none.csv: No such file"),
        ({"changes": ["epochs=0"]}, BinsightError, "epochs"),
        ({"weights": "none.pth"}, BinsightError, "none.pth"),
        ({"shares": {"tin": 0.5}}, UsageError, "no training photo is in tin/"),
    ],
)
def test_what_makes_no_sense(
    photos: Path, tmp_path: Path, asked: dict[str, Any], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        cross_validated(tmp_path / "cv", photos, **(ASKED | asked))
    assert not (tmp_path / "cv").exists()


def test_without_duplicates_random_folds_measure_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Nothing is trained here: each fold counts as finished."""
    reported = []
    monkeypatch.setattr("binsight.training.folds.train_folds", lambda *_, **__: None)
    monkeypatch.setattr(train_folds, "report_folds", lambda *given: reported.append(given))
    asked = ASKED | {"also_ungrouped": True}
    cross_validated(tmp_path / "cv", photos, **asked)
    assert "--also-ungrouped has nothing to measure" in capsys.readouterr().err
    assert not (tmp_path / "cv" / "ungrouped").exists()
    more = tmp_path / "photos"
    shutil.copytree(photos, more)
    for number in range(4):
        shutil.copy(more / "glass" / f"{number}.png", more / "glass" / f"copy{number}.png")
    cross_validated(tmp_path / "cv2", more, **asked)
    assert "nothing to measure" not in capsys.readouterr().err
    assert [random is not None for _, _, random in reported] == [False, True]


def test_a_split_with_another_number_of_folds(photos: Path, tmp_path: Path) -> None:
    split = tmp_path / "folds.csv"
    write_split(split, split_into_folds(scan([photos], duplicates=False), 3, seed=0))
    with pytest.raises(UsageError, match="has 3 folds, not 2"):
        cross_validated(tmp_path / "cv", photos, **(ASKED | {"split": split}))
    assert not (tmp_path / "cv").exists()


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({}, "holds folds; go on with --resume"),
        ({"resume": True, "folds": 3}, "begun with 2 folds"),
        ({"resume": True, "changes": [*CHANGES, "epochs=9"]}, "another recipe"),
        ({"resume": True, "corrections": "labels.csv"}, "other corrections"),
    ],
)
def test_folds_that_were_begun_otherwise(
    photos: Path, tmp_path: Path, asked: dict[str, Any], reason: str
) -> None:
    folder = tmp_path / "cv"
    split = split_into_folds(scan([photos], duplicates=False), 2, seed=0)
    recipe = load_recipe("seed", CHANGES)
    create_folds(folder, split, recipe=recipe, sources=(photos,), weights="none")
    if "corrections" in asked:
        asked = asked | {"corrections": tmp_path / "labels.csv"}
        write_label_issues(asked["corrections"], [LabelIssue(path="glass/0.png", decision="metal")])
    with pytest.raises(UsageError, match=reason):
        cross_validated(folder, photos, **(ASKED | asked))
