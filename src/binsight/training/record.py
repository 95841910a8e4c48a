"""What a run writes down after each epoch: metrics, curves, the weights of the best epoch."""

from __future__ import annotations

import json
import logging
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from binsight.data.tables import write_table
from binsight.files import write_text
from binsight.model.weights import CLASSES, read_state, write_state

from .checkpoints import interpolated
from .curves import draw_curves, rank
from .module import Classification
from .run import Run

__all__ = ["BestWeights", "ProbeWeights", "Record"]

log = logging.getLogger(__name__)

METRICS = ("train_loss", "val_loss", "val_accuracy", "val_balanced_accuracy")
COLUMNS = ("epoch", *METRICS, "learning_rate")


class ProbeWeights(Callback):
    """Keeps the network as it is when the warm-up ends: the first backbone under a trained head."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save before the first epoch in which the backbone learns."""
        assert isinstance(pl_module, Classification)
        if trainer.current_epoch == pl_module.recipe.warmup_epochs:
            write_state(
                self.run.probe,
                pl_module.network.state_dict(),
                classes=self.run.facts.classes,
                epoch=trainer.current_epoch,
            )


class BestWeights(Callback):
    """Keeps the network of the epoch with the best validation accuracy, among equals loss.

    What it keeps lies between the network after the warm-up and that of the epoch (WiSE-FT,
    "Robust fine-tuning of zero-shot models", Wortsman et al. 2022); the accuracy is the epoch's.

    It has to stand before a callback that averages weights: while that one has the averaged
    weights swapped in, this one saves what was validated.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.best = rank(-1.0, 0.0)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if this epoch is the best so far."""
        assert isinstance(pl_module, Classification)
        here = rank(float(pl_module.val_accuracy.compute()), float(pl_module.val_loss.compute()))
        if here <= self.best:
            return
        self.best = here
        state = pl_module.network.state_dict()
        share = self.run.recipe.interpolation
        if share < 1 and not pl_module.warming_up:
            state = interpolated(read_state(self.run.probe), state, share)
        write_state(
            self.run.best_epoch, state, classes=self.run.facts.classes, epoch=trainer.current_epoch
        )

    def state_dict(self) -> dict[str, Any]:
        """What `last.ckpt` keeps of this."""
        return {"best": list(self.best)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        accuracy, negative_loss = state_dict["best"]
        self.best = rank(accuracy, -negative_loss)


class Record(Callback):
    """Writes ``metrics.csv``, ``metrics.json`` and ``curves.png`` after each epoch.

    Args:
        run: that it is of.

    Attributes:
        begun: validation accuracy of the first weights; ``None`` if their head starts anew.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.begun: float | None = None
        self.rows: list[dict[str, float]] = []
        self.refit: dict[str, object] = {}

    @property
    def best(self) -> dict[str, float]:
        """The row of the best epoch."""
        return max(self.rows, key=lambda row: rank(row["val_accuracy"], row["val_loss"]))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add a row and write everything anew."""
        seen = trainer.callback_metrics
        row: dict[str, float] = {"epoch": trainer.current_epoch}
        row |= {name: round(float(seen[name]), 6) for name in METRICS}
        # Of the last stage: those before it learn more slowly, if at all; the head comes after it.
        row["learning_rate"] = trainer.optimizers[0].param_groups[-2]["lr"]
        self.rows.append(row)
        log.info(
            "epoch %d: loss %.4f, validation loss %.4f, validation accuracy %.4f (best %.4f)",
            row["epoch"],
            row["train_loss"],
            row["val_loss"],
            row["val_accuracy"],
            self.best["val_accuracy"],
        )
        self._write()

    def add_refit(self, said: dict[str, object]) -> None:
        """Write down what came of the head that was fitted after the last epoch."""
        self.refit = said
        self._write()

    def _write(self) -> None:
        rows = ([row[name] for name in COLUMNS] for row in self.rows)
        write_table(self.run.folder / "metrics.csv", COLUMNS, rows)
        everything = {"best": self.best, "epochs": self.rows}
        if self.begun is not None:
            everything["first_weights"] = {"val_accuracy": round(self.begun, 6)}
        if self.refit:
            everything["refit"] = self.refit
        write_text(self.run.folder / "metrics.json", json.dumps(everything, indent=2) + "\n")
        draw_curves(self.run.folder / "curves.png", self.rows)

    def on_save_checkpoint(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Say whose weights these are, for a run that takes them as its first."""
        checkpoint[CLASSES] = list(self.run.facts.classes)

    def state_dict(self) -> dict[str, Any]:
        """What `last.ckpt` keeps of this."""
        return {"rows": self.rows, "begun": self.begun}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`; rows of an epoch that was cut off are gone."""
        self.rows = list(state_dict["rows"])
        self.begun = state_dict.get("begun")
