from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from conv_bundle import write_conv_bundle
from onnx import TensorProto, helper, numpy_helper
from small_bundle import squares, write_novelty_bundle

from binsight import Classifier
from binsight.bundle import read_verified
from binsight.novelty import Known, fit_known
from binsight.teaching.graph import (
    add_novelty,
    network_digest,
    read_head,
    read_known,
    with_head,
)
from binsight.teaching.memory import Memory

WIDTH = 40


def passing_on() -> onnx.ModelProto:
    """A graph that takes an embedding for what it is."""
    value = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH])
        for name in ("given", "embedding")
    ]
    node = helper.make_node("Identity", ["given"], ["embedding"])
    graph = helper.make_graph([node], "passing", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture(scope="module")
def known() -> Known:
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, WIDTH)).astype(np.float32) * np.geomspace(3, 0.1, WIDTH) + 1
    labels = random.integers(0, 5, 200)
    fitted = fit_known(rows, labels, rank=16)
    return fitted.taught_with(rows[:20] + 1, labels[:20])


@pytest.mark.parametrize("count", [1, 7])
def test_the_graph_gives_the_score_of_numpy(known: Known, count: int) -> None:
    model = passing_on()
    add_novelty(model.graph, known)
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(1).normal(size=(count, WIDTH)).astype(np.float32) * 4
    rows[0] = 0  # it has no direction
    (found,) = session.run(["novelty"], {"given": rows})
    assert found.shape == (count,)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, known.score(rows), atol=2e-4)


def test_rounded_weights_are_another_network_and_another_head_is_not(tmp_path: Path) -> None:
    first = write_conv_bundle(tmp_path / "first.onnx").path.read_bytes()
    model = onnx.load_from_string(first)
    for one in model.graph.initializer:
        values = numpy_helper.to_array(one)
        if values.dtype == np.float32 and values.ndim > 1:
            one.CopyFrom(
                numpy_helper.from_array(values.astype(np.float16).astype(np.float32), one.name)
            )
    head = read_head(tmp_path, first)
    memory = Memory.empty(head.weight_cd.shape[1])
    other = replace(head, weight_cd=head.weight_cd + 1)
    assert network_digest(with_head(first, other, memory).SerializeToString()) == network_digest(
        first
    )
    assert network_digest(model.SerializeToString()) != network_digest(first)


def test_what_the_novelty_was_made_of_is_read_back(known: Known, tmp_path: Path) -> None:
    bundle = write_novelty_bundle(
        tmp_path / "a.onnx", {"glass": squares(5), "paper": squares(5, 1)}
    )
    back = read_known(read_verified(bundle.path))
    assert back is not None
    answers = Classifier(bundle.path).classify(squares(6, seed=3))
    expected = back.score(np.stack([answer.embedding for answer in answers]))
    np.testing.assert_allclose([answer.novelty for answer in answers], expected, atol=2e-4)
    assert back.labels.tolist() == [0, 2]


def test_large_constants_are_stored_once_and_in_half_precision(known: Known) -> None:
    model = passing_on()
    add_novelty(model.graph, known)
    size = {one.name: len(one.raw_data) for one in model.graph.initializer}
    assert size.pop("novelty.directions") == WIDTH * (16 + 5) * 2
    assert max(size.values()) == len(known.labels) * WIDTH * 4
