"""Fit the head of a trained network once more, on photos as the model will be asked of them.

Training shows random crops under random changes, and ends after so many steps. The head that is
best for whole photos at their full size is another: "Fixing the train-test resolution discrepancy",
Touvron et al. 2019, tune it after the rest. Of fixed embeddings it is found exactly.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from binsight.calibration import fit_temperature
from binsight.data.catalog import Catalog
from binsight.data.dataset import LabelledPhotos
from binsight.errors import RunError
from binsight.files import drafting, write_text
from binsight.model.weights import write_state

from .checkpoints import best_network
from .kept import Report
from .outputs import outputs_of
from .run import Run, check_unused, create_twin
from .train import labelled, shares_of

__all__ = ["HeadScore", "Refit", "fitted_head", "refit_head", "score_head"]

PULL = 2e-5
STEPS = 500


@dataclass(frozen=True)
class HeadScore:
    """What the validation photos say of a head.

    Args:
        val_accuracy: share of right answers.
        val_balanced_accuracy: mean over the classes that there are.
        val_loss: negative log-likelihood, in nats.
        calibrated_loss: the same at the temperature for which it is least.
    """

    val_accuracy: float
    val_balanced_accuracy: float
    val_loss: float
    calibrated_loss: float


@dataclass(frozen=True)
class Refit:
    """What `refit_head` made.

    Args:
        run: the new run.
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


def refit_head(
    folder: Path,
    run: Run,
    catalog: Catalog,
    *,
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
        workers: processes that prepare photos.
        accelerator: ``auto``, ``cpu`` or ``gpu``.
        report: called with (done, total) photos.

    Raises:
        UsageError: the folder is in use.
        RunError: no epoch was finished, or the new head is worse on the validation photos: by
            its loss, at each head's best temperature.
        SplitError: photos of a part are gone.
    """
    check_unused(folder)
    network = best_network(run)
    learned = labelled(catalog, run.split, "train", run.facts.classes)
    held = labelled(catalog, run.split, "val", run.facts.classes)
    every = LabelledPhotos([*learned.files, *held.files], [*learned.labels, *held.labels])
    logits_nc, embeddings_nd = outputs_of(
        network,
        every,
        run.recipe.preprocess,
        workers=workers,
        accelerator=accelerator,
        progress=report,
    )
    border = len(learned.files)
    head = fitted_head(
        network.head,
        embeddings_nd[:border],
        learned.labels,
        smoothing=run.recipe.label_smoothing,
        shares=shares_of(run),
    )
    with torch.no_grad():
        refit_nc = head(torch.from_numpy(embeddings_nd[border:])).numpy()
    before = score_head(logits_nc[border:], held.labels)
    after = score_head(refit_nc, held.labels)
    if after.calibrated_loss > before.calibrated_loss:
        raise RunError(
            f"the new head is worse on the validation photos (loss {after.calibrated_loss:.4f} "
            f"instead of {before.calibrated_loss:.4f}); use {run.folder} as it is"
        )
    network.head = head
    said = {"best": asdict(after), "epochs": [], "refit": {"before": asdict(before)}}
    with drafting(folder) as draft:
        twin = create_twin(run, draft, refit=str(run.folder.absolute()))
        write_state(twin.best, network.state_dict(), classes=run.facts.classes, epoch=0)
        write_text(draft / "metrics.json", json.dumps(said, indent=2) + "\n")
    return Refit(replace(twin, folder=folder), before, after, border, len(held.files))


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
    truth = np.array(labels, np.int64)
    right_n = logits_nc.argmax(axis=1) == truth
    balanced = np.mean([right_n[truth == number].mean() for number in np.unique(truth)])
    temperature = fit_temperature(logits_nc, truth)
    return HeadScore(
        val_accuracy=round(float(right_n.mean()), 6),
        val_balanced_accuracy=round(float(balanced), 6),
        val_loss=_loss(logits_nc, truth),
        calibrated_loss=_loss(logits_nc / np.float32(temperature), truth),
    )


def _loss(logits_nc: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    logits = torch.from_numpy(logits_nc).double()
    found: Tensor = nn.functional.cross_entropy(logits, torch.from_numpy(truth))
    return round(float(found), 6)
