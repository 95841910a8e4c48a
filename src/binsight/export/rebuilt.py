"""A bundle's graph as a PyTorch module, for converters that begin with PyTorch.

A bundle does not say how its network was built in torch: the exporter folds each BatchNorm away and
names what it makes anew, a taught bundle has another head, and weights may be stored as float16.
So nothing is matched by names here. Each ONNX node becomes the torch call that means the same, and
what that gives is compared with what ONNX Runtime gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from binsight.bundle import INPUT, NOVELTY
from binsight.errors import NotABundleError, ParityError
from binsight.runtime import Classifier
from binsight.teaching.graph import nodes_for

__all__ = ["Rebuilt", "outputs_of_bundle", "rebuild"]

TOLERANCE = 1e-4
Attributes = dict[str, Any]


def outputs_of_bundle(classifier: Classifier) -> tuple[str, ...]:
    """What a converted file shall give: all that a bundle gives but the feature map."""
    return tuple(one for one in classifier.metadata.outputs if one != "feature_map")


def rebuild(classifier: Classifier, outputs: Sequence[str]) -> Rebuilt:
    """The bundle as a module in eval mode, compared with it on noise.

    Args:
        classifier: the bundle, opened.
        outputs: what the module shall give, in this order.

    Raises:
        NotABundleError: its graph has an operator that is not known here, such as those of int8.
        ParityError: the module does not answer like the bundle.
    """
    graph = onnx.load_from_string(classifier.data()).graph
    try:
        network = Rebuilt(graph, outputs).eval()
        _check(classifier, network)
    except _UnknownOperatorError as error:
        hint = "; export the bundle that it was made of" if "Linear" in str(error) else ""
        raise NotABundleError(
            f"{classifier.path}: its graph has {error}, which cannot be converted{hint}"
        ) from error
    return network


class _UnknownOperatorError(Exception):
    """An operator that no function here stands for."""


@dataclass(frozen=True)
class _Step:
    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: Attributes = field(default_factory=dict)


class Rebuilt(nn.Module):
    """An ONNX graph, node by node.

    Args:
        graph: ONNX GraphProto with one input.
        outputs: names of what ``forward`` gives, in this order. What they do not need is left out.
    """

    def __init__(self, graph: Any, outputs: Sequence[str]) -> None:
        super().__init__()
        self.outputs = tuple(outputs)
        self._names: dict[str, str] = {}  # of parameters, by those in the graph
        self._plain: dict[str, Any] = {"": None}  # numbers and lists, such as shapes and axes
        stored = {one.name: one for one in graph.initializer}
        steps = _needed(graph, self.outputs)
        for name in sorted({name for step in steps for name in step.inputs} & stored.keys()):
            self._keep(name, _constant(numpy_helper.to_array(stored[name])))
        self._steps = [step for step in steps if not self._worked_out(step)]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Answer images (N, 3, size, size)."""
        made: dict[str, Any] = {INPUT: images}
        for step in self._steps:
            made[step.output] = self._computed(step, made)
        return tuple(made[name] for name in self.outputs)

    def _computed(self, step: _Step, made: dict[str, Any]) -> Any:
        taken = [made[name] if name in made else self._constant(name) for name in step.inputs]
        return OPERATORS[step.operator](step.attributes, *taken)

    def _worked_out(self, step: _Step) -> bool:
        """Keep what a step makes of constants alone, such as a Cast of stored weights."""
        if not all(name in self._names or name in self._plain for name in step.inputs):
            return False
        self._keep(step.output, self._computed(step, {}))
        return True

    def _keep(self, name: str, value: Any) -> None:
        if not isinstance(value, Tensor):
            self._plain[name] = value
            return
        self._names[name] = f"constant_{len(self._names)}"
        self.register_parameter(self._names[name], nn.Parameter(value, requires_grad=False))

    def _constant(self, name: str) -> Any:
        return self._plain[name] if name in self._plain else getattr(self, self._names[name])


def _needed(graph: Any, outputs: Sequence[str]) -> list[_Step]:
    """The nodes that the outputs depend on, in their order."""
    steps = []
    for node in nodes_for(graph, outputs):
        if node.op_type not in OPERATORS or len(node.output) > 1:
            raise _UnknownOperatorError(node.op_type)
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        steps.append(_Step(node.op_type, tuple(node.input), node.output[0], attributes))
    return steps


def _constant(values: np.ndarray[Any, Any]) -> Any:
    """A tensor; numbers and lists of integers as such, since torch takes them so."""
    if values.ndim == 0 or values.dtype.kind == "i":
        return values.tolist()
    return torch.from_numpy(values.copy())


def _check(classifier: Classifier, network: Rebuilt) -> None:
    """Compare on noise, which no photo needs to be at hand for."""
    side = classifier.metadata.preprocess.size
    noise = np.random.default_rng(0).standard_normal((2, 3, side, side)).astype(np.float32)
    outputs = classifier.run(noise)
    expected = {
        "probs": outputs.probs_nc,
        "embedding": outputs.embedding_nd,
        NOVELTY: outputs.novelty_n,
    }
    with torch.inference_mode():
        made = dict(zip(network.outputs, network(torch.from_numpy(noise)), strict=True))
    for name, found in made.items():
        wanted = expected[name]
        assert wanted is not None
        if found.shape != wanted.shape or not np.allclose(
            found.numpy(), wanted, rtol=10 * TOLERANCE, atol=TOLERANCE
        ):
            raise ParityError(
                f"{classifier.path}: as a PyTorch module it gives other {name}; nothing was written"
            )


