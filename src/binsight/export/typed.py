"""A bundle's graph as TensorRT wants it: the types in the graph say what it computes with.

TensorRT 11 builds strongly typed networks alone, and TensorRT 10 can; the flags and the calibrator
that used to choose float16 and int8 in the builder are gone. So float16 is in the graph, for all
that makes the feature map, and int8 is in pairs of QuantizeLinear and DequantizeLinear around the
convolutions, symmetric as TensorRT asks. Head, softmax and novelty stay in float32. Needs onnx and
ONNX Runtime, no GPU.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from binsight.bundle import Precision
from binsight.errors import NotABundleError, UsageError
from binsight.runtime import Classifier
from binsight.teaching.graph import refill

from .network_part import fold_half, nodes_of_network
from .reduced import Calibration
from .shown import Shown

__all__ = ["OPERATORS", "typed_model"]

# Those that TensorRT's ONNX parser lists as supported, as far as bundles have them.
OPERATORS = frozenset(
    [
        "Add",
        "BatchNormalization",
        "Cast",
        "Clip",
        "Conv",
        "DequantizeLinear",
        "Div",
        "Erf",
        "Flatten",
        "Gemm",
        "GlobalAveragePool",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LayerNormalization",
        "MatMul",
        "Max",
        "MaxPool",
        "Mul",
        "Pow",
        "QuantizeLinear",
        "ReduceL2",
        "ReduceMean",
        "ReduceMin",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Sigmoid",
        "Softmax",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tanh",
        "Transpose",
        "Unsqueeze",
    ]
)


def typed_model(
    classifier: Classifier,
    outputs: Sequence[str],
    precision: Precision,
    calibration: Shown | None = None,
) -> Any:
    """An ONNX ModelProto whose types are those of the precision.

    Args:
        classifier: the bundle, opened.
        outputs: those to keep.
        precision: of the network; ``fp16`` computes with it, unlike a bundle of fp16 weights.
        calibration: photos that ranges of activations are measured on, for ``int8``.

    Raises:
        NotABundleError: an operator that TensorRT's parser does not list.
        UsageError: ``int8`` of a bundle that has no convolution.
    """
    model = onnx.load_from_string(classifier.data())
    fold_half(model)
    network = nodes_of_network(model.graph)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node.{number}"
    inside = [node.name for node in network]
    _keep(model, outputs)
    if precision == "int8":
        assert calibration is not None
        model = _quantised(model, inside, Calibration(calibration, classifier.metadata.preprocess))
    if precision == "fp16":
        model = _halved(model, inside)
    strange = sorted({node.op_type for node in model.graph.node} - OPERATORS)
    if strange:
        raise NotABundleError(
            f"{classifier.path}: its graph has {', '.join(strange)}, which TensorRT cannot parse"
        )
    return model


def _keep(model: Any, outputs: Sequence[str]) -> None:
    """Drop the other outputs, what no node uses, and the description."""
    graph = model.graph
    given = {one.name: one for one in graph.output}
    used = {name for node in graph.node for name in node.input}
    constants = [one for one in graph.initializer if one.name in used]
    refill(graph, output=[given[name] for name in outputs], initializer=constants)
    del model.metadata_props[:]


def _halved(model: Any, inside: list[str]) -> Any:
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    outside = [node.name for node in model.graph.node if node.name not in inside]
    halved = OnnxModel(convert_float_to_float16(model, keep_io_types=True, node_block_list=outside))
    halved.topological_sort()  # its casts come last
    return halved.model


def _quantised(model: Any, inside: list[str], calibration: Calibration) -> Any:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    convolutions = [
        node.name for node in model.graph.node if node.op_type == "Conv" and node.name in inside
    ]
    if not convolutions:
        raise UsageError("the bundle has no convolution that int8 would make faster")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            path,
            calibration,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=convolutions,
            op_types_to_quantize=["Conv"],
            # TensorRT takes no zero points, and adds biases in float32.
            extra_options={"ActivationSymmetric": True, "QuantizeBias": False},
        )
        return onnx.load(path)
