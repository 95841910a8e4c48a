"""``binsight verify``: an exported file in; what it is, and whether it answers like its parent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .models import FILE_OR_NAME


def verify(
    file: Annotated[
        str, typer.Argument(metavar=FILE_OR_NAME, help="An exported file, or a bundle.")
    ],
    photos: Annotated[
        list[Path] | None, typer.Argument(help="Photos, and folders of them, to compare on.")
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option(metavar=FILE_OR_NAME, help="The bundle that it was made of."),
    ] = None,
) -> None:
    """Say what a file is, and compare its answers with its parent's; exit 1 if they differ."""
    from .verified import verify_any

    verify_any(file, photos or [], parent)
