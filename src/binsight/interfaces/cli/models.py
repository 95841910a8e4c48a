"""How commands take a bundle or bins: a file, or the name of what comes along."""

from __future__ import annotations

from typing import Annotated

import typer

from binsight.runtime import BUILTIN

__all__ = ["FILE_OR_NAME", "MODEL_HELP", "BinsOption", "ModelOption"]

FILE_OR_NAME = "FILE|NAME"
_NAMES = ", ".join((f"{BUILTIN[0]} (if not given)", *BUILTIN[1:]))
MODEL_HELP = f"A bundle, or one that is built in: {_NAMES}."
ModelOption = Annotated[str | None, typer.Option(metavar=FILE_OR_NAME, help=MODEL_HELP)]
BinsOption = Annotated[
    str | None,
    typer.Option(metavar=FILE_OR_NAME, help="Say which bin, by a bins.toml or e.g. berlin."),
]
