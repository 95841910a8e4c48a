"""The random crop, when it may show an object elsewhere: on another surface, smaller, off centre.

Where a photo's board is plain, the object is cut out, and the board's light and shadows fall on a
made-up surface instead. Any other photo keeps its surroundings. Seen from farther away, it goes on
as its own mirror image, or it lies on a made-up surface as a sheet: few boxes and papers can be cut
out, and a network must not learn that what lies on such a surface is neither.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter
from torchvision.transforms import v2

from binsight.board import object_without_shadow

from .backdrops import backdrop

__all__ = ["Scene"]

Bytes = NDArray[np.uint8]
Box = tuple[float, float, float, float]
Random = np.random.Generator
COARSE = 96  # pixels of the longer side where the object is looked for
COLOURED = (0.2, 0.5)  # channels apart: from where on a pixel begins to hide what is behind
DARK = (0.5, 0.3)  # the same for the share of the board's light in it
REACH = (0.2, 0.45)  # share of object around a pixel: from where on it may belong to it
INSIDE = (0.65, 0.95)  # and does
SMALLEST = 0.4  # of its size in the photo, at which a cut out object is shown
SMALLEST_CUT_OFF = 0.6  # if the photo cuts it off, and it stays at the view's edge
SMALLEST_PHOTO = 0.7  # of a photo that keeps its surroundings
RIM = 0.15  # of the photo's sides, over which it fades into a larger view
EDGE = 0.01  # the same for a photo that lies on a surface as a sheet
STRETCH = 0.14  # logarithm: half of that of torchvision's 3:4 and 4:3
CENTRE = (0.25, 0.75)  # of a larger view: where the object's centre may be
PHOTO_CENTRE = (0.4, 0.6)  # or the photo's


class Scene(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """A random crop to a square, of the photo or of a made-up scene that shows its object.

    Args:
        size: side of the square, in pixels.
        min_scale: smallest share of the photo's area that a crop keeps; 1 is the central square.
        background: probability of another surface, for a photo with a plain board, or one that is
            seen from farther away.
        zoom_out: probability of a view larger than the photo.
    """

    def __init__(self, size: int, min_scale: float, background: float, zoom_out: float) -> None:
        super().__init__()
        self.size = (size, size)
        self.crop = v2.RandomResizedCrop(size, (min_scale, 1)) if min_scale < 1 else None
        self.background = background
        self.zoom_out = zoom_out

    def transform(self, inpt: Image.Image, params: dict[str, object]) -> Image.Image:
        elsewhere, farther, seed = torch.rand(3, dtype=torch.float64).tolist()
        random = np.random.default_rng(int(seed * 2**53))
        replaced = elsewhere < self.background
        cutout = _cut_out(inpt) if replaced else None
        view = _larger_view(inpt.size, cutout, random) if farther < self.zoom_out else None
        if view is None:
            view = self._smaller_view(inpt)
        if _within(view, inpt.size) and cutout is None:
            return _seen(inpt, view, self.size)
        if not replaced:
            return _mirrored(inpt, view, self.size)
        scene = backdrop(self.size, random)
        if cutout is not None:
            return _elsewhere(inpt, cutout, view, scene)
        scene.paste(_seen(inpt, view, self.size), mask=_inside(inpt.size, view, self.size, EDGE))
        return scene

    def _smaller_view(self, photo: Image.Image) -> Box:
        if self.crop is None:
            side = min(photo.size)
            left, top = (photo.width - side) / 2, (photo.height - side) / 2
            return (left, top, left + side, top + side)
        box = self.crop.make_params([photo])
        left, top = box["left"], box["top"]
        return (left, top, left + box["width"], top + box["height"])


@dataclass(frozen=True)
class _Cutout:
    """Where the object is.

    Args:
        mask: the object (L), at a coarse scale, with soft edges.
        board_c: the board's mean colour.
        centre: of the object, as shares of the photo's width and height.
        cut_off: for each axis, whether the object reaches the photo's first and last line.
    """

    mask: Image.Image
    board_c: NDArray[np.float32]
    centre: tuple[float, float]
    cut_off: tuple[tuple[bool, bool], tuple[bool, bool]]


def _cut_out(photo: Image.Image) -> _Cutout | None:
    found = object_without_shadow(np.asarray(_coarse(photo)))
    if found is None:
        return None
    mask_hw, board_c = found
    across, cut_across = _extent(mask_hw.max(axis=0))
    down, cut_down = _extent(mask_hw.max(axis=1))
    mask = Image.fromarray(mask_hw.astype(np.uint8) * 255).filter(ImageFilter.BoxBlur(2))
    return _Cutout(mask, board_c, (across, down), (cut_across, cut_down))


def _extent(covered_n: NDArray[np.bool_]) -> tuple[float, tuple[bool, bool]]:
    """The middle of what is covered, as a share of all; and whether its first and last place is."""
    places = np.flatnonzero(covered_n)
    middle = (places[0] + places[-1] + 1) / 2 / len(covered_n)
    return float(middle), (bool(covered_n[0]), bool(covered_n[-1]))


def _coarse(photo: Image.Image) -> Image.Image:
    scale = COARSE / max(photo.size)
    width, height = (max(16, round(scale * side)) for side in photo.size)
    return photo.resize((width, height), Image.Resampling.BOX, reducing_gap=1.0)


def _larger_view(photo_size: tuple[int, int], cutout: _Cutout | None, random: Random) -> Box | None:
    """A box that shows the object smaller, and what a photo cuts off at the view's edge.

    ``None`` if the object reaches two edges that face each other.
    """
    centres, cut_off = ((0.5, 0.5), ((False, False), (False, False)))
    smallest, places = SMALLEST_PHOTO, PHOTO_CENTRE
    if cutout is not None:
        centres, cut_off = cutout.centre, cutout.cut_off
        smallest, places = SMALLEST_CUT_OFF if any(map(any, cut_off)) else SMALLEST, CENTRE
    if any(first and last for first, last in cut_off):
        return None
    side = math.sqrt(photo_size[0] * photo_size[1]) / random.uniform(smallest, 1)
    stretch = math.exp(random.uniform(-STRETCH, STRETCH))
    starts, ends = [], []
    for length, photo_side, centre, (first, last) in zip(
        (side * stretch, side / stretch), photo_size, centres, cut_off, strict=True
    ):
        start = centre * photo_side - random.uniform(*places) * length
        start = 0 if first else photo_side - length if last else start
        starts.append(start)
        ends.append(start + length)
    return (starts[0], starts[1], ends[0], ends[1])


def _elsewhere(photo: Image.Image, cutout: _Cutout, view: Box, scene: Image.Image) -> Image.Image:
    """The object, and the light on its board, in a scene."""
    seen = _seen(photo, view, scene.size)
    near = _seen(cutout.mask, _scaled(view, photo.size, cutout.mask.size), scene.size)
    light_hwc = _light(np.asarray(seen), cutout.board_c)
    opacity = Image.fromarray(_opacity(light_hwc, np.asarray(near)))
    light = Image.fromarray(light_hwc)
    if not _within(view, photo.size):
        light.paste("white", mask=ImageChops.invert(_inside(photo.size, view, scene.size, RIM)))
    return Image.composite(seen, ImageChops.multiply(scene, light), opacity)


def _mirrored(photo: Image.Image, view: Box, size: tuple[int, int]) -> Image.Image:
    """What a view shows; beyond the photo, its mirror image out of focus."""
    coarse = _coarse(photo)
    left, top, right, bottom = _scaled(view, photo.size, coarse.size)
    before = [max(0, math.ceil(-one)) for one in (top, left)]
    after = [max(0, math.ceil(one)) for one in (bottom - coarse.height, right - coarse.width)]
    beyond = [*zip(before, after, strict=True), (0, 0)]
    mirrored = Image.fromarray(np.pad(np.asarray(coarse), beyond, mode="symmetric"))
    down, across = before
    scene = _seen(mirrored, (left + across, top + down, right + across, bottom + down), size)
    scene.paste(_seen(photo, view, size), mask=_inside(photo.size, view, size, RIM))
    return scene


def _within(view: Box, photo_size: tuple[int, int]) -> bool:
    return min(view[:2]) >= 0 and view[2] <= photo_size[0] and view[3] <= photo_size[1]


def _scaled(view: Box, old: tuple[int, int], new: tuple[int, int]) -> Box:
    across, down = new[0] / old[0], new[1] / old[1]
    return (view[0] * across, view[1] * down, view[2] * across, view[3] * down)


def _seen(photo: Image.Image, view: Box, size: tuple[int, int]) -> Image.Image:
    """What a view shows; black beyond the photo."""
    if _within(view, photo.size):
        return photo.resize(size, Image.Resampling.BILINEAR, view)
    left, top, right, bottom = view
    whole = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    box = (left - whole[0], top - whole[1], right - whole[0], bottom - whole[1])
    return photo.crop(whole).resize(size, Image.Resampling.BILINEAR, box)


def _inside(
    photo_size: tuple[int, int], view: Box, size: tuple[int, int], share: float
) -> Image.Image:
    """A mask (L) that falls to 0 over a share of the photo towards its edges, if they are seen."""
    shares = []
    for first, last, photo_side, side in zip(view[:2], view[2:], photo_size, size, strict=True):
        place = first + (last - first) * (np.arange(side) + 0.5) / side
        rim = share * photo_side
        before = 1 if first >= 0 else place / rim
        after = 1 if last <= photo_side else (photo_side - place) / rim
        shares.append(np.clip(np.minimum(before, after), 0, 1) * np.ones(side))
    return Image.fromarray((255 * shares[1][:, None] * shares[0]).astype(np.uint8))


def _light(photo_hwc: Bytes, board_c: NDArray[np.float32]) -> Bytes:
    """The light that fell on a board of this colour; 255 is the board's own."""
    light_hwc = np.empty_like(photo_hwc)
    for channel, board in enumerate(board_c):
        levels = (np.arange(256) * 255 / board).clip(0, 255).astype(np.uint8)
        light_hwc[..., channel] = levels[photo_hwc[..., channel]]
    return light_hwc


def _opacity(light_hwc: Bytes, near_hw: Bytes) -> Bytes:
    """All of the inside; near the edge, what is no shadow by its colour or darkness: 0 to 255.

    An edge's pixel that is half board lets the new surface through, darker: no white seam is left.
    """
    red, green, blue = np.moveaxis(light_hwc, 2, 0)
    most_hw = np.maximum(np.maximum(red, green), blue)
    least_hw = np.minimum(np.minimum(red, green), blue)
    hides_hw = np.maximum(_ramp(COLOURED)[most_hw - least_hw], _ramp(DARK)[most_hw])
    reach_hw = np.minimum(hides_hw, _ramp(REACH)[near_hw])
    return np.asarray(np.maximum(reach_hw, _ramp(INSIDE)[near_hw]))


@cache
def _ramp(ends: tuple[float, float]) -> Bytes:
    """A table of 256 levels that goes from 0 to 255 between two shares."""
    shares = (np.linspace(0, 1, 256) - ends[0]) / (ends[1] - ends[0])
    return (255 * shares).clip(0, 255).astype(np.uint8)
