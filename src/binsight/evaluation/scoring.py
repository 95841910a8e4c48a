"""Show labelled photos to a model and collect what it says.

A run answers with its best checkpoint; how a bundle does, and what both have in common, is in
`asking`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from binsight.calibration import softmax
from binsight.data.labelled import LabelledPhotos
from binsight.errors import ImageError
from binsight.images import ImageSource
from binsight.model.network import Network
from binsight.preprocess import PreprocessSpec, load
from binsight.runtime.batches import answer_each
from binsight.training.checkpoints import best_network
from binsight.training.outputs import device_of
from binsight.training.run import Run

from .asking import Answer, Model, Progress, hear
from .scored import Scored

__all__ = ["RunModel", "score", "score_run"]

BATCH = 32


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
        self.device = device_of("auto")
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
    return Scored(
        paths,
        np.array(photos.labels, np.int64),
        heard.probs_mc,
        model.classes,
        heard.sure_m,
        heard.novelty_m,
        np.array(photos.groups, np.int64) if photos.groups else None,
    )


def score_run(
    run: Run,
    paths: tuple[str, ...],
    photos: LabelledPhotos,
    *,
    progress: Progress | None = None,
) -> Scored:
    """What the best checkpoint of a run says, without calibration."""
    return score(RunModel(run), paths, photos, progress=progress)
