"""``binsight evaluate``: a run or a bundle and labelled photos in, a report out."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from binsight import __version__
from binsight.errors import UnexplainableError, UsageError

from .extras import needs_extra
from .progress import reporting

if TYPE_CHECKING:
    from PIL.Image import Image

    from binsight.data.catalog import Catalog
    from binsight.evaluation.figures import LookAt
    from binsight.evaluation.metrics import Interval, Metrics
    from binsight.evaluation.scored import Scored


def evaluate(
    model: Annotated[Path, typer.Argument(help="A run folder or a bundle.")],
    photos: Annotated[
        list[Path] | None,
        typer.Argument(help="Labelled photos; a run knows its own."),
    ] = None,
    split: Annotated[Path | None, typer.Option(help="Evaluate on a part of this split.")] = None,
    part: Annotated[
        str | None, typer.Option(help="Part of the split. [default: test, or else val]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report. [default: RUN/evaluation-PART]")
    ] = None,
) -> None:
    """Measure a model: accuracy with intervals, confusion matrix, figures, an HTML report."""
    with needs_extra("train"):
        from binsight.evaluation.metrics import evaluate as measure
        from binsight.evaluation.report import write_report

        job = _of_run if model.is_dir() else _of_bundle
        scored, catalog, chosen, threshold = job(model, tuple(photos or ()), split, part)
        metrics = measure(scored, threshold=threshold)
        folder = out or _default_folder(model, chosen)
        page = write_report(
            folder,
            scored,
            metrics,
            photos_root=catalog.root,
            title=f"{model.stem} on {chosen}",
            facts=_facts(model, catalog, chosen),
            threshold=threshold,
            look_at=_look_at(model),
        )
    _print(scored, metrics)
    typer.echo(f"report: {page}")


def _look_at(model: Path) -> LookAt | None:
    """Draws where the model looked; ``None``, and a note, for a bundle that cannot tell."""
    from binsight.explain import BundleExplainer, Explainer, explain_with
    from binsight.explain.overlay import overlay
    from binsight.images import decode
    from binsight.runtime import Classifier

    explainer: Explainer
    if model.is_dir():
        from binsight.explain.torch_cam import LastFeatures

        explainer = LastFeatures.of_run(model)
    else:
        try:
            explainer = BundleExplainer(Classifier(model))
        except UnexplainableError as error:
            typer.secho(f"no maps in the report: {error}", fg="yellow", err=True)
            return None

    def look_at(photo: Path, label: str) -> Image:
        return overlay(decode(photo, min_side=512), explain_with(explainer, photo, label))

    return look_at


def _default_folder(model: Path, chosen: str) -> Path:
    if not model.is_dir():
        return Path(f"{model.stem}-evaluation-{chosen}")
    return model / f"evaluation-{chosen}"


def _of_run(
    folder: Path, photos: tuple[Path, ...], split: Path | None, part: str | None
) -> tuple[Scored, Catalog, str, float | None]:
    from binsight.data.catalog import scan
    from binsight.data.split import read_split
    from binsight.evaluation.scoring import choose_part, labelled_part, score_run
    from binsight.training.run import matching_catalog, open_run

    run = open_run(folder)
    if split is not None:
        parts = read_split(split)
        catalog = matching_catalog(photos or tuple(map(Path, run.facts.sources)), parts)
        chosen = part or choose_part(parts)
    elif photos and part is None:
        parts, catalog, chosen = None, scan(photos, duplicates=False), "photos"
    else:
        parts, catalog, chosen = run.split, run.photos(photos), part or choose_part(run.split)
    paths, labelled = labelled_part(catalog, parts, chosen, run.facts.classes)
    with reporting("classifying") as report:
        return score_run(run, paths, labelled, progress=report), catalog, chosen, None


def _of_bundle(
    file: Path, photos: tuple[Path, ...], split: Path | None, part: str | None
) -> tuple[Scored, Catalog, str, float | None]:
    from binsight.data.catalog import scan
    from binsight.data.split import read_split
    from binsight.evaluation.scoring import choose_part, labelled_part, score_bundle
    from binsight.runtime import Classifier
    from binsight.training.run import matching_catalog

    classifier = Classifier(file)
    if not photos:
        raise UsageError("name labelled photos to evaluate a bundle on")
    if split is None and part is not None:
        raise UsageError("--part needs --split")
    parts = read_split(split) if split else None
    catalog = matching_catalog(photos, parts) if parts else scan(photos, duplicates=False)
    chosen = (part or choose_part(parts)) if parts else "photos"
    paths, labelled = labelled_part(catalog, parts, chosen, classifier.classes)
    with reporting("classifying") as report:
        scored = score_bundle(classifier, paths, labelled, progress=report)
    return scored, catalog, chosen, classifier.metadata.threshold


def _facts(model: Path, catalog: Catalog, chosen: str) -> dict[str, str]:
    return {
        "model": str(model),
        "photos": str(catalog.root),
        "part": chosen,
        "catalog": catalog.digest,
        "command": shlex.join(["binsight", *sys.argv[1:]]),
        "binsight": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _print(scored: Scored, metrics: Metrics) -> None:
    from binsight.evaluation.metrics import by_source
    from binsight.evaluation.metrics import evaluate as measure

    typer.secho(
        f"{'':20} {'photos':>7}  {'accuracy':22}  {'balanced accuracy':22}  {'macro F1'}", bold=True
    )
    _print_row("all", metrics)
    for name, some in by_source(scored).items():
        _print_row(name, measure(some))
    typer.secho(
        f"\n{'class':20} {'photos':>7}  {'precision':>9}  {'recall':>9}  {'F1':>9}", bold=True
    )
    for row in metrics.per_class:
        scores = "  ".join(f"{one:>9.1%}" for one in (row.precision, row.recall, row.f1))
        typer.echo(f"{row.name:20} {row.support:>7,}  {scores}")


def _print_row(name: str, metrics: Metrics) -> None:
    cells = (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1)
    typer.echo(f"{name:20} {metrics.photos:>7,}  " + "  ".join(map(_percent, cells)).rstrip())


def _percent(value: Interval) -> str:
    return f"{value.value:.1%} ({value.low:.1%} to {value.high:.1%})".ljust(22)
