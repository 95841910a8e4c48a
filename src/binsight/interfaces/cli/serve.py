"""``binsight serve``: the HTTP service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from binsight.cpus import available_cpus
from binsight.images import ImageLimits
from binsight.interfaces.service.settings import MEGAPIXEL, MIB, Settings

from .extras import needs_extra
from .models import BinsOption, ModelOption

ENVIRONMENT = {"auto_envvar_prefix": "BINSIGHT"}


def serve(
    model: ModelOption = None,
    bins: BinsOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is all.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(help="Ask for one of its tokens, one a line; also: BINSIGHT_TOKENS."),
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(help="Keep corrections in this folder.", show_default="none are kept"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Photos worked on at once.", show_default="one a CPU", min=1)
    ] = None,
    waiting: Annotated[
        int, typer.Option(help="Requests that may wait; others get a 503.", min=0)
    ] = Settings.waiting,
    max_photos: Annotated[
        int, typer.Option(help="Photos in one request.", min=1)
    ] = Settings.max_photos,
    max_photo_mib: Annotated[int, typer.Option(help="MiB of one photo.", min=1)] = (
        Settings.limits.max_bytes // MIB
    ),
    max_request_mib: Annotated[int, typer.Option(help="MiB of one request.", min=1)] = (
        Settings.max_request_bytes // MIB
    ),
    max_megapixels: Annotated[int, typer.Option(help="Million pixels of one photo.", min=1)] = (
        Settings.limits.max_pixels // MEGAPIXEL
    ),
    grace: Annotated[
        int, typer.Option(help="Seconds that running requests have when it stops.", min=0)
    ] = 30,
) -> None:
    """Answer over HTTP: docs/serve.md.

    Each option may also come from the environment: BINSIGHT_PORT for --port.
    """
    with needs_extra("serve"):
        from binsight.interfaces.service.server import run
        from binsight.interfaces.service.tokens import read_tokens

    settings = Settings(
        model=model,
        bins=bins,
        corrections=corrections,
        tokens=read_tokens(token_file, os.environ),
        limits=ImageLimits(max_bytes=max_photo_mib * MIB, max_pixels=max_megapixels * MEGAPIXEL),
        max_photos=max_photos,
        max_request_bytes=max_request_mib * MIB,
        workers=workers or available_cpus(),
        waiting=waiting,
    )
    run(settings, host=host, port=port, grace_seconds=grace)
