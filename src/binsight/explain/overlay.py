"""The map as a picture: colours over the photo, and the box of the hottest region.

The colours are those of viridis, which grow evenly in lightness and are read in the same order with
any colour vision (van der Walt and Smith 2015). Needs Pillow and numpy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .explanation import Explanation

__all__ = ["colours", "overlay"]

Floats = NDArray[np.float32]
LONGEST = 2048  # pixels; a map of 7 x 7 places gains nothing from more
COLD, HOT = 0.12, 0.65  # how much the colour covers of the photo
DIMMED = 0.4  # brightness of what the network did not see
# Every sixteenth colour of viridis (CC0), from 0 to 1.
VIRIDIS = np.array(
    [
        (68, 1, 84),
        (72, 24, 106),
        (71, 45, 123),
        (66, 64, 134),
        (59, 82, 139),
        (51, 99, 141),
        (44, 114, 142),
        (38, 130, 142),
        (33, 145, 140),
        (31, 160, 136),
        (40, 174, 128),
        (63, 188, 115),
        (94, 201, 98),
        (132, 212, 75),
        (173, 220, 48),
        (216, 226, 25),
        (253, 231, 37),
    ],
    np.float32,
)


def colours(heat_hw: Floats) -> Floats:
    """Viridis: (h, w) of 0 to 1 to RGB, (h, w, 3) of 0 to 255."""
    steps = np.linspace(0, 1, len(VIRIDIS))
    channels = [np.interp(heat_hw, steps, VIRIDIS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def overlay(photo_rgb: Image.Image, explanation: Explanation) -> Image.Image:
    """Draw the map over the photo; what the network did not see is grey and dark.

    Args:
        photo_rgb: upright, as `images.decode` gives it, at any size.
        explanation: of this photo.

    Returns:
        RGB, of the photo's shape; shrunk to 2048 px if a side is longer.
    """
    photo_rgb = _at_most(photo_rgb, LONGEST)
    photo_hwc = np.asarray(photo_rgb, np.float32)
    grey_hwc = np.repeat(np.asarray(photo_rgb.convert("L"), np.float32)[..., None], 3, axis=2)
    heat_hw = explanation.heat_on_photo(photo_rgb.size)
    seen_hw1 = explanation.seen_on_photo(photo_rgb.size)[..., None]
    share_hw1 = (COLD + (HOT - COLD) * heat_hw)[..., None]
    # Colour of the photo would be taken for heat, so it gives way to grey where heat is shown.
    base_hwc = (photo_hwc + grey_hwc) / 2
    coloured_hwc = base_hwc * (1 - share_hw1) + colours(heat_hw) * share_hw1
    drawn_hwc = np.where(seen_hw1, coloured_hwc, grey_hwc * DIMMED)
    picture = Image.fromarray(np.round(drawn_hwc).clip(0, 255).astype(np.uint8))
    if explanation.region:
        _draw_box(picture, explanation.region.box, explanation.photo_size)
    return picture


def _at_most(photo: Image.Image, longest: int) -> Image.Image:
    shrink = longest / max(photo.size)
    if shrink >= 1:
        return photo
    width, height = (max(1, round(side * shrink)) for side in photo.size)
    return photo.resize((width, height), Image.Resampling.LANCZOS)


def _draw_box(
    picture: Image.Image, box: tuple[int, int, int, int], photo_size: tuple[int, int]
) -> None:
    """A white line between dark ones, to be seen on anything."""
    x, y = (shown / full for shown, full in zip(picture.size, photo_size, strict=True))
    left, top = round(box[0] * x), round(box[1] * y)
    right = max(left, round(box[2] * x) - 1)
    bottom = max(top, round(box[3] * y) - 1)
    draw = ImageDraw.Draw(picture)
    line = max(1, round(max(picture.size) / 250))
    for inset, colour in ((0, "black"), (line, "white"), (2 * line, "black")):
        if right - left > 2 * inset and bottom - top > 2 * inset:
            corners = (left + inset, top + inset, right - inset, bottom - inset)
            draw.rectangle(corners, outline=colour, width=line)
