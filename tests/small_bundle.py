"""A bundle of one linear layer on mean colours, made without torch, and numpy's own answers.

The graph: feature_map = images, embedding = mean over height and width, probs = softmax of
(embedding @ weight + bias) / temperature.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from binsight.bundle import METADATA_KEY, write_bundle

SIZE = 32
CLASSES = ("glass", "metal", "paper")
WEIGHT = np.array([[2.0, -1.0, 0.5], [-0.5, 1.5, -1.0], [0.25, -0.75, 1.25]], np.float32)
BIAS = np.array([0.1, -0.2, 0.3], np.float32)
MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])

DESCRIPTION: dict[str, Any] = {
    "format_version": 1,
    "classes": CLASSES,
    "preprocess": {"size": SIZE, "resize": "shorter", "resize_to": SIZE},
    "architecture": "linear",
    "temperature": 1.0,
    "threshold": 0.7,
    "threshold_risk": 0.02,
    "training": {
        "photos": 9,
        "counts": {"glass": 4, "metal": 3, "paper": 2},
        "catalog_digest": "0" * 64,
        "sources": ["drawn"],
    },
    "metrics": {"val_accuracy": 0.875},
    "parity": {"photos": 3, "same_label": 1.0, "max_difference": 1e-7},
    "binsight_version": "0",
    "licence": "Apache-2.0",
    "created": "2026-01-01T00:00:00+00:00",
}


@dataclass(frozen=True)
class SmallBundle:
    """Where the bundle lies, and the digest that writing it gave."""

    path: Path
    digest: str


def write_small_bundle(
    path: Path, *, model: onnx.ModelProto | None = None, **changes: Any
) -> SmallBundle:
    """Write a bundle; changes replace values of the description, `None` leaves one out."""
    sealed = model or small_model()
    describe(sealed, DESCRIPTION | changes)
    return SmallBundle(path, write_bundle(path, sealed.SerializeToString()))


def write_taught_bundle(path: Path, photos: Mapping[str, list[Any]], held: list[Any]) -> Path:
    """A bundle taught some photos of each class, which remembers held-out ones class by class."""
    from binsight import Classifier
    from binsight.bundle import describe as describe_model
    from binsight.teaching.graph import remember
    from binsight.teaching.memory import Memory

    Classifier(write_small_bundle(path).path).teach(photos, path)
    taught = Classifier(path)
    rows = [answer.embedding for answer in taught.classify(held)]
    labels = np.repeat(np.arange(3), len(held) // 3)
    model = onnx.load(path)
    remember(model.graph, Memory(np.array(rows, np.float16), labels, np.ones(len(rows), np.bool_)))
    describe_model(model, taught.metadata)
    write_bundle(path, model.SerializeToString())
    return path


def write_novelty_bundle(
    path: Path,
    photos: Mapping[str, list[Any]],
    *,
    limit: float = 2.0,
    held: Mapping[str, list[Any]] | None = None,
    **changes: Any,
) -> SmallBundle:
    """A bundle that knows some photos of each class; others are strange above the limit.

    It remembers the held-out ones, if there are some.
    """
    from binsight import Classifier
    from binsight.novelty import SCORE, fit_known
    from binsight.teaching.graph import add_novelty, remember
    from binsight.teaching.memory import Memory

    classifier = Classifier(write_small_bundle(path).path)

    def embedded(some: Mapping[str, list[Any]]) -> tuple[np.ndarray, np.ndarray]:
        answers = [(one, name) for name in some for one in classifier.classify(some[name])]
        labels = np.array([CLASSES.index(name) for _, name in answers], np.int64)
        return np.stack([one.embedding for one, _ in answers]), labels

    model = small_model()
    add_novelty(model.graph, fit_known(*embedded(photos)))
    if held:
        rows, numbers = embedded(held)
        memory = Memory(rows.astype(np.float16), numbers, np.ones(len(rows), np.bool_))
        remember(model.graph, memory)
    novelty = {"score": SCORE, "limit": limit, "accepted": 0.95}
    chosen_on = {"photos": 9, "part": "val", "catalog_digest": "1" * 64}
    described = {"format_version": 3, "novelty": novelty, "chosen_on": chosen_on}
    return write_small_bundle(path, model=model, **(described | changes))


def describe(model: onnx.ModelProto, values: Mapping[str, Any]) -> None:
    """Put a description into the metadata of a model."""
    text = json.dumps({key: value for key, value in values.items() if value is not None})
    helper.set_model_props(model, {METADATA_KEY: text})


def small_model(
    *,
    image: str = "images",
    outputs: tuple[str, str, str] = ("probs", "embedding", "feature_map"),
    shape: tuple[int | str, ...] = ("batch", 3, SIZE, SIZE),
    classes: int = 3,
    flat: bool = False,
) -> onnx.ModelProto:
    """The graph; with ``flat`` its probabilities are one row without a batch axis."""
    probs, embedding, feature_map = outputs
    nodes = [
        helper.make_node("Identity", [image], [feature_map]),
        helper.make_node("GlobalAveragePool", [image], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], [embedding]),
        helper.make_node("Gemm", [embedding, "weight", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["rows" if flat else probs], axis=1),
    ]
    if flat:
        nodes.append(helper.make_node("Reshape", ["rows", "one_row"], [probs]))
    weights = {
        "weight": WEIGHT[:, :classes],
        "bias": BIAS[:classes],
        "one_row": np.array([-1], np.int64),
    }
    batch = shape[0]
    row = [None] if flat else [batch, classes]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(image, TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(probs, TensorProto.FLOAT, row),
            helper.make_tensor_value_info(embedding, TensorProto.FLOAT, [batch, 3]),
            helper.make_tensor_value_info(feature_map, TensorProto.FLOAT, shape),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def expected_probs(square: Image.Image) -> np.ndarray:
    """What the small bundle answers on a 32 x 32 photo, in double precision."""
    assert square.size == (SIZE, SIZE)
    mean_colour = np.asarray(square, np.float64).mean(axis=(0, 1)) / 255
    logits = (mean_colour - MEAN) / STD @ WEIGHT.astype(np.float64) + BIAS
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def squares(count: int, seed: int = 0) -> list[Image.Image]:
    """Noisy 32 x 32 photos, each with a colour of its own."""
    random = np.random.default_rng(seed)
    colours = random.integers(0, 200, (count, 1, 1, 3))
    noise = random.integers(0, 56, (count, SIZE, SIZE, 3))
    return [Image.fromarray(one.astype(np.uint8)) for one in colours + noise]
