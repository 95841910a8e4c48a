"""A bundle of fewer bits: weights in float16, or weights and activations in int8.

``int8`` is static quantisation by ONNX Runtime: QuantizeLinear and DequantizeLinear around the
operators of the network part (Jacob et al. 2018, "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference"), weights in int8 with a scale for each output channel,
activations in uint8 with ranges measured on real photos. Head, softmax and novelty stay in float32.

Answers are compared with the parent's on validation photos, and what costs accuracy is refused.
For ``int8``, threshold and limit of the novelty are chosen anew there. PyTorch is not needed.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from binsight.bundle import (
    FORMAT_VERSION,
    INPUT,
    ChosenOn,
    Metadata,
    Parity,
    Precision,
    Reduced,
    describe,
    now,
    write_bundle,
)
from binsight.errors import UsageError
from binsight.preprocess import PreprocessSpec, load
from binsight.runtime import Classifier
from binsight.teaching.graph import refill

from .choosing import chosen_anew
from .formats import BundleRunner, Request, Source, precision_of
from .measured import Answers, answers_of_each, fall_of, parity_of, times_as_fast
from .network_part import fold_half, nodes_of_network, round_weights, store_half
from .shown import Shown

__all__ = ["Calibration", "Written", "check_reducible", "kept_first", "reduce_bundle"]

# What is left out computes in float32 between two conversions.
QUANTISED = ("Conv", "Clip", "Add")
KEPT_FIRST = 0.1


class Written(NamedTuple):
    """A reduced bundle's description, and how many times as fast as its parent it is here."""

    metadata: Metadata
    times_as_fast: float


def reduce_bundle(source: Source, out: Path, request: Request) -> Written:
    """Write a bundle of fewer bits than its parent.

    Raises:
        UsageError: the parent has as few bits already, or nothing to reduce was asked for.
        ParityError: it costs accuracy; nothing was written.
    """
    precision = check_reducible(source.bundle, request.precision)
    model = onnx.load_from_string(source.classifier.data())
    fold_half(model)
    if precision == "fp16":
        round_weights(model.graph)
        store_half(model)
    else:
        assert request.calibration
        model = _quantised(model, request.calibration, source.metadata.preprocess)
    files, spec = request.photos.files, source.metadata.preprocess
    parent = BundleRunner(source.classifier)
    describe(model, source.metadata)
    with _opened(model) as draft:
        runner = BundleRunner(draft)
        before, after = answers_of_each((parent, runner), files, spec, progress=request.progress)
        faster = times_as_fast(parent, runner, load(files[0], spec))
    metrics = fall_of(before, after, request.photos.labels_n, precision)
    parity = parity_of(before, after, precision)
    metadata = _described(source, request, precision, after, parity, metrics)
    describe(model, metadata)
    write_bundle(out, model.SerializeToString())
    return Written(metadata, faster)


def check_reducible(bundle: Path, precision: Precision) -> Literal["fp16", "int8"]:
    """Make sure that a bundle can be had in fewer bits.

    Raises:
        UsageError: it has as few already, or nothing was asked for.
    """
    if precision == "fp32":
        raise UsageError(f"{bundle} is a bundle already; say what to change (--fp16 or --int8)")
    has = precision_of(bundle)
    if has in {"int8", precision}:
        raise UsageError(f"{bundle} is in {has} already; start from the one it was made of")
    return precision


@contextmanager
def _opened(model: Any) -> Iterator[Classifier]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "draft.onnx"
        write_bundle(path, model.SerializeToString())
        yield Classifier(path)


def _quantised(model: Any, photos: Shown, spec: PreprocessSpec) -> Any:
    """The model with its network part in int8, and with all constants that no node uses."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    nodes = nodes_of_network(model.graph)
    for number, node in enumerate(nodes):
        node.name = node.name or f"network.{number}"
    unused = _without_unused(model.graph)
    convolutions = [node.name for node in nodes if node.op_type == "Conv"]
    if not convolutions:
        raise UsageError("the bundle has no convolution that int8 would make faster")
    first = kept_first(convolutions)
    chosen = [node.name for node in nodes if node.op_type in QUANTISED and node.name not in first]
    with tempfile.TemporaryDirectory() as folder, _quietly():
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            path,
            Calibration(photos, spec),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Of 7 bits: sums of 8 bits saturate on x86 processors without VNNI.
            reduce_range=True,
            nodes_to_quantize=chosen,
            op_types_to_quantize=list(QUANTISED),
            calibrate_method=CalibrationMethod.MinMax,
        )
        made = onnx.load(path)
    made.graph.initializer.extend(unused)
    return made


def kept_first(convolutions: list[str]) -> list[str]:
    """Of convolutions in the network's order, the first tenth, which stays in float32.

    Their few channels differ most in range ("Data-Free Quantization Through Weight Equalization and
    Bias Correction", Nagel et al. 2019).
    """
    return convolutions[: int(KEPT_FIRST * len(convolutions))]


class Calibration:
    """Photos for ONNX Runtime's calibration, one at a time."""

    def __init__(self, photos: Shown, spec: PreprocessSpec) -> None:
        self._images = (load(file, spec)[np.newaxis] for file in photos.files)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next photo as the graph's input; ``None`` at the end."""
        image_nchw = next(self._images, None)
        return None if image_nchw is None else {INPUT: image_nchw}


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the quantiser's advice on the root logger, which is about other models."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _without_unused(graph: Any) -> list[Any]:
    """Take away the constants that no node uses, such as the memory, and return them."""
    used = {name for node in graph.node for name in node.input}
    taken = [one for one in graph.initializer if one.name not in used]
    refill(graph, initializer=[one for one in graph.initializer if one.name in used])
    return taken


def _described(
    source: Source,
    request: Request,
    precision: Literal["fp16", "int8"],
    after: Answers,
    parity: Parity,
    metrics: dict[str, float],
) -> Metadata:
    from binsight import __version__

    parent, shown = source.metadata, request.photos
    chosen = _chosen(parent, after, shown, precision)
    changes = chosen | {
        "format_version": FORMAT_VERSION,
        "metrics": metrics | chosen["metrics"],
        "parity": parity,
        "binsight_version": __version__,
        "created": now(),
        "reduced": Reduced(
            parent=source.digest,
            precision=precision,
            calibrated_on=len(request.calibration) if request.calibration else None,
        ),
    }
    return Metadata.model_validate(parent.model_dump() | changes)


def _chosen(
    parent: Metadata, after: Answers, shown: Shown, precision: Literal["fp16", "int8"]
) -> dict[str, Any]:
    """What is sure: chosen anew where ``int8`` changed the answers."""
    if precision == "fp16":
        sure_n = after.probs_nc.max(axis=1) >= parent.threshold
        if parent.novelty and after.novelty_n is not None:
            sure_n &= after.novelty_n <= parent.novelty.limit
        return {"metrics": {"val_coverage": float(sure_n.mean())}}
    chosen, coverage = chosen_anew(parent, after, shown.labels_n)
    chosen_on = ChosenOn(photos=len(shown), part=shown.part, catalog_digest=shown.catalog_digest)
    return chosen | {"chosen_on": chosen_on, "metrics": {"val_coverage": coverage}}
