"""What other lamps and other cameras do to a photo: light, motion, noise, few pixels, JPEG."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image, ImageChops
from torchvision.transforms import v2

__all__ = ["Jpeg", "Light", "Motion", "Noise", "Pixelate"]


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


class Light(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Another lamp: its colour, exposure and contrast; half of the time it does not reach all."""

    def transform(self, inpt: Image.Image, params: dict[str, object]) -> Image.Image:
        lit = inpt.point(_response())
        if float(torch.rand(())) < 0.5:
            shade = _shade().resize(lit.size, Image.Resampling.BILINEAR)
            lit = ImageChops.multiply(lit, Image.merge("RGB", [shade] * 3))
        return lit


def _response() -> list[int]:
    """A table for the levels of red, green and blue, one after the other."""
    warm, tint = _uniform(-0.25, 0.25), _uniform(-0.08, 0.08)
    exposure, gamma = _uniform(-0.5, 0.2), math.exp(_uniform(-0.35, 0.35))
    levels = (np.arange(256) / 255) ** gamma
    gains = np.exp(np.array([warm, tint, -warm]) + exposure)[:, None]
    return [round(level) for level in (255 * gains * levels).clip(0, 255).flat]


def _shade() -> Image.Image:
    """A small image (L) of how much light reaches where: a slope, a lamp, or a shadow's edge."""
    side = 32
    angle, shift = _uniform(0, 2 * math.pi), _uniform(-0.6, 0.6)
    across = np.linspace(-1, 1, side)
    along_hw = math.cos(angle) * across + math.sin(angle) * across[:, None]
    kind = int(torch.randint(3, ()))
    if kind == 0:
        lit_hw = (along_hw + 1.4) / 2.8
    elif kind == 1:
        lit_hw = np.exp(-((across - math.cos(angle)) ** 2) - (across[:, None] - shift) ** 2)
    else:
        lit_hw = (along_hw - shift) / _uniform(0.05, 0.6) + 0.5
    darkest = _uniform(0.3, 0.8)
    return Image.fromarray((255 * (darkest + (1 - darkest) * lit_hw.clip(0, 1))).astype(np.uint8))


class Motion(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """The camera moved along a line, by up to 7 % of the photo's side."""

    def transform(self, inpt: Image.Image, params: dict[str, object]) -> Image.Image:
        half, angle = _uniform(0.008, 0.035) * max(inpt.size), _uniform(0, math.pi)
        reach = math.ceil(half)
        steps = np.linspace(-half, half, 2 * reach + 1)
        padded_hwc = np.pad(np.asarray(inpt), ((reach, reach), (reach, reach), (0, 0)), mode="edge")
        total_hwc = np.zeros((inpt.height, inpt.width, 3), np.uint16)
        for step in steps:
            down, across = (
                reach + round(step * math.sin(angle)),
                reach + round(step * math.cos(angle)),
            )
            total_hwc += padded_hwc[down : down + inpt.height, across : across + inpt.width]
        return Image.fromarray((total_hwc // len(steps)).astype(np.uint8))


class Noise(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """A sensor with little light: grains of colour, and more of brightness."""

    def transform(self, inpt: Image.Image, params: dict[str, object]) -> Image.Image:
        strength, grain = _uniform(3, 18), _uniform(1, 2.5)
        size = (round(inpt.width / grain), round(inpt.height / grain))
        noise_3hw = torch.randn(3, size[1], size[0])
        noise_3hw += 1.5 * noise_3hw[:1].clone()  # brightness is noisier than colour
        noise_hwc = (128 + noise_3hw.permute(1, 2, 0) * 20).clamp(0, 255).byte().numpy()
        noise = Image.fromarray(noise_hwc).resize(inpt.size, Image.Resampling.BILINEAR)
        photo_hwc = np.asarray(inpt, np.float32)
        spread_hwc = np.asarray(noise, np.float32) - 128
        spread_hwc *= (0.4 + 0.6 * np.sqrt(photo_hwc / 255)) * (strength / 40)
        return Image.fromarray((photo_hwc + spread_hwc).clip(0, 255).astype(np.uint8))


class Pixelate(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """A camera with few pixels: made smaller, and larger again."""

    def transform(self, inpt: Image.Image, params: dict[str, object]) -> Image.Image:
        share = _uniform(0.25, 0.75)
        size = (max(1, round(share * inpt.width)), max(1, round(share * inpt.height)))
        ways = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
        smaller = inpt.resize(size, Image.Resampling.BILINEAR)
        return smaller.resize(inpt.size, ways[int(torch.randint(3, ()))])


class Jpeg(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """JPEG compression at a random quality from a lowest one to 90."""

    def __init__(self, lowest: int) -> None:
        super().__init__()
        self.lowest = lowest

    def transform(self, inpt: Image.Image, params: dict[str, object]) -> Image.Image:
        buffer = io.BytesIO()
        inpt.save(buffer, "jpeg", quality=int(torch.randint(self.lowest, 91, ())))
        with Image.open(buffer) as image:
            return image.convert("RGB")
