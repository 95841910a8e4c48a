"""Rounding and storing weights in float16, with torch's own fusion and ONNX's own reader beside."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from tiny_training import CLASSES, write_weights  # noqa: E402

from binsight.errors import ParityError  # noqa: E402
from binsight.export.half import check_rounding, rounded  # noqa: E402
from binsight.export.network_part import LEAST, store_half  # noqa: E402
from binsight.model.network import build  # noqa: E402

FAMILIES = ["efficientnet_b0", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "resnet18"]


def network_of(architecture: str, folder: Path) -> Any:
    """Random weights whose BatchNorms know what they see."""
    file = write_weights(folder / f"{architecture}.safetensors", architecture, 64)
    network = build(architecture, classes=len(CLASSES))
    network.load_state_dict(load_file(file))
    return network.eval()


def norms(network: Any) -> list[Any]:
    return [one for one in network.modules() if isinstance(one, torch.nn.BatchNorm2d)]


@pytest.mark.parametrize("architecture", FAMILIES)
def test_every_weight_is_one_that_float16_has(tmp_path: Path, architecture: str) -> None:
    network = network_of(architecture, tmp_path)
    before = copy.deepcopy(network.state_dict())
    found = rounded(network)
    assert norms(network)
    assert not norms(found)
    weights = [one for one in found.features.parameters() if one.dim() >= 2]
    large = [one for one in weights if one.numel() >= LEAST]
    assert len(large) > 10
    small = [one for one in weights if one.numel() < LEAST]  # which is stored as it is
    assert not any(torch.equal(one.half().float(), one) for one in small)
    assert all(torch.equal(one.half().float(), one) for one in large)
    assert torch.equal(found.head.weight, network.head.weight)
    assert not torch.equal(found.head.weight.half().float(), found.head.weight)
    assert before.keys() == network.state_dict().keys()
    assert all(torch.equal(before[name], one) for name, one in network.state_dict().items())


@pytest.mark.parametrize("architecture", FAMILIES)
def test_it_answers_as_torch_fuses_and_rounds(tmp_path: Path, architecture: str) -> None:
    from torch.fx.experimental.optimization import fuse

    network = network_of(architecture, tmp_path)
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    fused = fuse(torch.nn.Sequential(network.features, network.neck))
    for one in fused.parameters():
        if one.dim() >= 2 and one.numel() >= LEAST:
            one.data = one.data.half().float()
    with torch.no_grad():
        plain, expected = network(images).embedding_nd, fused(images)
        found = rounded(network)(images).embedding_nd
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(found, plain, rtol=1e-5, atol=1e-6)


def test_a_weight_beyond_float16_is_refused(tmp_path: Path) -> None:
    network = network_of("resnet18", tmp_path)
    with torch.no_grad():
        network.features[4][0].conv1.weight[0, 0, 0, 0] = 1e9
    with pytest.raises(ParityError, match=r"conv1.weight: too large .* leave --fp16 out"):
        rounded(network)


def said(right: int, photos: int) -> np.ndarray:
    """Logits of two classes: the first ``right`` photos are called 0, the others 1."""
    return np.where(np.arange(photos)[:, None] < right, [[1.0, 0.0]], [[0.0, 1.0]])


def test_half_a_point_is_the_most_that_rounding_may_cost() -> None:
    labels = np.zeros(200, np.int64)
    seen = check_rounding(said(190, 200), said(189, 200), labels)
    assert seen == (1, 0.95, 0.945)
    assert check_rounding(said(190, 200), said(195, 200), labels) == (5, 0.95, 0.975)
    with pytest.raises(ParityError, match=r"change 2 of 200 labels .* 190 were right, 188 "):
        check_rounding(said(190, 200), said(188, 200), labels)


def tiny_graph(weight: np.ndarray) -> onnx.ModelProto:
    """images -> Conv -> feature_map -> mean -> embedding -> Gemm -> probs, with a large head."""
    width = len(weight)
    head = np.full((width, 1024), 0.1, np.float32)
    nodes = [
        helper.make_node(
            "Conv", ["images", "weight", "bias"], ["feature_map"], kernel_shape=[1, 1]
        ),
        helper.make_node("GlobalAveragePool", ["feature_map"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
        helper.make_node("Gemm", ["embedding", "head"], ["probs"]),
    ]
    constants = {"weight": weight, "bias": np.full(width, 0.1, np.float32), "head": head}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, weight.shape[1], 4, 4))],
        [helper.make_tensor_value_info("probs", TensorProto.FLOAT, (1, 1024))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_large_weights_are_stored_in_half_and_nothing_changes() -> None:
    from onnx.reference import ReferenceEvaluator

    values = np.random.default_rng(0).normal(size=(32, 64, 1, 1)).astype(np.float16)
    model = tiny_graph(values.astype(np.float32))
    images = np.random.default_rng(1).normal(size=(1, 64, 4, 4)).astype(np.float32)
    expected = ReferenceEvaluator(model).run(None, {"images": images})
    before = len(model.SerializeToString())
    store_half(model)
    onnx.checker.check_model(model, full_check=True)
    kinds = {one.name: numpy_helper.to_array(one).dtype for one in model.graph.initializer}
    assert kinds == {"weight.half": np.float16, "bias": np.float32, "head": np.float32}
    assert before - len(model.SerializeToString()) > 0.9 * values.nbytes
    found = ReferenceEvaluator(model).run(None, {"images": images})
    assert np.array_equal(found[0], expected[0])


def test_a_weight_that_the_export_changed_is_refused() -> None:
    weight = np.full((32, 64, 1, 1), 0.1, np.float32)
    with pytest.raises(ParityError, match="weight: changed by the export"):
        store_half(tiny_graph(weight))
