"""``binsight export``: a run in, a bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .extras import needs_extra
from .progress import reporting


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path, typer.Option(help="The bundle, such as mine.onnx.")],
    photos: Annotated[
        list[Path] | None, typer.Option(help="Where the photos are now, if they moved.")
    ] = None,
    risk: Annotated[
        float,
        typer.Option(help="Largest share of wrong answers among the sure ones.", min=0, max=1),
    ] = 0.02,
    accepted: Annotated[
        float,
        typer.Option(help="Share of known photos that may not count as strange.", min=0, max=1),
    ] = 0.9,
    licence: Annotated[str, typer.Option(help="SPDX identifier for the weights.")] = "Apache-2.0",
    store: Annotated[
        Literal["fp32", "fp16"],
        typer.Option(help="Weights as trained, or rounded to float16: half the file."),
    ] = "fp32",
) -> None:
    """Write the bundle of a run's best epoch, calibrated and checked against the checkpoint."""
    with needs_extra("train"):
        from binsight.export.onnx import export_bundle
        from binsight.training.run import open_run

        with reporting("calibrating") as report:
            described = export_bundle(
                open_run(run),
                out,
                sources=tuple(photos or ()),
                risk=risk,
                accepted=accepted,
                licence=licence,
                store=store,
                progress=report,
            )
    parity = described.parity
    typer.echo(
        f"parity on {parity.photos} photos: same label on {parity.same_label:.0%}, probabilities "
        f"within {parity.max_difference:.1g}"
    )
    if store == "fp16":
        changed = described.metrics["val_labels_changed_by_fp16"]
        typer.echo(
            f"weights in float16: {changed:.0f} of {described.metrics['val_photos']:.0f} labels "
            f"changed on validation photos, {described.metrics['val_accuracy_before_fp16']:.1%} "
            f"right before and {described.metrics['val_accuracy']:.1%} now"
        )
    assert described.novelty
    typer.echo(
        f"temperature {described.temperature:.3f}; sure from {described.threshold:.3f} and up to a "
        f"novelty of {described.novelty.limit:.2f} "
        f"({described.metrics['val_coverage']:.0%} of validation photos)"
    )
    size_mb = out.stat().st_size / 1e6
    typer.echo(f"wrote {out} ({size_mb:.1f} MB); next: binsight classify PHOTO --model {out}")
