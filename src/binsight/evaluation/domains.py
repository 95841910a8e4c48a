"""The same model on photos of several origins: what it knows of each, and what is strange to it.

A domain is a labelled data set, whose names a `ClassMap` turns into the model's classes or into
"none of them". Drawing domains side by side is left to `domain_figures`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from binsight.data.catalog import Listed, Problem, list_photos
from binsight.data.duplicates import group_by_content
from binsight.errors import CatalogError
from binsight.files import file_digest

from .asking import Heard, Model, Progress, hear
from .mapping import ClassMap, Special
from .metrics import Interval, Metrics, evaluate
from .novelty import Acceptance, acceptance, novelty_metrics
from .resampling import together
from .scored import Scored, Strange

__all__ = [
    "SAMPLE_SEED",
    "Domain",
    "DomainMetrics",
    "Planned",
    "StrangeMetrics",
    "measure_domains",
    "plan_domain",
    "sample_of",
    "score_domain",
]

SAMPLE_SEED = 0


@dataclass(frozen=True, eq=False)
class Domain:
    """What a model said about one data set.

    Args:
        name: for tables.
        root: folder that the paths are relative to.
        known: photos that show a class of the model; may be none.
        strange: photos that show none; ``None`` if there are no such photos.
        skipped: photos that were left out: by the map, or since the model learned from them.
        problems: files that could not be read or are in no class folder.
        labels: names of its class folders, where a map gave them another meaning.
    """

    name: str
    root: Path
    known: Scored
    strange: Strange | None = None
    skipped: int = 0
    problems: tuple[Problem, ...] = ()
    labels: tuple[str, ...] = ()


class StrangeMetrics(BaseModel):
    """How a model took the photos that show none of its classes.

    Args:
        photos: how many there are.
        accepted: share of them that it was sure of; ``None`` if it cannot say.
        mean_confidence: 0 to 1.
        taken_for: class to the share of them that it named so.
        score: what ranks photos by strangeness.
        against: names of the domains whose known photos they are told from.
        auroc: chance that one of them ranks as stranger than a known photo; ``None`` if no
            domain has known photos.
        fpr_at_95_tpr: share of them that pass for known where 95 % of the known photos do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    photos: int
    accepted: Interval | None
    mean_confidence: float
    taken_for: dict[str, float]
    score: str
    against: tuple[str, ...]
    auroc: Interval | None
    fpr_at_95_tpr: Interval | None


class DomainMetrics(BaseModel):
    """One domain, measured.

    Args:
        name: of the domain.
        known: of photos of known classes; ``None`` if there are no such photos.
        sure: what is left of them when the other answers become "not sure"; ``None`` if the model
            cannot say.
        strange: of photos of none of the classes; ``None`` if there are no such photos.
        skipped: photos that were left out: by the map, or since the model learned from them.
        unreadable: files that could not be read or are in no class folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    known: Metrics | None
    sure: Acceptance | None
    strange: StrangeMetrics | None
    skipped: int
    unreadable: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, numbers and strings, ready for JSON."""
        return self.model_dump(mode="json", exclude={"name"})


def sample_of(count: int, sample: int | None) -> list[int]:
    """Indices of ``sample`` of ``count`` photos, drawn with a fixed seed, in their order."""
    if sample is None or sample >= count:
        return list(range(count))
    drawn = np.random.default_rng(SAMPLE_SEED).choice(count, sample, replace=False)
    return sorted(drawn.tolist())


@dataclass(frozen=True, eq=False)
class Planned:
    """Photos of a domain that are to be shown, named but not opened.

    Args:
        name: of the domain.
        root: folder that the paths are relative to.
        shown: at least one photo.
        meaning: label to the model's class; ``None`` for none of them.
        skipped: photos that were left out: by the map, or since the model learned from them.
        problems: files in no class folder.
    """

    name: str
    root: Path
    shown: tuple[Listed, ...]
    meaning: Mapping[str, str | None]
    skipped: int
    problems: tuple[Problem, ...]

    def sampled(self, sample: int | None) -> Planned:
        """At most so many of the photos, drawn with a fixed seed; ``None`` for all."""
        return replace(
            self, shown=tuple(self.shown[place] for place in sample_of(len(self.shown), sample))
        )

    @property
    def has_known(self) -> bool:
        """Whether a photo shows a class of the model."""
        return any(self.meaning[one.label] is not None for one in self.shown)


def plan_domain(
    source: Path,
    means: ClassMap,
    classes: tuple[str, ...],
    *,
    name: str,
) -> Planned:
    """Choose the photos of a folder of class folders, or of a CSV.

    Args:
        source: folder or CSV.
        means: its class names in the model's.
        classes: of the model.
        name: of the domain.

    Raises:
        CatalogError: no such folder, or no photo to show.
        MappingError: class names that mean nothing.
    """
    root, listed, problems = list_photos([source])
    meaning = means.resolved((one.label for one in listed), classes)
    shown = tuple(one for one in listed if meaning[one.label] is not Special.SKIP)
    if not shown:
        left_out = f"; the map leaves out {len(listed):,}" if listed else ""
        raise CatalogError(
            f"{source}: no photos to show{left_out}; expected one folder per class, such as "
            f"{source}/{classes[0]}/1.jpg"
        )
    known = {label: one if isinstance(one, str) else None for label, one in meaning.items()}
    return Planned(name, root, shown, known, len(listed) - len(shown), tuple(problems))


