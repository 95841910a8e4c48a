"""Show labelled photos to a model and collect what it says.

A run answers with its best checkpoint; how a bundle does, and what both have in common, is in
`asking`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from binsight.calibration import softmax
from binsight.data.catalog import Catalog
from binsight.data.dataset import LabelledPhotos
from binsight.data.split import Split
from binsight.errors import ImageError, SplitError
from binsight.images import ImageSource
from binsight.model.network import Network
from binsight.preprocess import PreprocessSpec, load
from binsight.runtime import Classifier
from binsight.runtime.batches import answer_each
from binsight.training.checkpoints import best_network
from binsight.training.run import Run

from .asking import Answer, BundleModel, Model, Progress, hear
from .scored import Scored

__all__ = [
    "RunModel",
    "choose_part",
    "labelled_part",
    "score",
    "score_bundle",
    "score_run",
]

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


class RunModel:
    """The best checkpoint of a run, in float32 and without calibration.

    Args:
        run: trained.
        network: of it, instead of the best checkpoint's; in eval mode.

    Raises:
        RunError: no epoch was finished.
    """

    def __init__(self, run: Run, network: Network | None = None) -> None:
        self.run = run
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network = (network or best_network(run)).to(self.device)

    @property
    def classes(self) -> tuple[str, ...]:
        """See `Model`."""
        return self.run.facts.classes

    @property
    def preprocess(self) -> PreprocessSpec:
        """See `Model`."""
        return self.run.recipe.preprocess

    def answers(self, photos: Iterable[ImageSource]) -> Iterator[Answer | ImageError]:
        """See `Model`."""
        return answer_each(photos, self._prepared, self._answers, batch=BATCH)

    def _prepared(self, photo: ImageSource) -> NDArray[np.float32]:
        return load(photo, self.preprocess)

    def _answers(self, images_nchw: NDArray[np.float32]) -> Iterator[Answer]:
        with torch.inference_mode():
            outputs = self.network(torch.from_numpy(images_nchw).to(self.device))
            logits: NDArray[np.float32] = outputs.logits_nc.float().cpu().numpy()
        return map(Answer, softmax(logits))


def score(
    model: Model,
    paths: tuple[str, ...],
    photos: LabelledPhotos,
    *,
    progress: Progress | None = None,
) -> Scored:
    """What a model says about labelled photos.

    Raises:
        ImageError: a photo became unreadable.
    """
    heard = hear(model, photos.files, progress=progress)
    if heard.errors:
        raise heard.errors[0]
    labels = np.array(photos.labels, np.int64)
    return Scored(paths, labels, heard.probs_mc, model.classes, heard.sure_m, heard.novelty_m)


def score_run(
    run: Run,
    paths: tuple[str, ...],
    photos: LabelledPhotos,
    *,
    progress: Progress | None = None,
) -> Scored:
    """What the best checkpoint of a run says, without calibration."""
    return score(RunModel(run), paths, photos, progress=progress)


def score_bundle(
    classifier: Classifier,
    paths: tuple[str, ...],
    photos: LabelledPhotos,
    *,
    progress: Progress | None = None,
) -> Scored:
    """What a bundle says, calibrated as it is."""
    return score(BundleModel(classifier), paths, photos, progress=progress)
