"""Photos made worse in the ways that a camera over a bin meets, each in five strengths.

The families follow ImageNet-C (Hendrycks and Dietterich 2019, "Benchmarking Neural Network
Robustness to Common Corruptions and Perturbations"), with wrong exposure, dirt on the lens, turned
things and things off the centre in the place of fog, snow and glass. Its constants are pixels of
photos whose shorter side has 224; here they are taken relative to the shorter side, so that a
strength means the same for a photo of any size.

The packages that hold the original functions fix that size, draw from NumPy's global state, and
ask for OpenCV, scikit-image and numba; these twelve need none. What a model makes of the photos is
left to `robustness`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.signal import oaconvolve

from binsight.errors import UsageError

__all__ = ["FAMILIES", "SEVERITIES", "Family", "corrupt"]

SEVERITIES = (1, 2, 3, 4, 5)
# Shorter side, in pixels, of the photos that ImageNet-C's constants were chosen for.
GRID = 224
DIRT_RGB = np.array([0.27, 0.22, 0.16], np.float32)
DIRT_OPACITY = 0.85
DIRT_SOFTNESS = 0.3  # of a smear's edge, in deviations of its thickness

Floats = NDArray[np.float32]
Apply = Callable[[Floats, float, np.random.Generator], Floats]


@dataclass(frozen=True)
class Family:
    """One way to make a photo worse.

    Args:
        name: for tables and files.
        strengths: one for each of `SEVERITIES`, mild to strong.
        unit: what a strength says.
        apply: from RGB (H, W, 3) of 0 to 1, a strength and a generator to RGB of the same shape,
            which may leave 0 to 1.
    """

    name: str
    strengths: tuple[float, float, float, float, float]
    unit: str
    apply: Apply


def corrupt(image_rgb: Image.Image, family: Family, severity: int, *, seed: int) -> Image.Image:
    """Return a corrupted copy of an upright photo, of the same size.

    What chance decides (the direction of a movement, the places of dirt) is the same in every
    strength of a family for one seed, so that strengths differ in strength alone.

    Args:
        image_rgb: 8-bit RGB.
        family: one of `FAMILIES`.
        severity: 1 to 5.
        seed: of the photo, 0 or more.

    Raises:
        UsageError: no such severity.
    """
    if severity not in SEVERITIES:
        raise UsageError(f"severity {severity}; give 1 to {SEVERITIES[-1]}")
    generator = np.random.default_rng([seed, *family.name.encode()])
    image_hwc = np.asarray(image_rgb, np.float32) / np.float32(255.0)
    changed_hwc = family.apply(image_hwc, family.strengths[severity - 1], generator)
    return Image.fromarray(_to_bytes(changed_hwc))


def _to_bytes(image_hwc: Floats) -> NDArray[np.uint8]:
    return np.round(np.clip(image_hwc, 0.0, 1.0) * 255.0).astype(np.uint8)


def _resized(image_hwc: Floats, size: tuple[int, int], how: Image.Resampling) -> Floats:
    """Resize each channel in float; ``size`` is width and height."""
    planes = [Image.fromarray(image_hwc[..., channel]).resize(size, how) for channel in range(3)]
    return np.stack([np.asarray(plane, np.float32) for plane in planes], axis=-1)


def _with_shorter_side(image_hwc: Floats, pixels: int) -> tuple[int, int]:
    """Width and height when the shorter side is scaled down to so many pixels, never up."""
    height, width = image_hwc.shape[:2]
    scale = min(1.0, pixels / min(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _on_grid(image_hwc: Floats, change: Callable[[Floats], Floats]) -> Floats:
    """Add what ``change`` does to the photo at the scale of `GRID`, and keep finer detail.

    So grain is as coarse, beside the shorter side, in a large photo as in a small one.
    """
    height, width = image_hwc.shape[:2]
    small_hwc = _resized(image_hwc, _with_shorter_side(image_hwc, GRID), Image.Resampling.BOX)
    difference = change(small_hwc) - small_hwc
    return image_hwc + _resized(difference, (width, height), Image.Resampling.NEAREST)


def _gaussian_noise(image_hwc: Floats, deviation: float, random: np.random.Generator) -> Floats:
    def noisy(small_hwc: Floats) -> Floats:
        return small_hwc + deviation * random.standard_normal(small_hwc.shape, np.float32)

    return _on_grid(image_hwc, noisy)


def _shot_noise(image_hwc: Floats, photons: float, random: np.random.Generator) -> Floats:
    def counted(small_hwc: Floats) -> Floats:
        light = np.clip(small_hwc, 0.0, 1.0) * photons
        return (random.poisson(light) / photons).astype(np.float32)

    return _on_grid(image_hwc, counted)


def _jpeg(image_hwc: Floats, quality: float, _: np.random.Generator) -> Floats:
    def compressed(small_hwc: Floats) -> Floats:
        buffer = io.BytesIO()
        Image.fromarray(_to_bytes(small_hwc)).save(buffer, "JPEG", quality=int(quality))
        with Image.open(buffer) as image:
            return np.asarray(image, np.float32) / np.float32(255.0)

    return _on_grid(image_hwc, compressed)


def _pixelate(image_hwc: Floats, cells: float, _: np.random.Generator) -> Floats:
    height, width = image_hwc.shape[:2]
    small = _resized(image_hwc, _with_shorter_side(image_hwc, int(cells)), Image.Resampling.BOX)
    return _resized(small, (width, height), Image.Resampling.NEAREST)


def _defocus(image_hwc: Floats, share: float, _: np.random.Generator) -> Floats:
    """A point of light becomes a disk whose radius is this share of the shorter side."""
    radius = share * min(image_hwc.shape[:2])
    y_kk, x_kk = _offsets(radius + 1.0)
    return _convolved(image_hwc, np.clip(radius + 0.5 - np.hypot(x_kk, y_kk), 0.0, 1.0))


def _motion(image_hwc: Floats, share: float, random: np.random.Generator) -> Floats:
    """A point of light becomes a line of this share of the shorter side, in any direction."""
    half = 0.5 * share * min(image_hwc.shape[:2])
    angle = random.uniform(0.0, np.pi)
    y_kk, x_kk = _offsets(half + 1.0)
    along_kk = np.abs(x_kk * np.cos(angle) + y_kk * np.sin(angle))
    across_kk = np.abs(y_kk * np.cos(angle) - x_kk * np.sin(angle))
    line_kk = np.clip(half + 0.5 - along_kk, 0.0, 1.0) * np.clip(1.0 - across_kk, 0.0, 1.0)
    return _convolved(image_hwc, line_kk)


def _offsets(reach: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances down and right of the middle, of a square kernel that reaches so far."""
    side = np.arange(-np.ceil(reach), np.ceil(reach) + 1)
    y_kk, x_kk = np.meshgrid(side, side, indexing="ij")
    return y_kk, x_kk


