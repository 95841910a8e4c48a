"""How much do a few taught photos help? Accuracy on a domain by photos a class, and by method.

    python benchmarks/teach.py BUNDLE PHOTOS [--split split.csv --part test] [--out taught]
    python benchmarks/teach.py BUNDLE PHOTOS [--split split.csv --part test] --new OTHER

The first way: some of the photos of each class are taught and the rest are asked, over several
seeds. Methods:

    joint          what `binsight teach` does: taught and remembered photos, pulled to the old head
    no memory      the same without the remembered photos
    ridge          ridge regression on taught and remembered photos, closed form
    class means    nearest mean of taught and remembered embeddings, by cosine
    imprinted      nearest mean of taught embeddings alone (Qi et al. 2018, "Low-Shot Learning with
                   Imprinted Weights")

It writes OUT.csv (a row for each seed), OUT.md (means) and OUT.png.

The second way: some of each class folder in OTHER are taught as new classes; their other photos and
all of PHOTOS are asked. It prints recall of the new classes, and accuracy on PHOTOS.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from binsight import Classifier
from binsight.bundle import read_verified
from binsight.data.catalog import scan
from binsight.data.split import read_split
from binsight.files import replacing, write_text
from binsight.runtime.teacher import pupil_of
from binsight.teaching.head import Head, fit_head
from binsight.teaching.lesson import PULL, Example, Pupil, learn

Method = Callable[[Pupil, np.ndarray, np.ndarray], Head]
RIDGE = 1e-2


def joint(pupil: Pupil, taught_nd: np.ndarray, labels_n: np.ndarray) -> Head:
    """What the product does."""
    examples = [
        Example(str(place), pupil.classes[label], f"{place:06d}", row)
        for place, (label, row) in enumerate(zip(labels_n, taught_nd, strict=True))
    ]
    return learn(pupil, examples).head


def without_memory(pupil: Pupil, taught_nd: np.ndarray, labels_n: np.ndarray) -> Head:
    """A logistic regression that only the old head holds back."""
    return fit_head(pupil.head, taught_nd, labels_n, np.ones(len(labels_n)), pull=PULL)


def ridge(pupil: Pupil, taught_nd: np.ndarray, labels_n: np.ndarray) -> Head:
    """Least squares on one-hot targets."""
    x_nd, y_n = _with_remembered(pupil, taught_nd, labels_n)
    columns = np.column_stack([_unit(x_nd), np.ones(len(x_nd))]).astype(np.float64)
    square = columns.T @ columns / len(columns)
    square[np.diag_indices_from(square)] += RIDGE
    targets = np.eye(len(pupil.classes))[y_n]
    found = np.linalg.solve(square, columns.T @ targets / len(columns))
    return Head(found[:-1].T.astype(np.float32), found[-1].astype(np.float32))


def class_means(pupil: Pupil, taught_nd: np.ndarray, labels_n: np.ndarray) -> Head:
    """Nearest mean, taught and remembered."""
    return _means(*_with_remembered(pupil, taught_nd, labels_n), len(pupil.classes))


def imprinted(pupil: Pupil, taught_nd: np.ndarray, labels_n: np.ndarray) -> Head:
    """Nearest mean, taught alone."""
    return _means(taught_nd, labels_n, len(pupil.classes))


METHODS: dict[str, tuple[Method, bool]] = {  # the flag: embeddings of norm 1
    "joint": (joint, False),
    "no memory": (without_memory, False),
    "ridge": (ridge, True),
    "class means": (class_means, True),
    "imprinted": (imprinted, True),
}


def _with_remembered(
    pupil: Pupil, taught_nd: np.ndarray, labels_n: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    known_nd, known_n = pupil.memory.part(held_out=False)
    return np.concatenate([known_nd, taught_nd]), np.concatenate([known_n, labels_n])


def _unit(x_nd: np.ndarray) -> np.ndarray:
    return x_nd / np.maximum(np.linalg.norm(x_nd, axis=1, keepdims=True), 1e-9)


def _means(x_nd: np.ndarray, labels_n: np.ndarray, classes: int) -> Head:
    rows = np.stack([_unit(x_nd)[labels_n == place].mean(axis=0) for place in range(classes)])
    return Head(_unit(rows).astype(np.float32), np.zeros(classes, np.float32))


def _accuracy(head: Head, x_nd: np.ndarray, labels_n: np.ndarray) -> float:
    return float((head.logits(x_nd).argmax(axis=1) == labels_n).mean())


def measured(
    pupil: Pupil,
    x_nd: np.ndarray,
    labels_n: np.ndarray,
    *,
    counts: Sequence[int],
    seeds: int,
) -> list[dict[str, float | int | str]]:
    """A row for each method, number of taught photos a class and seed."""
    rows: list[dict[str, float | int | str]] = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(labels_n))
        for count in counts:
            taught = np.concatenate(
                [order[labels_n[order] == place][:count] for place in range(len(pupil.classes))]
            )
            asked = np.setdiff1d(order, taught)
            before = _accuracy(pupil.head, x_nd[asked], labels_n[asked])
            for name, (method, unit) in METHODS.items():
                head = method(pupil, x_nd[taught], labels_n[taught])
                shown = _unit(x_nd[asked]) if unit else x_nd[asked]
                rows.append(
                    {
                        "method": name,
                        "taught": count,
                        "seed": seed,
                        "before": before,
                        "after": _accuracy(head, shown, labels_n[asked]),
                    }
                )
        print(f"seed {seed}: {len(rows)} rows", flush=True)
    return rows


def measured_new(
    pupil: Pupil,
    old: tuple[np.ndarray, np.ndarray],
    new: tuple[np.ndarray, np.ndarray],
    names: Sequence[str],
    *,
    counts: Sequence[int],
    seeds: int,
) -> str:
    """Recall of new classes and accuracy of the old ones: a line for each number of photos."""
    if known := set(pupil.classes) & set(names):
        raise SystemExit(f"the model already knows {min(known)}; --new is for other classes")
    before = _accuracy(pupil.head, *old)
    lines = [
        "| photos a class | " + " | ".join(f"recall {name}" for name in names) + " | old classes |",
        "|---|" + "---|" * (len(names) + 1),
        "| not taught |" + " |" * len(names) + f" {before:.1%} |",
    ]
    for count in counts:
        recalls, after = [], []
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(new[1]))
            taught = np.concatenate(
                [order[new[1][order] == place][:count] for place in range(len(names))]
            )
            asked = np.setdiff1d(order, taught)
            examples = [
                Example(str(place), names[new[1][place]], f"{place:06d}", new[0][place])
                for place in taught
            ]
            head = learn(pupil, examples).head
            answers = head.logits(new[0][asked]).argmax(axis=1) - len(pupil.classes)
            recalls.append(
                [(answers == place)[new[1][asked] == place].mean() for place in range(len(names))]
            )
            after.append(_accuracy(head, *old))
        cells = [f"{value:.1%}" for value in [*np.mean(recalls, axis=0), np.mean(after)]]
        lines.append(f"| {count} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def table(rows: Sequence[dict[str, float | int | str]], counts: Sequence[int]) -> str:
    """Means over seeds, in points against the untaught bundle; the worst seed in brackets."""
    gains: dict[tuple[str, int], list[float]] = defaultdict(list)
    before: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        gains[str(row["method"]), int(row["taught"])].append(
            100 * (float(row["after"]) - float(row["before"]))
        )
        before[int(row["taught"])].append(100 * float(row["before"]))
    lines = [
        "| photos a class | " + " | ".join(map(str, counts)) + " |",
        "|---|" + "---|" * len(counts),
        "| not taught | " + " | ".join(f"{np.mean(before[one]):.1f} %" for one in counts) + " |",
    ]
    for name in METHODS:
        cells = [
            f"{np.mean(gains[name, one]):+.1f} ({min(gains[name, one]):+.1f})" for one in counts
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(rows: Sequence[dict[str, float | int | str]], counts: Sequence[int], path: Path) -> None:
    """Mean accuracy by number of taught photos, a line for each method, with its range."""
    figure = Figure(figsize=(6.4, 4.2), dpi=140, layout="constrained")
    axes = figure.add_subplot()
    start = np.mean([float(row["before"]) for row in rows])
    for name in METHODS:
        found = np.array(
            [
                [float(r["after"]) for r in rows if (r["method"], r["taught"]) == (name, one)]
                for one in counts
            ]
        )
        (line,) = axes.plot([0, *counts], [start, *found.mean(axis=1)], marker="o", label=name)
        low, high = found.min(axis=1), found.max(axis=1)
        axes.fill_between(counts, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.set(xlabel="taught photos a class", ylabel="accuracy on the rest")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Teach a bundle more and more photos.")
    parser.add_argument("bundle", help="a path, or the name of a built-in one")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--split", type=Path, help="ask and teach photos of one part only")
    parser.add_argument("--part", default="test")
    parser.add_argument("--new", type=Path, help="class folders to teach as new classes")
    parser.add_argument("--counts", type=int, nargs="+", default=[3, 5, 10, 25])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("taught"))
    options = parser.parse_args()
    classifier = Classifier(options.bundle)
    pupil = pupil_of(classifier, read_verified(classifier.path))
    x_nd, labels_n = embedded(classifier, options)
    if options.new:
        report_new(classifier, pupil, (x_nd, labels_n), options)
        return
    rows = measured(pupil, x_nd, labels_n, counts=options.counts, seeds=options.seeds)
    with (
        replacing(options.out.with_suffix(".csv")) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    text = table(rows, options.counts)
    write_text(options.out.with_suffix(".md"), text)
    draw(rows, options.counts, options.out.with_suffix(".png"))
    print(f"{len(labels_n)} photos, {options.seeds} seeds\n{text}")


def report_new(
    classifier: Classifier,
    pupil: Pupil,
    old: tuple[np.ndarray, np.ndarray],
    options: argparse.Namespace,
) -> None:
    """Print the table of the second way."""
    catalog = scan([options.new], duplicates=False)
    answers = classifier.classify([catalog.file(photo) for photo in catalog.photos])
    labels = np.array([catalog.classes.index(photo.label) for photo in catalog.photos])
    new = np.stack([answer.embedding for answer in answers]), labels
    print(
        measured_new(pupil, old, new, catalog.classes, counts=options.counts, seeds=options.seeds)
    )


def embedded(classifier: Classifier, options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (N, D) and class numbers (N,) of the photos."""
    catalog = scan([options.photos], duplicates=False)
    photos = catalog.photos
    if options.split:
        part = set(read_split(options.split).paths(options.part))
        # A split of several sources names each photo by its source first.
        photos = tuple(
            photo
            for photo in photos
            if photo.path in part or f"{options.photos.name}/{photo.path}" in part
        )
    answers = classifier.classify([catalog.file(photo) for photo in photos])
    labels = [classifier.classes.index(photo.label) for photo in photos]
    return np.stack([answer.embedding for answer in answers]), np.array(labels, np.int64)


if __name__ == "__main__":
    main()
