"""One network out of several runs: the mean of their weights.

"Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing
inference time", Wortsman et al. 2022. It works for runs that began with the same weights and did
not go far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from binsight.data.catalog import Catalog
from binsight.data.dataset import evaluation_loader
from binsight.errors import RunError, UsageError
from binsight.model.network import build

from .checkpoints import best_network, interpolated, write_twin
from .curves import rank
from .kept import Report
from .module import Classification
from .parts import labelled
from .run import Run, check_unused
from .train import resolved_precision

__all__ = ["Score", "Soup", "Tasted", "make_soup"]


class Score(NamedTuple):
    """What the validation photos say."""

    val_accuracy: float
    val_balanced_accuracy: float
    val_loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """As epochs are ranked."""
        return rank(self.val_accuracy, self.val_loss)


@dataclass(frozen=True)
class Tasted:
    """A run that was tried.

    Args:
        run: trained.
        alone: what its own weights score.
        together: what their mean with all that were taken before scores; ``None`` for the first.
        taken: whether it is in the soup.
    """

    run: Run
    alone: Score
    together: Score | None
    taken: bool


@dataclass(frozen=True)
class Soup:
    """What `make_soup` made.

    Args:
        run: the new run, whose network is the mean.
        score: of it.
        tasted: every run, in the order in which they were tried.
        photos: number of validation photos.
    """

    run: Run
    score: Score
    tasted: tuple[Tasted, ...]
    photos: int


def make_soup(
    folder: Path,
    runs: Sequence[Run],
    catalog: Catalog,
    *,
    uniform: bool = False,
    workers: int = 2,
    accelerator: str = "auto",
    report: Report | None = None,
    tell: Callable[[Tasted], None] = lambda _: None,
) -> Soup:
    """Average the weights of runs, and keep the result as a run that can be exported.

    Runs are tried from the best to the worst by the validation part; one is taken if the mean with
    it is no worse than without it (a greedy soup).

    Args:
        folder: new or empty.
        runs: trained, of one architecture and picture size, on the same split.
        catalog: their photos.
        uniform: take all runs, whatever the validation part says.
        workers: processes that prepare photos.
        accelerator: Lightning's name: ``auto``, ``cpu``, ``gpu``.
        report: called with (done, total) photos, each of which is shown to every run and mean.
        tell: called after each run that was tried.

    Raises:
        UsageError: the folder is in use, or the runs do not go together.
        RunError: a run has no finished epoch, or no mean is better than the best run.
        SplitError: photos of the validation part are gone.
    """
    check_unused(folder, resumable=False)
    _check_alike(runs)
    scores = 2 * len(runs) - 1  # of each run, and of each but the first with those before it
    judge = _Judge(runs[0], catalog, workers, accelerator, _Counter(scores, report))
    tasted: list[Tasted] = []
    for one in _taste(runs, judge, uniform):
        tasted.append(one)
        tell(one)
    taken = [one for one in tasted if one.taken]
    score = taken[-1].together
    if score is None:
        name = taken[0].run.folder
        raise RunError(f"no mean is better than {name} alone; use that, or take all with --uniform")
    run = _write(folder, [one.run for one in taken], score, tasted)
    return Soup(run, score, tuple(tasted), judge.photos)


def _check_alike(runs: Sequence[Run]) -> None:
    if len({run.folder.resolve() for run in runs}) < max(2, len(runs)):
        raise UsageError(
            "give two or more different runs: binsight soup runs/a runs/b --out runs/c"
        )
    first = runs[0]
    for run in runs[1:]:
        differs = {
            "architecture": run.recipe.architecture != first.recipe.architecture,
            "picture size (eval_size)": run.recipe.preprocess != first.recipe.preprocess,
            "split, so one may have learned what another is validated on": run.split != first.split,
            "corrections": run.decisions != first.decisions,
        }
        for what, so in differs.items():
            if so:
                raise UsageError(f"{run.folder} and {first.folder} differ in their {what}")


def _taste(runs: Sequence[Run], judge: _Judge, uniform: bool) -> Iterator[Tasted]:
    alone = [judge.score(_mean([run])) for run in runs]
    first, *others = sorted(range(len(runs)), key=lambda place: alone[place].rank, reverse=True)
    taken, best = [runs[first]], alone[first]
    yield Tasted(runs[first], best, None, taken=True)
    for place in others:
        together = judge.score(_mean([*taken, runs[place]]))
        takes = uniform or together.rank >= best.rank
        if takes:
            taken.append(runs[place])
            best = together
        yield Tasted(runs[place], alone[place], together, takes)


def _mean(runs: Sequence[Run]) -> dict[str, Tensor]:
    """Of each weight and each of BatchNorm's statistics."""
    first, *others = runs
    mean = best_network(first).state_dict()
    for count, run in enumerate(others, start=2):
        mean = interpolated(mean, best_network(run).state_dict(), 1 / count)
    return mean


class _Counter(Callback):
    """Counts photos over several validations."""

    def __init__(self, validations: int, report: Report | None) -> None:
        self.validations = validations
        self.report = report
        self.photos = 0
        self.done = 0

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Report the photos of a batch: images, and labels (N,)."""
        self.done += len(batch[1])
        if self.report:
            self.report(self.done, self.validations * self.photos)


class _Judge:
    """Scores weights by the validation part, as training does."""

    def __init__(
        self, run: Run, catalog: Catalog, workers: int, accelerator: str, counter: _Counter
    ) -> None:
        recipe, classes = run.recipe, run.facts.classes
        self.network = build(recipe.architecture, classes=len(classes))
        self.module = Classification(self.network, recipe, [1] * len(classes))
        shown = labelled(run, catalog, "val")
        self.photos = counter.photos = len(shown.files)
        self.loader = evaluation_loader(
            shown, recipe.preprocess, batch=2 * recipe.batch, workers=workers
        )
        self.trainer = pl.Trainer(
            accelerator=accelerator,
            devices=1,
            precision=resolved_precision(recipe, accelerator),  # type: ignore[arg-type]  # see `train`
            logger=False,
            callbacks=[counter],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )

    def score(self, state: Mapping[str, Tensor]) -> Score:
        self.network.load_state_dict(state)
        try:
            found = self.trainer.validate(self.module, self.loader, verbose=False)[0]
        except SystemExit:  # see `train`
            raise KeyboardInterrupt from None
        return Score(*(round(float(found[name]), 6) for name in Score._fields))


def _write(folder: Path, taken: Sequence[Run], score: Score, tasted: Sequence[Tasted]) -> Run:
    names = tuple(str(run.folder.absolute()) for run in taken)
    said = {"best": score._asdict(), "epochs": [], "soup": [_said(one) for one in tasted]}
    return write_twin(taken[0], folder, _mean(taken), said, soup=names)


def _said(one: Tasted) -> dict[str, object]:
    return {
        "run": str(one.run.folder),
        "alone": one.alone._asdict(),
        "together": one.together and one.together._asdict(),
        "taken": one.taken,
    }
