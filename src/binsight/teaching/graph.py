"""A bundle's graph, taken apart at the embedding and given another head. Needs onnx, no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from binsight.errors import NotABundleError

from .head import Head
from .memory import Memory

__all__ = ["read_head", "read_memory", "remember", "with_head"]

WEIGHT, BIAS, TEMPERATURE = "head.weight", "head.bias", "head.temperature"
MEMORY = "memory."


def read_head(path: Path, data: bytes) -> Head:
    """The head of a verified bundle.

    Args:
        path: for messages.
        data: the bundle's bytes.

    Raises:
        NotABundleError: its probabilities do not come from the embedding by a linear layer.
    """
    model = onnx.load_from_string(data)
    made_by = {output: node for node in model.graph.node for output in node.output}
    values = {one.name: one for one in model.graph.initializer}
    linear, temperature = _linear_layer(made_by, values)
    if linear is None:
        raise NotABundleError(f"{path}: its head is no linear layer on the embedding")
    attributes = {one.name: helper.get_attribute_value(one) for one in linear.attribute}
    weight = numpy_helper.to_array(values[linear.input[1]])
    return Head(
        np.ascontiguousarray(weight if attributes.get("transB") else weight.T, np.float32),
        numpy_helper.to_array(values[linear.input[2]]).astype(np.float32),
        temperature,
    )


def _linear_layer(made_by: dict[str, Any], values: dict[str, Any]) -> tuple[Any, float]:
    """The Gemm between embedding and softmax, and what its result is divided by."""
    node = made_by.get("probs")
    temperature = 1.0
    if node is not None and node.op_type == "Softmax":
        node = made_by.get(node.input[0])
    if node is not None and node.op_type == "Div" and node.input[1] in values:
        temperature = float(numpy_helper.to_array(values[node.input[1]]))
        node = made_by.get(node.input[0])
    if node is None or node.op_type != "Gemm" or node.input[0] != "embedding":
        return None, temperature
    return (node if set(node.input[1:]) <= values.keys() else None), temperature


def read_memory(data: bytes) -> Memory | None:
    """What a verified bundle remembers of the photos that it learned from, if it does."""
    model = onnx.load_from_string(data)
    found = {
        one.name.removeprefix(MEMORY): numpy_helper.to_array(one)
        for one in model.graph.initializer
        if one.name.startswith(MEMORY)
    }
    return Memory(**found) if found else None


def with_head(data: bytes, head: Head, memory: Memory) -> Any:
    """The same network under another head: an ONNX ModelProto, not yet described or sealed.

    Args:
        data: a verified bundle.
        head: with a row for each class.
        memory: to carry along.
    """
    model = onnx.load_from_string(data)
    graph = model.graph
    _cut_after_embedding(graph)
    graph.node.extend(
        [
            helper.make_node("Gemm", ["embedding", WEIGHT, BIAS], ["logits"], transB=1),
            helper.make_node("Div", ["logits", TEMPERATURE], ["scaled"]),
            helper.make_node("Softmax", ["scaled"], ["probs"], axis=1),
        ]
    )
    graph.initializer.extend(
        [
            numpy_helper.from_array(head.weight_cd, WEIGHT),
            numpy_helper.from_array(head.bias_c, BIAS),
            numpy_helper.from_array(np.array(head.temperature, np.float32), TEMPERATURE),
        ]
    )
    remember(graph, memory)
    for output in graph.output:
        if output.name == "probs":
            output.type.tensor_type.shape.dim[1].dim_value = len(head.bias_c)
    return model


def remember(graph: Any, memory: Memory) -> None:
    """Replace what a graph carries as its memory. No node uses it; runtimes leave it aside."""
    kept = [one for one in graph.initializer if not one.name.startswith(MEMORY)]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for name, values in memory.arrays().items():
        graph.initializer.append(numpy_helper.from_array(values, f"{MEMORY}{name}"))


def _cut_after_embedding(graph: Any) -> None:
    """Drop every node and constant that only the probabilities needed."""
    needed = {"embedding", "feature_map"}
    nodes = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            nodes.append(node)
    constants = [one for one in graph.initializer if one.name in needed]
    shapes = [one for one in graph.value_info if one.name in needed]
    for field, kept in (
        (graph.node, nodes[::-1]),
        (graph.initializer, constants),
        (graph.value_info, shapes),
    ):
        del field[:]
        field.extend(kept)