def _convolved(image_hwc: Floats, kernel_kk: NDArray[np.float64]) -> Floats:
    """Blur; beyond its edges the photo goes on as its mirror image."""
    reach = len(kernel_kk) // 2
    padded_hwc = np.pad(image_hwc, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    kernel_kk1 = (kernel_kk / kernel_kk.sum()).astype(np.float32)[..., np.newaxis]
    blurred: Floats = oaconvolve(padded_hwc, kernel_kk1, mode="valid", axes=(0, 1))
    return blurred


def _exposure(image_hwc: Floats, stops: float, _: np.random.Generator) -> Floats:
    """As many stops more light, or less if negative; too much light is cut off, as in a camera."""
    return _to_srgb(np.clip(_to_light(image_hwc) * np.float32(2.0**stops), 0.0, 1.0))


def _to_light(srgb: Floats) -> Floats:
    """IEC 61966-2-1: values of a file to light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _to_srgb(light: Floats) -> Floats:
    """IEC 61966-2-1: light to values of a file."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _contrast(image_hwc: Floats, share: float, _: np.random.Generator) -> Floats:
    """Keep this share of the distance to the mean colour."""
    mean_c = image_hwc.mean(axis=(0, 1), keepdims=True)
    less_hwc: Floats = mean_c + (image_hwc - mean_c) * np.float32(share)
    return less_hwc


def _dirt(image_hwc: Floats, share: float, random: np.random.Generator) -> Floats:
    """Smears on the lens, out of focus, that cover this share of the photo."""
    height, width = image_hwc.shape[:2]
    columns, rows = _with_shorter_side(image_hwc, GRID)
    # Two sizes of smears, about a sixth and a twentieth of the shorter side.
    coarse, fine = (
        _standardised(gaussian_filter(random.standard_normal((rows, columns)), sigma))
        for sigma in (0.05 * min(rows, columns), 0.015 * min(rows, columns))
    )
    height_hw = coarse + 0.35 * fine
    border = np.quantile(height_hw, 1.0 - share)
    mask_hw = 1.0 / (1.0 + np.exp(-np.clip((height_hw - border) / DIRT_SOFTNESS, -30.0, 30.0)))
    opacity = Image.fromarray(mask_hw.astype(np.float32)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    opacity_hw1 = DIRT_OPACITY * np.asarray(opacity, np.float32)[..., np.newaxis]
    return image_hwc * (1.0 - opacity_hw1) + DIRT_RGB * opacity_hw1


def _standardised(field_hw: NDArray[np.float64]) -> NDArray[np.float64]:
    standard_hw: NDArray[np.float64] = field_hw - field_hw.mean()
    return standard_hw / max(float(field_hw.std()), 1e-12)


def _rotation(image_hwc: Floats, degrees: float, random: np.random.Generator) -> Floats:
    """Turn about the middle, either way; the corners show the photo's mirror image."""
    height, width = image_hwc.shape[:2]
    turned = degrees if random.random() < 0.5 else -degrees
    reach = np.hypot(height, width) / 2
    down, right = (int(np.ceil(reach - side / 2)) + 2 for side in (height, width))
    padded = np.pad(image_hwc, ((down, down), (right, right), (0, 0)), mode="symmetric")
    image = Image.fromarray(_to_bytes(padded)).rotate(turned, Image.Resampling.BICUBIC)
    image = image.crop((right, down, right + width, down + height))
    return np.asarray(image, np.float32) / np.float32(255.0)


def _off_centre(image_hwc: Floats, share: float, random: np.random.Generator) -> Floats:
    """What a camera sees that is aimed past the thing: a crop of this share of both sides."""
    height, width = image_hwc.shape[:2]
    angle = random.uniform(0.0, 2.0 * np.pi)
    # A direction, pushed out to the edge of the square of all possible places.
    across, down = np.array([np.cos(angle), np.sin(angle)]) / max(
        abs(np.cos(angle)), abs(np.sin(angle))
    )
    left = (1.0 - share) * (1.0 + across) / 2 * width
    top = (1.0 - share) * (1.0 + down) / 2 * height
    image = Image.fromarray(_to_bytes(image_hwc)).resize(
        (width, height),
        Image.Resampling.BICUBIC,
        box=(left, top, left + share * width, top + share * height),
    )
    return np.asarray(image, np.float32) / np.float32(255.0)


FAMILIES = (
    Family("gaussian noise", (0.08, 0.12, 0.18, 0.26, 0.38), "deviation", _gaussian_noise),
    Family("shot noise", (60.0, 25.0, 12.0, 5.0, 3.0), "photons of white", _shot_noise),
    Family(
        "defocus blur",
        (3 / GRID, 4 / GRID, 6 / GRID, 8 / GRID, 10 / GRID),
        "radius by shorter side",
        _defocus,
    ),
    Family("motion blur", (0.04, 0.07, 0.10, 0.14, 0.18), "path by shorter side", _motion),
    Family("brightness", (0.5, 1.0, 1.5, 2.0, 2.5), "stops", _exposure),
    Family("darkness", (-1.0, -2.0, -3.0, -4.0, -5.0), "stops", _exposure),
    Family("contrast", (0.4, 0.3, 0.2, 0.1, 0.05), "share kept", _contrast),
    Family("jpeg", (25.0, 18.0, 15.0, 10.0, 7.0), "quality", _jpeg),
    Family("pixelate", (134.0, 112.0, 90.0, 67.0, 56.0), "pixels of shorter side", _pixelate),
    Family("dirty lens", (0.1, 0.2, 0.3, 0.4, 0.5), "share covered", _dirt),
    Family("rotation", (15.0, 30.0, 45.0, 60.0, 90.0), "degrees", _rotation),
    Family("off-centre crop", (0.9, 0.8, 0.7, 0.6, 0.5), "share of both sides", _off_centre),
)
