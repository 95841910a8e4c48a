"""``binsight correct``: what a photo really shows, kept to teach from."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path
from typing import Annotated

import typer

from binsight.corrections import add_correction
from binsight.errors import ImageError
from binsight.runtime import Classifier

from .models import ModelOption
from .terminal import printable


def correct(
    photos: Annotated[list[Path], typer.Argument(help="Photos that all show the same material.")],
    label: Annotated[str, typer.Option(help="What they show; also a class that is new.")],
    to: Annotated[Path, typer.Option(help="The folder of corrections.")] = Path("corrections"),
    model: ModelOption = None,
) -> None:
    """Keep photos under the right label, with what the model had said.

    Teach from them with: binsight teach corrections --out my.onnx
    """
    classifier = Classifier(model)
    broken = 0
    for path, answer in zip(photos, classifier.classify_each(photos), strict=True):
        if isinstance(answer, ImageError):
            typer.secho(printable(answer), fg="red", err=True)
            broken += 1
            continue
        kept = add_correction(
            to, path, label=label, prediction=answer, model_digest=classifier.digest
        )
        typer.echo(
            f"{printable(path)}: {printable(label)}; the model said {answer.label} "
            f"({answer.confidence:.1%}); kept as {printable(kept)}"
        )
    if broken < len(photos):
        given = f" --model {printable(model)}" if model else ""
        typer.echo(f"next: binsight teach {printable(to)}{given} --out {_free('my.onnx')}")
    if broken:
        raise typer.Exit(1)


def _free(name: str) -> str:
    """A file's name that is not taken, so that a command that is pasted overwrites nothing."""
    path = Path(name)
    names = (f"{path.stem}-{number}{path.suffix}" for number in count(2))
    return next(one for one in chain([name], names) if not Path(one).exists())
