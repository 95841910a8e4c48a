"""``binsight train --folds``: one run for each fold, and one report of them all."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from binsight.errors import UsageError

from .asked_training import AskedTraining, check_early
from .cross_validated import report_folds
from .progress import reporting
from .results import refuse_among
from .terminal import interrupted, warn
from .train import log_to

if TYPE_CHECKING:
    from binsight.data.catalog import Catalog
    from binsight.data.split import Split
    from binsight.training.folds import Folds
    from binsight.training.run import Run

SEED = 0  # of the folds; for another one, make them with: binsight data split --folds


def cross_validate(
    asked: AskedTraining, *, folds: int | None, also_ungrouped: bool, resume: bool, **options: Any
) -> None:
    """Make or open the folds, train those that are not finished, and write the report.

    Args:
        asked: the training of each fold, without ``fold`` and ``teachers``; ``weights`` may name a
            folder of the same folds.
        folds: how many.
        also_ungrouped: the same again on random folds.
        resume: go on in the folder.
        options: of `binsight.training.train.train`.
    """
    from binsight.data.split import without_grouping
    from binsight.training.folds import UNGROUPED, add_ungrouped, has_folds, open_folds

    out = asked.out
    if asked.fold is not None:
        raise UsageError("--fold trains one fold, --folds all of them; give one of the two")
    if asked.teachers:
        raise UsageError("--teacher goes with one run: of some fold, a teacher has seen the photos")
    if also_ungrouped and has_folds(Path(asked.weights)):
        raise UsageError(
            f"--also-ungrouped: networks of {asked.weights} have learned photos of any random fold;"
            " leave it out"
        )
    if resume and has_folds(out):
        work = open_folds(out)
        _check_begun(asked, folds, work)
        catalog = work.runs[0].photos(asked.photos)
    else:
        catalog, work = _new(asked, folds)
    random = open_folds(out / UNGROUPED) if has_folds(out / UNGROUPED) else None
    if also_ungrouped and random is None:
        if without_grouping(work.split).straddling():
            random = add_ungrouped(work)
        else:
            warn(
                "note: no photo has a duplicate in another random fold, so that --also-ungrouped "
                "has nothing to measure"
            )
    try:
        _train(work, catalog, "fold", options)
        if random:
            _train(random, catalog, "random fold", options)
    except KeyboardInterrupt:
        interrupted(f"binsight train --out {shlex.quote(str(out))} --resume")
    report_folds(work, catalog, random)


def _check_begun(asked: AskedTraining, folds: int | None, work: Folds) -> None:
    from binsight.training.folds import first_weights

    if folds not in {None, len(work.runs)}:
        raise UsageError(f"{asked.out} was begun with {len(work.runs)} folds; leave --folds out")
    if asked.split and asked.parts() != work.split:
        raise UsageError(
            f"{asked.out} was begun with another --split; leave it out, it keeps its own"
        )
    first = first_weights(asked.weights, work.split) if asked.weights != "imagenet" else {}
    for number, run in zip(work.split.folds, work.runs, strict=True):
        of_fold = replace(asked, split=None, weights=first.get(number, "imagenet"))
        of_fold.check_begun(run)


def _new(asked: AskedTraining, folds: int | None) -> tuple[Catalog, Folds]:
    from binsight.training.folds import create_folds, first_weights, has_folds
    from binsight.training.run import has_run

    if has_folds(asked.out):
        raise UsageError(f"{asked.out} holds folds; go on with --resume, or choose another --out")
    if has_run(asked.out):
        raise UsageError(
            f"{asked.out} holds a run and no folds; leave --folds out, or choose --out"
        )
    if not asked.photos or folds is None:
        missing = "--folds" if asked.photos else "photos" if folds else "photos and --folds"
        raise UsageError(f"give {missing}, such as: binsight train PHOTOS --folds {folds or 5}")
    refuse_among(asked.out, asked.photos, "--out")
    recipe = asked.recipe_from(asked.weights)
    decisions = asked.decisions()
    catalog, parts = _folded(asked.photos, folds, asked.split, decisions)
    for first in sorted(set(first_weights(asked.weights, parts).values())):
        check_early(recipe, parts, first)
    work = create_folds(
        asked.out,
        parts,
        recipe=recipe,
        sources=asked.photos,
        weights=asked.weights,
        shares=asked.shares,
        decisions=decisions,
    )
    return catalog, work


def _folded(
    photos: tuple[Path, ...], folds: int, split: Path | None, decisions: Sequence[Any]
) -> tuple[Catalog, Split]:
    from binsight.data.catalog import scan
    from binsight.data.labelled import matching_catalog
    from binsight.data.relabel import corrected
    from binsight.data.split import read_split, split_into_folds

    if split is None:
        with reporting("reading photos") as report:
            catalog = corrected(scan(photos, progress=report), decisions)
        return catalog, split_into_folds(catalog, folds, seed=SEED)
    parts = read_split(split)
    if len(parts.folds) != folds:
        raise UsageError(
            f"{split} has {len(parts.folds)} folds, not {folds}; make one with: "
            f"binsight data split PHOTOS --folds {folds} --out folds.csv"
        )
    return matching_catalog(photos, parts, decisions), parts


def _train(work: Folds, catalog: Catalog, name: str, options: dict[str, Any]) -> None:
    from binsight.training.folds import train_folds

    @contextmanager
    def around(place: int, run: Run) -> Iterator[dict[str, Any]]:
        who = f"{name} {place} of {len(work.runs)}"
        handlers = log_to(run.folder / "log.txt", f"{who}: ")
        try:
            with reporting(f"{who}: computing features") as report:
                yield {"report": report}
        finally:
            for handler in handlers:
                logging.getLogger("binsight").removeHandler(handler)
                handler.close()

    # Lightning's bar writes to stdout, which a pipe or file should not get.
    progress = sys.stderr.isatty() and sys.stdout.isatty()
    train_folds(work, catalog, around=around, progress=progress, **options)
