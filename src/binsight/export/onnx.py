"""A run becomes a bundle: ONNX graph, calibration on validation photos, parity, metadata.

What is strange is learned from photos of the training part, and the limit from which on a photo is
too strange is chosen on validation photos, as are the temperature and then the threshold.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from binsight.bundle import (
    INPUT,
    OUTPUTS,
    ChosenOn,
    Metadata,
    Novelty,
    Parity,
    TrainingData,
    now,
)
from binsight.calibration import fit_temperature, softmax
from binsight.data.catalog import Catalog
from binsight.data.labelled import LabelledPhotos, labelled_part
from binsight.errors import SplitError
from binsight.evaluation.scored import Scored
from binsight.learned import Learned
from binsight.model.network import Network
from binsight.novelty import SCORE, fit_known
from binsight.runtime.parity import write_if_alike
from binsight.teaching.graph import add_novelty, remember
from binsight.teaching.memory import Memory, spread
from binsight.training.checkpoints import best_network
from binsight.training.outputs import outputs_of
from binsight.training.run import Run

from .choosing import FEWEST, choose_sure
from .half import Rounding, check_rounding, rounded
from .network_part import store_half

__all__ = ["LEARNED_VAL", "Store", "export_bundle"]

log = logging.getLogger(__name__)

PARITY_PHOTOS = 256
FITTED = 300  # training photos a class that the novelty is fitted to
REMEMBERED_LEARNED = 80  # photos a class
REMEMBERED_HELD_OUT = 40
OPSET = 18
LEARNED_VAL = "val_photos_learned"  # a metric: how many of them the network has learned from
Progress = Callable[[int, int], None]
Store = Literal["fp32", "fp16"]


def export_bundle(
    run: Run,
    out: Path,
    *,
    sources: tuple[Path, ...] = (),
    risk: float = 0.02,
    accepted: float = 0.9,
    licence: str = "Apache-2.0",
    store: Store = "fp32",
    progress: Progress | None = None,
) -> Metadata:
    """Write the bundle of a run's best epoch.

    Temperature, limit of the novelty and threshold are chosen on the validation part, without the
    photos that the network, or what it began with, has learned from, as long as `FEWEST` others are
    there. Parity is measured on photos of that part; a bundle that does not answer like its
    checkpoint is not written.

    Args:
        run: a finished or interrupted run.
        out: the bundle's path.
        sources: where the photos are now, if they moved.
        risk: largest share of wrong answers among the sure ones, on validation photos.
        accepted: share of validation photos that shall not count as strange.
        licence: SPDX identifier for the weights.
        store: ``"fp16"`` rounds the weights, which halves the file; see `half`.
        progress: called with (done, total) photos.

    Raises:
        ParityError: labels differ, or probabilities by more than 1e-4, or the novelty; or rounding
            the weights costs accuracy.
        UsageError: ``risk`` or ``accepted`` is out of range.
        TrainingError: no epoch was finished.
        DataError: the photos of the run are gone.
    """
    catalog = run.photos(sources)
    if "val" not in run.split.parts:
        raise SplitError("the split has no part 'val', which calibration needs")
    plain = best_network(run)
    network = rounded(plain) if store == "fp16" else plain
    known = run.learned_of(catalog)
    learned, held = _shown(run, catalog, network, known, progress)
    rounding = _rounding(run, plain, held) if store == "fp16" else None
    labels = np.array(held.photos.labels, np.int64)
    temperature = fit_temperature(held.logits_nc, labels)
    probs = softmax(held.logits_nc, temperature)
    scored = Scored(held.paths, labels, probs, run.facts.classes)
    fitted = fit_known(learned.embeddings_nd, np.array(learned.photos.labels, np.int64))
    novelty_n = fitted.score(held.embeddings_nd)
    chosen = choose_sure(probs, novelty_n, labels, accepted=accepted, risk=risk)
    assert chosen.limit is not None
    facts = _Chosen(
        temperature,
        chosen.threshold,
        risk,
        Novelty(score=SCORE, limit=chosen.limit, accepted=accepted),
        chosen.coverage,
    )
    model = _to_onnx(network, temperature, run.recipe.eval_size)
    if rounding:
        store_half(model)
    remember(model.graph, _memory(run, known, learned, held))
    add_novelty(model.graph, fitted)

    def describe(parity: Parity) -> Metadata:
        return _metadata(run, scored, facts, licence, rounding, int(held.known_n.sum()), parity)

    return write_if_alike(
        out, model, describe, held.photos.files, probs, novelty_n=novelty_n, most=PARITY_PHOTOS
    )


def _rounding(run: Run, plain: Network, held: _Shown) -> Rounding:
    """What the weights' rounding did to the answers on validation photos."""
    logits_nc, _ = outputs_of(plain, held.photos, run.recipe.preprocess)
    return check_rounding(logits_nc, held.logits_nc, np.array(held.photos.labels, np.int64))


