"""What a bundle remembers of the photos that it learned from: some embeddings, no photos."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Memory", "spread", "taught_id"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Memory:
    """Embeddings with their class numbers, in the order of the bundle's classes.

    Args:
        embeddings: (M, D) float16.
        labels: (M,) int64.
        held_out: (M,) bool; True where the network never learned from the photo, so that it can
            tell how good the model is.
        taught: (T,) int64, `taught_id` of every photo that was ever taught, also of those that are
            not remembered.
    """

    embeddings: NDArray[np.float16]
    labels: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    taught: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        assert self.embeddings.ndim == 2
        assert self.labels.shape == self.held_out.shape == self.embeddings.shape[:1]

    @classmethod
    def empty(cls, width: int) -> Memory:
        """Of a bundle that remembers nothing; ``width`` is D."""
        none = np.zeros(0, np.int64)
        return cls(np.zeros((0, width), np.float16), none, none.astype(np.bool_))

    def __len__(self) -> int:
        return len(self.labels)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything, by name."""
        taught = {"taught": self.taught.astype(np.int64)} if len(self.taught) else {}
        return {
            "embeddings": self.embeddings.astype(np.float16),
            "labels": self.labels.astype(np.int64),
            "held_out": self.held_out.astype(np.bool_),
            **taught,
        }

    def part(self, *, held_out: bool) -> tuple[Floats, NDArray[np.int64]]:
        """Embeddings (m, D) and class numbers (m,) of one half."""
        chosen = self.held_out == held_out
        return self.embeddings[chosen].astype(np.float32), self.labels[chosen]


def taught_id(digest: str) -> int:
    """Eight bytes that stand for a photo, of the digest of its bytes."""
    return int.from_bytes(hashlib.sha256(digest.encode()).digest()[:8], "little", signed=True)


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
