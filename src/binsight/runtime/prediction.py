"""What a classifier says about one photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Prediction"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer for one photo; it checks its own shapes.

    Args:
        label: the most probable class.
        confidence: its calibrated probability, 0 to 1.
        sure: whether the confidence reaches the bundle's threshold. Treat a label that is not
            sure as "not sure".
        probs: class name to probability, in the bundle's order; they add up to 1.
        embedding: pooled features, (D,) float32.
    """

    label: str
    confidence: float
    sure: bool
    probs: Mapping[str, float]
    embedding: NDArray[np.float32]

    def __post_init__(self) -> None:
        assert self.label in self.probs
        assert abs(sum(self.probs.values()) - 1) < 1e-3
        assert self.embedding.ndim == 1

    def to_dict(self) -> dict[str, object]:
        """Label, confidence, sure and probs as plain values, ready for JSON."""
        return {
            "label": self.label,
            "confidence": round(self.confidence, 6),
            "sure": self.sure,
            "probs": {name: round(value, 6) for name, value in self.probs.items()},
        }
