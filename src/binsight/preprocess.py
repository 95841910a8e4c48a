"""From an upright RGB image to the tensor that a network takes, in one place for everybody.

Training's evaluation transform, the runtime and every exporter apply a `PreprocessSpec` through
`apply`; nothing else resizes, crops or normalises. Decoding is `images`' part.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from .images import DEFAULT_LIMITS, ImageLimits, ImageSource, decode

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Box",
    "PreprocessSpec",
    "apply",
    "load",
    "normalised",
    "shape_for_model",
    "square_in_photo",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

Channel3 = tuple[float, float, float]
Box = tuple[float, float, float, float]


class PreprocessSpec(BaseModel):
    """How an image becomes a tensor. Travels with the weights, in the bundle.

    Args:
        size: height and width of the tensor, in pixels.
        resize: ``"shorter"`` scales the shorter side to ``resize_to`` and crops the centre, as
            torchvision's ``Resize`` and ``CenterCrop`` do; ``"fit"`` scales the longer side to
            ``size`` and pads to a square. Both keep the aspect ratio.
        resize_to: length of the shorter side after scaling, in pixels; only for ``"shorter"``,
            at least ``size``.
        interpolation: Pillow's filter, with antialiasing.
        pad_value: grey level, 0 to 255, of the padding; only for ``"fit"``.
        mean: per channel (R, G, B), of values scaled to 0..1.
        std: per channel, of values scaled to 0..1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: Annotated[int, Field(ge=32, le=2048)] = 224
    resize: Literal["shorter", "fit"] = "shorter"
    resize_to: Annotated[int, Field(ge=32, le=4096)] = 224
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = "bilinear"
    pad_value: Annotated[int, Field(ge=0, le=255)] = 255
    mean: Channel3 = IMAGENET_MEAN
    std: Channel3 = IMAGENET_STD

    @model_validator(mode="after")
    def _sizes_agree(self) -> PreprocessSpec:
        if self.resize == "shorter" and self.resize_to < self.size:
            raise ValueError(f"resize_to {self.resize_to} is smaller than size {self.size}")
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        return self

    @property
    def min_side(self) -> int:
        """Shortest side, in pixels, that a decoder may reduce a JPEG to without loss here.

        Twice the final size, so that the antialiased resize has detail to average
        (Pillow's ``thumbnail`` uses the same gap).
        """
        return 2 * (self.resize_to if self.resize == "shorter" else self.size)


def load(
    source: ImageSource, spec: PreprocessSpec, *, limits: ImageLimits = DEFAULT_LIMITS
) -> NDArray[np.float32]:
    """Decode one photo and apply the spec: float32, (3, size, size).

    Raises:
        ImageError: the photo cannot be used (see `images.decode`).
    """
    return apply(decode(source, min_side=spec.min_side, limits=limits), spec)


def apply(image_rgb: Image.Image, spec: PreprocessSpec) -> NDArray[np.float32]:
    """Resize, crop or pad, and normalise an RGB image: float32, (3, size, size)."""
    return normalised(shape_for_model(image_rgb, spec), spec)


def normalised(square_rgb: Image.Image, spec: PreprocessSpec) -> NDArray[np.float32]:
    """What `shape_for_model` gave, as the network takes it: float32, (3, size, size)."""
    square_hwc_u8 = np.asarray(square_rgb, dtype=np.uint8)
    scale = 1.0 / (255.0 * np.asarray(spec.std, dtype=np.float64))
    shift = -np.asarray(spec.mean, dtype=np.float64) / np.asarray(spec.std, dtype=np.float64)
    chw = square_hwc_u8.transpose(2, 0, 1).astype(np.float32, order="C")
    chw *= scale.astype(np.float32)[:, None, None]
    chw += shift.astype(np.float32)[:, None, None]
    return chw


def shape_for_model(image_rgb: Image.Image, spec: PreprocessSpec) -> Image.Image:
    """The (size, size) RGB image that the network sees, before normalisation."""
    if spec.resize == "fit":
        return _fit(image_rgb, spec)
    return _shorter_side_and_crop(image_rgb, spec)


def _shorter_side_and_crop(image: Image.Image, spec: PreprocessSpec) -> Image.Image:
    # One resize of the box that the crop will keep is the same picture as resize and crop of a
    # whole panorama, without the memory that a 1 x 100,000 photo would need.
    return image.resize(
        (spec.size, spec.size),
        RESAMPLING[spec.interpolation],
        box=_kept_by_crop(image.size, spec),
    )


def _kept_by_crop(size: tuple[int, int], spec: PreprocessSpec) -> Box:
    width, height = size
    kept = min(size) * spec.size / spec.resize_to
    assert kept <= max(size)
    left, top = (width - kept) / 2, (height - kept) / 2
    return left, top, left + kept, top + kept


def _fit(image: Image.Image, spec: PreprocessSpec) -> Image.Image:
    fitted, corner = _place_in_square(image.size, spec)
    small = image.resize(fitted, RESAMPLING[spec.interpolation])
    square = Image.new("RGB", (spec.size, spec.size), (spec.pad_value,) * 3)
    square.paste(small, corner)
    return square


def _place_in_square(
    size: tuple[int, int], spec: PreprocessSpec
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Width and height of the scaled photo, and where its upper left corner lies."""
    scale = spec.size / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    return (width, height), ((spec.size - width) // 2, (spec.size - height) // 2)


def square_in_photo(size: tuple[int, int], spec: PreprocessSpec) -> Box:
    """Where the square that the network sees lies in the photo.

    Args:
        size: width and height of the upright photo, in pixels.
        spec: that the photo is prepared by.

    Returns:
        Left, top, right and bottom in pixels of the photo. Padding of ``"fit"`` lies outside of
        the photo: below 0, or beyond its width or height.
    """
    if spec.resize == "shorter":
        return _kept_by_crop(size, spec)
    fitted, corner = _place_in_square(size, spec)
    spans = []
    for side, scaled, offset in zip(size, fitted, corner, strict=True):
        pixels = side / scaled
        spans.append((-offset * pixels, (spec.size - offset) * pixels))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom
