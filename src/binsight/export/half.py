"""Weights in half the size: float16 in the file, float32 in every sum.

Storing is exact. The network's weights are rounded to numbers that float16 has before anything is
calibrated or compared, with each BatchNorm folded into the convolution before it, as the exporter
would fold it. The file then holds those numbers as float16, each tensor with a Cast to float32,
which ONNX Runtime computes once, when it loads the file. So the answers are those of float32
arithmetic, on every machine alike. What rounding does to the answers is measured here too.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from binsight.errors import ParityError
from binsight.model.network import Network, followed_by_norm

from .measured import LARGEST_FALL
from .network_part import LEAST

__all__ = ["Rounding", "check_rounding", "rounded"]

Floats = NDArray[np.float32]


class Rounding(NamedTuple):
    """What rounding the weights did to the answers on validation photos.

    Args:
        labels_changed: photos whose most probable class is another one now.
        accuracy_before: with the weights as they were trained, 0 to 1.
        accuracy_after: with the rounded ones.
    """

    labels_changed: int
    accuracy_before: float
    accuracy_after: float

    def metrics(self) -> dict[str, float]:
        """For the bundle's description, beside ``val_accuracy``."""
        return {
            "val_labels_changed_by_fp16": float(self.labels_changed),
            "val_accuracy_before_fp16": self.accuracy_before,
        }


def rounded(network: Network) -> Network:
    """A copy in eval mode without BatchNorm, what is stored so in numbers that float16 has.

    Args:
        network: in eval mode, on the CPU.

    Raises:
        ParityError: a weight is too large for float16.
    """
    folded = _folded(network)
    for name, parameter in folded.named_parameters():
        if name.startswith("head.") or parameter.dim() < 2 or parameter.numel() < LEAST:
            continue
        half = parameter.data.half()
        if not half.isfinite().all():
            raise ParityError(f"{name}: too large for float16; leave --fp16 out")
        parameter.data = half.float()
    return folded


def check_rounding(before_nc: Floats, after_nc: Floats, labels_n: NDArray[np.int64]) -> Rounding:
    """Compare what a network says with and without rounding.

    Args:
        before_nc: its logits (N, C) of the validation photos.
        after_nc: those of the rounded network.
        labels_n: true classes.

    Raises:
        ParityError: accuracy falls by more than `LARGEST_FALL`.
    """
    answers = before_nc.argmax(axis=1), after_nc.argmax(axis=1)
    changed = int((answers[0] != answers[1]).sum())
    right, still_right = (int((one == labels_n).sum()) for one in answers)
    photos = len(labels_n)
    if right - still_right > LARGEST_FALL["fp16"] * photos:
        raise ParityError(
            f"weights in float16 change {changed} of {photos} labels on validation photos: "
            f"{right} were right, {still_right} would be; no bundle was written; leave "
            "--fp16 out"
        )
    return Rounding(changed, right / photos, still_right / photos)


def _folded(network: Network) -> Network:
    """A copy whose BatchNorms are part of the convolutions before them."""
    folded = copy.deepcopy(network).eval()
    for before, after in followed_by_norm(folded):
        conv, norm = folded.get_submodule(before), folded.get_submodule(after)
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        folded.set_submodule(before, fuse_conv_bn_eval(conv, norm))
        folded.set_submodule(after, nn.Identity())
    return folded
