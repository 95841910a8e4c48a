"""Which photos `binsight evaluate` asks a model about: its own, those named, those of --on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from binsight.errors import DataError, SplitError, UsageError
from binsight.files import file_digest
from binsight.learned import NOTHING, Learned

from .progress import reporting
from .terminal import printable, warn

if TYPE_CHECKING:
    from binsight.data.catalog import Catalog
    from binsight.data.split import Split
    from binsight.evaluation.asking import Model
    from binsight.evaluation.domains import Domain, Planned
    from binsight.training.run import Run

__all__ = [
    "Asked",
    "HomePlan",
    "distinct",
    "open_model",
    "paired",
    "plan_home",
    "planned",
    "score_home",
    "show",
]


@dataclass(frozen=True, eq=False)
class Asked:
    """The model, and what it knows besides answering.

    Args:
        name: of the run's folder or the bundle, for messages.
        model: that answers.
        threshold: confidence from which an answer is sure; ``None`` if it cannot say.
        run: if it is one.
        learned: photos that a bundle learned from; a run knows its own.
        catalogs: digests of what a bundle was made and taught from.
    """

    name: str
    model: Model
    threshold: float | None
    run: Run | None = None
    learned: Learned = NOTHING
    catalogs: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class HomePlan:
    """Photos of the first domain, those that were named or those of a run; none was shown yet.

    Args:
        name: of the domain.
        catalog: all photos.
        split: that they are a part of, if there is one.
        chosen: the part's name.
        of_run: whether it is a run's own split.
        learned: photos that were left out because the model has learned from them.
        note: what to know of the figures; may be empty.
    """

    name: str
    catalog: Catalog
    split: Split | None
    chosen: str
    of_run: bool = False
    learned: int = 0
    note: str = ""


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


def open_model(model: Path, name: str) -> Asked:
    """Open a run's folder or a bundle, which a user called so."""
    from binsight.evaluation.asking import BundleModel
    from binsight.evaluation.scoring import RunModel
    from binsight.runtime import Classifier
    from binsight.runtime.memory import learned_by
    from binsight.training.folds import finished
    from binsight.training.run import open_run

    if model.is_dir():
        run = open_run(model)
        if not finished(run):
            warn(f"{name} is not trained to the end: its best epoch until now is asked")
        return Asked(name, RunModel(run), None, run)
    classifier = Classifier(model)
    about = classifier.metadata
    catalogs = {about.training.catalog_digest, *(one.catalog_digest for one in about.lineage)}
    return Asked(
        name,
        BundleModel(classifier),
        about.threshold,
        learned=learned_by(model),
        catalogs=frozenset(catalogs),
    )


def plan_home(
    asked: Asked,
    photos: tuple[Path, ...],
    split: Path | None,
    part: str | None,
    is_elsewhere: bool,
    corrections: Path | None = None,
) -> HomePlan | None:
    """The first domain; ``None`` if only folders of --on are to be shown."""
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
        of_run = asked.run is not None and parts == asked.run.split
        catalog, parts, learned = _without_learned(asked, catalog, parts, chosen)
    except DataError as error:
        if is_named or not is_elsewhere:
            raise
        warn(f"the run's own photos are left out: {error}")
        return None
    sources = photos or tuple(map(Path, asked.run.facts.sources if asked.run else ()))
    name = " + ".join(map(_name, sources)) + (f" ({chosen})" if parts else "")
    note = ""
    if parts is None and not learned and catalog.digest in asked.catalogs:
        note = "the bundle was made from these very photos, and knows most of them"
        warn(f"{name}: {note}")
    return HomePlan(name, catalog, parts, chosen, of_run, learned, note)


def _catalog(
    run: Run | None,
    photos: tuple[Path, ...],
    split: Path | None,
    part: str | None,
    corrections: Path | None,
) -> tuple[Catalog, Split | None, str]:
    """Photos, the split that they are a part of, and the part's name."""
    from binsight.data.catalog import scan
    from binsight.data.labelled import choose_part, matching_catalog
    from binsight.data.relabel import corrected, read_label_issues
    from binsight.data.split import read_split

    decisions = read_label_issues(corrections) if corrections else ()
    if split is not None:
        parts = read_split(split)
        own = tuple(map(Path, run.facts.sources)) if run else ()
        if run and parts.catalog_digest == run.facts.catalog_digest:
            decisions = run.decisions
        catalog = matching_catalog(photos or own, parts, decisions)
        chosen = part or choose_part(parts)
        if run:
            _check_not_learned(run, catalog, parts, chosen)
        return catalog, parts, chosen
    if run is None:
        return corrected(scan(photos, duplicates=False), decisions), None, "photos"
    if photos and part is None:
        catalog = _as_decided(run, scan(photos, duplicates=False))
        if catalog.digest != run.facts.catalog_digest:
            _warn_of_changes(run, catalog)
            return catalog, None, "photos"
        # Its own photos, most of which it has learned.
        return catalog, run.split, choose_part(run.split)
    return run.photos(photos), run.split, part or choose_part(run.split)


def _as_decided(run: Run, catalog: Catalog) -> Catalog:
    """With what the run's corrections say of photos that are there, if they are its own."""
    from binsight.data.relabel import corrected

    if not _mostly_own(run, catalog):
        return catalog
    label_of = {one.path: one.label for one in catalog.photos}
    decided = (one for one in run.decisions if one.path in label_of)
    return corrected(catalog, [one for one in decided if one.label in {"", label_of[one.path]}])


