"""``binsight info``: what a bundle says about itself."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from binsight.runtime import Classifier

from .models import FILE_OR_NAME, MODEL_HELP


def info(
    model: Annotated[str | None, typer.Argument(metavar=FILE_OR_NAME, help=MODEL_HELP)] = None,
) -> None:
    """Check a bundle and print its description as JSON."""
    classifier = Classifier(model)
    described = {
        "path": str(classifier.path),
        "bytes": classifier.path.stat().st_size,
        "digest": classifier.digest,
    }
    typer.echo(json.dumps(described | classifier.metadata.model_dump(mode="json"), indent=2))
