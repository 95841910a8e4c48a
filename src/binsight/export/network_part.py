"""The part of a bundle's graph that makes the feature map, and how its weights are kept.

It knows graphs, and needs onnx but no torch. Head, novelty and memory are small, decide what an
answer means, and stay as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from binsight.errors import ParityError
from binsight.teaching.graph import nodes_for, refill

__all__ = ["HALF", "LEAST", "fold_half", "nodes_of_network", "round_weights", "store_half"]

LEAST = 1024  # numbers in a tensor; biases and the like are not worth a Cast
HALF = ".half"
FEATURES = "feature_map"


def nodes_of_network(graph: Any) -> list[Any]:
    """All nodes that the feature map needs, in the graph's order."""
    return nodes_for(graph, [FEATURES])


def round_weights(graph: Any) -> None:
    """Round the network's large weights to numbers that float16 has.

    Raises:
        ParityError: one is too large for float16.
    """
    names = _given_to(graph)
    for constant in graph.initializer:
        if _is_large(constant) and constant.name in names:
            with np.errstate(over="ignore"):
                half = numpy_helper.to_array(constant).astype(np.float16)
            if not np.isfinite(half).all():
                raise ParityError(f"{constant.name}: too large for float16; keep it in float32")
            values = numpy_helper.from_array(half.astype(np.float32), constant.name)
            constant.CopyFrom(values)


def store_half(model: Any) -> None:
    """Keep the network's large weights as float16, exactly.

    Args:
        model: ONNX ModelProto, whose weights were rounded before; changed in place.

    Raises:
        ParityError: float16 does not hold a weight.
    """
    graph = model.graph
    names = _given_to(graph)
    stored, casts = [], []
    for constant in graph.initializer:
        if _is_large(constant) and constant.name in names:
            cast = helper.make_node(
                "Cast", [constant.name + HALF], [constant.name], to=onnx.TensorProto.FLOAT
            )
            casts.append(cast)
            stored.append(_in_half(constant))
        else:
            stored.append(constant)
    refill(graph, initializer=stored, node=[*casts, *graph.node])


def fold_half(model: Any) -> None:
    """Undo `store_half`: weights as float32, without a Cast."""
    graph = model.graph
    casts = {
        node.input[0]: node.output[0]
        for node in graph.node
        if node.op_type == "Cast" and node.input[0].endswith(HALF)
    }
    constants = [
        numpy_helper.from_array(numpy_helper.to_array(one).astype(np.float32), casts[one.name])
        if one.name in casts
        else one
        for one in graph.initializer
    ]
    nodes = [node for node in graph.node if not set(node.input) & casts.keys()]
    refill(graph, initializer=constants, node=nodes)


def _given_to(graph: Any) -> set[str]:
    return {name for node in nodes_of_network(graph) for name in node.input}


def _is_large(constant: Any) -> bool:
    is_float = constant.data_type == onnx.TensorProto.FLOAT
    return is_float and len(constant.dims) >= 2 and np.prod(constant.dims) >= LEAST


def _in_half(constant: Any) -> Any:
    values = numpy_helper.to_array(constant)
    half = values.astype(np.float16)
    if not np.array_equal(half.astype(np.float32), values):
        raise ParityError(
            f"{constant.name}: changed by the export, so that float16 does not hold it; no bundle "
            "was written; leave --fp16 out"
        )
    return numpy_helper.from_array(half, constant.name + HALF)