def score_domain(model: Model, planned: Planned, *, progress: Progress | None = None) -> Domain:
    """Show the photos to a model; those that cannot be read become problems.

    Args:
        model: that answers.
        planned: the photos, for the classes of this model.
        progress: called with (done, total) photos.

    Raises:
        CatalogError: none of them can be read.
    """
    shown, root = planned.shown, planned.root
    heard = hear(model, [root / one.path for one in shown], progress=progress)
    read = [one for one, is_read in zip(shown, heard.read_n, strict=True) if is_read]
    broken = _unreadable(shown, heard)
    if not read:
        raise CatalogError(
            f"{planned.name}: none of {len(shown):,} photos can be read; 1 of them: "
            f"{broken[0].path}: {broken[0].reason}"
        )
    is_none = np.array([planned.meaning[one.label] is None for one in read], np.bool_)
    groups = np.array(group_by_content([_content(root / one.path) for one in read]))
    return Domain(
        planned.name,
        root,
        _known(model, read, planned.meaning, heard, groups, ~is_none),
        _strange(model, read, heard, groups, is_none) if is_none.any() else None,
        skipped=planned.skipped,
        problems=(*planned.problems, *broken),
        labels=tuple(planned.meaning),
    )


def _content(photo: Path) -> str:
    try:
        return file_digest(photo)
    except OSError:  # it went away after it was shown
        return photo.as_posix()


def _unreadable(shown: Sequence[Listed], heard: Heard) -> list[Problem]:
    paths = [shown[place].path for place in np.flatnonzero(~heard.read_n).tolist()]
    found = zip(paths, heard.errors, strict=True)
    return [Problem(path, error.reason) for path, error in found]


def _known(
    model: Model,
    read: Sequence[Listed],
    meaning: Mapping[str, str | None],
    heard: Heard,
    group_m: NDArray[np.int64],
    mask_m: NDArray[np.bool_],
) -> Scored:
    number: dict[str | None, int] = {name: place for place, name in enumerate(model.classes)}
    chosen = [read[place] for place in np.flatnonzero(mask_m).tolist()]
    labels = np.array([number[meaning[one.label]] for one in chosen], np.int64)
    paths = tuple(one.path for one in chosen)
    also = _also(heard, group_m, mask_m)
    return Scored(paths, labels, heard.probs_mc[mask_m], model.classes, *also)


def _strange(
    model: Model,
    read: Sequence[Listed],
    heard: Heard,
    group_m: NDArray[np.int64],
    mask_m: NDArray[np.bool_],
) -> Strange:
    paths = tuple(read[place].path for place in np.flatnonzero(mask_m).tolist())
    also = _also(heard, group_m, mask_m)
    return Strange(paths, heard.probs_mc[mask_m], model.classes, *also)


def _also(
    heard: Heard, group_m: NDArray[np.int64], mask_m: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_] | None, NDArray[np.float32] | None, NDArray[np.int64]]:
    sure_m, novelty_m = heard.sure_m, heard.novelty_m
    return (
        None if sure_m is None else sure_m[mask_m],
        None if novelty_m is None else novelty_m[mask_m],
        group_m[mask_m],
    )


def measure_domains(
    domains: Sequence[Domain],
    *,
    threshold: float | None,
    seed: int = 0,
    resamples: int = 1000,
) -> tuple[DomainMetrics, ...]:
    """Measure each domain.

    Strange photos are told from the known ones of their own domain, so that it is the thing that
    is strange and not the camera; where there are none, from those of all domains.

    Args:
        domains: at least one.
        threshold: the model's "not sure" threshold, 0 to 1, or ``None``.
        seed: of the bootstrap.
        resamples: of the bootstrap.
    """
    return tuple(
        DomainMetrics(
            name=one.name,
            known=evaluate(one.known, seed=seed, resamples=resamples, threshold=threshold)
            if len(one.known)
            else None,
            sure=acceptance(
                one.known.sure_n,
                one.known.correct_n,
                group_n=one.known.group_n,
                seed=seed,
                resamples=resamples,
            )
            if len(one.known) and one.known.sure_n is not None
            else None,
            strange=_measure_strange(one, domains, seed, resamples)
            if one.strange is not None
            else None,
            skipped=one.skipped,
            unreadable=len(one.problems),
        )
        for one in domains
    )


def _measure_strange(
    domain: Domain, domains: Sequence[Domain], seed: int, resamples: int
) -> StrangeMetrics:
    strange = domain.strange
    assert strange is not None
    others = [domain] if len(domain.known) else [one for one in domains if len(one.known)]
    told = None
    if others:
        told = novelty_metrics(
            np.concatenate([one.known.strangeness_n for one in others]),
            strange.strangeness_n,
            known_groups=together([one.known.group_n for one in others]),
            strange_groups=strange.group_n,
            seed=seed,
            resamples=resamples,
        )
    named = Counter(strange.predicted_n.tolist())
    return StrangeMetrics(
        photos=len(strange),
        accepted=None
        if strange.sure_n is None
        else acceptance(
            strange.sure_n,
            np.zeros(len(strange), np.bool_),
            group_n=strange.group_n,
            seed=seed,
            resamples=resamples,
        ).coverage,
        mean_confidence=float(strange.confidence_n.mean(dtype=np.float64)),
        taken_for={
            strange.classes[index]: count / len(strange) for index, count in named.most_common()
        },
        score="1 - confidence" if strange.novelty_n is None else "the model's novelty",
        against=tuple(one.name for one in others),
        auroc=told.auroc if told else None,
        fpr_at_95_tpr=told.fpr_at_95_tpr if told else None,
    )
