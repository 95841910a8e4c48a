"""``binsight info``: what a bundle says about itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .classify import opened


def info(
    model: Annotated[
        Path | None, typer.Argument(help="A bundle; the built-in one if not given.")
    ] = None,
) -> None:
    """Check a bundle and print its description as JSON."""
    classifier = opened(model)
    described = {"path": str(classifier.path), "digest": classifier.digest}
    typer.echo(json.dumps(described | classifier.metadata.model_dump(mode="json"), indent=2))