@dataclass(frozen=True, eq=False)
class _Shown:
    """Photos of one part, what the network made of them, and which of them it has learned from."""

    paths: tuple[str, ...]
    photos: LabelledPhotos
    known_n: NDArray[np.bool_]
    logits_nc: NDArray[np.float32]
    embeddings_nd: NDArray[np.float32]


@dataclass(frozen=True)
class _Chosen:
    """What was chosen on validation photos, and the share of them that it leaves sure."""

    temperature: float
    threshold: float
    risk: float
    novelty: Novelty
    coverage: float


def _shown(
    run: Run, catalog: Catalog, network: Network, known: Learned, progress: Progress | None
) -> tuple[_Shown, _Shown]:
    """Some training photos, evenly over classes and sources, and the validation photos."""
    paths, photos = labelled_part(catalog, run.split, "train", run.facts.classes)
    fitted = _spread_over_classes(run, paths, FITTED)
    learned = photos.at(fitted)
    val_paths, held = labelled_part(catalog, run.split, "val", run.facts.classes)
    digest_of = {photo.path: photo.sha256 for photo in catalog.photos}
    known_n = np.array([digest_of[path] in known for path in val_paths])
    if known_n.any() and (~known_n).sum() >= FEWEST:
        others = np.flatnonzero(~known_n)
        val_paths, held = tuple(val_paths[place] for place in others), held.at(others)
        known_n = known_n[others]
    logits, embeddings = outputs_of(
        network, learned + held, run.recipe.preprocess, progress=progress
    )
    border = len(fitted)
    return (
        _Shown(
            tuple(paths[place] for place in fitted),
            learned,
            np.ones(border, np.bool_),
            logits[:border],
            embeddings[:border],
        ),
        _Shown(val_paths, held, known_n, logits[border:], embeddings[border:]),
    )


def _memory(run: Run, known: Learned, learned: _Shown, held: _Shown) -> Memory:
    """Embeddings of some of the training photos, and of some validation photos as held out.

    What stands for a photo comes along for all that it learned from.
    """
    old = _spread_over_classes(run, learned.paths, REMEMBERED_LEARNED)
    unknown = np.flatnonzero(~held.known_n)
    paths = tuple(held.paths[place] for place in unknown)
    new = unknown[_spread_over_classes(run, paths, REMEMBERED_HELD_OUT)]
    labels = [learned.photos.labels[place] for place in old]
    labels += [held.photos.labels[place] for place in new]
    return Memory(
        np.concatenate([learned.embeddings_nd[old], held.embeddings_nd[new]]).astype(np.float16),
        np.array(labels, np.int64),
        np.repeat([False, True], [len(old), len(new)]),
        known,
    )


def _spread_over_classes(run: Run, paths: tuple[str, ...], most: int) -> list[int]:
    """Places of up to ``most`` photos a class, the same number from each source."""
    facts = run.facts
    keys = [(run.split.label_of[path], facts.folder_of(path)) for path in paths]
    return spread(keys, math.ceil(most / len(facts.folders)), seed=run.recipe.seed)


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
    chosen: _Chosen,
    licence: str,
    rounding: Rounding | None,
    learned: int,
    parity: Parity,
) -> Metadata:
    from binsight import __version__

    counts = run.split.counts()["train"]
    return Metadata(
        classes=run.facts.classes,
        preprocess=run.recipe.preprocess,
        architecture=run.recipe.architecture,
        temperature=chosen.temperature,
        threshold=chosen.threshold,
        threshold_risk=chosen.risk,
        novelty=chosen.novelty,
        chosen_on=ChosenOn(
            photos=len(validation), part="val", catalog_digest=run.split.catalog_digest
        ),
        training=TrainingData(
            photos=sum(counts.values()),
            counts=counts,
            catalog_digest=run.split.catalog_digest,
            sources=tuple(Path(source).stem for source in run.facts.sources),
        ),
        metrics={
            "val_photos": len(validation),
            "val_accuracy": float(validation.correct_n.mean()),
            "val_coverage": chosen.coverage,
            **({LEARNED_VAL: float(learned)} if learned else {}),
            **(rounding.metrics() if rounding else {}),
        },
        parity=parity,
        binsight_version=__version__,
        licence=licence,
        created=now(),
    )
