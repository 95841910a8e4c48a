"""A run becomes a bundle: ONNX graph, calibration on validation photos, parity, metadata."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from binsight.bundle import (
    INPUT,
    OUTPUTS,
    Metadata,
    Parity,
    TrainingData,
)
from binsight.calibration import choose_threshold, fit_temperature, softmax
from binsight.data.catalog import Catalog
from binsight.data.dataset import LabelledPhotos
from binsight.errors import SplitError
from binsight.evaluation.scored import Scored
from binsight.evaluation.scoring import labelled_part, outputs_of
from binsight.model.network import Network
from binsight.runtime.parity import write_if_alike
from binsight.teaching.graph import remember
from binsight.teaching.memory import Memory, spread
from binsight.training.checkpoints import best_network
from binsight.training.run import Run

from .half import Rounding, check_rounding, rounded, store_half

__all__ = ["Store", "export_bundle"]

log = logging.getLogger(__name__)

PARITY_PHOTOS = 256
REMEMBERED_LEARNED = 80  # photos a class
REMEMBERED_HELD_OUT = 40
OPSET = 18
Progress = Callable[[int, int], None]
Store = Literal["fp32", "fp16"]


def export_bundle(
    run: Run,
    out: Path,
    *,
    sources: tuple[Path, ...] = (),
    risk: float = 0.02,
    licence: str = "Apache-2.0",
    store: Store = "fp32",
    progress: Progress | None = None,
) -> Metadata:
    """Write the bundle of a run's best epoch.

    The temperature and the threshold are fitted on the validation part. Parity is measured on
    photos of that part; a bundle that does not answer like its checkpoint is not written.

    Args:
        run: a finished or interrupted run.
        out: the bundle's path.
        sources: where the photos are now, if they moved.
        risk: largest share of wrong answers among the sure ones, on validation photos.
        licence: SPDX identifier for the weights.
        store: ``"fp16"`` rounds the weights, which halves the file; see `half`.
        progress: called with (done, total) photos.

    Raises:
        ParityError: labels differ, or probabilities by more than 1e-4; or rounding the weights
            costs accuracy.
        TrainingError: no epoch was finished.
        DataError: the photos of the run are gone.
    """
    catalog = run.photos(sources)
    if "val" not in run.split.parts:
        raise SplitError("the split has no part 'val', which calibration needs")
    paths, photos = labelled_part(catalog, run.split, "val", run.facts.classes)
    network = best_network(run)
    logits, embeddings = outputs_of(network, photos, run, progress=progress)
    labels = np.array(photos.labels, np.int64)
    rounding = None
    if store == "fp16":
        plain, network = logits, rounded(network)
        logits, embeddings = outputs_of(network, photos, run, progress=progress)
        rounding = check_rounding(plain, logits, labels)
    temperature = fit_temperature(logits, labels)
    probs = softmax(logits, temperature)
    scored = Scored(paths, labels, probs, run.facts.classes)
    threshold = choose_threshold(scored.confidence_n, scored.correct_n, risk=risk)
    model = _to_onnx(network, temperature, run.recipe.eval_size)
    if rounding:
        store_half(model)
    remember(model.graph, _memory(run, catalog, network, paths, labels, embeddings))

    def describe(parity: Parity) -> Metadata:
        return _metadata(run, scored, temperature, threshold, risk, licence, rounding, parity)

    return write_if_alike(out, model, describe, photos.files, probs, most=PARITY_PHOTOS)


def _memory(
    run: Run,
    catalog: Catalog,
    network: Network,
    val_paths: tuple[str, ...],
    val_labels: NDArray[np.int64],
    val_embeddings: NDArray[np.float32],
) -> Memory:
    """Embeddings of some training photos, and of some validation photos as held out."""
    paths, photos = labelled_part(catalog, run.split, "train", run.facts.classes)
    learned = _spread_over_classes(run, paths, REMEMBERED_LEARNED)
    held = _spread_over_classes(run, val_paths, REMEMBERED_HELD_OUT)
    chosen = LabelledPhotos(
        [photos.files[place] for place in learned], [photos.labels[place] for place in learned]
    )
    _, embeddings = outputs_of(network, chosen, run)
    return Memory(
        np.concatenate([embeddings, val_embeddings[held]]).astype(np.float16),
        np.array([*chosen.labels, *val_labels[held]], np.int64),
        np.repeat([False, True], [len(learned), len(held)]),
    )


def _spread_over_classes(run: Run, paths: tuple[str, ...], most: int) -> list[int]:
    """Places of up to ``most`` photos a class, the same number from each source."""
    sources = len(run.facts.sources)
    keys = [
        (run.split.label_of[path], path.partition("/")[0] if sources > 1 else "") for path in paths
    ]
    return spread(keys, math.ceil(most / sources), seed=run.recipe.seed)


class _Answering(nn.Module):
    """What the bundle computes: probabilities, embedding and feature map in one pass."""

    def __init__(self, network: Network, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("temperature", torch.tensor(temperature, dtype=torch.float32))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, embedding, feature_map = self.network(images)
        return torch.softmax(logits / self.temperature, dim=1), embedding, feature_map


def _to_onnx(network: Network, temperature: float, size: int) -> Any:
    """The ONNX ModelProto with a free batch size."""
    # A batch of one would be taken for a constant.
    example = torch.zeros(2, 3, size, size)
    # ONNX prefers plain strides, and the exporter warns about its own deprecations.
    network = network.to(memory_format=torch.contiguous_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Answering(network, temperature).eval(),
            (example,),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return _without_traces(program.model_proto)


def _without_traces(model: Any) -> Any:
    """Drop the exporter's notes on each node: they hold the paths of this machine's files."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    return model


def _metadata(
    run: Run,
    validation: Scored,
    temperature: float,
    threshold: float,
    risk: float,
    licence: str,
    rounding: Rounding | None,
    parity: Parity,
) -> Metadata:
    from binsight import __version__

    counts = run.split.counts()["train"]
    accepted = validation.confidence_n >= threshold
    return Metadata(
        classes=run.facts.classes,
        preprocess=run.recipe.preprocess,
        architecture=run.recipe.architecture,
        temperature=temperature,
        threshold=threshold,
        threshold_risk=risk,
        training=TrainingData(
            photos=sum(counts.values()),
            counts=counts,
            catalog_digest=run.split.catalog_digest,
            sources=tuple(Path(source).stem for source in run.facts.sources),
        ),
        metrics={
            "val_photos": len(validation),
            "val_accuracy": float(validation.correct_n.mean()),
            "val_coverage": float(accepted.mean()),
            **(rounding.metrics() if rounding else {}),
        },
        parity=parity,
        binsight_version=__version__,
        licence=licence,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
