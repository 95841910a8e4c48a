"""Random changes to a training photo, from torchvision's transforms.

The caller decides which random numbers are drawn (`data.dataset` seeds them per photo and epoch).
"""

from __future__ import annotations

import io

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from binsight.preprocess import IMAGENET_MEAN, IMAGENET_STD

from .recipe import Augmentation
from .scenes import Scene

__all__ = ["augmenter", "batch_mixer"]


def augmenter(how: Augmentation, size: int) -> v2.Transform:
    """A transform from an RGB image to a normalised (3, size, size) float tensor."""
    steps: list[v2.Transform] = [
        _crop(how, size),
        v2.RandomHorizontalFlip(how.horizontal_flip),
        v2.RandomVerticalFlip(how.vertical_flip),
        v2.RandomApply([_QuarterTurn()], how.quarter_turn),
    ]
    if how.rotation_degrees:
        steps.append(v2.RandomRotation(how.rotation_degrees, v2.InterpolationMode.BILINEAR))
    steps.append(v2.ColorJitter(how.brightness, how.contrast, how.saturation, how.hue))
    steps.append(v2.RandomGrayscale(how.grayscale))
    steps.append(v2.RandomApply([v2.GaussianBlur(5, (0.3, 2.0))], how.blur))
    steps.append(v2.RandomApply([_Jpeg()], how.jpeg))
    steps += [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    steps.append(v2.Normalize(list(IMAGENET_MEAN), list(IMAGENET_STD)))
    steps.append(v2.RandomErasing(how.erasing))
    return v2.Compose(steps)


def _crop(how: Augmentation, size: int) -> v2.Transform:
    if how.background or how.zoom_out:
        return Scene(size, how.min_scale, how.background, how.zoom_out)
    if how.min_scale < 1:
        return v2.RandomResizedCrop(size, scale=(how.min_scale, 1.0), antialias=True)
    return v2.Compose([v2.Resize(size, antialias=True), v2.CenterCrop(size)])


class _QuarterTurn(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """A turn by 90, 180 or 270 degrees, without resampling."""

    def transform(self, inpt: Image.Image, params: dict[str, object]) -> Image.Image:
        turns = (
            Image.Transpose.ROTATE_90,
            Image.Transpose.ROTATE_180,
            Image.Transpose.ROTATE_270,
        )
        return inpt.transpose(turns[int(torch.randint(3, ()))])


class _Jpeg(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """JPEG compression at a random quality of 30 to 90."""

    def transform(self, inpt: Image.Image, params: dict[str, object]) -> Image.Image:
        buffer = io.BytesIO()
        inpt.save(buffer, "jpeg", quality=int(torch.randint(30, 91, ())))
        with Image.open(buffer) as image:
            return image.convert("RGB")


def batch_mixer(how: Augmentation, classes: int) -> v2.Transform | None:
    """MixUp or CutMix of a whole batch with probability ``mix``; ``None`` if that is 0.

    It takes images (N, 3, H, W) and class numbers (N,), and gives mixed images and class
    probabilities (N, classes), or both unchanged.
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
