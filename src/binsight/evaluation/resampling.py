"""Bootstrap resamples of photos, in which copies of one picture are drawn together.

Copies are right or wrong together; drawn one by one, they would make an interval too narrow.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

__all__ = ["Resampler", "pictures_among", "pictures_of", "together"]


def pictures_of(group_n: NDArray[np.int64] | None, photos: int) -> int:
    """How many pictures so many photos show; ``None``: as many as there are photos."""
    return photos if group_n is None else len(np.unique(group_n))


def pictures_among(group_n: NDArray[np.int64] | None, chosen_n: NDArray[np.bool_]) -> int:
    """How many pictures the chosen photos show; see `pictures_of`."""
    return pictures_of(None if group_n is None else group_n[chosen_n], int(chosen_n.sum()))


def together(groups: Sequence[NDArray[np.int64] | None]) -> NDArray[np.int64] | None:
    """Groups of photos of several data sets, which share none; ``None`` if one is not known."""
    known = [one for one in groups if one is not None]
    if len(known) < len(groups) or not known:
        return None
    pairs = np.concatenate([np.stack([np.full(len(g), n), g]) for n, g in enumerate(known)], axis=1)
    numbers: NDArray[np.int64] = np.unique(pairs, axis=1, return_inverse=True)[1]
    return numbers


class Resampler:
    """Draws as many pictures as there are, with replacement, each with all of its copies.

    The bootstrap of Efron 1979, of clusters where there are copies (Field and Welsh 2007,
    "Bootstrapping clustered data"). Photos in one cell are alike to whoever asks.

    Args:
        cell_n: the cell of each photo (N,), 0 to ``cells`` - 1; at least one photo.
        group_n: photos of one number are copies of one picture; ``None`` if there are none.
        cells: how many there are.
    """

    def __init__(
        self, cell_n: NDArray[np.int64], group_n: NDArray[np.int64] | None, cells: int
    ) -> None:
        self.pictures = pictures_of(group_n, len(cell_n))
        self._parts_kc: coo_array | None = None
        if group_n is None or self.pictures == len(cell_n):
            self._count_k = np.bincount(cell_n, minlength=cells)
            return
        shown: dict[int, list[int]] = defaultdict(list)
        for group, cell in zip(group_n.tolist(), cell_n.tolist(), strict=True):
            shown[group].append(cell)
        # Pictures whose copies lie in the same cells are alike as well.
        kinds = sorted(Counter(tuple(sorted(one)) for one in shown.values()).items())
        self._count_k = np.array([count for _, count in kinds])
        rows = [place for place, (kind, _) in enumerate(kinds) for _ in kind]
        columns = [cell for kind, _ in kinds for cell in kind]
        entries = (np.ones(len(rows), np.int64), (rows, columns))
        self._parts_kc = coo_array(entries, shape=(len(kinds), cells)).tocsr()

    def draw(self, generator: np.random.Generator, resamples: int) -> NDArray[np.int64]:
        """Photos in each cell, shape (R, cells), of so many resamples."""
        shares_k = self._count_k / self.pictures
        drawn_rk: NDArray[np.int64] = generator.multinomial(self.pictures, shares_k, size=resamples)
        if self._parts_kc is None:
            return drawn_rk
        drawn_rc: NDArray[np.int64] = drawn_rk @ self._parts_kc
        return drawn_rc
