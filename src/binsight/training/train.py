"""Train a network on a split: Lightning's loop with binsight's checkpoints and records."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from itertools import product
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging

from binsight.data.catalog import Catalog
from binsight.data.dataset import evaluation_loader, training_loader
from binsight.data.labelled import LabelledPhotos
from binsight.errors import MissingExtraError, RunError
from binsight.model.network import Network
from binsight.model.weights import classes_of, read_unaveraged_state

from .averaging import moving_average
from .first import first_network
from .keeping import Keeping
from .kept import Report
from .module import Classification
from .outputs import device_of, outputs_of
from .parts import labelled, shares_of, training_views
from .recipe import Recipe
from .record import BestWeights, ProbeWeights, Record
from .refit import refit_trained
from .run import Run

__all__ = ["resolved_precision", "train"]

log = logging.getLogger(__name__)

Options = ParamSpec("Options")
DEAD_WORKER = "DataLoader worker (pid"  # how PyTorch begins what it says of one


def _guarded(
    train: Callable[Concatenate[Run, Options], float],
) -> Callable[Concatenate[Run, Options], float]:
    """Train in one process at a time, and say in one line that a worker of it died."""

    @wraps(train)
    def guarded(run: Run, /, *args: Options.args, **options: Options.kwargs) -> float:
        try:
            with run.held():
                return train(run, *args, **options)
        except RuntimeError as error:
            if DEAD_WORKER not in str(error):
                raise
            raise RunError(
                f"{run.folder}: a process that prepares photos died, or was ended, as where memory "
                "runs out; go on with --resume, perhaps with --workers 1"
            ) from error

    return guarded


@_guarded
def train(
    run: Run,
    catalog: Catalog,
    *,
    resume: bool = False,
    workers: int = 2,
    progress: bool = True,
    tensorboard: bool = False,
    accelerator: str = "auto",
    cache: Path | None = None,
    report: Report | None = None,
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
        cache: folder for what frozen stages and teachers make of each view, to share between runs;
            ``None`` keeps it in the run.
        report: called with (done, total) photos while that is made.

    Raises:
        RunError: nothing to resume, or another process trains it, or one of its own died.
        UsageError: the recipe does not go with the network; see `first_network`.
        WeightsError: the first weights cannot be had.
        SplitError: no train or val part.
        KeyboardInterrupt: Ctrl-C; go on with ``resume``.
    """
    if resume and not run.last.is_file():
        raise RunError(f"{run.folder}: no whole epoch was finished; train anew with another --out")
    run.note_learned(catalog)
    if not resume:
        _warn_of_learned(run, catalog)
    record = Record(run)
    trainer = _trainer(run, record, progress, tensorboard, accelerator)
    network = _network(run, resume)
    keeping = Keeping(
        run,
        network,
        cache or run.folder / "kept",
        workers=workers,
        precision=resolved_precision(run.recipe, accelerator),
        accelerator=accelerator,
    )
    views, shown = training_views(run, catalog), labelled(run, catalog, "val")
    if not resume:
        record.begun = _accuracy_before(run, network, shown, workers, accelerator)
    stages, taught = keeping.prepare(views, shown, report)
    module = Classification(
        network,
        run.recipe,
        _counts(run, catalog),
        first_stage=run.recipe.frozen_stages if stages else 0,
        teacher_width=taught.width if taught else None,
        ask_teacher=taught.ask if taught else None,
    )
    training = training_loader(
        views,
        batch=run.recipe.batch,
        workers=workers,
        shares=shares_of(run),
        first_epoch=_next_epoch(run) if resume else 0,
        stages=stages.training if stages else None,
        teacher=taught.kept if taught else None,
        named=bool(taught and taught.ask),
    )
    validation = evaluation_loader(
        shown,
        run.recipe.preprocess,
        batch=2 * run.recipe.batch,
        workers=workers,
        stages=stages.evaluation if stages else None,
    )
    try:
        trainer.fit(
            module,
            training,
            validation,
            ckpt_path=run.last if resume else None,
            weights_only=True,
        )
    except SystemExit:  # Lightning's answer to Ctrl-C, with a status that says nothing
        if not trainer.interrupted:
            raise
    except RuntimeError:  # a worker that got the same signal, as where a service is stopped
        if not trainer.received_sigterm:
            raise
        raise KeyboardInterrupt from None
    if trainer.interrupted:
        raise KeyboardInterrupt
    if record.begun is not None and record.best["val_accuracy"] < record.begun:
        log.warning("no epoch is right of as many validation photos as the first weights were")
    if not run.recipe.refit:
        return record.best["val_accuracy"]
    made = refit_trained(run, catalog, workers=workers, accelerator=accelerator, report=report)
    log.info(
        "head fitted once more, on %d whole photos: calibrated validation loss %.4f instead of "
        "%.4f, validation accuracy %.4f instead of %.4f%s",
        made.learned,
        made.after.calibrated_loss,
        made.before.calibrated_loss,
        made.after.val_accuracy,
        made.before.val_accuracy,
        "; not kept" if made.worse else "",
    )
    record.add_refit(made.said)
    return (made.before if made.worse else made.after).val_accuracy


