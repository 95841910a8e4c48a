"""How much of its accuracy a model keeps when photos get worse.

Each photo of a sample is shown clean and under every corruption. `corruptions` says what these do,
`corruption_figures` draws what came of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

from binsight.errors import ImageError, TrainingError
from binsight.images import decode

from .asking import Answer, Model, Progress
from .corruptions import FAMILIES, SEVERITIES, Family, corrupt
from .metrics import Interval, bootstrapped, may_be_otherwise, of_share
from .resampling import Resampler

__all__ = [
    "Corrupted",
    "Robustness",
    "measure_robustness",
    "most_telling",
    "photo_seed",
    "show_corrupted",
    "shown",
]

CANDIDATES = 8  # photos that an example is chosen from


@dataclass(frozen=True, eq=False)
class Corrupted:
    """What a model made of N photos under F families of S severities.

    Args:
        files: the photos.
        wanted: photos that were to be shown; more than N if a person stopped it.
        families: names.
        severities: 1 to 5, each once, rising.
        clean_n: whether the clean photo was recognised.
        correct_nfs: the same of the corrupted ones.
        clean_sure_n: whether the model was sure; ``None`` if it cannot say.
        sure_nfs: the same of the corrupted ones.
        group_n: photos of one number are copies of one picture; ``None`` if it is not known.
    """

    files: tuple[Path, ...]
    wanted: int
    families: tuple[str, ...]
    severities: tuple[int, ...]
    clean_n: NDArray[np.bool_]
    correct_nfs: NDArray[np.bool_]
    clean_sure_n: NDArray[np.bool_] | None
    sure_nfs: NDArray[np.bool_] | None
    group_n: NDArray[np.int64] | None = None


class Robustness(BaseModel):
    """Shares of photos, 0 to 1; ``[family][severity]`` where they differ by both.

    Args:
        photos: how many were shown in each way.
        wanted: how many were to be shown.
        clean: accuracy on the clean photos.
        mean_accuracy: over all families and severities, each with the same weight.
        retained: ``mean_accuracy`` by ``clean``; ``None`` if no clean photo was recognised.
        accuracy: of each corruption.
        clean_coverage: share that the model was sure of; ``None`` if it cannot say.
        coverage: the same of each corruption.
        accuracy_when_sure: of the answers it was sure of; ``None`` where there are none.
        resamples: of the bootstrap over pictures.
        seed: of the bootstrap.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    photos: int
    wanted: int
    clean: Interval
    mean_accuracy: Interval
    retained: Interval | None
    accuracy: dict[str, dict[int, float]]
    clean_coverage: float | None
    coverage: dict[str, dict[int, float]] | None
    accuracy_when_sure: dict[str, dict[int, float | None]] | None
    resamples: int
    seed: int

    def family_accuracy(self, family: str) -> float:
        """Mean over severities."""
        return float(np.mean(list(self.accuracy[family].values())))

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, numbers and strings, ready for JSON."""
        return self.model_dump(mode="json")


def photo_seed(path: str) -> int:
    """Of a photo's corruptions, so that they do not depend on which others are in the sample."""
    return zlib.crc32(path.encode("utf-8", "surrogateescape"))


def shown(file: Path, model: Model) -> Image.Image:
    """The upright photo at the size that it is corrupted in: no more than the model can use."""
    side = model.preprocess.min_side
    image = decode(file, min_side=side)
    scale = side / min(image.size)
    if scale >= 1.0:
        return image
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.BILINEAR)


def most_telling(root: Path, paths: Sequence[str], model: Model) -> str:
    """Of the first few photos that of most contrast, on which worse pictures are told apart best.

    Args:
        root: that the paths are relative to.
        paths: at least one.
        model: that they are shown to.
    """

    def contrast(path: str) -> float:
        return float(np.asarray(shown(root / path, model).convert("L")).std())

    return max(paths[:CANDIDATES], key=contrast)


