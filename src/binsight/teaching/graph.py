"""A bundle's graph, taken apart at the embedding and given another head. Needs onnx, no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from binsight.bundle import NOVELTY
from binsight.errors import NotABundleError
from binsight.novelty import LEAST_NORM, Known

from .head import Head
from .memory import Memory

__all__ = [
    "add_novelty",
    "network_digest",
    "nodes_for",
    "read_head",
    "read_known",
    "read_memory",
    "refill",
    "remember",
    "with_head",
]

WEIGHT, BIAS, TEMPERATURE = "head.weight", "head.bias", "head.temperature"
MEMORY = "memory."
KNOWN = "known."  # what the novelty was made of, for the next lesson
FORMULA = "novelty."


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
    found = _kept(data, MEMORY)
    return Memory.of_arrays(found) if found else None


def read_known(data: bytes) -> Known | None:
    """What the novelty of a verified bundle was made of, if it has one."""
    found = _kept(data, KNOWN)
    if not found:
        return None
    directions_dj = _kept(data, FORMULA)["directions"]
    return Known(basis=directions_dj[:, : len(found["variances"])], **found)


def _kept(data: bytes, prefix: str) -> dict[str, Any]:
    """Constants whose name begins with a prefix, by the rest of it."""
    return {
        one.name.removeprefix(prefix): numpy_helper.to_array(one)
        for one in onnx.load_from_string(data).graph.initializer
        if one.name.startswith(prefix)
    }


def network_digest(data: bytes) -> str:
    """SHA-256 of the weights that a verified bundle computes its embedding with.

    Lessons leave it as it is; rounding does not.
    """
    graph = onnx.load_from_string(data).graph
    _cut_after_embedding(graph)
    digest = hashlib.sha256()
    for one in sorted(graph.initializer, key=lambda one: one.name):
        array = numpy_helper.to_array(one)
        digest.update(f"{one.name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def with_head(data: bytes, head: Head, memory: Memory, known: Known | None = None) -> Any:
    """The same network under another head: an ONNX ModelProto, not yet described or sealed.

    Args:
        data: a verified bundle.
        head: with a row for each class.
        memory: to carry along.
        known: what the novelty is computed from; ``None`` for a bundle without.
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
    if known:
        add_novelty(graph, known)
    for output in graph.output:
        if output.name == "probs":
            output.type.tensor_type.shape.dim[1].dim_value = len(head.bias_c)
    return model


def remember(graph: Any, memory: Memory) -> None:
    """Replace what a graph carries as its memory. No node uses it; runtimes leave it aside."""
    _keep(graph, MEMORY, memory.arrays())


def _keep(graph: Any, prefix: str, arrays: dict[str, Any]) -> None:
    others = [one for one in graph.initializer if not one.name.startswith(prefix)]
    new = [numpy_helper.from_array(values, f"{prefix}{name}") for name, values in arrays.items()]
    refill(graph, initializer=others + new)


def add_novelty(graph: Any, known: Known) -> None:
    """Give a graph without it the output `NOVELTY`, computed by `novelty.Formula`.

    What it is made of comes along, as the memory does, so that the bundle can be taught.
    """
    formula = known.formula
    kept = known.arrays()
    del kept["basis"]  # the first of the directions
    _keep(graph, KNOWN, kept)
    _keep(
        graph,
        FORMULA,
        {
            "directions": formula.directions_dj,
            "weights": formula.weights_j[:, None],
            "slopes": -formula.slopes_dm,
            "offsets": formula.offsets_m,
            "least_norm": np.array(LEAST_NORM, np.float32),
            "last_axis": np.array([1], np.int64),
        },
    )
    graph.node.extend(_novelty_nodes())
    batch = next(one for one in graph.output if one.name == "embedding").type.tensor_type.shape
    output = helper.make_tensor_value_info(NOVELTY, onnx.TensorProto.FLOAT, [None])
    output.type.tensor_type.shape.dim[0].CopyFrom(batch.dim[0])
    graph.output.append(output)


def _novelty_nodes() -> list[Any]:
    """Nodes of opset 18; each line: operator, inputs, output, attributes."""
    steps: list[tuple[str, str, str, dict[str, Any]]] = [
        ("ReduceL2", "embedding last_axis", "length", {}),
        ("Max", "length least_norm", "norm", {}),
        ("Div", "embedding norm", "unit", {}),
        ("Cast", "directions", "wide_directions", {"to": onnx.TensorProto.FLOAT}),
        ("MatMul", "unit wide_directions", "along", {}),
        ("Mul", "along along", "squares", {}),
        ("MatMul", "squares weights", "spread", {}),
        ("Gemm", "unit slopes offsets", "to_centres", {}),
        ("ReduceMin", "to_centres last_axis", "nearest", {}),
        ("Add", "spread nearest", "column", {}),
        ("Squeeze", "column last_axis", NOVELTY, {}),
    ]

    def named(name: str) -> str:
        return name if name in {"embedding", NOVELTY} else f"{FORMULA}{name}"

    return [
        helper.make_node(operator, [named(name) for name in given.split()], [named(made)], **how)
        for operator, given, made, how in steps
    ]


def _cut_after_embedding(graph: Any) -> None:
    """Drop every node, constant and output that only the probabilities and novelty needed."""
    wanted = {"embedding", "feature_map"}
    nodes = nodes_for(graph, wanted)
    needed = wanted.union(*(node.input for node in nodes))
    refill(
        graph,
        node=nodes,
        initializer=[one for one in graph.initializer if one.name in needed],
        value_info=[one for one in graph.value_info if one.name in needed],
        output=[one for one in graph.output if one.name != NOVELTY],
    )


def nodes_for(graph: Any, names: Iterable[str]) -> list[Any]:
    """All nodes that tensors of these names depend on, in the graph's order."""
    needed, nodes = set(names), []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            nodes.append(node)
    return nodes[::-1]


def refill(graph: Any, **fields: Iterable[Any]) -> None:
    """Replace all that some fields of a graph hold, such as its nodes."""
    for name, wanted in fields.items():
        kept = list(wanted)
        field = getattr(graph, name)
        del field[:]
        field.extend(kept)
