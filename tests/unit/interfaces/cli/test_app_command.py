"""``binsight app``: what it starts, and what it refuses before it starts anything."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from small_bundle import SmallBundle
from streamlit import config
from typer.testing import CliRunner

from binsight.errors import BinsError, NotABundleError, UsageError
from binsight.interfaces.app import serve as serving
from binsight.interfaces.app.settings import Settings
from binsight.interfaces.cli import app

run = CliRunner().invoke


def test_it_says_where_the_page_is_and_serves_it(
    small_bundle: SmallBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[Settings, dict[str, Any]]] = []
    monkeypatch.setattr(serving, "serve", lambda settings, **more: served.append((settings, more)))
    done = run(app, ["app", "--model", str(small_bundle.path), "--port", "8123"])
    assert "http://127.0.0.1:8123" in done.output
    ((settings, more),) = served
    assert settings == Settings(model=str(small_bundle.path))
    assert (more["host"], more["port"]) == ("127.0.0.1", 8123)


@pytest.mark.parametrize(("option", "error"), [("--model", NotABundleError), ("--bins", BinsError)])
def test_a_wrong_file_is_refused_at_once(
    option: str, error: type, small_bundle: SmallBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "serve", None)
    done = run(app, ["app", "--model", str(small_bundle.path), option, "none/such.file"])
    assert isinstance(done.exception, error)


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"{port}.*--port"):
            serving.serve(Settings(), host="127.0.0.1", port=port)


def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("no certificate")
    for name in ("a.pem", "none.pem"):
        with pytest.raises(UsageError, match=r"give a certificate and its key \(PEM\)"):
            serving.serve(
                Settings(),
                host="127.0.0.1",
                port=0,
                certificate=tmp_path / name,
                key=tmp_path / name,
            )


def test_half_of_certificate_and_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give both"):
        serving.serve(Settings(), host="127.0.0.1", port=0, certificate=tmp_path / "a")


def test_streamlit_knows_every_option_and_reports_nothing(tmp_path: Path) -> None:
    chosen = serving.options("127.0.0.1", 8501, tmp_path / "cert", tmp_path / "key")
    known = set(config.get_config_options())
    assert set(chosen) <= known
    assert chosen["browser.gatherUsageStats"] is False
    assert chosen["server.headless"] is True
