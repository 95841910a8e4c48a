"""Trainings that keep what frozen stages and teachers made of each view."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import binsight
from small_bundle import write_small_bundle
from tiny_training import CLASSES, SMALL, draw_photos, make_run, train_run, write_weights

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from binsight.data.catalog import scan  # noqa: E402
from binsight.data.split import (  # noqa: E402
    read_split,
    split_by_ratios,
    split_into_folds,
    write_split,
)
from binsight.errors import RunError, UsageError  # noqa: E402
from binsight.interfaces.cli.distill import distill  # noqa: E402
from binsight.model.weights import build_with_weights  # noqa: E402
from binsight.runtime import Classifier  # noqa: E402
from binsight.training import keeping  # noqa: E402
from binsight.training.checkpoints import best_network, last_network  # noqa: E402
from binsight.training.folds import create_folds, epochs_of  # noqa: E402
from binsight.training.parts import labelled, training_views  # noqa: E402
from binsight.training.recipe import Augmentation, load_recipe  # noqa: E402
from binsight.training.run import open_run  # noqa: E402

FROZEN: dict[str, Any] = {
    "epochs": 2,
    "warmup_epochs": 1,
    "learning_rate": 1e-2,
    "frozen_stages": 17,
    "views": 2,
}
STUDENT = [
    f"--set={key}={value}"
    for key, value in (SMALL | {"views": 2, "epochs": 2, "frozen_stages": 0}).items()
]

# Photos as they are, so that it does not matter how a view's changes are drawn.
STILL = [
    f"--set=augmentation.{key}={value}"
    for key, value in Augmentation(horizontal_flip=0).model_dump().items()
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def split(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("split") / "split.csv"
    catalog = scan([photos], duplicates=False)
    write_split(path, split_by_ratios(catalog, {"train": 0.7, "val": 0.3}, seed=0))
    return path


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("first") / "first.safetensors")


def written(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*.npy")}


def prepared(run: Any, network: Any, kept: Path, *, precision: str = "32-true") -> Any:
    """What `Keeping.prepare` gives of a run's own views."""
    made = keeping.Keeping(run, network, kept, workers=0, precision=precision)
    catalog = run.photos()
    return made.prepare(training_views(run, catalog), labelled(run, catalog, "val"), None)


