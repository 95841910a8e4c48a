"""Trainings that go on from a bundle, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import binsight, output, refusal
from tiny_training import CLASSES, draw_photos

torch = pytest.importorskip("torch")

from binsight.data.catalog import scan  # noqa: E402
from binsight.data.split import split_by_ratios, write_split  # noqa: E402
from binsight.model.weights import build_with_weights  # noqa: E402
from binsight.training.checkpoints import best_network  # noqa: E402
from binsight.training.outputs import outputs_of  # noqa: E402
from binsight.training.parts import labelled  # noqa: E402
from binsight.training.recipe import load_recipe  # noqa: E402
from binsight.training.run import Run, open_run  # noqa: E402

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


@pytest.fixture(scope="module")
def onward(given: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that began as `small`."""
    run = tmp_path_factory.mktemp("onward") / "run"
    said = output("train", *given, "--weights", "small", "--out", run, *QUICK)
    assert said.splitlines()[-1].endswith(f"next: binsight evaluate {run}")
    return run


@pytest.fixture(scope="module")
def mine(onward: Path) -> Path:
    """Its bundle."""
    bundle = onward.with_name("mine.onnx")
    output("export", onward, "--out", bundle)
    return bundle


def test_a_run_takes_its_shape_from_the_bundle(onward: Path) -> None:
    begun = open_run(onward)
    assert begun.facts.weights == "small"
    assert begun.recipe.architecture == "mobilenet_v2"
    assert begun.recipe.frozen_batchnorm
    assert begun.recipe.learning_rate == load_recipe("onward").learning_rate
    told = json.loads((onward / "metrics.json").read_text())
    assert "first_weights" not in told, "it knows other classes"


def test_a_run_from_a_bundle_resumes(given: list[str], onward: Path) -> None:
    output("train", *given, "--weights", "small", "--out", onward, *QUICK, "--resume")


def test_the_head_goes_on_from_a_bundle_of_the_same_classes(onward: Path, mine: Path) -> None:
    network = build_with_weights("mobilenet_v2", str(mine), classes=CLASSES, dropout=0)
    learned = best_network(open_run(onward)).head.weight
    torch.testing.assert_close(network.head.weight, learned)


def score(weights: Path, run: Run) -> float:
    """Accuracy of first weights on a run's validation photos."""
    network = build_with_weights("mobilenet_v2", str(weights), classes=CLASSES, dropout=0).eval()
    shown = labelled(run, run.photos(), "val")
    logits_nc, _ = outputs_of(network, shown, run.recipe.preprocess)
    return float((logits_nc.argmax(axis=1) == shown.labels).mean())


@pytest.mark.parametrize("kind", ["bundle", "run"])
def test_the_result_lies_between_first_weights_and_tuned_ones(
    given: list[str], onward: Path, mine: Path, tmp_path: Path, kind: str
) -> None:
    weights = {"bundle": mine, "run": open_run(onward).best}[kind]
    asked = ["train", *given, "--weights", weights, "--recipe", "onward", *QUICK]
    output(*asked, "--out", tmp_path / "whole")
    output(*asked, "--out", tmp_path / "half", "--set", "interpolation=0.5")
    run = open_run(tmp_path / "half")
    first_accuracy = score(weights, run)
    log = (run.folder / "log.txt").read_text()
    assert f"first weights: validation accuracy {first_accuracy:.4f}" in log
    told = json.loads((run.folder / "metrics.json").read_text())
    assert told["first_weights"]["val_accuracy"] == pytest.approx(first_accuracy, abs=1e-6)
    is_worse = told["best"]["val_accuracy"] < first_accuracy
    assert ("no epoch is right of as many" in log) == is_worse
    first = build_with_weights("mobilenet_v2", str(weights), classes=CLASSES, dropout=0)
    whole, half = (best_network(open_run(tmp_path / name)) for name in ("whole", "half"))
    for layer in ("head", "features.18.0"):
        begun, tuned, found = (one.get_submodule(layer).weight for one in (first, whole, half))
        assert not torch.allclose(begun, tuned, atol=1e-5)
        torch.testing.assert_close(found, (begun + tuned) / 2)


def test_photos_that_the_bundle_learned_from_judge_nothing(
    given: list[str], onward: Path, mine: Path, tmp_path: Path
) -> None:
    """In another split they are among those to validate on."""
    photos = Path(given[0])
    parts = {"train": 0.7, "val": 0.3}
    other = split_by_ratios(scan([photos], duplicates=False), parts, seed=1)
    write_split(tmp_path / "other.csv", other)
    learned = set(open_run(onward).split.paths("train")) & set(other.paths("val"))
    assert 0 < len(learned) < 9
    asked = ["train", photos, "--split", tmp_path / "other.csv", "--weights", mine, *QUICK]
    done = binsight(*asked, "--out", tmp_path / "run")
    assert f"learned from {len(learned)} of the 9 photos of part val; what is" in done.stderr
    done = binsight("evaluate", tmp_path / "run", "--out", tmp_path / "report")
    assert f"part val: left out {len(learned)} photos" in done.stderr


def test_a_student_takes_its_shape_from_the_bundle(
    given: list[str], mine: Path, tmp_path: Path
) -> None:
    photos, *split = given
    out = tmp_path / "run"
    asked = ["distill", mine, "--photos", photos, *split, "--weights", "small", "--out", out]
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
        (["--set", "frozen_stages=20"], "mobilenet_v2 has 19 stages"),
        (["--set", "interpolation=0.5"], "set warmup_epochs above 0, or give a bundle or a run of"),
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