def show_corrupted(
    model: Model,
    root: Path,
    paths: Sequence[str],
    labels_n: NDArray[np.int64],
    *,
    group_n: NDArray[np.int64] | None = None,
    families: Sequence[Family] = FAMILIES,
    severities: Sequence[int] = SEVERITIES,
    progress: Progress | None = None,
) -> Corrupted:
    """Show photos to a model, clean and under every corruption.

    A person who interrupts it gets what is known of the photos that are done. They come back in the
    order of their paths, on which the resamples of `measure_robustness` depend.

    Args:
        model: that answers.
        root: folder that the paths are relative to.
        paths: of the photos, at least one.
        labels_n: true class index of each.
        group_n: which are copies of one picture, if that is known.
        families: to apply.
        severities: 1 to 5, each once.
        progress: called with (done, total) pictures.

    Raises:
        TrainingError: no photos.
        ImageError: a photo became unreadable.
        KeyboardInterrupt: before the first photo was done.
    """
    if not len(paths):
        raise TrainingError("no labelled photos to corrupt")
    severities = sorted(set(severities))
    ways = len(families) * len(severities)
    each = 1 + ways

    def pictures() -> Iterator[Image.Image]:
        for path in paths:
            image = shown(root / path, model)
            yield image
            for family in families:
                for severity in severities:
                    yield corrupt(image, family, severity, seed=photo_seed(path))

    heard: list[tuple[int, bool | None]] = []
    try:
        for answer in model.answers(pictures()):
            heard.append(_answered(answer))
            if progress:
                progress(len(heard), len(paths) * each)
    except KeyboardInterrupt:
        if len(heard) < each:
            raise
    done = len(heard) // each
    heard = heard[: done * each]
    in_order = sorted(range(done), key=lambda place: paths[place])
    predicted = np.array([label for label, _ in heard]).reshape(done, each)
    correct = (predicted == labels_n[:done, np.newaxis])[in_order]
    sure = None
    if all(one is not None for _, one in heard):
        sure = np.array([one for _, one in heard], np.bool_).reshape(done, each)[in_order]
    shape = (done, len(families), len(severities))
    return Corrupted(
        files=tuple(root / paths[place] for place in in_order),
        wanted=len(paths),
        families=tuple(family.name for family in families),
        severities=tuple(severities),
        clean_n=correct[:, 0],
        correct_nfs=correct[:, 1:].reshape(shape),
        clean_sure_n=None if sure is None else sure[:, 0],
        sure_nfs=None if sure is None else sure[:, 1:].reshape(shape),
        group_n=None if group_n is None else group_n[in_order],
    )


def _answered(answer: Answer | ImageError) -> tuple[int, bool | None]:
    if isinstance(answer, ImageError):
        raise answer
    return int(answer.probs_c.argmax()), answer.sure


def measure_robustness(corrupted: Corrupted, *, seed: int = 0, resamples: int = 1000) -> Robustness:
    """Measure accuracy and coverage of each corruption, and what is retained of all.

    Intervals are percentile bootstrap intervals over pictures (see `Resampler`); a photo takes its
    corruptions along.
    """
    clean_n = corrupted.clean_n.astype(np.float64)
    mean_n = corrupted.correct_nfs.mean(axis=(1, 2), dtype=np.float64)
    photos = len(clean_n)
    resampler = Resampler(np.arange(photos), corrupted.group_n, photos)
    drawn_rn = resampler.draw(np.random.default_rng(seed), resamples)
    times_r = drawn_rn.sum(axis=1)
    clean_r, mean_r = drawn_rn @ clean_n / times_r, drawn_rn @ mean_n / times_r
    some_r = clean_r > 0
    clean, mean = float(clean_n.mean()), float(mean_n.mean())
    otherwise = may_be_otherwise(resampler.pictures)
    sure = corrupted.sure_nfs
    return Robustness(
        photos=photos,
        wanted=corrupted.wanted,
        clean=of_share(corrupted.clean_n, clean_r, corrupted.group_n),
        mean_accuracy=bootstrapped(mean, mean_r, otherwise),
        retained=bootstrapped(mean / clean, mean_r[some_r] / clean_r[some_r], otherwise)
        if clean
        else None,
        accuracy=_by_both(corrupted, corrupted.correct_nfs.mean(axis=0)),
        clean_coverage=None
        if corrupted.clean_sure_n is None
        else float(corrupted.clean_sure_n.mean()),
        coverage=None if sure is None else _by_both(corrupted, sure.mean(axis=0)),
        accuracy_when_sure=None if sure is None else _when_sure(corrupted, sure),
        resamples=resamples,
        seed=seed,
    )


def _by_both(
    corrupted: Corrupted, value_fs: NDArray[np.floating[Any]]
) -> dict[str, dict[int, float]]:
    return {
        family: dict(zip(corrupted.severities, row.tolist(), strict=True))
        for family, row in zip(corrupted.families, value_fs, strict=True)
    }


def _when_sure(
    corrupted: Corrupted, sure_nfs: NDArray[np.bool_]
) -> dict[str, dict[int, float | None]]:
    right_fs = (corrupted.correct_nfs & sure_nfs).sum(axis=0)
    sure_fs = sure_nfs.sum(axis=0)
    return {
        family: {
            severity: float(right_fs[f, s] / sure_fs[f, s]) if sure_fs[f, s] else None
            for s, severity in enumerate(corrupted.severities)
        }
        for f, family in enumerate(corrupted.families)
    }
