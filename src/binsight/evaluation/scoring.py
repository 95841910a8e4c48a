"""Show labelled photos to a model and collect what it says.

A run answers with its best checkpoint, a bundle through the runtime that everybody uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from binsight.calibration import softmax
from binsight.data.catalog import Catalog
from binsight.data.dataset import LabelledPhotos, evaluation_loader
from binsight.data.split import Split
from binsight.errors import ImageError, SplitError
from binsight.model.network import Network
from binsight.runtime import Classifier
from binsight.training.checkpoints import best_network
from binsight.training.run import Run

from .scored import Scored

__all__ = [
    "choose_part",
    "labelled_part",
    "outputs_of",
    "score_bundle",
    "score_run",
]

Progress = Callable[[int, int], None]
BATCH = 32


def choose_part(split: Split) -> str:
    """The part to evaluate on when none is named: ``test``, or else ``val``.

    Raises:
        SplitError: the split has neither.
    """
    for part in ("test", "val"):
        if part in split.parts:
            return part
    raise SplitError(f"name a part to evaluate on; the split has {', '.join(split.parts)}")


def labelled_part(
    catalog: Catalog, split: Split | None, part: str | None, classes: Sequence[str]
) -> tuple[tuple[str, ...], LabelledPhotos]:
    """Paths, files and class numbers of one part, or of all photos where there is no split.

    Raises:
        SplitError: no such part, or a class that the model does not know.
    """
    label_of = {photo.path: photo.label for photo in catalog.photos}
    paths = tuple(label_of) if split is None else split.paths(part or choose_part(split))
    gone = [path for path in paths if path not in label_of]
    if gone:
        raise SplitError(f"{len(gone)} photos of the part are missing, such as {gone[0]}")
    number = {name: index for index, name in enumerate(classes)}
    strange = sorted({label_of[path] for path in paths} - set(number))
    if strange:
        raise SplitError(
            f"class {strange[0]!r} is not one that the model knows ({', '.join(classes)})"
        )
    labels = [number[label_of[path]] for path in paths]
    return paths, LabelledPhotos([catalog.root / path for path in paths], labels)


def outputs_of(
    network: Network,
    photos: LabelledPhotos,
    run: Run,
    *,
    workers: int = 0,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits (N, classes) and embeddings (N, D) of a network in eval mode, in float32."""
    loader = evaluation_loader(photos, run.recipe.preprocess, batch=BATCH, workers=workers)
    logits: list[NDArray[np.float32]] = []
    embeddings: list[NDArray[np.float32]] = []
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    with torch.inference_mode():
        for images, _ in loader:
            outputs = network(images.to(device))
            logits.append(outputs.logits_nc.float().cpu().numpy())
            embeddings.append(outputs.embedding_nd.float().cpu().numpy())
            if progress:
                progress(sum(map(len, logits)), len(photos.files))
    network.to("cpu")
    return np.concatenate(logits), np.concatenate(embeddings)


def score_run(
    run: Run,
    paths: tuple[str, ...],
    photos: LabelledPhotos,
    *,
    workers: int = 0,
    progress: Progress | None = None,
) -> Scored:
    """What the best checkpoint of a run says, without calibration."""
    logits, _ = outputs_of(best_network(run), photos, run, workers=workers, progress=progress)
    return Scored(paths, np.array(photos.labels, np.int64), softmax(logits), run.facts.classes)


def score_bundle(
    classifier: Classifier,
    paths: tuple[str, ...],
    photos: LabelledPhotos,
    *,
    progress: Progress | None = None,
) -> Scored:
    """What a bundle says, calibrated as it is.

    Raises:
        ImageError: a photo became unreadable.
    """
    probs: list[list[float]] = []
    files: list[Path] = list(photos.files)
    for answer in classifier.classify_each(files, batch=BATCH):
        if isinstance(answer, ImageError):
            raise answer
        probs.append(list(answer.probs.values()))
        if progress:
            progress(len(probs), len(files))
    labels = np.array(photos.labels, np.int64)
    return Scored(paths, labels, np.array(probs, np.float32), classifier.classes)
