"""Which embeddings are of one picture, though they are not equal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["alike_within", "groups_of", "pairs_alike"]

Floats = NDArray[np.floating[Any]]

# Of the spread of all embeddings, what two of one picture may be apart. `small` and `accurate` put
# a photo under PyTorch and under ONNX Runtime 0.001 apart, saved once more as JPEG 0.08, in 8 bits
# 0.13, and of 700 photos of TrashNet and the web any two at least 0.3.
ALIKE = 0.15
ROWS = 1024  # that are compared at a time


def alike_within(embeddings_nd: Floats) -> float:
    """The distance within which embeddings are of one picture.

    Args:
        embeddings_nd: (N, D) of all sorts of photos, N of at least 1.
    """
    wide_nd = embeddings_nd.astype(np.float64)
    return ALIKE * float(np.sqrt(wide_nd.var(axis=0).sum()))


def pairs_alike(
    one_nd: Floats, other_md: Floats, within: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of embeddings (N, D) and of others (M, D) that are nearly equal, side by side.

    Every pair is compared, in time proportional to N M D.

    Args:
        one_nd: (N, D).
        other_md: (M, D).
        within: their largest distance.
    """
    one_nd, other_md = one_nd.astype(np.float32), other_md.astype(np.float32)
    one_n, other_m = (one_nd**2).sum(axis=1), (other_md**2).sum(axis=1)
    # Equal embeddings come out this far apart, for the squares' last digits.
    rounding = 8 * float(np.finfo(np.float32).eps)
    rows: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    columns = list(rows)
    for top in range(0, len(one_nd), ROWS):
        part = slice(top, top + ROWS)
        both_nm = one_n[part, None] + other_m
        gap_nm = both_nm - 2 * one_nd[part] @ other_md.T
        near = np.nonzero(gap_nm <= within**2 + rounding * both_nm)
        rows.append(near[0] + top)
        columns.append(near[1])
    return np.concatenate(rows), np.concatenate(columns)


def groups_of(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """The group of each of ``count`` things, by its first member; both of a pair are in one."""
    first = list(range(count))

    def root(place: int) -> int:
        while first[place] != place:
            first[place] = first[first[place]]
            place = first[place]
        return place

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        first[high] = low
    return [root(place) for place in range(count)]
