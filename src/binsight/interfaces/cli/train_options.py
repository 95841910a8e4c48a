"""Options that trainings share, whoever teaches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Accelerator",
    "Arch",
    "Cache",
    "Changes",
    "Resume",
    "Shares",
    "Weights",
    "WeightsOrFolds",
    "Workers",
]

Arch = Annotated[
    str | None, typer.Option("--arch", help="torchvision's name; as --set architecture=NAME.")
]
WEIGHTS_HELP = "imagenet (downloaded once), none, a file, a run, or a bundle, such as small."
Weights = Annotated[str, typer.Option("--weights", help=WEIGHTS_HELP)]
WeightsOrFolds = Annotated[
    str,
    typer.Option(
        "--weights", help=f"{WEIGHTS_HELP} With --folds, also a folder of the same folds."
    ),
]
Changes = Annotated[list[str] | None, typer.Option("--set", help="Change one value: epochs=3.")]
Shares = Annotated[
    list[str] | None,
    typer.Option("--share", help="Draw only this part of a folder each epoch: web=0.2."),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on after the last whole epoch in --out.")
]
Workers = Annotated[int, typer.Option("--workers", help="Processes that prepare photos.", min=0)]
Accelerator = Annotated[str, typer.Option("--accelerator", help="auto, cpu or gpu.")]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Share between runs what is computed once for each view."),
]
