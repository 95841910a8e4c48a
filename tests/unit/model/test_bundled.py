from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from small_bundle import write_small_bundle  # noqa: E402
from tiny_training import CLASSES, SMALL, write_weights  # noqa: E402

from binsight.bundle import read_verified  # noqa: E402
from binsight.errors import BundleError, WeightsError  # noqa: E402
from binsight.export.half import rounded  # noqa: E402
from binsight.export.network_part import store_half  # noqa: E402
from binsight.export.onnx import _to_onnx  # noqa: E402
from binsight.model.weights import build_with_weights  # noqa: E402
from binsight.runtime import Classifier  # noqa: E402

NAME, SIDE = SMALL["architecture"], SMALL["size"]
TEMPERATURE = 0.7


def written(folder: Path, name: str = NAME, *, half: bool = False) -> Path:
    """A bundle of a network that is not trained, but whose every layer matters."""
    weights = write_weights(folder / "first.safetensors", name)
    network = build_with_weights(name, str(weights), classes=CLASSES, dropout=0.2).eval()
    model = _to_onnx(rounded(network) if half else network, TEMPERATURE, SIDE)
    if half:
        store_half(model)
    described: dict[str, Any] = {"architecture": name, "temperature": TEMPERATURE}
    described["preprocess"] = {"size": SIDE, "resize": "shorter", "resize_to": SIDE}
    return write_small_bundle(folder / "bundle.onnx", model=model, **described).path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("plain"))


def begun(weights: Path | str, classes: tuple[str, ...] = CLASSES, name: str = NAME) -> Any:
    return build_with_weights(name, str(weights), classes=classes, dropout=0.2)


def images() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((4, 3, SIDE, SIDE)).astype(np.float32)


def assert_alike(network: Any, bundle: Path) -> None:
    with torch.inference_mode():
        logits, embedding, _ = network.eval()(torch.from_numpy(images()))
    wanted = Classifier(bundle).run(images())
    probs = (logits / TEMPERATURE).softmax(dim=1)
    np.testing.assert_allclose(embedding, wanted.embedding_nd, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(probs, wanted.probs_nc, atol=1e-5)


def test_the_network_answers_as_the_bundle(bundle: Path) -> None:
    network = begun(bundle)
    assert network.training
    assert_alike(network, bundle)


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_small", "resnet18"])
def test_networks_of_other_families(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name)
    assert_alike(begun(path, name=name), path)


def test_weights_that_are_stored_as_float16(tmp_path: Path) -> None:
    path = written(tmp_path, half=True)
    assert_alike(begun(path), path)


@pytest.mark.parametrize("classes", [("glass", "metal"), ("metal", "glass", "paper")])
def test_the_head_starts_anew_for_other_classes(bundle: Path, classes: tuple[str, ...]) -> None:
    own, network = begun(bundle), begun(bundle, classes)
    assert network.head.weight.shape == (len(classes), own.head.in_features)
    assert not torch.equal(network.head.weight[:2], own.head.weight[:2])
    found = network.features.state_dict()
    assert all(torch.equal(found[k], v) for k, v in own.features.state_dict().items())


def test_filters_have_one_norm_and_batchnorm_their_scales(bundle: Path) -> None:
    features = begun(bundle).features
    convolution, norm = features[1].conv[1:3]
    lengths = convolution.weight.flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 2**0.5))
    assert norm.weight.std() > 0.05 * norm.weight.mean()


def test_a_bundle_of_another_architecture(bundle: Path) -> None:
    with pytest.raises(WeightsError, match="train with --arch mobilenet_v2"):
        begun(bundle, name="resnet18")


def changed(bundle: Path, out: Path, change: Any) -> Path:
    model = onnx.load_from_string(read_verified(bundle))
    change(model.graph)
    described = Classifier(bundle).metadata.model_dump()
    return write_small_bundle(out, model=model, **described).path


def test_weights_under_names_of_their_own(bundle: Path, tmp_path: Path) -> None:
    def rename(graph: onnx.GraphProto) -> None:
        for one in graph.initializer:
            one.name = f"renamed.{one.name}"
        for node in graph.node:
            names = [f"renamed.{i}" if f"renamed.{i}" in stored(graph) else i for i in node.input]
            node.input[:] = names

    path = changed(bundle, tmp_path / "renamed.onnx", rename)
    with pytest.raises(WeightsError, match="not stored as binsight export writes"):
        begun(path)


def test_a_graph_that_does_something_else_with_the_weights(bundle: Path, tmp_path: Path) -> None:
    def subtract(graph: onnx.GraphProto) -> None:
        next(node for node in graph.node if node.op_type == "Add").op_type = "Sub"

    path = changed(bundle, tmp_path / "subtracting.onnx", subtract)
    with pytest.raises(WeightsError, match="give other answers than the bundle"):
        begun(path)


def stored(graph: onnx.GraphProto) -> set[str]:
    return {one.name for one in graph.initializer}


def test_a_bundle_that_is_gone_or_none(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"gone\.onnx"):
        begun(tmp_path / "gone.onnx")
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(BundleError, match=r"text\.onnx"):
        begun(tmp_path / "text.onnx")
