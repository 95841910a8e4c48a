"""Graphs as PyTorch modules: ONNX Runtime's answers beside, and those of the network exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_bundle import SmallBundle, small_model, squares, write_novelty_bundle, write_small_bundle

torch = pytest.importorskip("torch")

from binsight import Classifier  # noqa: E402
from binsight.errors import NotABundleError  # noqa: E402
from binsight.export.rebuilt import OPERATORS, Rebuilt, outputs_of_bundle, rebuild  # noqa: E402
from binsight.runtime import BUILTIN  # noqa: E402


def noise(size: int, count: int = 3) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((count, 3, size, size)).astype(np.float32)


@pytest.mark.parametrize("name", BUILTIN)
def test_a_built_in_model_answers_alike_in_torch(name: str) -> None:
    """One has weights in float16 and a novelty."""
    classifier = Classifier(name)
    outputs = outputs_of_bundle(classifier)
    network = rebuild(classifier, outputs)
    images = noise(classifier.metadata.preprocess.size, 1)
    expected = classifier.run(images)._asdict()
    found = network(torch.from_numpy(images))
    keys = {"probs": "probs_nc", "embedding": "embedding_nd", "novelty": "novelty_n"}
    for output, one in zip(outputs, found, strict=True):
        assert np.allclose(one.numpy(), expected[keys[output]], rtol=1e-3, atol=1e-4)


def test_a_taught_bundle_with_a_novelty_answers_alike(tmp_path: Path) -> None:
    photos = {name: squares(4, seed) for seed, name in enumerate(("glass", "metal", "paper"))}
    path = write_novelty_bundle(tmp_path / "novelty.onnx", photos).path
    taught = tmp_path / "taught.onnx"
    more = {name: squares(4, 9 + seed) for seed, name in enumerate(("glass", "cup"))}
    Classifier(path).teach(more, taught, anyway=True)
    classifier = Classifier(taught)
    network = rebuild(classifier, ("novelty", "probs"))
    images = noise(32)
    novelty_n, probs_nc = network(torch.from_numpy(images))
    assert probs_nc.shape == (3, 4)
    assert np.allclose(probs_nc.numpy(), classifier.run(images).probs_nc, atol=1e-6)
    assert np.allclose(novelty_n.numpy(), classifier.run(images).novelty_n, rtol=1e-3)


def test_what_the_outputs_do_not_need_is_left_out(small_bundle: SmallBundle) -> None:
    graph = onnx.load(small_bundle.path).graph
    assert len(list(Rebuilt(graph, ["embedding"]).parameters())) == 0
    assert len(list(Rebuilt(graph, ["probs"]).parameters())) > 0


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    model = small_model()
    (pool,) = [node for node in model.graph.node if node.op_type == "GlobalAveragePool"]
    pool.op_type = "GlobalMaxPool"
    path = write_small_bundle(tmp_path / "odd.onnx", model=model).path
    with pytest.raises(NotABundleError, match=r"odd.onnx: its graph has GlobalMaxPool, which can"):
        rebuild(Classifier(path), ("probs",))


def one_operator(
    operator: str, shapes: list[tuple[int, ...]], constants: list[Any], **attributes: Any
) -> Any:
    names = [f"constant.{number}" for number in range(len(constants))]
    others = [f"weight.{number}" for number in range(len(shapes) - 1)]
    random = np.random.default_rng(3)
    weights = [random.uniform(0.5, 2, shape).astype(np.float32) for shape in shapes[1:]]
    node = helper.make_node(operator, ["images", *others, *names], ["probs"], **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("probs", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in zip([*others, *names], [*weights, *constants], strict=True)
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


PICTURE, ROW = (2, 4, 9, 9), (3, 8)
CASES: list[tuple[str, list[tuple[int, ...]], list[Any], dict[str, Any]]] = [
    ("Add", [ROW, (8,)], [], {}),
    ("BatchNormalization", [PICTURE, (4,), (4,), (4,), (4,)], [], {"epsilon": 0.01}),
    ("Clip", [ROW], [np.float32(-0.5), np.float32(0.5)], {}),
    ("Conv", [PICTURE, (6, 2, 3, 3), (6,)], [], {"group": 2, "strides": [2, 1], "pads": [1] * 4}),
    ("Conv", [PICTURE, (6, 4, 3, 3)], [], {"pads": [0, 1, 2, 1], "dilations": [1, 2]}),
    ("Div", [ROW], [np.float32(1.7)], {}),
    ("Erf", [ROW], [], {}),
    ("Flatten", [PICTURE], [], {"axis": 2}),
    ("Gemm", [ROW, (5, 8), (5,)], [], {"transB": 1}),
    ("Gemm", [ROW, (8, 5), (5,)], [], {"alpha": 0.5, "beta": 2.0}),
    ("GlobalAveragePool", [PICTURE], [], {}),
    ("HardSigmoid", [ROW], [], {"alpha": 1 / 6, "beta": 0.5}),
    ("HardSigmoid", [ROW], [], {}),
    ("HardSwish", [ROW], [], {}),
    ("LayerNormalization", [ROW, (8,), (8,)], [], {"epsilon": 0.1}),
    ("MatMul", [ROW, (8, 2)], [], {}),
    ("Max", [ROW, (8,)], [], {}),
    ("Max", [ROW], [np.float32(0.1)], {}),
    ("MaxPool", [PICTURE], [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}),
    ("Mul", [PICTURE, (4, 1, 1)], [], {}),
    ("Pow", [ROW], [np.float32(2)], {}),
    ("ReduceL2", [ROW], [np.array([1])], {"keepdims": 0}),
    ("ReduceMean", [PICTURE], [np.array([2, 3])], {"keepdims": 1}),
    ("ReduceMin", [ROW], [np.array([-1])], {}),
    ("ReduceSum", [PICTURE], [np.array([1])], {}),
    ("Relu", [ROW], [], {}),
    ("Reshape", [PICTURE], [np.array([0, -1])], {}),
    ("Sigmoid", [ROW], [], {}),
    ("Softmax", [ROW], [], {"axis": 1}),
    ("Squeeze", [(3, 1, 4, 1)], [np.array([1, 3])], {}),
    ("Sub", [ROW, (8,)], [], {}),
    ("Tanh", [ROW], [], {}),
    ("Transpose", [PICTURE], [], {"perm": [0, 2, 3, 1]}),
    ("Unsqueeze", [ROW], [np.array([0, 3])], {}),
]


@pytest.mark.parametrize(("operator", "shapes", "constants", "attributes"), CASES)
def test_each_operator_means_what_onnx_says(
    operator: str, shapes: list[tuple[int, ...]], constants: list[Any], attributes: dict[str, Any]
) -> None:
    from onnx.reference import ReferenceEvaluator

    model = one_operator(operator, shapes, constants, **attributes)
    images = np.random.default_rng(4).normal(size=shapes[0]).astype(np.float32)
    (expected,) = ReferenceEvaluator(model).run(None, {"images": images})
    (found,) = Rebuilt(model.graph, ["probs"])(torch.from_numpy(images))
    assert found.shape == expected.shape
    assert np.allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_every_operator_was_tried() -> None:
    rest = {"Cast", "Identity", "Sqrt"}  # in the bundles above, or of no options
    assert {case[0] for case in CASES} == set(OPERATORS) - rest
