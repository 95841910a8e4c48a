"""A student learns from teachers that are shown the same random crops.

"Knowledge distillation: a good teacher is patient and consistent", Beyer et al. 2022.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from binsight.model.network import Outputs

from .recipe import Distillation

__all__ = ["Distilling"]

LEAST = 1e-6  # probability, so that its logarithm is finite after rounding to float16


class Distilling(nn.Module):
    """The loss of a student.

    Args:
        how: weights and temperature.
        classes: C.
        student_width: length of the student's embeddings.
        teacher_width: D, length of the teacher's.
    """

    def __init__(
        self, how: Distillation, classes: int, student_width: int, teacher_width: int
    ) -> None:
        super().__init__()
        self.how = how
        self.classes = classes
        self.map = nn.Linear(student_width, teacher_width) if how.embedding else None

    def join(self, labels_n: Tensor, taught: Tensor) -> Tensor:
        """Labels (N,) and a teacher's answers (N, C + D) as one matrix, to be mixed together."""
        one_hot = functional.one_hot(labels_n, self.classes)
        return torch.cat([one_hot.to(taught), taught], dim=1)

    def forward(
        self, outputs: Outputs, joined: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """The loss of a batch.

        Args:
            outputs: the student's.
            joined: what `join` made.
            loss: of logits (N, C) and label probabilities (N, C).
        """
        labels, probs, embedding = joined.tensor_split([self.classes, 2 * self.classes], dim=1)
        logits = outputs.logits_nc.float()
        total = (1 - self.how.weight) * loss(logits, labels)
        total = total + self.how.weight * self._apart(logits, probs)
        if self.map is not None:
            guessed = self.map(outputs.embedding_nd.float())
            total = total + self.how.embedding * (guessed - embedding).square().sum(dim=1).mean()
        return total

    def _apart(self, logits: Tensor, probs: Tensor) -> Tensor:
        """Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2."""
        warmth = self.how.temperature
        wanted = (probs.clamp(min=LEAST).log() / warmth).log_softmax(dim=1)
        guessed = (logits / warmth).log_softmax(dim=1)
        apart = functional.kl_div(guessed, wanted, reduction="batchmean", log_target=True)
        return apart * warmth**2
