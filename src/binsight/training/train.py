"""Train a network on a split: Lightning's loop with binsight's checkpoints and records."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint

from binsight.data.catalog import Catalog
from binsight.data.dataset import LabelledPhotos, evaluation_loader, training_loader
from binsight.data.split import Split
from binsight.errors import MissingExtraError, RunError, SplitError
from binsight.model.network import Network
from binsight.model.weights import build_with_weights

from .augmentation import augmenter
from .module import Classification
from .recipe import Recipe
from .record import BestWeights, Record
from .run import Run

__all__ = ["labelled", "resolved_precision", "train"]

log = logging.getLogger(__name__)


def train(
    run: Run,
    catalog: Catalog,
    *,
    resume: bool = False,
    workers: int = 2,
    progress: bool = True,
    tensorboard: bool = False,
    accelerator: str = "auto",
) -> float:
    """Train, or go on after the last whole epoch, and return the best validation accuracy.

    Args:
        run: a folder made by `create_run`.
        catalog: its photos.
        resume: go on from ``last.ckpt``.
        workers: processes that prepare photos.
        progress: show a bar.
        tensorboard: also write TensorBoard logs.
        accelerator: Lightning's name: ``auto``, ``cpu``, ``gpu``.

    Raises:
        TrainingError: nothing to resume, weights missing.
        SplitError: no train or val part.
        KeyboardInterrupt: Ctrl-C; go on with ``resume``.
    """
    if resume and not run.last.is_file():
        raise RunError(f"{run.folder}: no whole epoch was finished; train anew with another --out")
    record = Record(run)
    trainer = _trainer(run, record, progress, tensorboard, accelerator)
    module = Classification(_network(run, resume), run.recipe, _counts(run, catalog))
    try:
        trainer.fit(
            module,
            _training_photos(run, catalog, workers, _next_epoch(run) if resume else 0),
            _validation_photos(run, catalog, workers),
            ckpt_path=run.last if resume else None,
            weights_only=True,
        )
    except SystemExit:  # Lightning's answer to Ctrl-C, with a status that says nothing
        if not trainer.interrupted:
            raise
    if trainer.interrupted:
        raise KeyboardInterrupt
    return record.best["val_accuracy"]


def labelled(catalog: Catalog, split: Split, part: str, classes: tuple[str, ...]) -> LabelledPhotos:
    """Files and class numbers of one part.

    Raises:
        SplitError: no such part, or one with a class that is not among ``classes``.
    """
    paths = split.paths(part)
    strange = sorted({split.label_of[path] for path in paths} - set(classes))
    if strange:
        raise SplitError(f"part {part!r} has photos of {strange[0]!r}, which the model lacks")
    number = {name: index for index, name in enumerate(classes)}
    return LabelledPhotos(
        [catalog.root / path for path in paths], [number[split.label_of[path]] for path in paths]
    )


def resolved_precision(recipe: Recipe, accelerator: str) -> str:
    """The precision that ``auto`` stands for on this machine."""
    if recipe.precision != "auto":
        return recipe.precision
    on_cuda = accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available()
    return "16-mixed" if on_cuda else "32-true"


def _network(run: Run, resume: bool) -> Network:
    pl.seed_everything(run.recipe.seed, verbose=False)
    # A resumed run takes everything from its checkpoint; the first weights may be gone.
    weights = "none" if resume else run.facts.weights
    return build_with_weights(
        run.recipe.architecture,
        weights,
        classes=len(run.facts.classes),
        dropout=run.recipe.dropout,
    )


def _shares(run: Run) -> list[float]:
    return [run.facts.share_of(path) for path in run.split.paths("train")]


def _counts(run: Run, catalog: Catalog) -> list[float]:
    """Photos of each class that an epoch draws."""
    labels = labelled(catalog, run.split, "train", run.facts.classes).labels
    counts = [0.0] * len(run.facts.classes)
    for label, share in zip(labels, _shares(run), strict=True):
        counts[label] += share
    empty = [name for name, count in zip(run.facts.classes, counts, strict=True) if not count]
    if empty:
        raise SplitError(f"no training photo of {', '.join(empty)}")
    return counts


def _next_epoch(run: Run) -> int:
    """Lightning makes the first batches of a resumed run before it tells the sampler the epoch."""
    saved = torch.load(run.last, map_location="cpu", weights_only=True, mmap=True)
    return int(saved["epoch"]) + 1


def _training_photos(run: Run, catalog: Catalog, workers: int, first_epoch: int) -> Any:
    return training_loader(
        labelled(catalog, run.split, "train", run.facts.classes),
        augmenter(run.recipe.augmentation, run.recipe.size),
        batch=run.recipe.batch,
        size=run.recipe.size,
        seed=run.recipe.seed,
        workers=workers,
        shares=_shares(run),
        first_epoch=first_epoch,
    )


def _validation_photos(run: Run, catalog: Catalog, workers: int) -> Any:
    photos = labelled(catalog, run.split, "val", run.facts.classes)
    return evaluation_loader(
        photos, run.recipe.preprocess, batch=2 * run.recipe.batch, workers=workers
    )


def _trainer(
    run: Run, record: Record, progress: bool, tensorboard: bool, accelerator: str
) -> pl.Trainer:
    recipe = run.recipe
    precision = resolved_precision(recipe, accelerator)
    log.info("precision %s, batch %d, %d epochs", precision, recipe.batch, recipe.epochs)
    return pl.Trainer(
        accelerator=accelerator,
        devices=1,
        precision=precision,  # type: ignore[arg-type]  # the recipe allows only Lightning's names
        max_epochs=recipe.epochs,
        gradient_clip_val=recipe.gradient_clip or None,
        callbacks=_callbacks(run, record),
        logger=_tensorboard(run.folder) if tensorboard else False,
        enable_progress_bar=progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        default_root_dir=run.folder,
    )


def _callbacks(run: Run, record: Record) -> list[Callback]:
    ema = [EMAWeightAveraging(decay=run.recipe.ema_decay)] if run.recipe.ema_decay else []
    last = ModelCheckpoint(
        run.last.parent,
        filename=run.last.stem,
        monitor=None,
        save_top_k=1,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    # Lightning runs checkpoints last, so that one is never ahead of the records.
    return [BestWeights(run.best), *ema, record, last]


def _tensorboard(folder: Path) -> Any:
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("tensorboard", "tensorboard") from error
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="tensorboard", version="")
