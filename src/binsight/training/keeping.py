"""What is made once, before a training begins: frozen stages' features, teachers' answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from binsight.data.dataset import LabelledPhotos, Views
from binsight.errors import RunError
from binsight.model.network import Network
from binsight.preprocess import apply

from .checkpoints import best_network
from .distillation import Teachers
from .kept import Keeper, Report, weights_digest
from .run import Run, open_run

__all__ = ["Keeping", "KeptStages", "Taught"]

log = logging.getLogger(__name__)

DTYPES = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


class KeptStages(NamedTuple):
    """Read what frozen stages made of training and of validation photos."""

    training: Keeper
    evaluation: Keeper


class Taught(NamedTuple):
    """Read what teachers said of training photos; their embeddings are ``width`` long."""

    answers: Keeper
    width: int


class Keeping:
    """Makes and keeps what does not change while a run trains.

    Args:
        run: to be trained.
        network: its, with first weights.
        folder: of everything that is kept.
        workers: processes that prepare photos.
        precision: Lightning's name.
    """

    def __init__(
        self, run: Run, network: Network, folder: Path, *, workers: int, precision: str
    ) -> None:
        self.run = run
        self.network = network
        self.folder = folder
        self.workers = workers
        self.precision = precision
        self.device = "cuda" if torch.cuda.is_available() else "cpu"

    def stages(
        self, views: Views, shown: LabelledPhotos, report: Report | None
    ) -> KeptStages | None:
        """What frozen stages make of all photos; ``None`` if none is frozen, or views are endless.

        Args:
            views: of training photos.
            shown: photos to validate on.
            report: called with (done, total) photos.
        """
        recipe = self.run.recipe
        if not recipe.frozen_stages or not recipe.views:
            return None
        if recipe.frozen_stages >= len(self.network.features):
            raise RunError(
                f"frozen_stages is {recipe.frozen_stages}, {recipe.architecture} has "
                f"{len(self.network.features)} stages; leave one to learn"
            )
        frozen = self.network.features[: recipe.frozen_stages].eval()
        log.info("what the first %d stages make of each view is kept", recipe.frozen_stages)
        made_by = [recipe.architecture, recipe.frozen_stages, weights_digest(frozen)]
        training = Keeper(self.folder, [*made_by, *self._shown(views)])
        training.fill(views, self._by(frozen), workers=self.workers, report=report)
        evaluation = Keeper(self.folder, [*made_by, recipe.preprocess.model_dump(), self.precision])
        evaluation.fill(self._plain(shown), self._by(frozen), workers=self.workers, report=report)
        frozen.train()  # as it was; who trains decides what stays in eval mode
        return KeptStages(training, evaluation)

    def teachers(self, views: Views, report: Report | None) -> Taught | None:
        """What the run's teachers say of all training photos; ``None`` if it has none.

        Raises:
            RunError: a teacher is gone, or has other classes.
        """
        runs = [open_run(Path(folder)) for folder in self.run.facts.teachers]
        if not runs:
            return None
        for one in runs:
            if one.facts.classes != self.run.facts.classes:
                raise RunError(
                    f"{one.folder}: the teacher knows {', '.join(one.facts.classes)}, these photos "
                    f"are of {', '.join(self.run.facts.classes)}"
                )
        teachers = Teachers([best_network(one) for one in runs])
        log.info("what %d teachers say of each view is kept", len(runs))
        keeper = Keeper(self.folder, [weights_digest(teachers), *self._shown(views)])
        keeper.fill(views, self._by(teachers), workers=self.workers, report=report)
        return Taught(keeper, teachers.width)

    def _shown(self, views: Views) -> list[object]:
        """All that decides how a photo is shown, and how exactly it is computed with."""
        how = self.run.recipe.augmentation.model_dump()
        return [how, views.size, views.seed, views.count, self.precision]

    def _plain(self, shown: LabelledPhotos) -> Views:
        """Photos as the trained model will be shown them."""
        spec = self.run.recipe.preprocess

        def prepared(image: Image.Image) -> Tensor:
            return torch.from_numpy(apply(image, spec))

        return Views(shown, prepared, size=spec.min_side // 2, seed=0, count=1)

    def _by(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        module.to(self.device).to(memory_format=torch.channels_last)

        @torch.inference_mode()
        def compute(images: Tensor) -> Tensor:
            images = images.to(self.device, memory_format=torch.channels_last)
            with self._autocast():
                made: Tensor = module(images)
            return made.float()

        return compute

    def _autocast(self) -> AbstractContextManager[object]:
        dtype = DTYPES.get(self.precision)
        return torch.autocast(self.device, dtype, enabled=dtype is not None)
