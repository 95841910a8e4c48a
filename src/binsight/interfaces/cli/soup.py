"""``binsight soup``: several runs in, one run out, whose network is the mean of theirs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .extras import needs_extra
from .progress import reporting
from .train import calm_lightning, check_accelerator
from .train_options import Accelerator, Workers

if TYPE_CHECKING:
    from binsight.training.soup import Score, Tasted


def soup(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Trained runs of one split that began alike.", metavar="RUN"),
    ],
    out: Annotated[Path, typer.Option(help="The run folder of the result.")],
    photos: Annotated[
        list[Path] | None, typer.Option(help="Where the photos of the runs are now.")
    ] = None,
    uniform: Annotated[
        bool, typer.Option("--uniform", help="Take all runs, whatever the part val says.")
    ] = False,
    workers: Workers = 2,
    accelerator: Accelerator = "auto",
) -> None:
    """Average the weights of runs, as long as that is no worse on their validation photos."""
    with needs_extra("train"):
        from binsight.training.run import open_run
        from binsight.training.soup import make_soup

        calm_lightning()
        check_accelerator(accelerator)
        opened = [open_run(folder) for folder in runs]
        tasted: list[Tasted] = []
        try:
            with reporting("validating") as report:
                made = make_soup(
                    out,
                    opened,
                    opened[0].photos(tuple(photos or ())),
                    uniform=uniform,
                    workers=workers,
                    accelerator=accelerator,
                    report=report,
                    tell=tasted.append,
                )
        finally:  # what was found counts, even if no soup came of it; a bar is gone by now
            for one in tasted:
                _tell(one)
    taken = sum(one.taken for one in made.tasted)
    typer.echo(
        f"wrote {out}: the mean of {taken} of {len(runs)} runs; of {made.photos} validation photos "
        f"{_scored(made.score)}; next: binsight evaluate {shlex.quote(str(out))}"
    )


def _tell(one: Tasted) -> None:
    said = f"{one.run.folder} alone: {_scored(one.alone)}"
    if one.together:
        said += f"; with it: {_scored(one.together)}: {'taken' if one.taken else 'left out'}"
    typer.echo(said)


def _scored(score: Score) -> str:
    return f"{score.val_accuracy:.2%} right, loss {score.val_loss:.4f}"
