"""Which score tells strange things best? Published ones side by side, on one bundle.

    python benchmarks/novelty.py BUNDLE PHOTOS... --split split.csv --strange OTHER

Every score is fitted to photos of the training part, as `binsight export` does, and asked about
photos of another part and about class folders of things that are none of the classes. None sees a
strange photo before. All need one pass of the network:

    msp             1 - largest probability (Hendrycks and Gimpel 2017, "A Baseline for Detecting
                    Misclassified and Out-of-Distribution Examples")
    max logit       (Hendrycks et al. 2022, "Scaling Out-of-Distribution Detection for Real-World
                    Settings")
    energy          (Liu et al. 2020, "Energy-based Out-of-distribution Detection")
    mahalanobis     (Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution
                    Samples and Adversarial Attacks"), covariance shrunk as in the product
    relative        relative Mahalanobis (Ren et al. 2021, "A Simple Fix to Mahalanobis Distance for
                    Improving Near-OOD Detection")
    mahalanobis++   on embeddings of norm 1 (Mueller and Hein 2025, "Mahalanobis++: Improving OOD
                    Detection via Feature Normalization")
    relative++      relative Mahalanobis on embeddings of norm 1
    product         the same as binsight computes it: of low rank and half precision
    knn             5th nearest neighbour (Sun et al. 2022, "Out-of-Distribution Detection with Deep
                    Nearest Neighbors")
    vim             virtual logit of what 256 principal directions leave (Wang et al. 2022, "ViM:
                    Out-Of-Distribution with Virtual-logit Matching")
    nnguide         energy guided by 10 neighbours (Park et al. 2023, "Nearest Neighbor Guidance for
                    Out-of-Distribution Detection")
    fdbd            distance to decision boundaries (Liu and Qin 2024, "Fast Decision Boundary based
                    Out-of-Distribution Detector")

It prints a table: AUROC and FPR at 95 % TPR, with 95 % bootstrap intervals over all strange photos,
and without for each of their folders.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from scipy.special import logsumexp

from binsight import Classifier
from binsight.bundle import read_verified
from binsight.data.catalog import scan
from binsight.data.labelled import labelled_part
from binsight.data.split import read_split
from binsight.evaluation.novelty import novelty_metrics
from binsight.novelty import SHRINKAGE, fit_known
from binsight.teaching.graph import read_head
from binsight.teaching.head import Head
from binsight.teaching.memory import spread

Score = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[np.ndarray, np.ndarray, Head], Score]
NEIGHBOURS = 5
GUIDES = 10
DIRECTIONS = 256


def msp(x_nd: np.ndarray, labels_n: np.ndarray, head: Head) -> Score:
    """1 minus the largest probability."""
    del x_nd, labels_n
    return lambda asked: 1 - head.probs(asked).max(axis=1)


def max_logit(x_nd: np.ndarray, labels_n: np.ndarray, head: Head) -> Score:
    """Minus the largest logit."""
    del x_nd, labels_n
    return lambda asked: -head.logits(asked).max(axis=1)


def energy(x_nd: np.ndarray, labels_n: np.ndarray, head: Head) -> Score:
    """Minus the logarithm of the sum of exponentials."""
    del x_nd, labels_n
    return lambda asked: -logsumexp(head.logits(asked), axis=1)


def mahalanobis(*, unit: bool, relative: bool) -> Fit:
    """Distance to the nearest class mean, minus that to the mean of all if relative."""

    def fit(x_nd: np.ndarray, labels_n: np.ndarray, head: Head) -> Score:
        del head
        prepared = _unit if unit else np.asarray
        rows = prepared(x_nd)
        means = np.stack([rows[labels_n == one].mean(axis=0) for one in np.unique(labels_n)])
        place = np.searchsorted(np.unique(labels_n), labels_n)
        near = _distance(rows - means[place], means)
        far = _distance(rows - rows.mean(axis=0), rows.mean(axis=0)[None])
        return lambda asked: near(prepared(asked)) - (far(prepared(asked)) if relative else 0)

    return fit


def _distance(spread_nd: np.ndarray, centres_md: np.ndarray) -> Score:
    covariance = spread_nd.T @ spread_nd / len(spread_nd)
    mean = np.trace(covariance) / len(covariance)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * mean * np.eye(len(covariance))
    root = np.linalg.inv(np.linalg.cholesky(covariance)).T
    centres = centres_md @ root

    def nearest(asked: np.ndarray) -> np.ndarray:
        rows = asked @ root
        squares = (rows**2).sum(axis=1)[:, None] - 2 * rows @ centres.T + (centres**2).sum(axis=1)
        return squares.min(axis=1)

    return nearest


def product(x_nd: np.ndarray, labels_n: np.ndarray, head: Head) -> Score:
    """What a bundle computes."""
    del head
    return fit_known(x_nd, labels_n).score


def knn(x_nd: np.ndarray, labels_n: np.ndarray, head: Head) -> Score:
    """Distance to a near neighbour among embeddings of norm 1."""
    del labels_n, head
    bank = _unit(x_nd)
    return lambda asked: -np.sort(_unit(asked) @ bank.T, axis=1)[:, -NEIGHBOURS]


def vim(x_nd: np.ndarray, labels_n: np.ndarray, head: Head) -> Score:
    """Length of the residual, scaled to the logits, minus the energy's logarithm."""
    del labels_n
    origin = -np.linalg.pinv(head.weight_cd.astype(np.float64)) @ head.bias_c
    _, axes = np.linalg.eigh((x_nd - origin).T @ (x_nd - origin))
    main = axes[:, ::-1][:, :DIRECTIONS]

    def residual(asked: np.ndarray) -> np.ndarray:
        rows = asked - origin
        return np.sqrt(np.maximum((rows**2).sum(axis=1) - ((rows @ main) ** 2).sum(axis=1), 0))

    scale = head.logits(x_nd).max(axis=1).mean() / max(residual(x_nd).mean(), 1e-9)
    return lambda asked: scale * residual(asked) - logsumexp(head.logits(asked), axis=1)


