"""``binsight bench``: exported files in; how fast and how large they are here out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from binsight.errors import UsageError
from binsight.files import write_text
from binsight.runtime import bundle_path

from .progress import reporting
from .results import check_file
from .terminal import columns, padded, printable

if TYPE_CHECKING:
    from binsight.export.bench import Bench


def bench(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|NAME...", help="Exported files or built-in bundles, side by side."
        ),
    ],
    runs: Annotated[int, typer.Option(help="Turns for the latency.", min=1)] = 50,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            help="Images in a call, for the throughput; can be repeated.",
            show_default="1, 8",
            min=1,
        ),
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(
            help="For the throughput; can be repeated.", show_default="1, and all CPUs", min=1
        ),
    ] = None,
    starts: Annotated[
        int, typer.Option(help="Fresh processes of each, for cold start and memory.", min=0)
    ] = 3,
    out: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything as JSON.")
    ] = None,
) -> None:
    """Measure latency, throughput, cold start, memory and size, all files taking turns."""
    from binsight.export.bench import bench as measure

    paths = [bundle_path(one) for one in files]
    if out and out.suffix != ".json":
        raise UsageError(f"--json {out}: give a file that ends in .json")
    if out:
        check_file(out, "--json", ())
    with reporting("measuring", unit="steps") as report:
        measured = measure(
            paths,
            runs=runs,
            batches=tuple(batch or (1, 8)),
            threads=tuple(threads) if threads else None,
            starts=starts,
            progress=report,
        )
    _table(_rows(measured))
    threads_used = measured[0].threads
    typer.echo(
        "images/s: images in a call x threads; latency is that of one image, threads: "
        f"{threads_used}"
    )
    if any(one.format == "executorch" for one in measured):
        typer.echo("executorch takes as many threads as it likes, whatever is asked for")
    if out:
        write_text(out, json.dumps([one.model_dump() for one in measured], indent=2) + "\n")


def _rows(measured: Sequence[Bench]) -> list[list[str]]:
    rates = [f"{rate.batch} x {rate.threads}" for rate in measured[0].rates]
    head = ["file", "format", "MB", "median ms", "p95", "p99", "times as fast"]
    head += [f"images/s, {one}" for one in rates]
    fresh = measured[0].first_answer_seconds is not None
    rows = [head + (["first answer s", "peak MiB"] if fresh else [])]
    for one in measured:
        row = [
            printable(Path(one.file).name),
            f"{one.format} {one.precision}",
            f"{one.bytes / 1e6:.1f}",
            *(f"{one.latency_ms[name]:.1f}" for name in ("median", "p95", "p99")),
            f"{one.times_as_fast:.2f}",
            *(f"{rate.images_per_second:.1f}" for rate in one.rates),
        ]
        if one.first_answer_seconds is not None and one.peak_mib is not None:
            row += [f"{one.first_answer_seconds:.2f}", f"{one.peak_mib:.0f}"]
        rows.append(row)
    return rows


def _table(rows: Sequence[Sequence[str]]) -> None:
    """Files as columns: there are more figures than files, and terminals are narrow."""
    turned = list(zip(*rows, strict=True))
    widths = [max(map(columns, column)) for column in rows]
    for line in turned:
        name, *values = (padded(value, width) for value, width in zip(line, widths, strict=True))
        typer.echo("  ".join([name, *values]).rstrip())
