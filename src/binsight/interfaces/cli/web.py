"""``binsight web``: a page that classifies in the browser, written as a static site or served."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from binsight.errors import UsageError
from binsight.files import cache_folder
from binsight.runtime import Classifier

from .models import FILE_OR_NAME

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

DEFAULT_MODEL = "small"  # 11 MB that every visitor downloads, against 38


def web(
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the site here, for any web server.")
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Serve it until interrupted.")] = False,
    model: Annotated[
        str, typer.Option(metavar=FILE_OR_NAME, help="The bundle that the page runs.")
    ] = DEFAULT_MODEL,
    bins: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAME", help="Bins to offer, e.g. berlin.", show_default="all that fit"
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="With --serve: port to listen on.")] = 8000,
    host: Annotated[
        str,
        typer.Option(
            help="With --serve: address to listen on; phones need https, so put a proxy in front."
        ),
    ] = "127.0.0.1",
    wasm: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="ONNX Runtime's WebAssembly, if there is no network."),
    ] = None,
) -> None:
    """Write or serve a page that classifies on the visitor's own device, also offline."""
    from binsight.interfaces.web.site_files import check_out, write_site

    if out is None and not serve:
        raise UsageError("give --out DIR to write the site, or --serve to serve it")
    if out is not None:
        check_out(out)
    classifier = Classifier(model)
    runtime = _runtime(wasm)
    if serve:  # else the temporary site would stay
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="binsight-web-") as temporary:
        site = out or Path(temporary) / "site"
        files = write_site(site, classifier, bins=bins, wasm=runtime)
        if out is not None:
            size = sum(path.stat().st_size for path in files)
            typer.echo(f"{out}: {len(files)} files, {size / 1e6:.1f} MB")
        if serve:
            _serve(site, host, port)


def _runtime(wasm: Path | None) -> Path:
    from binsight.interfaces.web.wasm import checked, fetch_wasm

    if wasm is not None:
        return checked(wasm)
    return fetch_wasm(cache_folder() / "web")


def _serve(site: Path, host: str, port: int) -> None:
    from binsight.interfaces.web.server import serving

    with serving(site, host, port) as server:
        typer.echo(f"{_address(server)} (Ctrl+C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("", err=True)


def _address(server: ThreadingHTTPServer) -> str:
    host, port = str(server.server_address[0]), server.server_port
    # Browsers allow cameras and service workers on localhost, not on 0.0.0.0.
    if host in {"0.0.0.0", "127.0.0.1", "::", "::1"}:  # noqa: S104
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
