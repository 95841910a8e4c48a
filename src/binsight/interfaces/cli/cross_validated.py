"""What a folder of folds has to say: its report, and the same in short on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from .evaluate import facts_of
from .evaluate_on import HomePlan
from .evaluated import print_one
from .progress import reporting

if TYPE_CHECKING:
    from binsight.data.catalog import Catalog
    from binsight.evaluation.cross_validation import CrossValidation, Spread
    from binsight.evaluation.scored import Scored
    from binsight.training.folds import Folds

__all__ = ["report_folds"]


def report_folds(work: Folds, catalog: Catalog, random: Folds | None = None) -> None:
    """Judge each photo by the run that did not learn it, and write the report into the folder.

    Args:
        work: trained.
        catalog: their photos.
        random: the same on folds that ignore duplicates.
    """
    from binsight.evaluation.cross_validation import cross_validation, pooled
    from binsight.evaluation.domains import Domain, measure_domains
    from binsight.evaluation.report import write_report
    from binsight.evaluation.scored import OUT_OF_FOLD, write_predictions
    from binsight.training.folds import epochs_of

    out = work.folder
    parts = _scored(work, catalog, "fold")
    others = _scored(random, catalog, "random fold") if random else ()
    if random:
        write_predictions(random.folder / OUT_OF_FOLD, pooled(others))
    summary = cross_validation(
        work.split,
        parts,
        # Of heads that were fitted after the last epoch, epochs say nothing.
        [[] if run.refit.is_file() else epochs_of(run) for run in work.runs],
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
        facts=facts_of(
            str(out), HomePlan(out.name, catalog, None, f"out of fold, {len(parts)} folds")
        )
        | {"architecture": first.recipe.architecture, "started": first.facts.started},
        folds=summary,
    )
    print_one(scored, metrics)
    _print_folds(summary)
    typer.echo(f"report: {page}; next: binsight data check PHOTOS --labels {out}")


def _scored(work: Folds, catalog: Catalog, name: str) -> list[Scored]:
    from binsight.data.labelled import labelled_part
    from binsight.evaluation.scoring import score_run

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
        "accuracy, random folds": summary.leakage and summary.leakage.accuracy,
    }
    for name, spread in rows.items():
        if spread:
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
