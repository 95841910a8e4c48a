"""A fresh process that opens an exported file, answers once and says what memory that took.

    python -m binsight.export.first_answer FILE

`bench` starts it and takes the time. It imports no more than answering needs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from binsight.runtime import Classifier

__all__ = ["main"]


def main() -> None:
    """Answer one grey picture and print the peak memory in MiB."""
    path = Path(sys.argv[1])
    if path.suffix == ".onnx":
        classifier = Classifier(path)
        classifier.run(_grey(classifier.metadata.preprocess.size))
    else:
        from .formats import open_exported

        exported = open_exported(path)
        exported.open().run(_grey(exported.description.preprocess.size))
    sys.stdout.write(f"{_peak_mib():.1f}\n")


def _grey(size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.zeros((1, 3, size, size), np.float32)


def _peak_mib() -> float:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / (1 << 10)


if __name__ == "__main__":
    main()
