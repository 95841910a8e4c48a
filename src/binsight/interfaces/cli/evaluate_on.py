"""Which photos `binsight evaluate` asks a model about: its own, those named, those of --on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from binsight.errors import DataError, UsageError

from .progress import reporting
from .terminal import printable

if TYPE_CHECKING:
    from binsight.data.catalog import Catalog
    from binsight.data.split import Split
    from binsight.evaluation.asking import Model
    from binsight.evaluation.domains import Domain, Planned
    from binsight.evaluation.scored import Scored
    from binsight.training.run import Run

__all__ = ["Asked", "Home", "distinct", "home_of", "open_model", "paired", "planned", "show"]


@dataclass(frozen=True, eq=False)
class Asked:
    """The model, and what it knows besides answering."""

    model: Model
    threshold: float | None
    run: Run | None = None


@dataclass(frozen=True, eq=False)
class Home:
    """The first domain: photos that were named, or those of a run."""

    domain: Domain
    catalog: Catalog
    chosen: str


def paired(
    folders: tuple[Path, ...], maps: tuple[Path, ...]
) -> tuple[tuple[Path, Path | None], ...]:
    """Each folder with its map: none, the same for all, or one for each in order."""
    if maps and not folders:
        raise UsageError("--map needs --on FOLDER; positional photos have the model's class names")
    if len(maps) > 1 and len(maps) != len(folders):
        raise UsageError(
            f"{len(maps)} --map for {len(folders)} --on; give one for all, or one for each in order"
        )
    each = maps if len(maps) == len(folders) else (maps[0] if maps else None,) * len(folders)
    return tuple(zip(folders, each, strict=True))


def open_model(model: Path) -> Asked:
    from binsight.evaluation.asking import BundleModel
    from binsight.evaluation.scoring import RunModel
    from binsight.runtime import Classifier
    from binsight.training.run import open_run

    if model.is_dir():
        run = open_run(model)
        return Asked(RunModel(run), None, run)
    classifier = Classifier(model)
    return Asked(BundleModel(classifier), classifier.metadata.threshold)


def home_of(
    asked: Asked,
    photos: tuple[Path, ...],
    split: Path | None,
    part: str | None,
    is_elsewhere: bool,
    sample: int | None,
    corrections: Path | None = None,
) -> Home | None:
    """The first domain; ``None`` if only folders of --on are to be shown."""
    from binsight.evaluation.domains import Domain

    if asked.run and corrections:
        raise UsageError("--corrections goes with a bundle; a run keeps its own")

    is_named = bool(photos or split or part or corrections)
    if asked.run is None and not photos:
        if is_named or not is_elsewhere:
            raise UsageError("name labelled photos to evaluate a bundle on")
        return None
    if asked.run is None and split is None and part is not None:
        raise UsageError("--part needs --split")
    try:
        catalog, parts, chosen = _catalog(asked.run, photos, split, part, corrections)
    except DataError as error:
        if is_named or not is_elsewhere:
            raise
        message = f"the run's own photos are left out: {error}"
        typer.secho(printable(message), fg="yellow", err=True)
        return None
    sources = photos or tuple(map(Path, asked.run.facts.sources if asked.run else ()))
    name = " + ".join(map(_name, sources)) + (f" ({chosen})" if parts else "")
    scored = _scored_home(asked.model, catalog, parts, chosen, sample)
    domain = Domain(name, catalog.root, scored, problems=catalog.problems)
    return Home(domain, catalog, chosen)


def _catalog(
    run: Run | None,
    photos: tuple[Path, ...],
    split: Path | None,
    part: str | None,
    corrections: Path | None,
) -> tuple[Catalog, Split | None, str]:
    """Photos, the split that they are a part of, and the part's name."""
    from binsight.data.catalog import scan
    from binsight.data.labelled import choose_part
    from binsight.data.relabel import corrected, read_label_issues
    from binsight.data.split import read_split
    from binsight.training.run import matching_catalog

    decisions = read_label_issues(corrections) if corrections else ()
    if split is not None:
        parts = read_split(split)
        own = tuple(map(Path, run.facts.sources)) if run else ()
        if run and parts.catalog_digest == run.facts.catalog_digest:
            decisions = run.decisions
        catalog = matching_catalog(photos or own, parts, decisions)
        chosen = part or choose_part(parts)
        if run:
            _check_not_learned(run, parts, chosen)
        return catalog, parts, chosen
    if run is None or (photos and part is None):
        catalog = corrected(scan(photos, duplicates=False), decisions)
        if run is None or catalog.digest != run.facts.catalog_digest:
            return catalog, None, "photos"
        # Its own photos, most of which it has learned.
        return catalog, run.split, choose_part(run.split)
    return run.photos(photos), run.split, part or choose_part(run.split)


def _check_not_learned(run: Run, parts: Split, chosen: str) -> None:
    """Make sure that another split than the run's own shows it nothing that it learned from."""
    if parts.catalog_digest != run.facts.catalog_digest or parts == run.split:
        return
    shown = parts.paths(chosen)
    learned = set(shown) & set(run.split.paths("train"))
    if learned:
        raise UsageError(
            f"{run.folder} has learned {len(learned):,} of the {len(shown):,} photos that this "
            f"split has in {chosen}; leave --split out to ask for its own"
        )


def _scored_home(
    model: Model, catalog: Catalog, parts: Split | None, chosen: str, sample: int | None
) -> Scored:
    from binsight.data.labelled import labelled_part
    from binsight.evaluation.domains import sample_of
    from binsight.evaluation.scoring import score

    paths, labelled = labelled_part(catalog, parts, chosen, model.classes)
    drawn = sample_of(len(paths), sample)
    paths = tuple(paths[place] for place in drawn)
    with reporting("classifying") as report:
        return score(model, paths, labelled.at(drawn), progress=report)


def planned(
    asked: Asked,
    others: Sequence[tuple[Path, Path | None]],
    sample: int | None,
) -> list[Planned]:
    """What to show of each folder of --on, all known before the first photo is shown."""
    from binsight.evaluation.domains import plan_domain
    from binsight.evaluation.mapping import ClassMap, read_map

    classes = asked.model.classes
    means = [read_map(file, classes) if file else ClassMap() for _, file in others]
    return [
        plan_domain(source, mapped, classes, name=_name(source), sample=sample)
        for (source, _), mapped in zip(others, means, strict=True)
    ]


def _name(source: Path) -> str:
    """What people call a folder or a CSV."""
    return source.absolute().stem if source.suffix == ".csv" else source.absolute().name


def distinct(domains: Sequence[Domain]) -> list[Domain]:
    """Number the domains whose name came before."""
    seen: Counter[str] = Counter()
    named = []
    for one in domains:
        seen[one.name] += 1
        again = seen[one.name]
        named.append(replace(one, name=f"{one.name} #{again}") if again > 1 else one)
    return named


def show(asked: Asked, planned: Planned) -> Domain:
    from binsight.evaluation.domains import score_domain

    with reporting(f"classifying {printable(planned.name)}") as report:
        domain = score_domain(asked.model, planned, progress=report)
    if domain.problems:
        first = domain.problems[0]
        message = f"{domain.name}: files left out: {len(domain.problems):,}, such as {first.path}"
        typer.secho(printable(f"{message}: {first.reason}"), fg="yellow", err=True)
    return domain
