"""Accuracy and labels of exported files beside their bundle, on photos of a split.

    .venv-dev/bin/python benchmarks/formats.py small small.tflite small-int8.tflite \
        --photos DATA/trashnet --split mix.csv --part test

Every file must be described (FILE.json beside it), as ``binsight export`` leaves it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from binsight import Classifier
from binsight.export.described import size_of
from binsight.export.formats import BundleRunner, open_exported
from binsight.export.measured import answers_of
from binsight.export.shown import of_split


def main() -> None:
    """Measure, and print a table or one JSON object a line."""
    asked = _arguments()
    classifier = Classifier(asked.bundle)
    spec = classifier.metadata.preprocess
    (shown,) = of_split(tuple(asked.photos), asked.split, [asked.part], classifier.classes)
    if asked.list:
        names = set(asked.list.read_text(encoding="utf-8").split())
        places = [place for place, file in enumerate(shown.files) if file.name in names]
    else:
        places = list(range(len(shown)))
    files = [shown.files[place] for place in places]
    labels_n = shown.labels_n[places]
    first = np.random.default_rng(0).permutation(len(files))[: asked.compared]
    expected_nc = answers_of(BundleRunner(classifier), files, spec).probs_nc
    _tell(asked, _row(classifier.path, "onnx", expected_nc, expected_nc, labels_n, first))
    for path in asked.files:
        exported = open_exported(path)
        described = exported.description
        if not exported.format.runs_here:
            print(f"{path.name}: {described.format} does not run on this system")
            continue
        found_nc = answers_of(exported.open(), files, spec).probs_nc
        name = f"{described.format} {described.precision}"
        _tell(asked, _row(path, name, found_nc, expected_nc, labels_n, first))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", help="what the files were made of")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--photos", nargs="+", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--part", default="test")
    parser.add_argument("--list", type=Path, help="only photos of these names, one a line")
    parser.add_argument("--compared", type=int, default=200, help="photos for the same label")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _row(
    path: Path,
    name: str,
    found_nc: Any,
    expected_nc: Any,
    labels_n: Any,
    first: Any,
) -> dict[str, Any]:
    same_n = found_nc.argmax(axis=1) == expected_nc.argmax(axis=1)
    return {
        "file": path.name,
        "format": name,
        "mb": round(size_of(path) / 1e6, 2),
        "photos": len(labels_n),
        "accuracy": float((found_nc.argmax(axis=1) == labels_n).mean()),
        "same_label_of_compared": float(same_n[first].mean()),
        "same_label": float(same_n.mean()),
        "max_difference": float(np.abs(found_nc - expected_nc).max()),
    }


def _tell(asked: argparse.Namespace, row: dict[str, Any]) -> None:
    if asked.json:
        print(json.dumps(row), flush=True)
        return
    print(
        f"{row['file']:28}{row['format']:18}{row['mb']:8.2f} MB  {row['accuracy']:.1%} of "
        f"{row['photos']} right, same label on {row['same_label_of_compared']:.1%}, probabilities "
        f"within {row['max_difference']:.2g}",
        flush=True,
    )


if __name__ == "__main__":
    main()
