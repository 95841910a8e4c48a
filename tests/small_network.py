"""A bundle with convolutions, small enough to convert in seconds: three layers on 32 pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from small_bundle import SIZE, write_small_bundle

WIDTH = 8


def convolving_model() -> onnx.ModelProto:
    """images -> Conv -> Clip -> depthwise Conv -> Clip -> + -> mean -> linear -> softmax."""
    random = np.random.default_rng(5)

    def weights(*shape: int, scale: float = 0.4) -> np.ndarray:
        return (random.normal(size=shape) * scale).astype(np.float32)

    constants = {
        "first": weights(WIDTH, 3, 3, 3),
        "first.bias": weights(WIDTH),
        "second": weights(WIDTH, 1, 3, 3),
        "second.bias": weights(WIDTH),
        "head": weights(3, WIDTH, scale=3.0),
        "head.bias": weights(3),
        "zero": np.float32(0),
        "six": np.float32(6),
    }
    wide: dict[str, Any] = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["images", "first", "first.bias"], ["a"], strides=[2, 2], **wide),
        helper.make_node("Clip", ["a", "zero", "six"], ["b"]),
        helper.make_node("Conv", ["b", "second", "second.bias"], ["c"], group=WIDTH, **wide),
        helper.make_node("Clip", ["c", "zero", "six"], ["d"]),
        helper.make_node("Add", ["b", "d"], ["feature_map"]),
        helper.make_node("GlobalAveragePool", ["feature_map"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
        helper.make_node("Gemm", ["embedding", "head", "head.bias"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probs"], axis=1),
    ]
    shapes = {
        "probs": ["batch", 3],
        "embedding": ["batch", WIDTH],
        "feature_map": ["batch", WIDTH, SIZE // 2, SIZE // 2],
    }
    graph = helper.make_graph(
        nodes,
        "convolving",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(*one) for one in values_of(shapes)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def values_of(shapes: dict[str, list[Any]]) -> list[tuple[str, int, list[Any]]]:
    return [(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]


def write_convolving_bundle(path: Path) -> Path:
    return write_small_bundle(path, model=convolving_model()).path
