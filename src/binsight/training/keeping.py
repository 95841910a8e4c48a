"""What frozen stages and teachers say of each view: once and kept, or as it is shown."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from binsight.data.dataset import Views
from binsight.data.labelled import LabelledPhotos
from binsight.model.network import Network
from binsight.preprocess import apply

from .kept import Compute, Keeper, Report, fill, weights_digest
from .outputs import device_of
from .run import Run
from .teachers import Teachers, open_teachers

__all__ = ["Keeping", "KeptStages", "Taught"]

log = logging.getLogger(__name__)

DTYPES = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


class KeptStages(NamedTuple):
    """Read what frozen stages made of training and of validation photos."""

    training: Keeper
    evaluation: Keeper


class Taught(NamedTuple):
    """What teachers say of training photos.

    Args:
        width: length of their embeddings.
        kept: reads what they said.
        ask: images (N, 3, H, W) and the SHA-256 of their photos to answers (N, C + D), for views
            that are not kept.
    """

    width: int
    kept: Keeper | None = None
    ask: Compute | None = None


class Keeping:
    """Makes and keeps what does not change while a run trains.

    Args:
        run: to be trained.
        network: its, with first weights.
        folder: of everything that is kept.
        workers: processes that prepare photos.
        precision: Lightning's name.
        accelerator: ``auto``, ``cpu`` or ``gpu``.
    """

    def __init__(
        self,
        run: Run,
        network: Network,
        folder: Path,
        *,
        workers: int,
        precision: str,
        accelerator: str = "auto",
    ) -> None:
        self.run = run
        self.network = network
        self.folder = folder
        self.workers = workers
        self.precision = precision
        self.device = device_of(accelerator)

    def prepare(
        self, views: Views, shown: LabelledPhotos, report: Report | None
    ) -> tuple[KeptStages | None, Taught | None]:
        """Keep what frozen stages make of all photos, and what teachers say of training photos.

        Of endless views nothing is kept: teachers will have to be asked as they are shown.

        Args:
            views: of training photos.
            shown: photos to validate on.
            report: called with (done, total) photos.

        Returns:
            ``None`` for stages if none is frozen or views are endless; ``None`` for answers if the
            run has no teachers.

        Raises:
            RunError, UsageError, BundleError: see `open_teachers`.
        """
        recipe, facts = self.run.recipe, self.run.facts
        stages: KeptStages | None = None
        taught: Taught | None = None
        made: list[tuple[Keeper, Compute]] = []
        if recipe.frozen_stages and recipe.views:
            log.info("what the first %d stages make of each view is kept", recipe.frozen_stages)
            frozen = self._frozen()
            stages = self._stages(views, weights_digest(frozen))
            by_frozen = self._by(frozen)
            made.append((stages.training, by_frozen))
        if facts.teachers:
            how = "is kept" if recipe.views else "is asked as it is shown"
            log.info("what teachers say of each view %s: %s", how, ", ".join(facts.teachers))
            teachers = open_teachers(facts.teachers, self.run.split, recipe)
            ask = self._by_teachers(teachers, views)
            if recipe.views:
                answers = Keeper(self.folder, [teachers.digests, *self._shown(views)])
                taught = Taught(teachers.width, kept=answers)
                made.append((answers, ask))
            else:
                taught = Taught(teachers.width, ask=ask)
        fill(made, views, workers=self.workers, report=report)
        if stages:
            evaluation = [(stages.evaluation, by_frozen)]
            fill(evaluation, self._plain(shown), workers=self.workers, report=report)
        return stages, taught

    def _frozen(self) -> nn.Module:
        """A copy of the frozen stages in eval mode; who trains decides what of the rest is."""
        return copy.deepcopy(self.network.features[: self.run.recipe.frozen_stages]).eval()

    def _stages(self, views: Views, digest: str) -> KeptStages:
        recipe = self.run.recipe
        made_by = [recipe.architecture, recipe.frozen_stages, digest]
        plain = [recipe.preprocess.model_dump(), self.precision]
        return KeptStages(
            Keeper(self.folder, [*made_by, *self._shown(views)]),
            Keeper(self.folder, [*made_by, *plain]),
        )

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

    def _by(self, module: nn.Module) -> Compute:
        return self._computing(module, lambda images, _: module(images))

    def _by_teachers(self, teachers: Teachers, views: Views) -> Compute:
        paths = self.run.split.paths("train")
        path_of = dict(zip(views.photos.digests, paths, strict=True))
        return self._computing(
            teachers, lambda images, digests: teachers(images, [path_of[one] for one in digests])
        )

    def _computing(self, module: nn.Module, made_by: Compute) -> Compute:
        module.to(self.device).to(memory_format=torch.channels_last)

        @torch.no_grad()
        def compute(images: Tensor, digests: Sequence[str]) -> Tensor:
            images = images.to(self.device, memory_format=torch.channels_last)
            with self._autocast():
                return made_by(images, digests).float()

        return compute

    def _autocast(self) -> AbstractContextManager[object]:
        dtype = DTYPES.get(self.precision)
        return torch.autocast(self.device, dtype, enabled=dtype is not None)
