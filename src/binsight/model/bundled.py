"""A bundle's weights, as the first weights of a network that is to learn on.

The exporter folds each BatchNorm into the convolution before it. Here the convolution's filters get
a common norm again, for an optimizer whose steps are of one size, and the BatchNorm takes what is
left of their scales; it normalises by a mean of 0 and a variance of 1. So it has no statistics of
photos, and must not be asked for new ones: the recipe has to keep them (``frozen_batchnorm``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from binsight.errors import WeightsError
from binsight.runtime import Classifier

from .network import Network, build, followed_by_norm

__all__ = ["network_of_bundle"]

INSIDE = "network."  # before the names of weights, as the exporter writes them
NORM = math.sqrt(2)  # of a filter: He et al. 2015, "Delving deep into rectifiers", section 2.2
TOLERANCE = 1e-3


def network_of_bundle(
    name: str, bundle: Classifier, *, classes: tuple[str, ...], dropout: float
) -> Network:
    """Build a network that answers as a bundle does.

    Args:
        name: torchvision's name of the architecture.
        bundle: opened.
        classes: of the new network; its head is the bundle's if they are the bundle's own, in the
            same order, and starts anew otherwise.
        dropout: before the head.

    Raises:
        WeightsError: the bundle is of another architecture, or it does not hold this network as
            `binsight export` writes it, such as one of 8 bits.
    """
    if bundle.metadata.architecture != name:
        raise WeightsError(
            f"{bundle.path}: the weights of {bundle.metadata.architecture}, not of {name}; train "
            f"with --arch {bundle.metadata.architecture}"
        )
    network = build(name, classes=len(bundle.classes), dropout=dropout).eval()
    graph = onnx.load_from_string(bundle.data()).graph
    try:
        with torch.no_grad():
            _fill(network, _weights(graph))
    except (KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{bundle.path}: its network is not stored as binsight export writes that of a run "
            f"({error}); give the bundle that it was made of"
        ) from error
    _compare(network, bundle)
    if bundle.classes != classes:
        network.head = nn.Linear(network.head.in_features, len(classes))
    return network.train()


def _weights(graph: onnx.GraphProto) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Weight and bias of each layer, in float32, by the layer's name."""
    stored = {one.name: one for one in graph.initializer}
    halved = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}

    def tensor(name: str) -> Tensor:
        values = numpy_helper.to_array(stored[halved.get(name, name)])
        return torch.from_numpy(values.astype(np.float32))

    found = {}
    for node in graph.node:
        if node.op_type not in {"Conv", "Gemm"} or not node.input[1].startswith(INSIDE):
            continue
        layer = node.input[1].removeprefix(INSIDE).removesuffix(".weight")
        bias = tensor(node.input[2]) if len(node.input) > 2 else None
        found[layer] = (tensor(node.input[1]), bias)
    return found


def _fill(network: Network, weights: Mapping[str, tuple[Tensor, Tensor | None]]) -> None:
    norm_after = dict(followed_by_norm(network))
    filled = set(norm_after.values())
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        weight, bias = weights[name]
        if name in norm_after:
            weight = _unfolded(weight, bias, network.get_submodule(norm_after[name]))
        if weight.shape != layer.weight.shape:
            raise ValueError(f"{name} has the shape {tuple(weight.shape)}")
        layer.weight.copy_(weight)
        if layer.bias is not None and bias is not None:
            layer.bias.copy_(bias)
        filled.add(name)
    for name, _ in network.named_parameters():
        if name.rpartition(".")[0] not in filled:
            raise ValueError(f"nothing stands for {name}")


def _unfolded(weight: Tensor, bias: Tensor | None, norm: nn.Module) -> Tensor:
    """Filters of one norm; the BatchNorm gives them back their scales."""
    assert isinstance(norm, nn.BatchNorm2d)
    scale = weight.flatten(1).norm(dim=1).clamp(min=1e-12) / NORM
    norm.weight.copy_(scale)
    norm.bias.copy_(torch.zeros_like(scale) if bias is None else bias)
    norm.reset_running_stats()
    assert norm.running_var is not None
    norm.running_var -= norm.eps
    filters: Tensor = weight / scale[:, None, None, None]
    return filters


def _compare(network: Network, bundle: Classifier) -> None:
    """Make sure, on noise, that the embedding is the bundle's."""
    side = bundle.metadata.preprocess.size
    noise = np.random.default_rng(0).standard_normal((1, 3, side, side)).astype(np.float32)
    with torch.inference_mode():
        logits, embedding, _ = network(torch.from_numpy(noise))
    probs = (logits / bundle.metadata.temperature).softmax(dim=1)
    wanted = bundle.run(noise)
    for found, expected in ((embedding, wanted.embedding_nd), (probs, wanted.probs_nc)):
        if not np.allclose(found.numpy(), expected, rtol=TOLERANCE, atol=TOLERANCE):
            raise WeightsError(
                f"{bundle.path}: its weights in {bundle.metadata.architecture} give other answers "
                "than the bundle; give the bundle that it was made of"
            )
