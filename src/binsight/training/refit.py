"""Fit the head of a trained network once more, on photos as the model will be asked of them.

Training shows random crops under random changes, and ends after so many steps. The head that is
best for whole photos at their full size is another: "Fixing the train-test resolution discrepancy",
Touvron et al. 2019, tune it after the rest. Of fixed embeddings it is found exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_confusion_matrix

from binsight.calibration import fit_temperature
from binsight.data.catalog import Catalog
from binsight.data.split import write_split
from binsight.errors import RunError
from binsight.model.network import Network
from binsight.model.weights import write_state

from .checkpoints import best_epoch_network, write_twin
from .folds import FOLDS, Around, Folds, check_finished, open_folds
from .kept import Report
from .outputs import outputs_of
from .parts import labelled, shares_of
from .run import Run, check_unused, has_run, open_run
from .scores import balanced_accuracy

__all__ = [
    "HeadScore",
    "Refit",
    "fitted_head",
    "refit_folds",
    "refit_head",
    "refit_trained",
    "score_head",
]

PULL = 2e-5
STEPS = 500


@dataclass(frozen=True)
class HeadScore:
    """What the validation photos say of a head.

    Args:
        val_accuracy: share of right answers.
        val_balanced_accuracy: mean over the classes.
        val_loss: negative log-likelihood, in nats.
        calibrated_loss: the same at the temperature that `fit_temperature` chooses.
    """

    val_accuracy: float
    val_balanced_accuracy: float
    val_loss: float
    calibrated_loss: float


@dataclass(frozen=True)
class Refit:
    """A head that was fitted once more.

    Args:
        run: whose it is.
        before: the head as it was trained.
        after: the new head.
        learned: number of training photos.
        photos: number of validation photos.
    """

    run: Run
    before: HeadScore
    after: HeadScore
    learned: int
    photos: int

    @property
    def worse(self) -> bool:
        """Whether the new head has a higher loss, each at its best temperature."""
        return self.after.calibrated_loss > self.before.calibrated_loss

    @property
    def said(self) -> dict[str, object]:
        """What a run's ``metrics.json`` holds of it."""
        return {"before": asdict(self.before), "after": asdict(self.after)}


def refit_head(
    folder: Path,
    run: Run,
    catalog: Catalog,
    *,
    choose: bool = True,
    workers: int = 2,
    accelerator: str = "auto",
    report: Report | None = None,
) -> Refit:
    """Fit the head of a run on unchanged training photos, and keep the result as a run.

    The backbone stays as it is. The loss has the label smoothing of the run's recipe, and no class
    weights, which would make rare classes seem more probable than they are. Photos of which an
    epoch draws a share count by that share. The embeddings of all training photos are held in
    memory, some 5 kB each.

    Args:
        folder: new or empty.
        run: trained.
        catalog: its photos.
        choose: refuse a head that is worse on the validation photos: by its loss, at each head's
            best temperature.
        workers: processes that prepare photos.
        accelerator: ``auto``, ``cpu`` or ``gpu``.
        report: called with (done, total) photos.

    Raises:
        UsageError: the folder is in use.
        RunError: no epoch was finished, or the new head is refused.
        SplitError: photos of a part are gone.
    """
    check_unused(folder, resumable=False)
    if run.refit.is_file():
        raise RunError(f"{run.folder}: its head is fitted already; use it as it is")
    network, made = _fit(run, catalog, workers, accelerator, report)
    if choose and made.worse:
        raise RunError(
            "the new head is worse on the validation photos (loss "
            f"{made.after.calibrated_loss:.4f} instead of {made.before.calibrated_loss:.4f}); use "
            f"{run.folder} as it is"
        )
    said = {"best": asdict(made.after), "epochs": [], "refit": made.said}
    parent = str(run.folder.absolute())
    twin = write_twin(run, folder, network.state_dict(), said, refit=parent)
    return replace(made, run=twin)


def refit_trained(
    run: Run,
    catalog: Catalog,
    *,
    workers: int = 2,
    accelerator: str = "auto",
    report: Report | None = None,
) -> Refit:
    """Fit the head of a run once more, and keep the result in it unless it is worse.

    The arguments are those of `refit_head`.

    Raises:
        RunError: no epoch was finished.
        SplitError: photos of a part are gone.
    """
    network, made = _fit(run, catalog, workers, accelerator, report)
    if made.worse:
        run.refit.unlink(missing_ok=True)  # of fewer epochs
    else:
        write_state(run.refit, network.state_dict(), classes=run.facts.classes, epoch=0)
    return made


