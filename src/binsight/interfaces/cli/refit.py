"""``binsight refit``: a run in, a run out, whose head was fitted once more; or folds of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from binsight.errors import UsageError

from .cross_validated import report_folds
from .extras import needs_extra
from .progress import reporting
from .terminal import interrupted
from .train import check_accelerator
from .train_options import Accelerator, Workers

if TYPE_CHECKING:
    from binsight.training.refit import HeadScore, Refit
    from binsight.training.run import Run

WORK = "computing embeddings"


def refit(
    run: Annotated[Path, typer.Argument(help="A trained run, or a folder of folds.")],
    out: Annotated[Path, typer.Option(help="The run folder of the result.")],
    photos: Annotated[
        list[Path] | None, typer.Option(help="Where the photos of the run are now.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Of folds: leave alone those that are done.")
    ] = False,
    workers: Workers = 2,
    accelerator: Accelerator = "auto",
) -> None:
    """Fit the head of a run once more, on whole photos instead of random crops."""
    with needs_extra("train"):
        from binsight.training.folds import has_folds
        from binsight.training.refit import refit_head
        from binsight.training.run import open_run

        check_accelerator(accelerator)
        options: dict[str, Any] = {"workers": workers, "accelerator": accelerator}
        if has_folds(run):
            _refit_folds(run, out, tuple(photos or ()), resume, **options)
            return
        if resume:
            raise UsageError(f"--resume: {run} is no folder of folds; leave it out")
        opened = open_run(run)
        with reporting(WORK) as report:
            made = refit_head(
                out, opened, opened.photos(tuple(photos or ())), report=report, **options
            )
    _tell(run, made, f"; next: binsight evaluate {shlex.quote(str(out))}")


def _refit_folds(
    folder: Path, out: Path, photos: tuple[Path, ...], resume: bool, **options: Any
) -> None:
    from binsight.training.folds import open_folds
    from binsight.training.refit import refit_folds

    folds = open_folds(folder)
    catalog = folds.runs[0].photos(photos)

    @contextmanager
    def around(place: int, _: Run) -> Iterator[dict[str, Any]]:
        with reporting(f"fold {place} of {len(folds.runs)}: {WORK}") as report:
            yield {"report": report}

    def tell(made: Refit) -> None:
        _tell(folder / made.run.folder.name, made)

    try:
        made = refit_folds(out, folds, catalog, resume=resume, around=around, tell=tell, **options)
    except KeyboardInterrupt:
        interrupted(shlex.join(["binsight", "refit", str(folder), "--out", str(out), "--resume"]))
    report_folds(made, catalog)


def _tell(run: Path, made: Refit, then: str = "") -> None:
    typer.echo(f"{run}: {_scored(made.before)}")
    typer.echo(
        f"wrote {made.run.folder}, its head fitted on {made.learned:,} photos: "
        f"{_scored(made.after)} of {made.photos:,} validation photos{then}"
    )


def _scored(score: HeadScore) -> str:
    return f"{score.val_accuracy:.2%} right, calibrated loss {score.calibrated_loss:.4f}"
