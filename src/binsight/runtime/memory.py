"""What a bundle remembers of its training."""

from __future__ import annotations

from pathlib import Path

from binsight.bundle import read_verified
from binsight.learned import NOTHING, Learned

__all__ = ["learned_by"]


def learned_by(bundle: Path) -> Learned:
    """Photos that a bundle learned from, in training or in lessons; none if it kept no record.

    Raises:
        NotABundleError: no such file, or another kind of file.
        AlteredBundleError: not as it was written.
    """
    from binsight.teaching.graph import read_memory  # needs onnx, which takes long to import

    memory = read_memory(read_verified(bundle))
    return NOTHING if memory is None else memory.learned
