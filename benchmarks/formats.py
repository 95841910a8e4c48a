"""Every format of a bundle that can be written here: size, accuracy, same label, speed.

    .venv-dev/bin/python benchmarks/formats.py small DATA/trashnet DATA/web --split mix.csv \
        --below trashnet --out build/formats

Each file is exported as `binsight export` does it, calibrated on the split's ``train`` and compared
on its ``val`` part, and then asked about the photos of ``--part``, which none of this has seen.
What is refused or cannot run keeps its row, with the reason. The table is Markdown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from binsight.errors import BinsightError
from binsight.export.bench import Bench, bench
from binsight.export.described import size_of
from binsight.export.formats import (
    FORMATS,
    BundleRunner,
    Format,
    Request,
    Source,
    open_exported,
    write_exported,
)
from binsight.export.measured import Answers, answers_of
from binsight.export.reduced import reduce_bundle
from binsight.export.shown import Shown, of_split, some_of
from binsight.runtime import Classifier, bundle_path

COMPARED = 200


@dataclass(frozen=True)
class Row:
    """One format in one precision: a file, or why there is none."""

    name: str
    path: Path | None
    reason: str = ""


def main() -> None:
    asked = arguments()
    classifier = Classifier(bundle_path(asked.bundle))
    val, train, test = of_split(
        tuple(asked.photos), asked.split, ("val", "train", asked.part), classifier.classes
    )
    test = below(test, asked.below)
    rows = [Row("onnx fp32", classifier.path)]
    rows += list(exported(Source(classifier), asked.out, val, some_of(train), asked.only))
    before = answers_of(BundleRunner(classifier), test.files, classifier.metadata.preprocess)
    said = {row.name: answers(row.path, test) for row in rows if row.path}
    paths = [row.path for row in rows if row.path and not isinstance(said[row.name], str)]
    speeds = dict(zip(paths, bench(paths, runs=asked.runs, starts=asked.starts), strict=True))
    sys.stdout.write(f"{asked.bundle}: {len(test)} photos, same label on {COMPARED} of them\n\n")
    sys.stdout.write(table(rows, said, before, test, speeds))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", help="a bundle, or the name of a built-in one")
    parser.add_argument("photos", type=Path, nargs="+", help="the split's photos")
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--part", default="test")
    parser.add_argument("--below", default="", help="of the part, photos below this folder alone")
    parser.add_argument("--out", type=Path, default=Path("build/formats"))
    parser.add_argument("--only", nargs="*", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--starts", type=int, default=3)
    return parser.parse_args()


def below(shown: Shown, folder: str) -> Shown:
    """Photos whose path has a folder of that name."""
    places = [n for n, file in enumerate(shown.files) if not folder or folder in file.parts]
    files = tuple(shown.files[place] for place in places)
    return Shown(files, shown.labels_n[places], shown.part, shown.catalog_digest)


def exported(
    source: Source, folder: Path, val: Shown, calibration: Shown, only: list[str]
) -> Iterator[Row]:
    """Write every format and precision; the bundle itself is there already."""
    for one in FORMATS.values():
        for precision in one.precisions:
            if one.name not in only or (one.name, precision) == ("onnx", "fp32"):
                continue
            out = folder / f"{source.bundle.stem}-{precision}{one.suffix}"
            measured = precision == "int8" or one.name == "onnx"
            request = Request(
                precision=precision,
                photos=val if measured else some_of(val, COMPARED),
                calibration=calibration if precision == "int8" else None,
            )
            yield row(one, source, out, request)


def row(one: Format, source: Source, out: Path, request: Request) -> Row:
    name = f"{one.name} {request.precision}"
    sys.stderr.write(f"{name} ...\n")
    try:
        if one.name == "onnx":
            reduce_bundle(source, out, request)
        else:
            write_exported(one, source, out, request)
    except BinsightError as error:
        return Row(name, None, str(error))
    return Row(name, out)


def answers(path: Path, test: Shown) -> Answers | str:
    """What a file says of the photos, or why it says nothing here."""
    exported = open_exported(path)
    try:
        return answers_of(exported.open(), test.files, exported.description.preprocess)
    except BinsightError as error:
        return str(error)


def table(
    rows: list[Row],
    said: dict[str, Answers | str],
    before: Answers,
    test: Shown,
    speeds: dict[Path, Bench],
) -> str:
    lines = [
        "| format | MB | accuracy | same label | latency beside fp32 | first answer | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    drawn = np.random.default_rng(0).permutation(len(test))[:COMPARED]
    expected = before.probs_nc.argmax(axis=1)
    for one in rows:
        answered = said.get(one.name, one.reason)
        if isinstance(answered, str) or one.path is None:
            size = f"{size_of(one.path) / 1e6:.1f}" if one.path else "-"
            lines.append(f"| {one.name} | {size} | {answered} | - | - | - | - |")
            continue
        found, speed = answered.probs_nc.argmax(axis=1), speeds[one.path]
        fresh = speed.first_answer_seconds, speed.peak_mib
        seconds, peak = ("-" if value is None else f"{value:.2f}" for value in fresh)
        lines.append(
            f"| {one.name} | {speed.bytes / 1e6:.1f} | {(found == test.labels_n).mean():.1%} | "
            f"{(found == expected)[drawn].mean():.1%} | {1 / speed.times_as_fast:.2f} | "
            f"{seconds} s | {peak} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
