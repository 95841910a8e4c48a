"""What TensorRT would be given, checked without it; and on a GPU, the engine itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from small_bundle import SIZE, squares
from small_network import write_convolving_bundle

from binsight import Classifier
from binsight.errors import ConversionError, NotABundleError
from binsight.export.shown import Shown
from binsight.export.typed import OPERATORS, typed_model
from binsight.preprocess import load
from binsight.runtime import BUILTIN

OUTPUTS = ("probs", "embedding")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return Classifier(write_convolving_bundle(tmp_path_factory.mktemp("typed") / "a.onnx"))


@pytest.fixture(scope="module")
def photos(bundle: Classifier) -> Shown:
    files = []
    for number, square in enumerate(squares(12, seed=2)):
        square.save(file := bundle.path.with_name(f"{number}.png"))
        files.append(file)
    return Shown(tuple(files), np.full(len(files), -1))


def answers(model: Any, images: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(None, {"images": images})
    return found


def images_of(bundle: Classifier, seed: int = 8) -> np.ndarray:
    return np.stack([load(one, bundle.metadata.preprocess) for one in squares(5, seed)])


@pytest.mark.parametrize(
    ("precision", "furthest"), [("fp32", 1e-6), ("fp16", 2e-2), ("int8", 1e-1)]
)
def test_each_precision_is_in_the_graph_and_answers_alike(
    bundle: Classifier, photos: Shown, precision: Any, furthest: float
) -> None:
    model = typed_model(bundle, OUTPUTS, precision, photos if precision == "int8" else None)
    onnx.checker.check_model(model, full_check=True)
    assert [one.name for one in model.graph.output] == list(OUTPUTS)
    images = images_of(bundle)
    expected = bundle.run(images)
    probs_nc, embedding_nd = answers(model, images)
    assert (probs_nc.dtype, probs_nc.shape) == (np.float32, (5, 3))
    assert np.abs(probs_nc - expected.probs_nc).max() < furthest
    assert (np.abs(probs_nc - expected.probs_nc).max() > 1e-6) == (precision != "fp32")
    assert np.allclose(embedding_nd, expected.embedding_nd, atol=0.2)


def test_half_precision_ends_at_the_head(bundle: Classifier) -> None:
    model = typed_model(bundle, OUTPUTS, "fp16")
    kinds = {one.name: one.data_type for one in model.graph.initializer}
    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    assert (kinds["first"], kinds["head"]) == (half, full)


def test_int8_is_symmetric_as_tensorrt_asks(bundle: Classifier, photos: Shown) -> None:
    model = typed_model(bundle, OUTPUTS, "int8", photos)
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    quantisers = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert len(quantisers) >= 2
    for node in quantisers:
        zero = constants[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()


@pytest.mark.parametrize("name", BUILTIN)
def test_built_in_models_have_operators_that_tensorrt_parses(name: str) -> None:
    classifier = Classifier(name)
    novelty = ("novelty",) if classifier.metadata.novelty else ()
    model = typed_model(classifier, (*OUTPUTS, *novelty), "fp16")
    assert {node.op_type for node in model.graph.node} <= OPERATORS
    batch, *rest = (one.dim_value for one in model.graph.input[0].type.tensor_type.shape.dim)
    size = classifier.metadata.preprocess.size
    assert (batch, rest) == (0, [3, size, size])  # any number of images


def test_an_operator_that_it_cannot_parse_is_named(
    bundle: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("binsight.export.typed.OPERATORS", OPERATORS - {"Clip"})
    with pytest.raises(NotABundleError, match="has Clip, which TensorRT cannot parse"):
        typed_model(bundle, OUTPUTS, "fp32")


def test_without_a_gpu_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from binsight.export.tensorrt import require_gpu

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConversionError, match="needs an NVIDIA GPU, and there is none here"):
        require_gpu()


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_engine_answers_like_the_bundle(
    bundle: Classifier, photos: Shown, tmp_path: Path, precision: Any
) -> None:
    pytest.importorskip("tensorrt")
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    from binsight.export.tensorrt import TensorRtRunner, build_engine

    model = typed_model(bundle, OUTPUTS, precision, photos if precision == "int8" else None)
    cache, engine = tmp_path / "times", tmp_path / "a.engine"
    engine.write_bytes(build_engine(model.SerializeToString(), SIZE, cache))
    assert cache.stat().st_size
    images = np.concatenate([images_of(bundle, seed) for seed in range(7)])
    assert len(images) == 35  # more than one batch
    found = TensorRtRunner(engine, OUTPUTS).run(images)
    assert np.abs(found.probs_nc - bundle.run(images).probs_nc).max() < 0.1