def _conv(
    attributes: Attributes, images: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    size = weight.dim() - 2
    begin, end = _sides(attributes, size)
    if begin != end:
        pairs = [side for pair in zip(begin, end, strict=True) for side in reversed(pair)]
        images, begin = functional.pad(images, pairs[::-1]), [0] * size
    return torch.conv2d(
        images,
        weight,
        bias,
        stride=attributes.get("strides", [1] * size),
        padding=begin,
        dilation=attributes.get("dilations", [1] * size),
        groups=attributes.get("group", 1),
    )


def _max_pool(attributes: Attributes, images: Tensor) -> Tensor:
    kernel = attributes["kernel_shape"]
    begin, end = _sides(attributes, len(kernel))
    if begin != end:
        raise _UnknownOperatorError("MaxPool with uneven padding")
    return functional.max_pool2d(
        images,
        kernel,
        attributes.get("strides"),
        begin,
        attributes.get("dilations", 1),
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
    )


def _sides(attributes: Attributes, size: int) -> tuple[list[int], list[int]]:
    """Padding before and after, for each dimension of a picture."""
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise _UnknownOperatorError("automatic padding")
    pads = list(attributes.get("pads", [0] * (2 * size)))
    return pads[:size], pads[size:]


def _gemm(attributes: Attributes, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    weight = b if attributes.get("transB") else b.T
    alpha: float = attributes.get("alpha", 1.0)
    beta: float = attributes.get("beta", 1.0)
    if attributes.get("transA"):
        a = a.T
    if alpha == 1 and (c is None or (beta == 1 and c.dim() == 1)):
        return functional.linear(a, weight, c)
    made = alpha * functional.linear(a, weight)
    return made if c is None else made + beta * c


def _reshape(attributes: Attributes, values: Tensor, shape: list[int]) -> Tensor:
    copies = not attributes.get("allowzero")
    sizes = [values.shape[i] if side == 0 and copies else side for i, side in enumerate(shape)]
    return values.reshape(sizes)


def _reduce(
    function: Callable[..., Tensor],
) -> Callable[..., Tensor]:
    def reduced(attributes: Attributes, values: Tensor, axes: list[int] | None = None) -> Tensor:
        chosen = axes if axes is not None else attributes.get("axes", list(range(values.dim())))
        keep = bool(attributes.get("keepdims", 1))
        return function(values, dim=tuple(chosen), keepdim=keep)

    return reduced


def _clip(
    _: Attributes, values: Tensor, low: float | None = None, high: float | None = None
) -> Tensor:
    if low is not None and high is not None:
        return functional.hardtanh(values, low, high)
    return values.clamp(low, high)


def _largest(_: Attributes, values: Tensor, *others: Any) -> Tensor:
    for other in others:
        is_number = not isinstance(other, Tensor)
        values = values.clamp(min=other) if is_number else torch.maximum(values, other)
    return values


def _layer_norm(
    attributes: Attributes, values: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    axis = attributes.get("axis", -1)
    shape = list(values.shape[axis:])
    return functional.layer_norm(values, shape, weight, bias, attributes.get("epsilon", 1e-5))


def _flatten(attributes: Attributes, values: Tensor) -> Tensor:
    """To a matrix, whatever the axis."""
    rows = math.prod(values.shape[: attributes.get("axis", 1)])
    return values.reshape(rows, -1)


def _hard_sigmoid(attributes: Attributes, values: Tensor) -> Tensor:
    slope: float = attributes.get("alpha", 0.2)
    offset: float = attributes.get("beta", 0.5)
    if abs(slope - 1 / 6) < 1e-6 and offset == 0.5:
        return functional.hardsigmoid(values)
    return (slope * values + offset).clamp(0, 1)


def _batch_norm(
    attributes: Attributes, values: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor
) -> Tensor:
    return functional.batch_norm(
        values, mean, var, weight, bias, eps=attributes.get("epsilon", 1e-5)
    )


def _cast(attributes: Attributes, values: Any) -> Any:
    kind = getattr(torch, np.dtype(helper.tensor_dtype_to_np_dtype(attributes["to"])).name)
    return values.to(kind) if isinstance(values, Tensor) else values


def _squeeze(_: Attributes, values: Tensor, axes: list[int]) -> Tensor:
    return values.squeeze(tuple(axes))


def _unsqueeze(_: Attributes, values: Tensor, axes: list[int]) -> Tensor:
    for axis in sorted(axes):
        values = values.unsqueeze(axis)
    return values


OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": lambda _, a, b: a + b,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Conv": _conv,
    "Div": lambda _, a, b: a / b,
    "Erf": lambda _, values: torch.erf(values),
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda _, values: values.mean((2, 3), keepdim=True),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda _, values: functional.hardswish(values),
    "Identity": lambda _, values: values,
    "LayerNormalization": _layer_norm,
    "MatMul": lambda _, a, b: a @ b,
    "Max": _largest,
    "MaxPool": _max_pool,
    "Mul": lambda _, a, b: a * b,
    "Pow": lambda _, a, b: a**b,
    "ReduceL2": _reduce(torch.linalg.vector_norm),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceSum": _reduce(torch.sum),
    "Relu": lambda _, values: functional.relu(values),
    "Reshape": _reshape,
    "Sigmoid": lambda _, values: torch.sigmoid(values),
    "Softmax": lambda attributes, values: torch.softmax(values, attributes.get("axis", -1)),
    "Sqrt": lambda _, values: values.sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda _, a, b: a - b,
    "Tanh": lambda _, values: torch.tanh(values),
    "Transpose": lambda attributes, values: values.permute(attributes["perm"]),
    "Unsqueeze": _unsqueeze,
}
