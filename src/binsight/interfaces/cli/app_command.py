"""``binsight app``: the page for a phone or a desk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .extras import needs_extra
from .models import ModelOption


def app(
    model: ModelOption = None,
    bins: Annotated[
        str | None,
        typer.Option(metavar="FILE|NAME", help="Bins chosen at first: a bins.toml or e.g. berlin."),
    ] = None,
    corrections: Annotated[
        Path, typer.Option(help="Where corrections go; a taught model goes beside it.")
    ] = Path("corrections"),
    host: Annotated[
        str, typer.Option(help="Who may come: 0.0.0.0 is everybody on your network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8501,
    certificate: Annotated[
        Path | None, typer.Option(help="For https, which a phone's camera needs.", exists=True)
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Private key of the certificate.", exists=True)
    ] = None,
) -> None:
    """Sort garbage on a page in the browser, with a phone's camera too.

    Nothing is opened, and nothing leaves this machine. Stop it with Ctrl+C.
    """
    with needs_extra("app"):
        import streamlit  # noqa: F401

    from binsight.interfaces.app.desk import Desk
    from binsight.interfaces.app.serve import serve
    from binsight.interfaces.app.settings import Settings

    settings = Settings(model=model, bins=bins, corrections=str(corrections))
    Desk(settings)  # what is wrong with model or bins shows here, and not on the first visit
    scheme = "https" if certificate else "http"
    typer.echo(f"the app is at {scheme}://{_reachable(host)}:{port} (stop it with Ctrl+C)")
    serve(settings, host=host, port=port, certificate=certificate, key=key)


def _reachable(host: str) -> str:
    """A host as a browser takes it: who listens on every address is found on this one."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104
        return "localhost"
    return f"[{host}]" if ":" in host else host
