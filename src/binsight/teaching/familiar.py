"""What a lesson makes of the novelty: taught photos become known, and the limit is chosen anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from binsight.bundle import Novelty
from binsight.novelty import Known, choose_limit

__all__ = ["Familiar"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Familiar:
    """What a model knows, and from which novelty on a photo is like none of it.

    Args:
        known: that the novelty is computed from.
        novelty: with the limit.
    """

    known: Known
    novelty: Novelty

    def taught(
        self, x_nd: Floats, labels_n: NDArray[np.int64], fold_n: NDArray[np.int64]
    ) -> tuple[Familiar, NDArray[np.float64]]:
        """The same with taught photos, and the novelty of each by folds that it was not part of.

        Args:
            x_nd: their embeddings (N, D).
            labels_n: their class numbers.
            fold_n: their folds; with one fold alone, the novelty is that before the lesson.
        """
        novelty_n = self.known.score(x_nd)
        for fold in range(int(fold_n.max()) + 1) if fold_n.any() else ():
            held_n = fold_n == fold
            others = self.known.taught_with(x_nd[~held_n], labels_n[~held_n])
            novelty_n[held_n] = others.score(x_nd[held_n])
        return Familiar(self.known.taught_with(x_nd, labels_n), self.novelty), novelty_n

    def limited(self, novelty_n: NDArray[np.float64]) -> Familiar:
        """The same with a limit that calls the intended share of these photos known."""
        limit = choose_limit(novelty_n, accepted=self.novelty.accepted)
        return Familiar(self.known, self.novelty.model_copy(update={"limit": limit}))

    def relabelled(self, place_c: NDArray[np.int64]) -> Familiar:
        """The same under other class numbers."""
        return Familiar(self.known.relabelled(place_c), self.novelty)