def _warn_of_learned(run: Run, catalog: Catalog) -> None:
    """Say if first weights or teachers have learned photos that this run is judged on."""
    part_of = run.split.part_of
    learned_by = {
        "the weights to begin with have": run.learned_before(catalog),
        "teachers have": run.learned_by_teachers(),
    }
    for part, (who, learned) in product(("val", "test"), learned_by.items()):
        shown = [one for one in catalog.photos if part_of[one.path] == part]
        known = sum(one.sha256 in learned for one in shown)
        if known:
            log.warning(
                "%s learned from %d of the %d photos of part %s; what is said of them flatters "
                "(binsight data split --learned-by MODEL keeps such photos in train)",
                who,
                known,
                len(shown),
                part,
            )


def _accuracy_before(
    run: Run, network: Network, shown: LabelledPhotos, workers: int, accelerator: str
) -> float | None:
    """Of first weights whose head goes on, on validation photos; ``None`` if it starts anew."""
    if classes_of(run.facts.weights) != run.facts.classes:
        return None
    was_training = network.training
    with torch.random.fork_rng(devices=()):  # a loader draws, and what follows is to be the same
        logits_nc, _ = outputs_of(
            network.eval(), shown, run.recipe.preprocess, workers=workers, accelerator=accelerator
        )
    network.train(was_training)
    accuracy = float((logits_nc.argmax(axis=1) == np.array(shown.labels)).mean())
    log.info("first weights: validation accuracy %.4f", accuracy)
    return accuracy


def resolved_precision(recipe: Recipe, accelerator: str) -> str:
    """The precision that ``auto`` stands for on this machine."""
    if recipe.precision != "auto":
        return recipe.precision
    return "16-mixed" if device_of(accelerator) == "cuda" else "32-true"


def _network(run: Run, resume: bool) -> Network:
    pl.seed_everything(run.recipe.seed, verbose=False)
    if not resume:
        return first_network(run.recipe, run.facts.weights, run.facts.classes)
    # A resumed run takes everything from its checkpoint, frozen stages before any other: the first
    # weights may be gone. An average of equal numbers differs from them in the last digits, and
    # what was kept of frozen stages is known by every digit.
    network = first_network(run.recipe, str(run.last), run.facts.classes)
    network.load_state_dict(read_unaveraged_state(run.last))
    return network


def _counts(run: Run, catalog: Catalog) -> list[float]:
    """Photos of each class that an epoch draws."""
    labels = labelled(run, catalog, "train").labels
    counts = [0.0] * len(run.facts.classes)
    for label, share in zip(labels, shares_of(run), strict=True):
        counts[label] += share
    return counts


def _next_epoch(run: Run) -> int:
    """Lightning makes the first batches of a resumed run before it tells the sampler the epoch."""
    saved = torch.load(run.last, map_location="cpu", weights_only=True, mmap=True)
    return int(saved["epoch"]) + 1


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
    decay = run.recipe.ema_decay
    ema = [WeightAveraging(multi_avg_fn=moving_average(decay))] if decay else []
    last = ModelCheckpoint(
        run.last.parent,
        filename=run.last.stem,
        monitor=None,
        save_top_k=1,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    probe = [ProbeWeights(run)] if run.recipe.interpolation < 1 else []
    best = BestWeights(run)
    # Lightning runs checkpoints last, so that one is never ahead of the records.
    return [*probe, best, *ema, record, last]


def _tensorboard(folder: Path) -> Any:
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("tensorboard", "tensorboard") from error
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="tensorboard", version="")
