"""What a classifier says about one photo."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["STRANGE", "Prediction"]

LOW_CONFIDENCE = "low confidence"
STRANGE = "like nothing it learned"


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer for one photo; it checks its own shapes.

    Args:
        label: the most probable class.
        confidence: its calibrated probability, 0 to 1.
        sure: whether the confidence reaches the bundle's threshold and the photo is not strange.
            Treat a label that is not sure as "not sure".
        probs: class name to probability, in the bundle's order; they add up to 1.
        embedding: pooled features, (D,) float32.
        novelty: how strange the photo is; ``None`` if the bundle does not tell.
        strange: whether that is above the bundle's limit: like nothing that it learned.
    """

    label: str
    confidence: float
    sure: bool
    probs: Mapping[str, float]
    embedding: NDArray[np.float32]
    novelty: float | None = None
    strange: bool = False

    def __post_init__(self) -> None:
        assert self.label in self.probs
        assert abs(sum(self.probs.values()) - 1) < 1e-3
        assert self.embedding.ndim == 1
        assert not (self.strange and self.sure)

    @property
    def why(self) -> str | None:
        """Why the answer is not sure; ``None`` if it is."""
        if self.sure:
            return None
        return STRANGE if self.strange else LOW_CONFIDENCE

    def to_dict(self) -> dict[str, object]:
        """All but the embedding as plain values, ready for JSON."""
        novelty = self.novelty
        if novelty is not None:
            novelty = round(novelty, 6) if math.isfinite(novelty) else None
        return {
            "label": self.label,
            "confidence": round(self.confidence, 6),
            "sure": self.sure,
            "why": self.why,
            "novelty": novelty,
            "probs": {name: round(value, 6) for name, value in self.probs.items()},
        }