def _fit(
    run: Run, catalog: Catalog, workers: int, accelerator: str, report: Report | None
) -> tuple[Network, Refit]:
    network = best_epoch_network(run)
    learned, held = labelled(run, catalog, "train"), labelled(run, catalog, "val")
    logits_nc, embeddings_nd = outputs_of(
        network,
        learned + held,
        run.recipe.preprocess,
        workers=workers,
        accelerator=accelerator,
        progress=report,
    )
    border = len(learned.files)
    network.head = fitted_head(
        network.head,
        embeddings_nd[:border],
        learned.labels,
        smoothing=run.recipe.label_smoothing,
        shares=shares_of(run),
    )
    with torch.no_grad():
        refit_nc = network.head(torch.from_numpy(embeddings_nd[border:])).numpy()
    before = score_head(logits_nc[border:], held.labels)
    after = score_head(refit_nc, held.labels)
    return network, Refit(run, before, after, border, len(held.files))


def refit_folds(
    folder: Path,
    folds: Folds,
    catalog: Catalog,
    *,
    resume: bool = False,
    around: Around,
    tell: Callable[[Refit], None] = lambda _: None,
    **options: Any,
) -> Folds:
    """Fit the head of each fold once more, and keep the results as folds.

    Each fold's new head is kept, better or worse: its validation photos are there to judge it.

    Args:
        folder: new or empty; to resume, what an interrupted call left.
        folds: trained.
        catalog: their photos.
        resume: leave folds alone that are done.
        around: see `binsight.training.folds.train_folds`.
        tell: called after each fold.
        options: of `refit_head`.

    Raises:
        UsageError: the folder is in use.
        RunError: a fold is not trained to its end.
        KeyboardInterrupt: Ctrl-C; call it again with ``resume``.
    """
    if not resume:
        check_unused(folder)
    check_finished(folds)
    for place, run in enumerate(folds.runs, start=1):
        target = folder / run.folder.name
        if has_run(target) and open_run(target).facts.refit == str(run.folder.absolute()):
            continue
        with around(place, run) as more:
            made = refit_head(target, run, catalog, choose=False, **options, **more)
        tell(made)
    write_split(folder / FOLDS, folds.split)
    return open_folds(folder)


def fitted_head(
    head: nn.Linear,
    embeddings_nd: NDArray[np.float32],
    labels: Sequence[int],
    *,
    smoothing: float,
    shares: Sequence[float],
    pull: float = PULL,
) -> nn.Linear:
    """The head with the least mean loss and squared distance of its weights from a first one.

    Args:
        head: the first one; it stays as it is.
        embeddings_nd: of the photos, (N, D).
        labels: class numbers, N of them.
        smoothing: share of a label that is spread over all classes.
        shares: how much each photo counts.
        pull: weight of the distance, for embeddings with a variance of 1, summed over D; so it
            means the same to any network.
    """
    embeddings = torch.from_numpy(embeddings_nd)
    classes = torch.tensor(labels)
    loss = nn.CrossEntropyLoss(label_smoothing=smoothing, reduction="none")
    counts = torch.tensor(shares, dtype=torch.float32)
    scale = pull * float(embeddings.var(dim=0, correction=0).sum())
    first = head.weight.detach()
    found = nn.Linear(head.in_features, head.out_features)
    found.load_state_dict(head.state_dict())
    search = torch.optim.LBFGS(
        found.parameters(), max_iter=STEPS, history_size=20, line_search_fn="strong_wolfe"
    )

    def step() -> Tensor:
        search.zero_grad()
        losses: Tensor = loss(found(embeddings), classes)
        distance: Tensor = (found.weight - first).square().sum()
        total: Tensor = (counts * losses).sum() / counts.sum() + scale * distance
        total.backward()  # type: ignore[no-untyped-call]
        return total

    search.step(step)  # type: ignore[no-untyped-call]
    return found.requires_grad_(False)


def score_head(logits_nc: NDArray[np.float32], labels: Sequence[int]) -> HeadScore:
    """Score logits (N, C) of labelled photos."""
    logits, truth = torch.from_numpy(logits_nc).double(), torch.tensor(labels)
    classes = logits_nc.shape[1]
    temperature = fit_temperature(logits_nc, truth.numpy())
    found = (
        multiclass_accuracy(logits, truth, classes, average="micro"),
        balanced_accuracy(multiclass_confusion_matrix(logits, truth, classes)),
        cross_entropy(logits, truth),
        cross_entropy(logits / temperature, truth),
    )
    return HeadScore(*(round(float(figure), 6) for figure in found))
