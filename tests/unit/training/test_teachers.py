from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from small_bundle import BIAS, CLASSES, DESCRIPTION, SIZE, WEIGHT, small_model, write_small_bundle
from tiny_training import SMALL, draw_photos, pretend

torch = pytest.importorskip("torch")

from onnx import helper, numpy_helper  # noqa: E402
from torch import nn  # noqa: E402

from binsight.data.catalog import Catalog, scan  # noqa: E402
from binsight.data.split import Split, split_into_folds, without_grouping  # noqa: E402
from binsight.errors import NotABundleError, RunError, UsageError  # noqa: E402
from binsight.model.network import Network, build  # noqa: E402
from binsight.model.weights import write_state  # noqa: E402
from binsight.runtime import Classifier  # noqa: E402
from binsight.training.checkpoints import best_network  # noqa: E402
from binsight.training.folds import Folds, create_folds, open_folds  # noqa: E402
from binsight.training.recipe import load_recipe  # noqa: E402
from binsight.training.teachers import (  # noqa: E402
    BundleTeacher,
    FoldsTeacher,
    RunTeacher,
    Teachers,
    open_teachers,
)

STUDENT = load_recipe("student")


def network(seed: int) -> Network:
    torch.manual_seed(seed)
    neck = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
    return Network(nn.Sequential(nn.Conv2d(3, 8, 3)), neck, classes=3, dropout=0.9)


def split_of(classes: tuple[str, ...]) -> Split:
    one_each = {f"{name}/1.jpg": name for name in classes}
    return Split(
        part_of=dict.fromkeys(one_each, "train"),
        label_of=one_each,
        group_of=dict.fromkeys(one_each, 0),
        seed=0,
        catalog_digest="",
    )


def test_teachers_speak_together_and_learn_nothing() -> None:
    one, other = network(0), network(1)
    teachers = Teachers([RunTeacher(one), RunTeacher(other)])
    images = torch.randn(4, 3, 16, 16)
    answers = teachers(images, ["a"] * 4).numpy()
    assert teachers.width == 16
    assert answers.shape == (4, 3 + 16)
    expected = [softmax(each(images).logits_nc.numpy(), axis=1) for each in (one, other)]
    assert np.allclose(answers[:, :3], np.mean(expected, axis=0), atol=1e-6)
    assert np.allclose(np.linalg.norm(answers[:, 3:], axis=1), 1)
    assert not any(parameter.requires_grad for parameter in teachers.parameters())
    assert len(set(teachers.digests)) == 2


@pytest.mark.parametrize("side", [SIZE, 16, 50])
def test_a_bundle_answers_views_of_any_size(side: int, tmp_path: Path) -> None:
    bundle = write_small_bundle(tmp_path / "small.onnx")
    teachers = open_teachers([str(bundle.path)], split_of(CLASSES), STUDENT)
    images = torch.randn(5, 3, side, side)
    answers = teachers(images, ["a"] * 5).numpy()
    means = images.numpy().mean(axis=(2, 3), dtype=np.float64)
    assert np.allclose(answers[:, :3], softmax(means @ WEIGHT + BIAS, axis=1), atol=1e-6)
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    assert np.allclose(answers[:, 3:], means / norms, atol=1e-5)
    assert (teachers.width, teachers.digests) == (3, [bundle.digest])


def test_a_bundle_that_is_bound_to_its_size_is_refused(tmp_path: Path) -> None:
    model = small_model()
    model.graph.node[1].input[0] = "shifted"
    model.graph.node.insert(1, helper.make_node("Add", ["images", "shift"], ["shifted"]))
    shift = np.zeros((1, 3, SIZE, SIZE), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(shift, "shift"))
    bundle = write_small_bundle(tmp_path / "bound.onnx", model=model)
    with pytest.raises(RunError, match=r"bound\.onnx: its network takes no views of 16 px"):
        BundleTeacher(Classifier(bundle.path))


def test_teachers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = str(write_small_bundle(tmp_path / "small.onnx").path)
    with pytest.raises(RunError, match="knows glass, metal, paper, these photos are"):
        open_teachers([path], split_of(("glass", "wood")), STUDENT)
    plain = DESCRIPTION["preprocess"] | {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    write_small_bundle(tmp_path / "plain.onnx", preprocess=plain)
    with pytest.raises(RunError, match=r"plain\.onnx: mean and deviation of its images are not"):
        open_teachers([str(tmp_path / "plain.onnx")], split_of(CLASSES), STUDENT)
    with pytest.raises(NotABundleError, match="no such file, and no built-in model"):
        open_teachers(["gone"], split_of(CLASSES), STUDENT)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("drawn") / "photos", each=7)


