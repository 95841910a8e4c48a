"""The exponential moving average of weights, as `recipe.Recipe.ema_decay` asks for it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["moving_average"]


def moving_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    """How averages take in the weights of one more step, in place.

    After n steps the average keeps min(``decay``, (1 + n) / (10 + n)) of itself, as TensorFlow's
    ``ExponentialMovingAverage`` does with ``num_updates``. By ``decay`` alone, a training of few
    steps would keep most of its first weights, under a head that had learned nothing.
    """

    @torch.no_grad()
    def update(averages: list[Tensor], weights: list[Tensor], steps: Tensor) -> None:
        kept = min(decay, float((1 + steps) / (10 + steps)))
        for average, current in zip(averages, weights, strict=True):
            average.copy_(kept * average + (1 - kept) * current)

    return update
