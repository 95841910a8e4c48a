"""``binsight correct``: what a photo really shows, kept to teach from."""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from binsight.corrections import add_correction
from binsight.errors import ImageError
from binsight.files import free_path
from binsight.runtime import BUILTIN, Classifier

from .models import ModelOption
from .terminal import printable, warn

CLOSE = 0.75  # ratio of two names that are probably the same word


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
        if label not in classifier.classes:
            known = printable(", ".join(classifier.classes))
            note = f"note: {printable(label)} is new to the model, which knows {known}"
            if meant := get_close_matches(label.lower(), classifier.classes, n=1, cutoff=CLOSE):
                note += f"; if you mean {meant[0]}, say it again with that --label, to move them"
            warn(note)
        # Also where none was named, so that nobody teaches another one than was asked.
        given = f" --model {shlex.quote(printable(model or BUILTIN[0]))}"
        # Whoever pastes this is to overwrite nothing.
        out = free_path(Path(), "my", ".onnx")
        folder = shlex.quote(printable(to))
        typer.echo(f"next: binsight teach {folder}{given} --out {out}")
    if broken:
        raise typer.Exit(1)
