"""Made-up surfaces for an object to lie on: floors, grass, wood, tiles, cloth, clutter.

They need not look like photos: a network has to learn that what lies behind an object says nothing
about it, so they have to be many.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

__all__ = ["backdrop"]

Floats = NDArray[np.float32]
Random = np.random.Generator
SIDE = 160  # pixels that are drawn of the longer side, at most: a surface is a little out of focus

# Ranges of hue, saturation and value.
PALETTES = (
    ((0.00, 1.00), (0.00, 0.08), (0.20, 0.85)),  # concrete, asphalt
    ((0.06, 0.65), (0.03, 0.15), (0.30, 0.90)),  # stone, worktops, warm and cold light
    ((0.05, 0.12), (0.15, 0.60), (0.20, 0.80)),  # wood, soil, sand
    ((0.17, 0.38), (0.15, 0.60), (0.15, 0.65)),  # grass, leaves
    ((0.00, 0.06), (0.25, 0.70), (0.25, 0.75)),  # brick, clay
    ((0.50, 0.70), (0.08, 0.55), (0.15, 0.80)),  # plastic sheet, cloth, water
    ((0.00, 1.00), (0.00, 0.80), (0.05, 0.98)),  # anything
)


def backdrop(size: tuple[int, int], random: Random) -> Image.Image:
    """Draw one, or two that meet in a line.

    Args:
        size: width and height, in pixels.
        random: decides everything.
    """
    scale = min(1, SIDE / max(size))
    width, height = (max(8, round(scale * side)) for side in size)
    drawn = _surface(width, height, random)
    if random.random() < 0.3:
        drawn.paste(_surface(width, height, random), mask=_half(width, height, random))
    if random.random() < 0.35:
        drawn = _cluttered(drawn, random)
    return drawn.resize(size, Image.Resampling.BILINEAR)


def _surface(width: int, height: int, random: Random) -> Image.Image:
    values_hw = PATTERNS[random.integers(len(PATTERNS))](width, height, random)
    values_hw += _noise(width, height, random, 2, 2) * random.uniform(0, 0.25)
    levels_hw = (values_hw * 64 + 128).clip(0, 255).astype(np.uint8)
    coloured = _turned(Image.fromarray(levels_hw), random)
    coloured.putpalette(_colours(random).tobytes())
    return coloured.convert("RGB")


def _colours(random: Random) -> NDArray[np.uint8]:
    """From one colour to another of the same palette, (256, 3)."""
    dark, light = _two_colours(random)
    share_n1 = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
    return (255 * (dark + share_n1 * (light - dark))).clip(0, 255).astype(np.uint8)


def _two_colours(random: Random) -> tuple[Floats, Floats]:
    """Of one palette, (3,) each, 0 to 1; the second is most often the lighter one."""
    ranges = PALETTES[random.integers(len(PALETTES))]
    hue, saturation, value = (random.uniform(low, high) for low, high in ranges)
    contrast = random.uniform(0.05, 0.45)
    other = (hue + random.normal(0, 0.02)) % 1, saturation * random.uniform(0.6, 1.0)
    first = colorsys.hsv_to_rgb(hue, saturation, max(0.0, value - contrast / 2))
    second = colorsys.hsv_to_rgb(*other, min(1.0, value + contrast / 2))
    return np.array(first, np.float32), np.array(second, np.float32)


def _noise(width: int, height: int, random: Random, across: float, down: float) -> Floats:
    """Smooth noise (h, w) of unit deviation at its cells, so many in each direction."""
    cells = (min(height, round(down) + 1), min(width, round(across) + 1))
    values = random.standard_normal(cells, np.float32)
    if cells == (height, width):
        return values
    coarse = Image.fromarray(values)
    return np.array(coarse.resize((width, height), Image.Resampling.BILINEAR))


def _floor(width: int, height: int, random: Random) -> Floats:
    """Stains of all sizes."""
    cells = random.uniform(2, 5)
    fading = random.uniform(0.4, 0.8)
    total_hw = np.zeros((height, width), np.float32)
    for octave in range(4):
        total_hw += fading**octave * _noise(
            width, height, random, cells * 2**octave, cells * 2**octave * height / width
        )
    return total_hw


def _gravel(width: int, height: int, random: Random) -> Floats:
    """Grains with sharp edges, of two sizes."""
    cells = random.uniform(20, 90)
    grains_hw = _noise(width, height, random, cells, cells * height / width)
    finer_hw = _noise(width, height, random, width, height)
    values_hw: Floats = np.tanh(random.uniform(1, 4) * grains_hw) + 0.5 * finer_hw
    return values_hw


def _blades(width: int, height: int, random: Random) -> Floats:
    """Grass, carpet, straw: fibres in two directions."""
    thick, long = random.uniform(1.5, 4), random.uniform(5, 20)
    up_hw = _noise(width, height, random, width / thick, height / long)
    along_hw = _noise(width, height, random, width / long, height / thick)
    values_hw: Floats = np.maximum(up_hw, along_hw * random.uniform(0, 1)) * 1.3 - 0.5
    return values_hw


def _planks(width: int, height: int, random: Random) -> Floats:
    """Boards side by side, each of its own tone, with grain along them."""
    count = int(random.integers(2, 9))
    place_w = np.arange(width) * count / width
    tone_w = random.normal(0, 0.6, count + 1).astype(np.float32)[place_w.astype(int)]
    seam_w = (place_w % 1 < 0.04 * random.uniform(0.5, 2)).astype(np.float32)
    grain_hw = _noise(width, height, random, width / 2, random.uniform(2, 6))
    values_hw: Floats = grain_hw * random.uniform(0.3, 0.9) + tone_w - 2.5 * seam_w
    return values_hw


def _tiles(width: int, height: int, random: Random) -> Floats:
    """Squares or bricks, each of its own tone, between joints."""
    columns = int(random.integers(2, 9))
    rows = max(1, round(columns * height / width * random.choice([1.0, 1.0, 2.0])))
    down_h, across_w = np.arange(height) * rows / height, np.arange(width) * columns / width
    shift_h = (down_h.astype(int) % 2) * random.choice([0.0, 0.5])
    across_hw = across_w + shift_h[:, None]
    tones = random.normal(0, random.uniform(0.1, 0.6), (rows, columns + 1)).astype(np.float32)
    tone_hw = tones[down_h.astype(int)[:, None], across_hw.astype(int)]
    joint = random.uniform(0.03, 0.09)
    joint_hw = ((down_h % 1 < joint * rows / columns)[:, None]) | (across_hw % 1 < joint)
    rough_hw = _noise(width, height, random, width / 3, height / 3) * random.uniform(0.05, 0.4)
    values_hw: Floats = (
        tone_hw + rough_hw + random.choice([-2.0, 2.0]) * joint_hw.astype(np.float32)
    )
    return values_hw


def _cloth(width: int, height: int, random: Random) -> Floats:
    """Threads that cross, or stripes, over soft folds."""
    period = random.uniform(2.5, 24, 2)
    across_w = np.sin(np.arange(width, dtype=np.float32) * 2 * np.pi / period[0])
    down_h = np.sin(np.arange(height, dtype=np.float32) * 2 * np.pi / period[1])
    weave_hw = across_w * random.uniform(0, 1) + (down_h * random.uniform(0, 1))[:, None]
    folds_hw = _noise(width, height, random, 5, 4)
    values_hw: Floats = (weave_hw + folds_hw * random.uniform(0.2, 1)).astype(np.float32)
    return values_hw


PATTERNS: tuple[Callable[[int, int, Random], Floats], ...] = (
    _floor,
    _floor,
    _gravel,
    _blades,
    _planks,
    _tiles,
    _cloth,
)


def _turned(drawn: Image.Image, random: Random) -> Image.Image:
    """A part of it, turned, and seen from one side."""
    angle = random.uniform(0, 2 * np.pi)
    tilt = random.uniform(-0.3, 0.3, 2)
    view = np.eye(3)
    view[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    view[2, :2] = tilt
    corners_3n = view @ np.array([[-1, -1, 1, 1], [-1, 1, -1, 1], [1, 1, 1, 1]])
    view[:2] *= random.uniform(0.6, 1) / np.abs(corners_3n[:2] / corners_3n[2]).max()
    half_width, half_height = drawn.width / 2, drawn.height / 2
    # The drawing's pixels from -1 to 1, and back.
    pixels = np.array([[half_width, 0, half_width], [0, half_height, half_height], [0, 0, 1]])
    matrix = pixels @ view @ np.linalg.inv(pixels)
    matrix /= matrix[2, 2]
    return drawn.transform(
        drawn.size,
        Image.Transform.PERSPECTIVE,
        tuple(matrix.ravel()[:8]),
        Image.Resampling.BILINEAR,
    )


def _half(width: int, height: int, random: Random) -> Image.Image:
    """A mask (L) of what lies to one side of a line."""
    angle = random.uniform(0, 2 * np.pi)
    down_h, across_w = np.arange(height) - height / 2, np.arange(width) - width / 2
    distance_hw = np.cos(angle) * across_w + np.sin(angle) * down_h[:, None]
    distance_hw += random.uniform(-0.35, 0.35) * height
    return Image.fromarray((distance_hw * 255).clip(0, 255).astype(np.uint8))


def _cluttered(drawn: Image.Image, random: Random) -> Image.Image:
    """Other things lie about, out of focus."""
    pencil = ImageDraw.Draw(drawn)
    for _ in range(int(random.integers(1, 7))):
        centre = random.random(2) * drawn.size
        radius = random.uniform(0.05, 0.25) * drawn.height
        corners = int(random.integers(3, 12))
        angles = np.sort(random.random(corners)) * 2 * np.pi
        points = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        colour = (255 * _two_colours(random)[0]).astype(int)
        pencil.polygon([tuple(point) for point in points], fill=tuple(colour))
    return drawn.filter(ImageFilter.BoxBlur(random.uniform(0.5, 4)))
