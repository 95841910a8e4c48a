"""Where the object is in a photo of one thing on a white or grey board, as TrashNet's are.

A mask without any network, for asking whether a map points at the object. It knows colours and
borders only: a shadow counts as part of the object, white paper on a white board is found in part,
and a photo without a plain board, or of something lighter than its board, gives no mask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .region import connected

__all__ = ["object_mask"]

BORDER = 0.06  # of the side: where the board is expected
FAR = 24.0  # levels from the board, at least, to be the object
NOISE_TIMES = 4.0  # or so many times what the board itself scatters
PLAIN = 12.0  # levels that a board may scatter
COLOURLESS = 45.0  # levels between a board's channels, at most; a box that fills a photo is brown
SMALLEST, LARGEST = 0.01, 0.85  # share of the photo


def object_mask(square_hwc_u8: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """What differs from the board, with its holes filled: (h, w).

    The board's colour is a plane over the photo, fitted to the border, so light may fall off to one
    side. The object may touch the border: the fit is repeated without what lies far from it.

    Returns:
        ``None`` if the border is not plain, or has a colour, or if what differs is hardly anything,
        nearly all, or lighter than the board.
    """
    photo_hwc = square_hwc_u8.astype(np.float32)
    border_hw = _border(photo_hwc.shape[:2])
    board_hwc, noise = _board(photo_hwc, border_hw)
    if noise > PLAIN or np.ptp(board_hwc.mean(axis=(0, 1))) > COLOURLESS:
        return None
    distance_hw = np.abs(photo_hwc - board_hwc).max(axis=2)
    differs = Image.fromarray(distance_hw > max(FAR, NOISE_TIMES * noise)).convert("L")
    differs_hw = np.asarray(differs.filter(ImageFilter.MedianFilter(5))) > 0
    outside_hw = connected(border_hw, ~differs_hw)
    mask_hw = ~outside_hw & ~(border_hw & ~differs_hw)
    if not SMALLEST <= mask_hw.mean() <= LARGEST:
        return None
    # Of a dark thing that fills the photo, only what it leaves of the board would be found.
    lighter = photo_hwc[mask_hw].mean() > board_hwc[mask_hw].mean()
    return None if lighter else mask_hw


def _border(shape: tuple[int, int]) -> NDArray[np.bool_]:
    border_hw = np.ones(shape, np.bool_)
    rows, columns = (max(1, round(BORDER * side)) for side in shape)
    border_hw[rows:-rows, columns:-columns] = False
    return border_hw


def _board(
    photo_hwc: NDArray[np.float32], border_hw: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], float]:
    """The board's colour everywhere, (h, w, 3), and how far its pixels scatter, in levels."""
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in border_hw.shape)
    plane_hw3 = np.stack(np.broadcast_arrays(np.float32(1), rows[:, None], columns[None]), axis=-1)
    known_n3, colours_nc = plane_hw3[border_hw], photo_hwc[border_hw]
    kept_n = np.abs(colours_nc - np.median(colours_nc, axis=0)).max(axis=1) <= 3 * FAR
    noise = 0.0
    for _ in range(4):
        fit_3c = np.linalg.lstsq(known_n3[kept_n], colours_nc[kept_n])[0]
        residual_n = np.abs(colours_nc - known_n3 @ fit_3c).max(axis=1)
        noise = float(np.median(residual_n))
        kept_n = residual_n <= max(3 * noise, 4.0)
    return plane_hw3 @ fit_3c, noise