@pytest.fixture(scope="module")
def catalog(photos: Path) -> Catalog:
    """Two photos of glass show the same."""
    found = scan([photos], duplicates=False)
    first, second, *others = found.photos
    return replace(found, photos=(first, replace(second, group=first.group), *others))


@pytest.fixture
def folds(photos: Path, catalog: Catalog, tmp_path: Path) -> Folds:
    split = split_into_folds(catalog, 3, lists={"val": ["metal/2.png"]}, seed=0)
    return pretended(split, photos, tmp_path / "cv")


def pretended(split: Split, photos: Path, folder: Path) -> Folds:
    """Folds with random networks, each as if it had been trained."""
    recipe = load_recipe("seed", [f"{key}={value}" for key, value in SMALL.items()])
    folds = create_folds(folder, split, recipe=recipe, sources=(photos,), weights="none")
    for number, run in enumerate(folds.runs):
        torch.manual_seed(number)
        network = build(recipe.architecture, classes=len(CLASSES))
        write_state(run.best, network.state_dict(), classes=CLASSES, epoch=0)
        pretend(run, recipe.epochs)
    return folds


def test_a_photo_is_asked_of_the_network_that_has_not_learned_it(folds: Folds) -> None:
    split = folds.split.with_folds_joined()
    teacher = open_teachers([str(folds.folder)], split, STUDENT)
    paths = [*split.paths("train"), "metal/2.png"]
    images = torch.randn(len(paths), 3, 32, 32)
    answers = teacher(images, paths).numpy()
    each = np.stack(
        [
            softmax(best_network(run).eval()(images).logits_nc.detach().numpy(), axis=1)
            for run in folds.runs
        ]
    )
    assert not np.allclose(each[0], each[1], atol=1e-3)
    for row, path in enumerate(paths[:-1]):
        (unseen,) = (n for n, run in enumerate(folds.runs) if path in run.split.paths("val"))
        assert path not in folds.runs[unseen].split.paths("train")
        assert np.allclose(answers[row], each[unseen, row], atol=1e-5), path
    assert np.allclose(answers[-1], each[:, -1].mean(axis=0), atol=1e-5)
    assert teacher.width == 0
    assert answers.shape == (len(paths), len(CLASSES))


def test_duplicates_of_a_photo_in_a_fold_are_asked_of_the_same_network(
    photos: Path, catalog: Catalog, tmp_path: Path
) -> None:
    split = split_into_folds(catalog, 2, seed=0)
    one, copy = (photo.path for photo in catalog.photos[:2])
    aside = replace(split, part_of=dict(split.part_of) | {copy: "unused"})
    teacher = FoldsTeacher(pretended(aside, photos, tmp_path / "cv"))
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(teacher(images, [one])[0], teacher(images, [copy])[0])


def test_weights_and_folds_decide_the_digest(
    folds: Folds, photos: Path, catalog: Catalog, tmp_path: Path
) -> None:
    before = FoldsTeacher(folds).digest
    assert FoldsTeacher(open_folds(folds.folder)).digest == before
    others = pretended(split_into_folds(catalog, 3, seed=1), photos, tmp_path / "others")
    assert FoldsTeacher(others).digest != before
    write_state(
        folds.runs[1].best,
        best_network(folds.runs[0]).state_dict(),
        classes=CLASSES,
        epoch=0,
    )
    assert FoldsTeacher(folds).digest != before


def test_folds_that_cannot_teach_are_refused(
    folds: Folds, photos: Path, catalog: Catalog, tmp_path: Path
) -> None:
    given, split = [str(folds.folder)], folds.split.with_folds_joined()
    embedding = load_recipe("student", ["distillation.embedding=1"])
    with pytest.raises(UsageError, match=r"--set distillation\.embedding=0"):
        open_teachers(given, split, embedding)
    with pytest.raises(RunError, match="folds are of other photos"):
        open_teachers(given, replace(split, catalog_digest="another"), STUDENT)
    with pytest.raises(RunError, match="knows glass, metal, paper, these photos are"):
        open_teachers(given, split_of(("glass", "wood")), STUDENT)
    grouped = split_into_folds(catalog, 3, seed=0)
    torn = without_grouping(grouped)
    assert torn.straddling()
    pretended(torn, photos, tmp_path / "torn")
    with pytest.raises(RunError, match="every network has learned a copy"):
        open_teachers([str(tmp_path / "torn")], torn.with_folds_joined(), STUDENT)
    (folds.runs[2].folder / "metrics.json").write_text('{"epochs": []}')
    with pytest.raises(RunError, match=r"fold2: not trained to the end; .* --out .*cv --resume"):
        open_teachers(given, split, STUDENT)
