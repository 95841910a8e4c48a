"""Where the object is in a photo of one thing on a white or grey board, as TrashNet's are.

A mask without any network: `explain` asks with it whether a map points at the object, `training`
cuts the object out to show it elsewhere. It knows colours and borders only: white paper on a white
board is found in part, and a photo without a plain board, or of something lighter than its board,
gives no mask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

__all__ = ["connected", "object_mask", "object_without_shadow"]

Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
BORDER = 0.06  # of the side: where the board is expected
FAR = 24.0  # levels from the board, at least, to be the object
NOISE_TIMES = 4.0  # or so many times what the board itself scatters
PLAIN = 12.0  # levels that a board may scatter
COLOURLESS = 45.0  # levels between a board's channels, at most; a box that fills a photo is brown
SMALLEST, LARGEST = 0.01, 0.85  # share of the photo

# A shadow or a reflex on the board, 96 pixels wide:
LIGHT = (0.25, 1.5)  # share of the board's light
LIGHT_HUE = 0.2  # its channels differ so much at most, relative to each other
LIGHT_STEP = 0.07  # its light changes so much at most, from one pixel to the next

# What can be cut out in one piece, 96 pixels wide:
GAP = 3  # pixels to either side of a label or glass that looks like the board
FOUND = 0.65  # share of the piece that differs from the board
RAGGED = 40  # times its area is the square of its edge, at most; 12.6 of a disc, 31 of a 1:6 stick
ALONE = 0.85  # share of all pieces that the largest is


def object_mask(square_hwc_u8: Bytes) -> Bools | None:
    """What differs from the board, with its holes filled: (h, w). A shadow belongs to it.

    The board's colour is a plane over the photo, fitted to the border, so light may fall off to one
    side. The object may touch the border: the fit is repeated without what lies far from it.

    Returns:
        ``None`` if the border is not plain, or has a colour, or if what differs is hardly anything,
        nearly all, or lighter than the board.
    """
    photo_hwc = square_hwc_u8.astype(np.float32)
    board_hwc, differs_hw = _differing(photo_hwc)
    return _filled(photo_hwc, board_hwc, differs_hw)


def object_without_shadow(small_hwc_u8: Bytes) -> tuple[Bools, Floats] | None:
    """The object in one piece, (h, w), and the board's mean colour, (3,).

    A shadow belongs to the board. Small gaps, such as a white label, belong to the object.

    Args:
        small_hwc_u8: a photo whose longer side is near 96 pixels.

    Returns:
        ``None`` without a plain board (see `object_mask`), and if what was found is in pieces or
        ragged, as white paper on a white board is: better no mask than half of a thing.
    """
    photo_hwc = small_hwc_u8.astype(np.float32)
    board_hwc, differs_hw = _differing(photo_hwc)
    differs_hw &= ~_lit(photo_hwc, board_hwc, differs_hw)
    pieces_hw = _filled(photo_hwc, board_hwc, _eroded(_dilated(differs_hw, GAP), GAP))
    if pieces_hw is None:
        return None
    dense_hw = np.asarray(_image(pieces_hw).filter(ImageFilter.BoxBlur(2 * GAP)))
    seed_hw = np.zeros_like(pieces_hw)
    seed_hw[np.unravel_index(dense_hw.argmax(), dense_hw.shape)] = True
    mask_hw = connected(seed_hw, pieces_hw)
    area = mask_hw.sum()
    whole = (
        area > ALONE * pieces_hw.sum()
        and (mask_hw & differs_hw).sum() > FOUND * area
        and (mask_hw & ~_eroded(mask_hw, 1)).sum() ** 2 < RAGGED * area
    )
    return (mask_hw, _mean_colour(board_hwc).clip(1, 255)) if whole else None


def _differing(photo_hwc: Floats) -> tuple[Floats, Bools]:
    """The board's colour (h, w, 3), and what is far from it (h, w): nothing if it is not plain."""
    board_hwc, noise = _board(photo_hwc, _border(photo_hwc.shape[:2]))
    if noise > PLAIN or np.ptp(_mean_colour(board_hwc)) > COLOURLESS:
        return board_hwc, np.zeros(photo_hwc.shape[:2], np.bool_)
    far_hw = _largest(np.abs(photo_hwc - board_hwc)) > max(FAR, NOISE_TIMES * noise)
    return board_hwc, np.asarray(_image(far_hw).filter(ImageFilter.MedianFilter(5))) > 0


def _filled(photo_hwc: Floats, board_hwc: Floats, differs_hw: Bools) -> Bools | None:
    """What differs, and what it encloses."""
    border_hw = _border(differs_hw.shape)
    outside_hw = connected(border_hw, ~differs_hw)
    mask_hw = ~outside_hw & ~(border_hw & ~differs_hw)
    if not SMALLEST <= mask_hw.mean() <= LARGEST:
        return None
    # Of a dark thing that fills the photo, only what it leaves of the board would be found.
    lighter = photo_hwc[mask_hw].mean() > board_hwc[mask_hw].mean()
    return None if lighter else mask_hw


