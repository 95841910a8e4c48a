"""What a user may name as a network's first weights; needs no torch."""

from __future__ import annotations

from pathlib import Path

from binsight.runtime import BUILTIN

__all__ = ["IMAGENET", "NONE", "names_bundle"]

IMAGENET = "imagenet"
NONE = "none"


def names_bundle(weights: str) -> bool:
    """Whether the weights of a bundle are meant: a built-in one by name, or an ``.onnx`` file."""
    return weights in BUILTIN or Path(weights).suffix == ".onnx"
