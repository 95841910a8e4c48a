"""What is known about one photo: the answer, a map of where it comes from, and its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from binsight.preprocess import Box

from .region import Region, hottest_region

__all__ = ["Explanation"]

Floats = NDArray[np.float32]
REGION_GRID = 256  # longest side, in pixels, of the grid that the region is looked for on


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where a model looked in one photo; it checks its own shapes.

    Args:
        label: the most probable class.
        explained: the class that the map is of.
        probs: class name to probability.
        heat_hw: (size, size), 0 to 1, over the square that the network saw: 1 where most speaks for
            the class, 0 where nothing does. All of it is 0 if no place speaks for the class.
        photo_size: width and height of the upright photo, in pixels.
        square: left, top, right, bottom of that square in the photo; padding lies outside of it.
    """

    label: str
    explained: str
    probs: Mapping[str, float]
    heat_hw: Floats
    photo_size: tuple[int, int]
    square: Box

    def __post_init__(self) -> None:
        assert {self.label, self.explained} <= self.probs.keys()
        assert self.heat_hw.ndim == 2
        assert self.heat_hw.min() >= 0
        assert self.heat_hw.max() <= 1 + 1e-6

    @property
    def confidence(self) -> float:
        """Probability of the most probable class, 0 to 1."""
        return self.probs[self.label]

    @cached_property
    def region(self) -> Region | None:
        """The hottest region; ``None`` if no place speaks for the class."""
        shrink = min(1.0, REGION_GRID / max(self.photo_size))
        grid = [max(1, round(side * shrink)) for side in self.photo_size]
        return hottest_region(self.heat_on_photo((grid[0], grid[1])), self.photo_size)

    def heat_on_photo(self, size: tuple[int, int]) -> Floats:
        """The map over the whole photo, interpolated bilinearly: (height, width).

        Args:
            size: width and height that the photo is shown at, in pixels.

        Returns:
            0 to 1; 0 where the network did not look.
        """
        rows, columns = self.heat_hw.shape
        (x, left), (y, top) = self._steps(size, (columns, rows))
        moved = Image.fromarray(np.ascontiguousarray(self.heat_hw, np.float32)).transform(
            size,
            Image.Transform.AFFINE,
            (x, 0.0, left, 0.0, y, top),
            Image.Resampling.BILINEAR,
            fillcolor=0.0,
        )
        return np.asarray(moved)

    def seen_on_photo(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Which pixels the network saw, of the photo shown at ``size``: (height, width)."""
        inside = []
        for (step, start), length in zip(self._steps(size, (1, 1)), size, strict=True):
            middle = (np.arange(length) + 0.5) * step + start
            inside.append((middle >= 0) & (middle < 1))
        return inside[1][:, None] & inside[0][None, :]

    def _steps(self, size: tuple[int, int], grid: tuple[int, int]) -> list[tuple[float, float]]:
        """For x and y: step and start on a grid over the square, per pixel of the shown photo."""
        found = []
        for axis in (0, 1):
            start, stop = self.square[axis], self.square[axis + 2]
            cells = grid[axis] / (stop - start)
            found.append((cells * self.photo_size[axis] / size[axis], -start * cells))
        return found

    def to_dict(self) -> dict[str, object]:
        """Answer, explained class and region as plain values, ready for JSON."""
        where = self.region.to_dict() if self.region else {"box": None, "where": None, "share": 0.0}
        return {
            "label": self.label,
            "confidence": round(self.confidence, 6),
            "class": self.explained,
            "probability": round(self.probs[self.explained], 6),
            **where,
            "width": self.photo_size[0],
            "height": self.photo_size[1],
        }
