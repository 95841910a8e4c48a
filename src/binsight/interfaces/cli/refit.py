"""``binsight refit``: a run in, a run out, whose head was fitted once more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .extras import needs_extra
from .progress import reporting
from .train import check_accelerator
from .train_options import Accelerator, Workers

if TYPE_CHECKING:
    from binsight.training.refit import HeadScore


def refit(
    run: Annotated[Path, typer.Argument(help="A trained run.")],
    out: Annotated[Path, typer.Option(help="The run folder of the result.")],
    photos: Annotated[
        list[Path] | None, typer.Option(help="Where the photos of the run are now.")
    ] = None,
    workers: Workers = 2,
    accelerator: Accelerator = "auto",
) -> None:
    """Fit the head of a run once more, on whole photos instead of random crops."""
    with needs_extra("train"):
        from binsight.training.refit import refit_head
        from binsight.training.run import open_run

        check_accelerator(accelerator)
        opened = open_run(run)
        with reporting("computing embeddings") as report:
            made = refit_head(
                out,
                opened,
                opened.photos(tuple(photos or ())),
                workers=workers,
                accelerator=accelerator,
                report=report,
            )
    typer.echo(f"{run}: {_scored(made.before)}")
    typer.echo(
        f"wrote {out}, its head fitted on {made.learned:,} photos: {_scored(made.after)} of "
        f"{made.photos:,} validation photos; next: binsight evaluate {out}"
    )


def _scored(score: HeadScore) -> str:
    return f"{score.val_accuracy:.2%} right, calibrated loss {score.calibrated_loss:.4f}"