def _lit(photo_hwc: Floats, board_hwc: Floats, differs_hw: Bools) -> Bools:
    """Board in another light: of its hue, and reached from the rest of it by small steps."""
    light_hwc = np.divide(photo_hwc, np.maximum(board_hwc, 1), dtype=np.float32)
    light_hw: Floats = light_hwc @ np.full(3, 1 / 3, np.float32)
    hue_hw: Floats = _largest(light_hwc) + _largest(-light_hwc)
    step_hw = _largest(_steepest(light_hwc))
    allowed_hw = (light_hw > LIGHT[0]) & (light_hw < LIGHT[1]) & (step_hw < LIGHT_STEP)
    allowed_hw &= hue_hw < LIGHT_HUE * np.maximum(light_hw, 0.5)
    return connected(~differs_hw, allowed_hw | ~differs_hw) & differs_hw


def _border(shape: tuple[int, ...]) -> Bools:
    border_hw = np.ones(shape, np.bool_)
    rows, columns = (max(1, round(BORDER * side)) for side in shape)
    border_hw[rows:-rows, columns:-columns] = False
    return border_hw


def _board(photo_hwc: Floats, border_hw: Bools) -> tuple[Floats, float]:
    """The board's colour everywhere, (h, w, 3), and how far its pixels scatter, in levels."""
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in border_hw.shape)
    plane_hw3 = np.stack(np.broadcast_arrays(np.float32(1), rows[:, None], columns[None]), axis=-1)
    known_n3, colours_nc = plane_hw3[border_hw], photo_hwc[border_hw]
    kept_n = _largest(np.abs(colours_nc - np.median(colours_nc, axis=0))) <= 3 * FAR
    noise = 0.0
    for _ in range(4):
        some_n3 = known_n3[kept_n]
        # The normal equations: a tenth of the work, and exact enough for three plain numbers.
        fit_3c = np.linalg.lstsq(some_n3.T @ some_n3, some_n3.T @ colours_nc[kept_n])[0]
        residual_n = _largest(np.abs(colours_nc - known_n3 @ fit_3c))
        noise = float(np.median(residual_n))
        kept_n = residual_n <= max(3 * noise, 4.0)
    return plane_hw3 @ fit_3c, noise


def _mean_colour(board_hwc: Floats) -> Floats:
    """Of a plane: halfway between opposite corners."""
    return np.asarray((board_hwc[0, 0] + board_hwc[-1, -1]) / 2)


def _largest(values_c: Floats) -> Floats:
    """Of the last axis' three channels; NumPy's own maximum over so short an axis is slow."""
    pair = np.maximum(values_c[..., 0], values_c[..., 1])
    return np.asarray(np.maximum(pair, values_c[..., 2]))


def _steepest(values_hwc: Floats) -> Floats:
    """The largest step to a direct neighbour."""
    steepest_hwc = np.zeros_like(values_hwc)
    for this, other in (np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1]):
        step = np.abs(values_hwc[this] - values_hwc[other])
        for place in (this, other):
            np.maximum(steepest_hwc[place], step, out=steepest_hwc[place])
    return steepest_hwc


def _image(mask_hw: Bools) -> Image.Image:
    return Image.fromarray(mask_hw.astype(np.uint8) * 255)


def _dilated(mask_hw: Bools, pixels: int) -> Bools:
    """Grown by a square that reaches so far, at most 7 pixels."""
    return np.asarray(_image(mask_hw).filter(ImageFilter.BoxBlur(pixels))) > 0


def _eroded(mask_hw: Bools, pixels: int) -> Bools:
    """Shrunk by a square that reaches so far; the photo's own edge stays."""
    return ~_dilated(~mask_hw, pixels)


def connected(seeds_hw: Bools, allowed_hw: Bools) -> Bools:
    """All allowed places that are reached from allowed seeds by steps to a direct neighbour."""
    runs = (_runs(allowed_hw), _runs(allowed_hw.T).T)
    reached_hw = seeds_hw & allowed_hw
    count = -1
    while count != (count := int(np.count_nonzero(reached_hw))):
        for runs_hw in runs:
            reached_n = np.zeros(allowed_hw.size + 1, np.bool_)
            reached_n[runs_hw[reached_hw]] = True
            reached_hw = reached_n[runs_hw] & allowed_hw
    return reached_hw


def _runs(allowed_hw: Bools) -> NDArray[np.intp]:
    """Numbers (h, w) that are equal along each row's unbroken runs, and nowhere else."""
    begins_hw = ~allowed_hw
    begins_hw[:, 1:] |= ~allowed_hw[:, :-1]
    begins_hw[:, 0] = True
    return begins_hw.cumsum().reshape(allowed_hw.shape)
