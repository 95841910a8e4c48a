"""``binsight train --folds``: one run for each fold, and one report of them all."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from binsight.errors import UsageError

from .cross_validated import report_folds
from .progress import reporting
from .train import check_early, check_same, log_to, recipe_for, resumed

if TYPE_CHECKING:
    from binsight.data.catalog import Catalog
    from binsight.data.split import Split
    from binsight.training.folds import Folds
    from binsight.training.run import Run

SEED = 0  # of the folds; for another one, make them with: binsight data split --folds


def cross_validate(
    out: Path,
    photos: tuple[Path, ...],
    *,
    folds: int | None,
    split: Path | None,
    fold: int | None,
    recipe: str | None,
    changes: list[str],
    weights: str,
    shares: dict[str, float],
    corrections: Path | None,
    also_ungrouped: bool,
    teachers: tuple[str, ...] = (),
    resume: bool,
    **options: Any,
) -> None:
    """Make or open the folds, train those that are not finished, and write the report.

    Args:
        out: folder of the folds.
        photos: folders or CSVs; a resumed folder knows its own.
        folds: how many.
        split: that has the folds already, or ``None``.
        fold: has to be ``None``; it goes with a single run.
        recipe: see `binsight train`, as are those that follow.
        changes: to the recipe.
        weights: first ones, or a folder of the same folds.
        shares: of folders.
        corrections: decided labels.
        also_ungrouped: the same again on random folds.
        teachers: has to be empty.
        resume: go on in ``out``.
        options: of `binsight.training.train.train`.
    """
    from binsight.data.split import read_split
    from binsight.training.folds import (
        UNGROUPED,
        add_ungrouped,
        first_weights,
        has_folds,
        open_folds,
    )

    if fold is not None:
        raise UsageError("--fold trains one fold, --folds all of them; give one of the two")
    if teachers:
        raise UsageError("--teacher goes with one run: of some fold, a teacher has seen the photos")
    if also_ungrouped and has_folds(Path(weights)):
        raise UsageError(
            f"--also-ungrouped: networks of {weights} have learned photos of any random fold; "
            "leave it out"
        )
    if resume and has_folds(out):
        work = open_folds(out)
        if folds not in {None, len(work.runs)}:
            raise UsageError(f"{out} was begun with {len(work.runs)} folds; leave --folds out")
        if split and read_split(split) != work.split:
            raise UsageError(
                f"{out} was begun with another --split; leave it out, it keeps its own"
            )
        first = first_weights(weights, work.split) if weights != "imagenet" else {}
        for number, run in zip(work.split.folds, work.runs, strict=True):
            resumed(run, recipe, changes, corrections)
            check_same(run, None, None, first.get(number, "imagenet"), shares, ())
        catalog = work.runs[0].photos(photos)
    else:
        catalog, work = _new(
            out, photos, folds, split, recipe, changes, weights, shares, corrections
        )
    random = open_folds(out / UNGROUPED) if has_folds(out / UNGROUPED) else None
    if also_ungrouped and random is None:
        random = add_ungrouped(work)
    try:
        _train(work, catalog, "fold", options)
        if random:
            _train(random, catalog, "random fold", options)
    except KeyboardInterrupt:
        typer.echo(f"interrupted; go on with: binsight train --out {out} --resume", err=True)
        raise typer.Exit(130) from None
    report_folds(work, catalog, random)


def _new(
    out: Path,
    photos: tuple[Path, ...],
    folds: int | None,
    split: Path | None,
    recipe: str | None,
    changes: list[str],
    weights: str,
    shares: dict[str, float],
    corrections: Path | None,
) -> tuple[Catalog, Folds]:
    from binsight.data.relabel import read_label_issues
    from binsight.training.folds import create_folds, first_weights, has_folds

    if has_folds(out):
        raise UsageError(f"{out} holds folds; go on with --resume, or choose another --out")
    if not photos or folds is None:
        raise UsageError("give photos and --folds, such as: binsight train PHOTOS --folds 5")
    resolved = recipe_for(weights, recipe, changes)
    decisions = read_label_issues(corrections) if corrections else ()
    catalog, parts = _folded(photos, folds, split, decisions)
    for first in sorted(set(first_weights(weights, parts).values())):
        check_early(resolved, parts, first)
    work = create_folds(
        out,
        parts,
        recipe=resolved,
        sources=photos,
        weights=weights,
        shares=shares,
        decisions=decisions,
    )
    return catalog, work


def _folded(
    photos: tuple[Path, ...], folds: int, split: Path | None, decisions: Sequence[Any]
) -> tuple[Catalog, Split]:
    from binsight.data.catalog import scan
    from binsight.data.relabel import corrected
    from binsight.data.split import read_split, split_into_folds
    from binsight.training.run import matching_catalog

    if split is None:
        with reporting("reading photos") as report:
            catalog = corrected(scan(photos, progress=report), decisions)
        return catalog, split_into_folds(catalog, folds, seed=SEED)
    parts = read_split(split)
    if len(parts.folds) != folds:
        raise UsageError(
            f"{split} has {len(parts.folds)} folds, not {folds}; make one with: "
            f"binsight data split PHOTOS --folds {folds} --out {split}"
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
