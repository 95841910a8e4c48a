"""Embeddings kept between runs, by the digest of the photo's bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from binsight.files import replacing

__all__ = ["EmbeddingCache"]

Floats = NDArray[np.float32]


class EmbeddingCache:
    """One small file for each photo. Anything unreadable counts as absent.

    Args:
        folder: for one network; ``None`` keeps nothing.
        width: D, the length of its embeddings.
    """

    def __init__(self, folder: Path | None, width: int) -> None:
        self.folder = folder
        self.width = width

    def get(self, digest: str) -> Floats | None:
        """The embedding (D,) of a photo, if it is there."""
        if self.folder is None:
            return None
        try:
            embedding_d = np.load(self.folder / f"{digest}.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        usable = embedding_d.shape == (self.width,) and embedding_d.dtype == np.float32
        return embedding_d if usable and np.isfinite(embedding_d).all() else None

    def put(self, digest: str, embedding_d: Floats) -> Floats:
        """Keep an embedding, and give it back. A full or read-only disk only costs time."""
        if self.folder is not None:
            try:
                with replacing(self.folder / f"{digest}.npy") as temporary:
                    np.save(temporary, embedding_d, allow_pickle=False)
            except OSError:
                pass
        return embedding_d