def test_runs_share_what_frozen_stages_made(photos: Path, first: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    one = make_run(photos, tmp_path / "one", "default", weights=first, **FROZEN)
    train_run(one, cache=cache)
    before = written(cache)
    assert len(before) == 30
    other = make_run(photos, tmp_path / "other", "default", weights=first, **FROZEN)
    train_run(other, cache=cache)
    assert written(cache) == before
    assert not (one.folder / "kept").exists()


def test_runs_that_differ_in_what_is_kept_share_nothing(
    photos: Path, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is computed here: the folders have names by what is put into them."""
    monkeypatch.setattr(keeping, "fill", lambda *_, **__: None)

    def folders(number: int, precision: str = "32-true", shift: float = 0, **changes: Any) -> Any:
        values = FROZEN | changes
        run = make_run(photos, tmp_path / f"run{number}", "default", weights=first, **values)
        network = build_with_weights("mobilenet_v2", str(first), classes=CLASSES, dropout=0)
        with torch.no_grad():
            network.features[0][0].weight += shift
        stages, _ = prepared(run, network, tmp_path / "kept", precision=precision)
        return stages.training.folder, stages.evaluation.folder

    training, evaluation = folders(0)
    assert folders(1) == (training, evaluation)
    for number, changes in enumerate(
        ({"seed": 5}, {"views": 3}, {"augmentation.noise": 0.5}, {"size": 64}), start=2
    ):
        other = folders(number, **changes)
        assert other[0] != training, changes
        assert other[1] == evaluation, changes
    assert folders(6, eval_size=64, eval_resize_to=64)[1] != evaluation
    for number, more in enumerate(
        ({"precision": "bf16-mixed"}, {"shift": 0.1}, {"frozen_stages": 16}), start=7
    ):
        other = folders(number, **more)
        assert other[0] != training, more
        assert other[1] != evaluation, more


def test_answers_of_other_teachers_are_kept_apart(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "fill", lambda *_, **__: None)
    bundle = write_small_bundle(tmp_path / "one.onnx", classes=CLASSES)
    again = tmp_path / "again.onnx"
    again.write_bytes(bundle.path.read_bytes())
    other = write_small_bundle(tmp_path / "other.onnx", classes=CLASSES, licence="MIT")
    folders = []
    for number, teacher in enumerate((bundle.path, again, other.path)):
        values = {"views": 2, "frozen_stages": 0}
        run = make_run(
            photos, tmp_path / f"run{number}", "student", teachers=(str(teacher),), **values
        )
        network = build_with_weights("mobilenet_v2", "none", classes=CLASSES, dropout=0)
        _, taught = prepared(run, network, tmp_path / "kept")
        folders.append(taught.kept.folder)
    assert folders[0] == folders[1] != folders[2]


def test_frozen_stages_are_those_of_the_first_weights(
    photos: Path, first: Path, tmp_path: Path
) -> None:
    run = make_run(photos, tmp_path / "run", "default", weights=first, **FROZEN)
    train_run(run)
    begun, ended = load_file(first), load_file(run.best)
    stages = {name: int(name.split(".")[1]) for name in ended if name.startswith("features.")}
    counted = "num_batches_tracked"
    frozen = [name for name, stage in stages.items() if stage < 17 and not name.endswith(counted)]
    # An average of equal numbers may be off by a rounding.
    assert all(torch.allclose(begun[name], ended[name], atol=1e-6) for name in frozen)
    learning = [n for n, stage in stages.items() if stage >= 17 and not n.endswith(counted)]
    assert not any(torch.equal(begun[name], ended[name]) for name in learning)


def test_the_result_lies_between_the_probe_and_the_tuned_network(
    photos: Path, first: Path, tmp_path: Path
) -> None:
    values = FROZEN | {"epochs": 3}
    whole = make_run(photos, tmp_path / "whole", "default", weights=first, **values)
    train_run(whole, cache=tmp_path / "cache")
    part = make_run(
        photos, tmp_path / "part", "default", weights=first, interpolation=0.25, **values
    )
    train_run(part, cache=tmp_path / "cache")
    probe, tuned, between = (load_file(file) for file in (part.probe, whole.best, part.best))
    assert torch.equal(probe["features.18.0.weight"], load_file(first)["features.18.0.weight"])
    for name in ("features.18.0.weight", "head.weight"):
        expected = 0.75 * probe[name] + 0.25 * tuned[name]
        assert torch.allclose(between[name], expected, atol=1e-6), name
        assert not torch.allclose(probe[name], tuned[name], atol=1e-4), name

    last, ended = last_network(whole).state_dict(), last_network(part).state_dict()
    for name in ("features.18.0.weight", "head.weight"):
        expected = 0.75 * probe[name] + 0.25 * last[name]
        assert torch.allclose(ended[name], expected, atol=1e-6), name


def test_a_student_learns_from_its_teacher(photos: Path, first: Path, tmp_path: Path) -> None:
    teacher = make_run(photos, tmp_path / "teacher", "default", weights=first, **FROZEN)
    train_run(teacher)
    student = make_run(
        photos,
        tmp_path / "student",
        "default",
        teachers=(str(teacher.folder),),
        epochs=2,
        views=2,
        **{"distillation.embedding": 1.0, "augmentation.mix": 0.5},
    )
    train_run(student)
    assert open_run(student.folder).facts.teachers == (str(teacher.folder),)
    assert len(written(student.folder / "kept")) == 21
    assert not any(name.startswith("map") for name in load_file(student.best))


def test_distilling_takes_photos_split_and_shares_of_the_teacher(
    photos: Path, first: Path, tmp_path: Path
) -> None:
    teacher = make_run(
        photos, tmp_path / "teacher", "default", weights=first, shares={"glass": 0.5}, **FROZEN
    )
    train_run(teacher)
    out = tmp_path / "student"
    done = binsight("distill", teacher.folder, "--out", out, "--weights", teacher.folder, *STUDENT)
    assert done.returncode == 0, done.stderr
    student = open_run(out)
    assert student.facts.weights == str(teacher.best)
    assert student.split == teacher.split
    assert student.facts.teachers == (str(teacher.folder),)
    assert (student.facts.sources, student.facts.shares) == ((str(photos),), {"glass": 0.5})
    assert student.recipe.distillation == load_recipe("student").distillation
    assert "best validation accuracy" in done.stdout
    assert len(student.learned_by_teachers()) == len(teacher.split.paths("train"))
    assert "learned from" not in done.stderr, "of the same split"


def test_the_photos_of_a_teacher_may_have_moved(photos: Path, first: Path, tmp_path: Path) -> None:
    teacher = make_run(
        photos, tmp_path / "teacher", "default", weights=first, shares={"glass": 0.5}, **FROZEN
    )
    shutil.copy(first, teacher.best)
    shutil.copytree(photos, tmp_path / "moved")
    out = tmp_path / "student"
    more = ["--weights", teacher.folder, "--photos", tmp_path / "moved", *STUDENT]
    done = binsight("distill", teacher.folder, "--out", out, *more)
    assert done.returncode == 0, done.stderr
    student = open_run(out)
    assert student.facts.sources == (str(tmp_path / "moved"),)
    assert (student.split, student.facts.shares) == (teacher.split, {"glass": 0.5})


def test_a_start_that_fails_leaves_no_folder(
    photos: Path, split: Path, first: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "more")
    shutil.copy(tmp_path / "more" / "glass" / "0.png", tmp_path / "more" / "glass" / "new.png")
    out = tmp_path / "out"
    done = binsight(
        *("train", tmp_path / "more", "--split", split, "--weights", first, "--out", out),
        *STUDENT,
    )
    assert done.returncode == 2
    assert "1 photos are new, such as glass/new.png" in done.stderr
    assert not out.exists()


def test_a_bundle_teaches(photos: Path, split: Path, tmp_path: Path) -> None:
    bundle = write_small_bundle(tmp_path / "teacher.onnx").path
    judged = [photos / path for path in read_split(split).paths("val")]
    Classifier(bundle).teach({"glass": judged[:2]}, bundle, anyway=True)
    out = tmp_path / "student"
    more = ["--share", "glass=0.5", "--weights", "none", *STUDENT]
    given = ["--photos", photos, "--split", split, "--out", out]
    done = binsight("distill", bundle, *given, *more)
    assert done.returncode == 0, done.stderr
    assert f"teachers have learned from 2 of the {len(judged)} photos of part val" in done.stderr
    student = open_run(out)
    assert student.facts.teachers == (str(bundle),)
    assert student.facts.shares == {"glass": 0.5}
    kept = [np.load(file) for file in written(out / "kept")]
    assert {one.shape for one in kept} == {(2, 3 + 3)}
    assert np.allclose(np.stack(kept)[..., :3].sum(axis=-1), 1, atol=2e-3)  # half precision


def test_folds_teach_a_student(photos: Path, split: Path, tmp_path: Path) -> None:
    parts = ["--list", f"val={split}", "--folds", "2", "--out", tmp_path / "folds.csv"]
    assert binsight("data", "split", photos, *parts).returncode == 0
    cv, out = tmp_path / "cv", tmp_path / "student"
    made = ["--folds", "2", "--split", tmp_path / "folds.csv", "--out", cv]
    done = binsight("train", photos, *made, "--weights", "none", "--share", "glass=0.5", *STUDENT)
    assert done.returncode == 0, done.stderr
    done = binsight("distill", cv, "--out", out, "--weights", "none", *STUDENT)
    assert done.returncode == 0, done.stderr
    student = open_run(out)
    assert student.split.paths("val") == read_split(split).paths("val")
    assert set(student.split.paths("train")) == set(read_split(split).paths("train"))
    assert student.facts.shares == {"glass": 0.5}
    networks = [best_network(open_run(cv / f"fold{number}")).eval() for number in range(2)]
    views = training_views(student, student.photos())
    for place, path in enumerate(student.split.paths("train")):
        (unseen,) = (
            network
            for number, network in enumerate(networks)
            if path in open_run(cv / f"fold{number}").split.paths("val")
        )
        images = torch.stack([views.tensor(place, view) for view in range(2)])
        expected = unseen(images).logits_nc.softmax(dim=1).detach().numpy()
        (kept,) = (out / "kept").rglob(f"{views.photos.digests[place]}.npy")
        assert np.allclose(np.load(kept), expected, atol=2e-3), path

    alone = tmp_path / "alone"
    more = ["--out", alone, "--weights", "none", "--cache", out / "kept", *STUDENT]
    done = binsight("distill", cv, *more, "--set", "distillation.weight=0")
    assert done.returncode == 0, done.stderr
    heard, unheard = (epochs_of(open_run(run))[0]["train_loss"] for run in (out, alone))
    assert heard != unheard

    first_losses = {}
    for views in (1, 0):
        still = tmp_path / f"still{views}"
        more = ["--out", still, "--weights", "none", *STUDENT, *STILL, "--set", f"views={views}"]
        done = binsight("distill", cv, *more)
        assert done.returncode == 0, done.stderr
        assert "batch_size" not in done.stderr
        first_losses[views] = epochs_of(open_run(still))[0]["train_loss"]
        assert bool(written(still)) == bool(views)
    assert first_losses[0] == pytest.approx(first_losses[1], rel=1e-3)  # kept in half precision


def test_folds_that_leave_nothing_to_validate_on(photos: Path, tmp_path: Path) -> None:
    catalog = scan([photos], duplicates=False)
    folds = create_folds(
        tmp_path / "cv",
        split_into_folds(catalog, 2, seed=0),
        recipe=load_recipe("seed"),
        sources=(photos,),
        weights="none",
    )
    done = binsight("distill", folds.folder, "--out", tmp_path / "out", "--weights", "none")
    assert done.returncode == 2
    assert "none is left to validate a student on; give --photos and a --split" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give one or more trained runs or bundles"),
        ({"teachers": ["accurate"], "photos": [Path("b")]}, "a bundle does not know its photos"),
        ({"teachers": ["a"], "split": Path("b")}, "--split needs the --photos that it is of"),
        ({"teachers": ["accurate"]}, "accurate: a bundle does not know its photos"),
        ({"teachers": ["gone"]}, "gone: a bundle does not know its photos, and a run would be a f"),
        ({"shares": ["web"]}, "--share web: give each FOLDER=NUMBER once"),
    ],
)
def test_what_cannot_be_distilled(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"teachers": None, "photos": None, "split": None, "shares": None}
    given |= {"recipe": None, "arch": None, "weights": "none", "changes": None, "cache": None}
    given |= {"resume": False, "workers": 0, "accelerator": "cpu"}
    with pytest.raises(UsageError, match=message):
        distill(tmp_path / "out", **(given | options))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("frozen_stages=4", "freezes the first 4 stages, which know nothing with --weights none"),
        ("interpolation=0.9", "back some way to the first weights, which know nothing with --weig"),
    ],
)
def test_weights_that_know_nothing_are_not_kept(
    photos: Path, split: Path, tmp_path: Path, change: str, message: str
) -> None:
    bundle = write_small_bundle(tmp_path / "teacher.onnx")
    out = tmp_path / "out"
    given = ["--photos", photos, "--split", split, "--out", out, "--weights", "none"]
    done = binsight("distill", bundle.path, *given, "--set", change)
    assert done.returncode == 2
    assert message in done.stderr
    assert not out.exists()


def test_wrong_teachers_and_stages_are_refused(photos: Path, first: Path, tmp_path: Path) -> None:
    other = draw_photos(tmp_path / "other")
    (other / "glass").rename(other / "wood")
    teacher = make_run(other, tmp_path / "teacher", "default", weights=first, epochs=2)
    student = make_run(
        photos, tmp_path / "student", "default", teachers=(str(teacher.folder),), epochs=2, views=2
    )
    with pytest.raises(RunError, match="the teacher knows metal, paper, wood"):
        train_run(student)
    too_many = FROZEN | {"frozen_stages": 20, "views": 0}
    run = make_run(photos, tmp_path / "run", "default", weights=first, **too_many)
    with pytest.raises(UsageError, match="has 19 stages; with all of them frozen"):
        train_run(run)


@pytest.mark.parametrize("views", [0, 2])
def test_with_all_stages_frozen_the_head_alone_learns(
    photos: Path, first: Path, tmp_path: Path, views: int
) -> None:
    settings = FROZEN | {"frozen_stages": 19, "views": views}
    run = make_run(photos, tmp_path / "probe", "default", weights=first, **settings)
    train_run(run)
    begun = build_with_weights("mobilenet_v2", str(first), classes=CLASSES, dropout=0)
    learned = best_network(run)
    torch.testing.assert_close(learned.features.state_dict(), begun.features.state_dict())
    assert not torch.equal(learned.head.weight, begun.head.weight)