def nnguide(x_nd: np.ndarray, labels_n: np.ndarray, head: Head) -> Score:
    """Energy times the mean similarity to near neighbours, these weighed by their own energy."""
    del labels_n
    bank = _unit(x_nd) * logsumexp(head.logits(x_nd), axis=1)[:, None]

    def score(asked: np.ndarray) -> np.ndarray:
        guidance = np.sort(_unit(asked) @ bank.T, axis=1)[:, -GUIDES:].mean(axis=1)
        return -logsumexp(head.logits(asked), axis=1) * guidance

    return score


def fdbd(x_nd: np.ndarray, labels_n: np.ndarray, head: Head) -> Score:
    """Mean distance to the boundaries of the answered class, by the distance from the mean."""
    del labels_n
    middle = x_nd.mean(axis=0)
    normal_cc = np.linalg.norm(head.weight_cd[:, None] - head.weight_cd[None], axis=2)
    np.fill_diagonal(normal_cc, np.inf)

    def score(asked: np.ndarray) -> np.ndarray:
        logits = head.logits(asked)
        gaps = logits.max(axis=1, keepdims=True) - logits
        distance = (gaps / normal_cc[logits.argmax(axis=1)]).sum(axis=1) / (logits.shape[1] - 1)
        return -distance / np.linalg.norm(asked - middle, axis=1)

    return score


SCORES: dict[str, Fit] = {
    "msp": msp,
    "max logit": max_logit,
    "energy": energy,
    "mahalanobis": mahalanobis(unit=False, relative=False),
    "relative": mahalanobis(unit=False, relative=True),
    "mahalanobis++": mahalanobis(unit=True, relative=False),
    "relative++": mahalanobis(unit=True, relative=True),
    "product": product,
    "knn": knn,
    "vim": vim,
    "nnguide": nnguide,
    "fdbd": fdbd,
}


def _unit(x_nd: np.ndarray) -> np.ndarray:
    return x_nd / np.maximum(np.linalg.norm(x_nd, axis=1, keepdims=True), 1e-9)


def table(
    fitted: tuple[np.ndarray, np.ndarray],
    head: Head,
    known: np.ndarray,
    strange: Mapping[str, np.ndarray],
) -> str:
    """A row for each score: both figures over all strange photos, and for each folder."""
    names = ["all strange photos", *strange] if len(strange) > 1 else list(strange)
    lines = [
        "| score | " + " | ".join(f"{name}: AUROC | FPR" for name in names) + " |",
        "|---|" + "---|---|" * len(names),
    ]
    every = np.concatenate(list(strange.values()))
    for name, fit in SCORES.items():
        score = fit(*fitted, head)
        usual = score(known)
        whole = novelty_metrics(usual, score(every))
        cells = [
            f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
            for one in (whole.auroc, whole.fpr_at_95_tpr)
        ]
        for rows in strange.values() if len(strange) > 1 else ():
            some = novelty_metrics(usual, score(rows), resamples=1)
            cells += [f"{some.auroc.value:.3f}", f"{some.fpr_at_95_tpr.value:.3f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Compare scores of how strange a photo is.")
    parser.add_argument("bundle", help="a path, or the name of a built-in one")
    parser.add_argument("photos", type=Path, nargs="+", help="as the split was made of")
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--fit", default="train", help="part to fit to")
    parser.add_argument("--part", default="test", help="part to ask about")
    parser.add_argument("--most", type=int, default=300, help="photos a class to fit to")
    parser.add_argument("--strange", type=Path, required=True, help="class folders of other things")
    options = parser.parse_args()
    classifier = Classifier(options.bundle)
    head = read_head(classifier.path, read_verified(classifier.path))
    catalog, split = scan(options.photos, duplicates=False), read_split(options.split)
    paths, learned = labelled_part(catalog, split, options.fit, classifier.classes)
    keys = [(label, path.split("/")[0]) for path, label in zip(paths, learned.labels, strict=True)]
    sources = len(options.photos)
    chosen = spread(keys if sources > 1 else learned.labels, -(-options.most // sources))
    labels_n = np.array(learned.labels)[chosen]
    _, asked = labelled_part(catalog, split, options.part, classifier.classes)
    other = scan([options.strange], duplicates=False)
    strange = {
        name: embedded(classifier, [other.file(one) for one in other.photos if one.label == name])
        for name in other.classes
    }
    fitted = embedded(classifier, [learned.files[place] for place in chosen])
    known = embedded(classifier, asked.files)
    counts = ", ".join(f"{len(rows)} {name}" for name, rows in strange.items())
    print(f"fitted to {len(fitted)} photos; {len(known)} known, strange: {counts}\n")
    print(table((fitted, labels_n), head, known, strange))


def embedded(classifier: Classifier, files: list[Path]) -> np.ndarray:
    """Embeddings (N, D) of photos, in double precision."""
    answers = classifier.classify(files)
    return np.stack([answer.embedding for answer in answers]).astype(np.float64)


if __name__ == "__main__":
    main()
