"""Random changes to a training photo, from torchvision's transforms, `scenes` and `camera`.

The caller decides which random numbers are drawn (`data.dataset` seeds them per photo and epoch).
"""

from __future__ import annotations

import math

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from binsight.preprocess import IMAGENET_MEAN, IMAGENET_STD

from .camera import Jpeg, Light, Motion, Noise, Pixelate
from .recipe import Augmentation
from .scenes import Scene

__all__ = ["augmenter", "batch_mixer"]

DISTORTION = 0.3
MEAN_COLOUR = [round(255 * mean) for mean in IMAGENET_MEAN]


def augmenter(how: Augmentation, size: int) -> v2.Transform:
    """A transform from an RGB image to a normalised (3, size, size) float tensor."""
    steps: list[v2.Transform] = [
        _crop(how, size),
        v2.RandomHorizontalFlip(how.horizontal_flip),
        v2.RandomVerticalFlip(how.vertical_flip),
        v2.RandomApply([_QuarterTurn()], how.quarter_turn),
        *_turn(how.rotation_degrees, size),
        *_optional(_perspective(size), how.perspective),
        *_optional(Light(), how.light),
        v2.ColorJitter(how.brightness, how.contrast, how.saturation, how.hue),
        v2.RandomGrayscale(how.grayscale),
        *_optional(v2.TrivialAugmentWide(fill=MEAN_COLOUR), how.trivial),
        *_optional(Pixelate(), how.pixelate),
        *_optional(Motion(), how.motion),
        v2.RandomApply([v2.GaussianBlur(5, (0.3, 2.0))], how.blur),
        *_optional(Noise(), how.noise),
        v2.RandomApply([Jpeg(how.jpeg_lowest)], how.jpeg),
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(list(IMAGENET_MEAN), list(IMAGENET_STD)),
        v2.RandomErasing(how.erasing),
    ]
    return v2.Compose(steps)


def _optional(transform: v2.Transform, probability: float) -> list[v2.Transform]:
    """No step at all at 0: it would draw a number, and older recipes would see other photos."""
    return [v2.RandomApply([transform], probability)] if probability else []


def _crop(how: Augmentation, size: int) -> v2.Transform:
    if how.background or how.zoom_out:
        return Scene(size, how.min_scale, how.background, how.zoom_out)
    if how.min_scale < 1:
        return v2.RandomResizedCrop(size, scale=(how.min_scale, 1.0), antialias=True)
    return v2.Compose([v2.Resize(size, antialias=True), v2.CenterCrop(size)])


def _turn(degrees: float, size: int) -> list[v2.Transform]:
    if not degrees:
        return []
    steepest = math.radians(min(degrees, 45))
    margin = math.ceil((math.cos(steepest) + math.sin(steepest) - 1) / 2 * size)
    return _mirrored(v2.RandomRotation(degrees, v2.InterpolationMode.BILINEAR), margin, size)


def _perspective(size: int) -> v2.Transform:
    # Corners move inwards by at most half of DISTORTION, of a side that has both margins.
    margin = math.ceil(DISTORTION / (1 - DISTORTION) / 2 * size)
    return v2.Compose(_mirrored(v2.RandomPerspective(DISTORTION, p=1), margin, size))


def _mirrored(transform: v2.Transform, margin: int, size: int) -> list[v2.Transform]:
    """A transform that would leave black corners, of a photo that goes on beyond its edge."""
    return [v2.Pad(margin, padding_mode="symmetric"), transform, v2.CenterCrop(size)]


class _QuarterTurn(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """A turn by 90, 180 or 270 degrees, without resampling."""

    def transform(self, inpt: Image.Image, params: dict[str, object]) -> Image.Image:
        turns = (
            Image.Transpose.ROTATE_90,
            Image.Transpose.ROTATE_180,
            Image.Transpose.ROTATE_270,
        )
        return inpt.transpose(turns[int(torch.randint(3, ()))])


def batch_mixer(how: Augmentation, classes: int | None) -> v2.Transform | None:
    """MixUp or CutMix of a whole batch with probability ``mix``; ``None`` if that is 0.

    It takes images (N, 3, H, W) and class numbers (N,), and gives mixed images and class
    probabilities (N, classes), or both unchanged. Without a number of classes it takes and gives
    rows of numbers that may be mixed, (N, ...), instead.
    """
    if not how.mix:
        return None
    kinds = [v2.MixUp(alpha=how.mixup_alpha, num_classes=classes), v2.CutMix(num_classes=classes)]
    return _Sometimes(v2.RandomChoice(kinds), how.mix)


class _Sometimes(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Apply a transform with a probability; unlike ``RandomApply`` it may take several inputs."""

    def __init__(self, transform: v2.Transform, probability: float) -> None:
        super().__init__()
        self.inner = transform
        self.probability = probability

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if float(torch.rand(())) >= self.probability:
            return images, labels
        mixed: tuple[Tensor, Tensor] = self.inner(images, labels)
        return mixed