def _mostly_own(run: Run, catalog: Catalog) -> bool:
    there = run.split.part_of.keys()
    return len({one.path for one in catalog.photos} & there) > len(there) // 2


def _warn_of_changes(run: Run, catalog: Catalog) -> None:
    """Say if photos were meant to be the run's own, and are not quite: then it has no parts."""
    here, there = {one.path for one in catalog.photos}, run.split.part_of
    if _mostly_own(run, catalog):
        warn(
            f"these are not quite the photos of {run.folder} ({len(there.keys() - here):,} are "
            f"missing, {len(here - there.keys()):,} are new), so its parts are not told apart; "
            "those that chose its epoch may be among them"
        )


def _without_learned(
    asked: Asked, catalog: Catalog, parts: Split | None, chosen: str
) -> tuple[Catalog, Split | None, int]:
    """The photos without those that the model has learned from, and how many these were.

    Of a split's part ``train``, which has to be asked for by name, none is left out.
    """
    shown = {one.path for one in catalog.photos} if parts is None else set(parts.paths(chosen))
    known = NOTHING
    if parts is None or chosen != "train":
        known = asked.run.learned_of(catalog) if asked.run else asked.learned
    photos = [one for one in catalog.photos if one.path in shown]
    learned = {one.path for one in photos if one.sha256 in known}
    if not learned:
        return catalog, parts, 0
    if learned == shown:
        where = "these" if parts is None else f"part {chosen}'s"
        raise SplitError(
            f"{asked.name} has learned from all of {where} {len(shown):,} photos; name others"
        )
    _say_learned(asked, len(learned), "" if parts is None else f"part {chosen}")
    if parts is not None:
        return catalog, parts.without(learned), len(learned)
    left = tuple(one for one in photos if one.path not in learned)
    return replace(catalog, photos=left), None, len(learned)


def _check_not_learned(run: Run, catalog: Catalog, parts: Split, chosen: str) -> None:
    """Make sure that another split than the run's own shows it nothing that it learned from."""
    if parts == run.split:
        return
    shown, known = set(parts.paths(chosen)), run.learned_of(catalog)
    learned = [one for one in catalog.photos if one.path in shown and one.sha256 in known]
    if learned:
        raise UsageError(
            f"{run.folder} has learned {len(learned):,} of the {len(shown):,} photos that this "
            f"split has in {chosen}; leave --split out to ask for its own"
        )


def _say_learned(asked: Asked, learned: int, name: str = "") -> None:
    where = f"{name}: " if name else ""
    warn(f"{where}left out {learned:,} photos that {asked.name} has learned from")


def score_home(model: Model, plan: HomePlan, sample: int | None) -> Domain:
    """Ask the model about the first domain."""
    from binsight.data.labelled import labelled_part
    from binsight.evaluation.domains import Domain, sample_of
    from binsight.evaluation.scoring import score

    paths, labelled = labelled_part(plan.catalog, plan.split, plan.chosen, model.classes)
    drawn = sample_of(len(paths), sample)
    paths = tuple(paths[place] for place in drawn)
    with reporting("classifying") as report:
        scored = score(model, paths, labelled.at(drawn), progress=report)
    domain = Domain(
        plan.name,
        plan.catalog.root,
        scored,
        skipped=plan.learned,
        problems=plan.catalog.problems,
    )
    _say_problems(domain)
    return domain


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
    plans = [
        plan_domain(source, mapped, classes, name=_name(source))
        for (source, _), mapped in zip(others, means, strict=True)
    ]
    return [_unlearned(asked, plan).sampled(sample) for plan in plans]


def _unlearned(asked: Asked, plan: Planned) -> Planned:
    known = asked.run.learned if asked.run else asked.learned
    if not known:
        if asked.run:
            warn(f"{asked.name} kept no record of its photos; {plan.name} may have some of them")
        return plan
    left = tuple(one for one in plan.shown if _digest(plan.root / one.path) not in known)
    learned = len(plan.shown) - len(left)
    if not learned:
        return plan
    if not left:
        raise UsageError(f"{asked.name} has learned from all {learned:,} photos of {plan.name}")
    _say_learned(asked, learned, plan.name)
    return replace(plan, shown=left, skipped=plan.skipped + learned)


def _digest(file: Path) -> str:
    try:
        return file_digest(file)
    except OSError:  # told of when it is to be shown
        return ""


def _name(source: Path) -> str:
    """What people call a folder or a CSV, as text."""
    path = source.absolute()
    return printable(path.stem if source.suffix == ".csv" else path.name)


def distinct(domains: Sequence[Domain]) -> list[Domain]:
    """Number the domains whose name came before."""
    taken: set[str] = set()
    named = []
    for one in domains:
        names = chain([one.name], (f"{one.name} #{number}" for number in count(2)))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        named.append(replace(one, name=name))
    return named


def show(asked: Asked, planned: Planned) -> Domain:
    from binsight.evaluation.domains import score_domain

    with reporting(f"classifying {printable(planned.name)}") as report:
        domain = score_domain(asked.model, planned, progress=report)
    _say_problems(domain)
    return domain


def _say_problems(domain: Domain) -> None:
    if domain.problems:
        first = domain.problems[0]
        message = f"{domain.name}: files left out: {len(domain.problems):,}, such as {first.path}"
        warn(f"{message}: {first.reason}")
