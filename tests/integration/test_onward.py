"""Trainings that go on from a bundle, as a person types them."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import binsight, output, refusal
from tiny_training import CLASSES, draw_photos

torch = pytest.importorskip("torch")

from binsight.data.catalog import scan  # noqa: E402
from binsight.data.split import split_by_ratios, write_split  # noqa: E402
from binsight.model.weights import build_with_weights  # noqa: E402
from binsight.training.checkpoints import best_network  # noqa: E402
from binsight.training.recipe import load_recipe  # noqa: E402
from binsight.training.run import open_run  # noqa: E402

QUICK = [
    *("--workers", "0", "--accelerator", "cpu", "--set", "size=32", "--set", "eval_size=32"),
    *("--set", "eval_resize_to=32", "--set", "epochs=1", "--set", "batch=6"),
]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("given")
    photos = draw_photos(folder / "photos")
    parts = split_by_ratios(scan([photos], duplicates=False), {"train": 0.7, "val": 0.3}, seed=0)
    write_split(folder / "split.csv", parts)
    return [str(photos), "--split", str(folder / "split.csv")]


def test_from_a_built_in_model_to_a_model_of_ones_own(given: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    asked = ["train", *given, "--weights", "small", "--out", run, *QUICK]
    said = output(*asked)
    assert said.splitlines()[-1].endswith(f"next: binsight evaluate {run}")
    begun = open_run(run)
    assert begun.facts.weights == "small"
    assert begun.recipe.architecture == "mobilenet_v2"
    assert begun.recipe.frozen_batchnorm
    assert begun.recipe.learning_rate == load_recipe("onward").learning_rate

    again = binsight(*asked, "--resume")
    assert again.returncode == 0, again.stderr

    mine = tmp_path / "mine.onnx"
    output("export", run, "--out", mine)
    onward = build_with_weights("mobilenet_v2", str(mine), classes=CLASSES, dropout=0)
    torch.testing.assert_close(onward.head.weight, best_network(begun).head.weight)


def test_a_student_takes_its_shape_from_the_bundle(given: list[str], tmp_path: Path) -> None:
    photos, *split = given
    out = tmp_path / "run"
    asked = ["distill", "small", "--photos", photos, *split, "--weights", "small", "--out", out]
    asked += [*QUICK, "--set", "views=1", "--set", "warmup_epochs=0"]
    output(*asked)
    begun = open_run(out).recipe
    assert begun.frozen_batchnorm
    assert begun.distillation == load_recipe("student").distillation
    output(*asked, "--resume")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--recipe", "seed"], "--set frozen_batchnorm=true, or leave --recipe out"),
        (["--arch", "resnet18"], "the weights of mobilenet_v2, not of resnet18"),
        (["--teacher", "accurate", "--set", "views=1"], "accurate: the teacher knows cardboard"),
    ],
)
def test_what_cannot_begin_is_said_before_a_folder_is_made(
    given: list[str], tmp_path: Path, more: list[str], why: str
) -> None:
    line = refusal("train", *given, "--weights", "small", "--out", tmp_path / "run", *more)
    assert why in line
    assert not (tmp_path / "run").exists()


def test_folds_go_on_from_a_bundle_by_the_same_rule(given: list[str], tmp_path: Path) -> None:
    photos, *_ = given
    asked = ["train", photos, "--folds", "3", "--weights", "small", "--recipe", "seed"]
    assert "frozen_batchnorm=true" in refusal(*asked, "--out", tmp_path / "cv")
