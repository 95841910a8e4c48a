"""The hottest region of a map: its box, and its place in plain words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from binsight.board import connected

__all__ = ["Region", "hottest_region"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
HOT = 0.5  # share of the largest value
WIDE = 0.5  # share of the photo
WORDS = (
    ("upper left", "top", "upper right"),
    ("left", "centre", "right"),
    ("lower left", "bottom", "lower right"),
)


@dataclass(frozen=True)
class Region:
    """A connected region that is at least half as hot as the hottest place.

    Args:
        box: left, top, right, bottom, in pixels of the upright photo; right and bottom are the
            first column and row outside.
        words: where its centre of heat lies, such as ``"centre"`` or ``"upper left"``; for a region
            that fills half of the photo or more, ``"most of the photo"``.
        share: of the photo's area, 0 to 1.
    """

    box: tuple[int, int, int, int]
    words: str
    share: float

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        return {"box": list(self.box), "where": self.words, "share": round(self.share, 4)}


def hottest_region(heat_hw: Floats, photo_size: tuple[int, int]) -> Region | None:
    """Find it on a map of the whole photo; ``None`` if the map is 0 everywhere.

    Args:
        heat_hw: of the whole photo at any scale, 0 where the network did not look.
        photo_size: width and height, in pixels.
    """
    if heat_hw.max() <= 0:
        return None
    hottest = np.zeros(heat_hw.shape, np.bool_)
    hottest[np.unravel_index(heat_hw.argmax(), heat_hw.shape)] = True
    region_hw = connected(hottest, heat_hw >= HOT * heat_hw.max())
    rows, columns = (np.flatnonzero(region_hw.any(axis=axis)) for axis in (1, 0))
    x, y = (photo_size[0] / heat_hw.shape[1], photo_size[1] / heat_hw.shape[0])
    share = float(region_hw.mean())
    return Region(
        (
            int(columns[0] * x),
            int(rows[0] * y),
            min(photo_size[0], int(np.ceil((columns[-1] + 1) * x))),
            min(photo_size[1], int(np.ceil((rows[-1] + 1) * y))),
        ),
        "most of the photo" if share >= WIDE else _words(np.where(region_hw, heat_hw, 0)),
        share,
    )


def _words(heat_hw: Floats) -> str:
    """Which ninth of the photo holds the centre of the heat."""
    total = heat_hw.sum(dtype=np.float64)
    thirds = []
    for axis, length in enumerate(heat_hw.shape):
        profile = heat_hw.sum(axis=1 - axis, dtype=np.float64)
        centre = float(profile @ (np.arange(length) + 0.5)) / total / length
        thirds.append(min(2, int(3 * centre)))
    return WORDS[thirds[0]][thirds[1]]
