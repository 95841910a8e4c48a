"""What ``binsight evaluate`` prints: one domain, several side by side, and robustness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from .terminal import columns, cut_middle, padded, printable

if TYPE_CHECKING:
    from binsight.evaluation.domains import DomainMetrics, StrangeMetrics
    from binsight.evaluation.metrics import Interval, Metrics
    from binsight.evaluation.robustness import Robustness
    from binsight.evaluation.scored import Scored

__all__ = ["print_domains", "print_one", "print_robustness"]

LONGEST_NAME = 30
MISSING = "-"


def print_one(scored: Scored, metrics: Metrics, labels: Sequence[str] = ()) -> None:
    """Print one domain: all photos, those of each source, and each class; see `by_source`."""
    from binsight.evaluation.metrics import by_source
    from binsight.evaluation.metrics import evaluate as measure

    typer.secho(
        f"{'':20} {'photos':>7}  {'accuracy':22}  {'balanced accuracy':22}  {'macro F1'}", bold=True
    )
    _print_row("all", metrics)
    for name, some in by_source(scored, labels).items():
        _print_row(name, measure(some))
    typer.secho(
        f"\n{'class':20} {'photos':>7}  {'precision':>9}  {'recall':>9}  {'F1':>9}", bold=True
    )
    for row in metrics.per_class:
        cells = (row.precision, row.recall, row.f1)
        shown = (f"{one:.1%}" if row.support else MISSING for one in cells)
        scores = "  ".join(f"{one:>9}" for one in shown)
        typer.echo(f"{row.name:20} {row.support:>7,}  {scores}")


def _print_row(name: str, metrics: Metrics) -> None:
    cells = (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1)
    line = "  ".join(_ends(cell).ljust(22) for cell in cells)
    typer.echo(f"{name:20} {metrics.photos:>7,}  {line.rstrip()}")


def print_domains(measured: Sequence[DomainMetrics]) -> None:
    """Print domains as columns, and what was measured as rows."""
    rows = [[cut_middle(printable(cell), LONGEST_NAME) for cell in row] for row in _rows(measured)]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        cells = [padded(cell, width) for cell, width in zip(row, widths, strict=True)]
        typer.secho("  ".join(cells).rstrip(), bold=not number)
    for one in measured:
        if one.strange and one.strange.against:
            against = ", ".join(one.strange.against)
            typer.echo(
                printable(
                    f"{one.name}: none of them ranked by {one.strange.score}, told from the "
                    f"known photos of {against}"
                )
            )


def _rows(measured: Sequence[DomainMetrics]) -> Iterator[list[str]]:
    def known(name: str, text: Callable[[Metrics], str]) -> list[str]:
        return [name, *(text(one.known) if one.known else MISSING for one in measured)]

    def strange(name: str, text: Callable[[StrangeMetrics], str]) -> list[str]:
        return [name, *(text(one.strange) if one.strange else MISSING for one in measured)]

    yield ["", *(one.name for one in measured)]
    yield known("photos of known classes", lambda one: f"{one.photos:,}")
    yield known("accuracy", lambda one: _ends(one.accuracy))
    yield known("balanced accuracy", lambda one: _ends(one.balanced_accuracy))
    yield known("macro F1", lambda one: _ends(one.macro_f1))
    yield known("mean confidence", lambda one: _share(one.mean_confidence))
    yield known("calibration error", lambda one: _share(one.expected_calibration_error))
    if any(one.sure for one in measured):
        yield [
            "answered (sure)",
            *(_ends(one.sure.coverage if one.sure else None) for one in measured),
        ]
        yield [
            "right when sure",
            *(_ends(one.sure.accuracy if one.sure else None) for one in measured),
        ]
    for place, name in _classes(measured):
        yield known(f"recall {name}", lambda one, place=place: _recall(one, place))  # type: ignore[misc]
    if any(one.strange for one in measured):
        yield strange("photos of none of them", lambda one: f"{one.photos:,}")
        yield strange("  accepted (sure)", lambda one: _ends(one.accepted))
        yield strange("  mean confidence", lambda one: _share(one.mean_confidence))
        yield strange("  AUROC", lambda one: _ends(one.auroc))
        yield strange("  pass at 95 % of known", lambda one: _ends(one.fpr_at_95_tpr))
    for name, key in (("left out", "skipped"), ("could not be read", "unreadable")):
        if any(getattr(one, key) for one in measured):
            yield [name, *(f"{getattr(one, key):,}" for one in measured)]


def _classes(measured: Sequence[DomainMetrics]) -> list[tuple[int, str]]:
    first = next((one.known for one in measured if one.known), None)
    return [(place, row.name) for place, row in enumerate(first.per_class)] if first else []


def _recall(known: Metrics, place: int) -> str:
    row = known.per_class[place]
    return f"{row.recall:.1%} of {row.support:,}" if row.support else MISSING


def print_robustness(measured: Robustness) -> None:
    """Print accuracy by family and severity, and what is retained."""
    severities = list(next(iter(measured.accuracy.values())))
    heads = "".join(f"{severity:>8}" for severity in severities)
    typer.secho(f"\n{'accuracy at severity':20}{heads}{'mean':>8}", bold=True)
    for family, cells in measured.accuracy.items():
        values = "".join(f"{cells[severity]:>8.1%}" for severity in severities)
        typer.echo(f"{family:20}{values}{measured.family_accuracy(family):>8.1%}")
    stopped = f" of {measured.wanted:,}, interrupted" if measured.photos < measured.wanted else ""
    typer.echo(f"photos               {measured.photos:,}{stopped}")
    typer.echo(f"clean                {_ends(measured.clean)}")
    typer.echo(f"mean of corrupted    {_ends(measured.mean_accuracy)}")
    if measured.retained:
        typer.echo(f"retained of clean    {_ends(measured.retained)}")


def _share(value: float) -> str:
    return f"{value:.1%}"


def _ends(value: Interval | None) -> str:
    if value is None:
        return MISSING
    return f"{value.value:.1%} ({value.low:.1%} to {value.high:.1%})"
