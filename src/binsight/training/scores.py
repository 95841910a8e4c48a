"""The mean recall of the classes, as `binsight.evaluation` counts it."""

from __future__ import annotations

from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

__all__ = ["BalancedAccuracy", "balanced_accuracy"]


def balanced_accuracy(confusion_cc: Tensor) -> Tensor:
    """Mean share of right answers over the classes that have a photo.

    Torchmetrics' macro average counts a class without any as 0 once it is answered.

    Args:
        confusion_cc: photos by true (C) and answered class (C).
    """
    photos_c = confusion_cc.sum(dim=1)
    there = photos_c > 0
    mean: Tensor = (confusion_cc.diagonal()[there] / photos_c[there]).double().mean()
    return mean


class BalancedAccuracy(MulticlassConfusionMatrix):
    """`balanced_accuracy` of batches of logits (N, C) and class numbers (N,)."""

    def compute(self) -> Tensor:
        """Of all batches."""
        return balanced_accuracy(super().compute()).float()
