"""A bundle whose weights are stored in float16 does all that others do."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from PIL import Image
from tiny_training import CLASSES, draw_photos, make_run, write_weights

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

import binsight.export.onnx as exporting  # noqa: E402
from binsight.bundle import INPUT  # noqa: E402
from binsight.errors import ParityError  # noqa: E402
from binsight.evaluation.scoring import best_network  # noqa: E402
from binsight.explain import BundleExplainer, explain_with  # noqa: E402
from binsight.explain.grid import Grid, grid_of_graph  # noqa: E402
from binsight.export.half import rounded  # noqa: E402
from binsight.export.onnx import export_bundle  # noqa: E402
from binsight.model.network import build  # noqa: E402
from binsight.preprocess import load  # noqa: E402
from binsight.runtime import Classifier  # noqa: E402

SIZE = 64


class Exported(NamedTuple):
    run: Any
    path: Path
    files: list[Path]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """An EfficientNet-B0 of random features, whose head was fitted to photos."""
    folder = tmp_path_factory.mktemp("half")
    photos = shaded(draw_photos(folder / "photos", each=40))
    arch = "efficientnet_b0"
    first = write_weights(folder / "first.safetensors", arch, SIZE)
    changes = {"architecture": arch, "size": SIZE, "eval_size": SIZE, "eval_resize_to": SIZE}
    run = make_run(photos, folder / "run", "seed", weights=first, **changes)
    files = sorted(photos.rglob("*.png"))
    run.best.parent.mkdir(parents=True, exist_ok=True)
    save_file(fitted(first, tensors_of(run, files)), run.best)
    path = folder / "half.onnx"
    export_bundle(run, path, store="fp16")
    return Exported(run, path, files)


def shaded(photos: Path) -> Path:
    """Give each photo a shade of its own: what differs by noise alone is one point to a network."""
    random = np.random.default_rng(1)
    for file in sorted(photos.rglob("*.png")):
        pixels = np.asarray(Image.open(file)) + random.normal(0, 25, 3)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file)
    return photos


def tensors_of(run: Any, files: list[Path]) -> np.ndarray:
    return np.stack([load(file, run.recipe.preprocess) for file in files])


def fitted(weights: Path, images_nchw: np.ndarray) -> dict[str, Any]:
    """Weights with the head that least squares gives; photos come class by class."""
    network = build("efficientnet_b0", classes=len(CLASSES)).eval()
    network.load_state_dict(load_file(weights))
    network.features[-1][1].weight.data *= 10  # so that embeddings are of the usual size
    wanted = torch.eye(len(CLASSES)).repeat_interleave(len(images_nchw) // len(CLASSES), dim=0)
    with torch.no_grad():
        embedding = network(torch.from_numpy(images_nchw)).embedding_nd
        solved = torch.linalg.lstsq(embedding - embedding.mean(dim=0), wanted * 8).solution
        network.head.weight.copy_(solved.T)
        network.head.bias.copy_(-solved.T @ embedding.mean(dim=0))
    return network.state_dict()


@pytest.fixture(scope="module")
def classifier(exported: Exported) -> Classifier:
    return Classifier(exported.path, threads=1)


@pytest.fixture(scope="module")
def tensors(exported: Exported) -> np.ndarray:
    return tensors_of(exported.run, exported.files)


def test_it_answers_as_the_rounded_checkpoint(
    exported: Exported, classifier: Classifier, tensors: np.ndarray
) -> None:
    outputs = classifier.run(tensors)
    with torch.no_grad():
        plain = best_network(exported.run)(torch.from_numpy(tensors))
        expected = rounded(best_network(exported.run))(torch.from_numpy(tensors))
    temperature = classifier.metadata.temperature
    probs = torch.softmax(expected.logits_nc / temperature, dim=1).numpy()
    assert np.abs(outputs.probs_nc - probs).max() < 1e-4
    off, rounding = (
        np.abs(outputs.embedding_nd - one.embedding_nd.numpy()).max() for one in (expected, plain)
    )
    assert off < 0.1 * rounding
    assert len(set(probs.argmax(axis=1))) == len(CLASSES)  # the photos are told apart


def test_it_is_half_as_large_and_says_what_rounding_did(
    exported: Exported, classifier: Classifier
) -> None:
    weights = 4 * sum(one.numel() for one in best_network(exported.run).parameters())
    assert exported.path.stat().st_size < 0.55 * weights
    onnx.checker.check_model(onnx.load(exported.path))
    metadata = classifier.metadata
    assert metadata.parity.max_difference <= 1e-4
    assert metadata.metrics["val_labels_changed_by_fp16"] == 0
    assert metadata.metrics["val_accuracy_before_fp16"] == metadata.metrics["val_accuracy"]


def test_cells_lie_where_its_convolutions_put_them(exported: Exported) -> None:
    # Five convolutions of stride 2, each padded by half its kernel; gates are no places.
    model = onnx.load(exported.path)
    assert grid_of_graph(model, given=INPUT, wanted="feature_map") == Grid(0.5, 32)


def test_it_explains_itself(exported: Exported, classifier: Classifier) -> None:
    explainer = BundleExplainer(classifier)
    for photo in exported.files[::10]:
        explanation = explain_with(explainer, photo)
        assert explanation.probs == pytest.approx(classifier.classify(photo).probs, abs=1e-6)
        assert explanation.heat_hw.shape == (SIZE, SIZE)
        assert explanation.heat_hw.max() > 0


def test_it_is_taught_and_stays_small(
    exported: Exported, classifier: Classifier, tmp_path: Path
) -> None:
    out = tmp_path / "taught.onnx"
    dark = np.random.default_rng(0).integers(0, 30, (8, SIZE, SIZE, 3), np.uint8)
    shown: dict[str, Any] = {"battery": list(dark)}
    for name in CLASSES:
        shown[name] = [file for file in exported.files if file.parent.name == name]
    lesson = classifier.teach(shown, out)
    taught = Classifier(out, threads=1)
    assert taught.classes == (*CLASSES, "battery")
    answers = taught.classify([*exported.files, *dark])
    expected = lesson.head.probs(np.stack([answer.embedding for answer in answers]))
    found = np.array([list(answer.probs.values()) for answer in answers])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    truth = [*(file.parent.name for file in exported.files), *["battery"] * 8]
    assert [answer.label for answer in answers] == truth
    assert out.stat().st_size < 1.1 * exported.path.stat().st_size
    assert (
        explain_with(BundleExplainer(taught), exported.files[0], "battery").explained == "battery"
    )


def test_rounding_that_costs_accuracy_is_refused(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blunt(network: Any) -> Any:
        """As if float16 had so few digits that one class is left."""
        network = copy.deepcopy(network)
        network.head.weight.data.zero_()
        network.head.bias.data.copy_(torch.arange(3))
        return network

    monkeypatch.setattr(exporting, "rounded", blunt)
    with pytest.raises(ParityError, match=r"labels on validation photos: .* leave --fp16 out"):
        export_bundle(exported.run, tmp_path / "blunt.onnx", store="fp16")
    assert not list(tmp_path.iterdir())
