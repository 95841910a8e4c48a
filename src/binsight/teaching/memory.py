"""What a bundle remembers of the photos that it learned from: some embeddings, no photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from binsight.learned import NOTHING, Learned

__all__ = ["Memory", "spread"]

Floats = NDArray[np.float32]
LEARNED = "taught"  # once it was of lessons alone
OF_LESSONS = "of_lessons"


@dataclass(frozen=True, eq=False)
class Memory:
    """Embeddings with their class numbers, in the order of the bundle's classes.

    Args:
        embeddings: (M, D) float16.
        labels: (M,) int64.
        held_out: (M,) bool; True where the network never learned from the photo, so that it can
            tell how good the model is.
        learned: every photo that the bundle learned from, in training or in a lesson, also those
            that are not remembered.
        taught: (M,) bool; True where the photo is of a lesson; by default of none.
    """

    embeddings: NDArray[np.float16]
    labels: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    learned: Learned = NOTHING
    taught: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    def __post_init__(self) -> None:
        if not len(self.taught):
            object.__setattr__(self, "taught", np.zeros(len(self.labels), np.bool_))
        assert self.embeddings.ndim == 2
        assert self.labels.shape == self.held_out.shape == self.embeddings.shape[:1]
        assert self.taught.shape == self.labels.shape

    @classmethod
    def empty(cls, width: int) -> Memory:
        """Of a bundle that remembers nothing; ``width`` is D."""
        none = np.zeros(0, np.int64)
        return cls(np.zeros((0, width), np.float16), none, none.astype(np.bool_))

    def __len__(self) -> int:
        return len(self.labels)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything, by name."""
        ids = {LEARNED: np.array(sorted(self.learned.ids), np.int64)} if self.learned else {}
        taught = {OF_LESSONS: self.taught.astype(np.bool_)} if self.taught.any() else {}
        return {
            "embeddings": self.embeddings.astype(np.float16),
            "labels": self.labels.astype(np.int64),
            "held_out": self.held_out.astype(np.bool_),
            **ids,
            **taught,
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Memory:
        """What `arrays` gave."""
        ids = arrays.get(LEARNED)
        return cls(
            arrays["embeddings"],
            arrays["labels"],
            arrays["held_out"],
            NOTHING if ids is None else Learned(frozenset(ids.tolist())),
            arrays.get(OF_LESSONS, np.zeros(0, np.bool_)),
        )

    def at(self, places: NDArray[np.int64]) -> Memory:
        """What is at some places, in their order; what was learned stays."""
        return Memory(
            self.embeddings[places],
            self.labels[places],
            self.held_out[places],
            self.learned,
            self.taught[places],
        )

    def part(self, *, held_out: bool) -> tuple[Floats, NDArray[np.int64]]:
        """Embeddings (m, D) and class numbers (m,) of one half."""
        chosen = self.held_out == held_out
        return self.embeddings[chosen].astype(np.float32), self.labels[chosen]


def spread(keys: Sequence[object], most: int, *, seed: int = 0) -> list[int]:
    """Choose up to ``most`` places for each key, at random.

    Args:
        keys: what to spread over, such as class and source of each photo.
        most: to choose of each.
        seed: of the choice.
    """
    random = np.random.default_rng(seed)
    places: dict[object, list[int]] = {}
    for place in random.permutation(len(keys)):
        row = places.setdefault(keys[place], [])
        if len(row) < most:
            row.append(int(place))
    return sorted(place for row in places.values() for place in row)
