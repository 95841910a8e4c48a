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

from .evaluate import facts_of
from .evaluate_on import Home
from .evaluated import print_one
from .progress import reporting
from .train import check_early, log_to, recipe_for, resumed

if TYPE_CHECKING:
    from binsight.data.catalog import Catalog
    from binsight.data.split import Split
    from binsight.evaluation.cross_validation import CrossValidation, Spread
    from binsight.evaluation.scored import Scored
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
    from binsight.training.folds import UNGROUPED, add_ungrouped, has_folds, open_folds

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
        for run in work.runs:
            resumed(run, recipe, changes, corrections)
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
    _report(out, catalog, work, random)


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
            with reporting(f"{who}: preparing views") as report:
                yield {"report": report}
        finally:
            for handler in handlers:
                logging.getLogger("binsight").removeHandler(handler)
                handler.close()

    # Lightning's bar writes to stdout, which a pipe or file should not get.
    progress = sys.stderr.isatty() and sys.stdout.isatty()
    train_folds(work, catalog, around=around, progress=progress, **options)


def _report(out: Path, catalog: Catalog, work: Folds, random: Folds | None) -> None:
    from binsight.evaluation.cross_validation import cross_validation, pooled
    from binsight.evaluation.domains import Domain, measure_domains
    from binsight.evaluation.report import OUT_OF_FOLD, write_report
    from binsight.evaluation.scored import write_predictions
    from binsight.training.folds import epochs_of

    parts = _scored(work, catalog, "fold")
    others = _scored(random, catalog, "random fold") if random else ()
    if random:
        write_predictions(random.folder / OUT_OF_FOLD, pooled(others))
    summary = cross_validation(
        work.split,
        parts,
        [epochs_of(run) for run in work.runs],
        ungrouped=(random.split, others) if random else None,
    )
    scored = pooled(parts)
    domain = Domain(out.name, catalog.root, scored)
    measured = measure_domains([domain], threshold=None)
    metrics = measured[0].known
    assert metrics
    first = work.runs[0]
    page = write_report(
        out,
        [domain],
        measured,
        title=f"{out.name}: {len(parts)} folds",
        facts=facts_of(str(out), Home(domain, catalog, f"out of fold, {len(parts)} folds"))
        | {"architecture": first.recipe.architecture, "started": first.facts.started},
        folds=summary,
    )
    print_one(scored, metrics)
    _print_folds(summary)
    typer.echo(f"report: {page}; next: binsight data check PHOTOS --labels {out}")


def _scored(work: Folds, catalog: Catalog, name: str) -> list[Scored]:
    from binsight.evaluation.scoring import labelled_part, score_run

    found = []
    for place, run in enumerate(work.runs, start=1):
        paths, photos = labelled_part(catalog, run.split, "val", run.facts.classes)
        with reporting(f"classifying {name} {place} of {len(work.runs)}") as report:
            found.append(score_run(run, paths, photos, progress=report))
    return found


def _print_folds(summary: CrossValidation) -> None:
    typer.secho(
        f"\n{f'over {len(summary.folds)} folds':32} {'mean':>7} {'sd':>7} {'least':>7} {'most':>7}",
        bold=True,
    )
    rows = {
        "accuracy": summary.accuracy,
        "balanced accuracy": summary.balanced_accuracy,
        "macro F1": summary.macro_f1,
        "accuracy, epoch chosen by others": summary.others_accuracy,
        "accuracy, last epoch": summary.last_accuracy,
    }
    if summary.leakage:
        rows["accuracy, random folds"] = summary.leakage.accuracy
    for name, spread in rows.items():
        typer.echo(f"{name:32} {_cells(spread)}")
    if summary.leakage:
        _print_leakage(summary)


def _cells(spread: Spread) -> str:
    values = (spread.mean, spread.deviation, spread.least, spread.most)
    return " ".join(f"{value:>7.1%}" for value in values)


def _print_leakage(summary: CrossValidation) -> None:
    leakage = summary.leakage
    assert leakage
    typer.echo(
        f"\nrandom folds tear apart {leakage.straddling:,} of {leakage.groups:,} duplicate groups"
    )
    for row in leakage.rows:
        gain = row.difference
        typer.echo(
            f"{row.name} ({row.photos:,}): {row.grouped:.1%} with duplicates together, "
            f"{row.ungrouped:.1%} without, {100 * gain.value:+.1f} points "
            f"({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
        )
