"""The Lightning module: loss, optimizer, schedule, and the head-only warm-up.

It knows a recipe and a network. Files and folders are `run`'s business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from binsight.data.dataset import mixed_seed
from binsight.errors import TrainingError
from binsight.model.network import Network, Outputs

from .augmentation import batch_mixer
from .distillation import Distilling
from .recipe import Recipe
from .scores import BalancedAccuracy

__all__ = ["Classification", "class_weights"]

Batch = tuple[Any, ...]  # tensors, and photos' digests


def class_weights(counts: Sequence[float], kind: str) -> Tensor:
    """Weights of the loss, (classes,), with a mean over photos of 1.

    Args:
        counts: training photos of each class, in an epoch.
        kind: ``balanced`` (inverse to the count, as scikit-learn's ``compute_class_weight``),
            ``sqrt`` (inverse to its root) or ``none``.
    """
    power = {"balanced": 1.0, "sqrt": 0.5, "none": 0.0}[kind]
    found = torch.tensor(counts, dtype=torch.float64)
    weights = found.pow(-power)
    return (weights * found.sum() / (weights * found).sum()).float()


class Classification(pl.LightningModule):
    """Fine-tunes a `Network` by a `Recipe`.

    Args:
        network: with as many outputs as there are classes.
        recipe: how to train it.
        counts: training photos of each class, for the weights of the loss.
        first_stage: of the backbone, that batches are for: 0 for images, or else what the stages
            before it made of them.
        teacher_width: length D of teachers' embeddings, 0 if they give none; ``None`` without
            teachers.
        ask_teacher: images (N, 3, H, W) and the SHA-256 of their photos to answers (N, C + D);
            ``None`` where batches hold the answers.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        counts: Sequence[float],
        *,
        first_stage: int = 0,
        teacher_width: int | None = None,
        ask_teacher: Callable[[Tensor, Sequence[str]], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.recipe = recipe
        self.first_stage = first_stage
        self.distilling = (
            None
            if teacher_width is None
            else Distilling(
                recipe.distillation, len(counts), network.head.in_features, teacher_width
            )
        )
        self.ask_teacher = ask_teacher
        self.mix = batch_mixer(recipe.augmentation, None if self.distilling else len(counts))
        self.loss = nn.CrossEntropyLoss(
            class_weights(counts, recipe.class_weights), label_smoothing=recipe.label_smoothing
        )
        self.plain_loss = nn.CrossEntropyLoss()
        self.val_loss = MeanMetric(nan_strategy="disable")
        self.val_accuracy = MulticlassAccuracy(len(counts), average="micro")
        self.val_balanced_accuracy = BalancedAccuracy(len(counts))
        self.plateau: ReduceLROnPlateau | None = None
        self._plateau_state: dict[str, Any] | None = None

    @property
    def warming_up(self) -> bool:
        """Whether only the head learns in this epoch."""
        return self.current_epoch < self.recipe.warmup_epochs

    def forward(self, images_nchw: Tensor) -> Outputs:
        """Normalised images (N, 3, H, W), or what frozen stages made of them, to `Outputs`."""
        images_nchw = images_nchw.to(memory_format=torch.channels_last)
        outputs: Outputs = self.network(images_nchw, self.first_stage)
        return outputs

    def on_train_epoch_start(self) -> None:
        """Freeze or thaw the backbone."""
        self.network.freeze_backbone(self.warming_up, stages=self.recipe.frozen_stages)
        if self.recipe.frozen_batchnorm:
            self.network.freeze_statistics()
        if self.recipe.schedule == "plateau" and self.current_epoch <= self.recipe.warmup_epochs:
            self._set_rates()

    def _set_rates(self) -> None:
        recipe = self.recipe
        head = recipe.warmup_learning_rate if self.warming_up else recipe.head_learning_rate
        *backbone, head_group = self._optimizer().param_groups
        head_group["lr"] = head
        for group, rate in zip(backbone, self._backbone_rates(), strict=True):
            group["lr"] = rate

    def _backbone(self) -> list[list[nn.Parameter]]:
        """Parameters by learning rate: one group, unless stages learn at rates of their own."""
        if self.recipe.layer_decay == 1:
            return [self.network.backbone_parameters()]
        return self.network.stages()

    def _backbone_rates(self) -> list[float]:
        """Of each group, the last of which learns fastest."""
        groups = len(self._backbone())
        rate, decay = self.recipe.learning_rate, self.recipe.layer_decay
        return [rate * decay ** (groups - 1 - group) for group in range(groups)]

    def _optimizer(self) -> Optimizer:
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        return optimizer

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout and mixing by the step, so that a resumed run draws the same numbers."""
        torch.manual_seed(mixed_seed(self.recipe.seed, self.current_epoch, batch_idx))

    def training_step(self, batch: Batch) -> Tensor:
        """Loss of one batch: images (N, 3, H, W), class numbers (N,), and if there is a teacher,
        its answers (N, C + D) or the photos' SHA-256, to ask it by.
        """
        images, labels, *taught = batch
        assert bool(taught) == (self.distilling is not None)
        if self.distilling:
            answers = taught[0]
            if self.ask_teacher:
                answers = self.ask_teacher(images, answers).to(images.device)
            labels = self.distilling.join(labels, answers)
        if self.mix is not None:
            images, labels = self.mix(images, labels)
        outputs = self(images)
        loss: Tensor = (
            self.distilling(outputs, labels, self.loss)
            if self.distilling
            else self.loss(outputs.logits_nc, labels)
        )
        size = len(images)  # which Lightning cannot tell from digests
        self.log("train_loss", loss, on_epoch=True, on_step=False, prog_bar=True, batch_size=size)
        return loss

    def validation_step(self, batch: Batch) -> None:
        """Count right answers; the loss is without weights and smoothing."""
        images, labels = batch
        logits = self(images).logits_nc.float()
        self.val_accuracy(logits, labels)
        self.val_balanced_accuracy(logits, labels)
        loss = self.plain_loss(logits, labels)
        if not loss.isfinite():
            raise TrainingError(
                f"the training diverged in epoch {self.current_epoch}: its loss is {float(loss)}; "
                "begin anew with a lower learning_rate"
            )
        self.val_loss(loss, len(labels))
        self.log("val_loss", self.val_loss, prog_bar=True)
        self.log("val_accuracy", self.val_accuracy, prog_bar=True)
        self.log("val_balanced_accuracy", self.val_balanced_accuracy)

    def on_validation_epoch_end(self) -> None:
        """Step the plateau schedule, before the epoch's checkpoint is written.

        Lightning steps such schedules after it, and a resumed run would lose that step.
        """
        if self.plateau is not None and not self.trainer.sanity_checking and not self.warming_up:
            self.plateau.step(float(self.val_accuracy.compute()))

    def configure_optimizers(self) -> Any:
        """AdamW on one or more groups of the backbone, and one for the head."""
        groups: list[dict[str, Any]] = [
            {"params": parameters, "lr": rate}
            for parameters, rate in zip(self._backbone(), self._backbone_rates(), strict=True)
        ]
        heads = [*self.network.head.parameters()]
        heads += self.distilling.parameters() if self.distilling else []
        groups.append({"params": heads, "lr": self.recipe.head_learning_rate})
        optimizer = AdamW(groups, weight_decay=self.recipe.weight_decay)
        if self.recipe.schedule == "plateau":
            self.plateau = self._plateau(optimizer)
            return optimizer
        backbone = [self._cosine(head=False)] * (len(groups) - 1)
        schedule = LambdaLR(optimizer, [*backbone, self._cosine(head=True)])
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _plateau(self, optimizer: Optimizer) -> ReduceLROnPlateau:
        plateau = ReduceLROnPlateau(
            optimizer,
            mode="max",
            factor=self.recipe.plateau_factor,
            patience=self.recipe.plateau_patience,
        )
        if self._plateau_state is not None:
            plateau.load_state_dict(self._plateau_state)
        return plateau

    def _cosine(self, *, head: bool) -> Callable[[int], float]:
        """Factor on a group's rate at each step: a short rise, then half a cosine to zero."""
        recipe = self.recipe
        total = int(self.trainer.estimated_stepping_batches)
        warm = total * recipe.warmup_epochs // recipe.epochs
        rise = max(1, (total - warm) // 20)
        warm_factor = recipe.warmup_learning_rate / recipe.head_learning_rate if head else 0.0

        def factor(step: int) -> float:
            if step < warm:
                return warm_factor
            if step - warm < rise:
                return (step - warm + 1) / rise
            share = (step - warm - rise) / max(1, total - warm - rise)
            return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))

        return factor

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to go on."""
        if self.plateau is not None:
            checkpoint["plateau"] = self.plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back what `on_save_checkpoint` added; the optimizer may not exist yet."""
        self._plateau_state = checkpoint.get("plateau")
        if self.plateau is not None and self._plateau_state is not None:
            self.plateau.load_state_dict(self._plateau_state)
