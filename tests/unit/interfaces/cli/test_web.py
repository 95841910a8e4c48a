"""``binsight web``, in this process."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from small_bundle import SmallBundle
from typer.testing import CliRunner

from binsight.errors import BinsightError
from binsight.interfaces.cli import app
from binsight.interfaces.web import wasm


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "any.wasm"
    path.write_bytes(b"\0asm")
    monkeypatch.setattr(wasm, "WASM_SHA256", hashlib.sha256(b"\0asm").hexdigest())
    return path


def web(*arguments: object) -> str:
    return CliRunner().invoke(app, ["web", *map(str, arguments)], catch_exceptions=False).output


def test_it_writes_a_site_and_says_how_large_it_is(
    tmp_path: Path, small_bundle: SmallBundle, runtime: Path
) -> None:
    out = tmp_path / "site"
    said = web("--out", out, "--model", small_bundle.path, "--wasm", runtime, "--bins", "paris")
    files = list(out.iterdir())
    assert said == f"{out}: {len(files)} files, 0.1 MB\n"
    assert (out / "bins.json").read_text(encoding="utf-8").startswith('{"paris":')


def test_it_wants_to_be_told_what_to_do() -> None:
    with pytest.raises(BinsightError, match="give --out DIR to write the site, or --serve"):
        web()


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--model", "none.onnx", "No such file"),
        ("--bins", "atlantis", "no bins 'atlantis'"),
        ("--wasm", "none.wasm", "No such file"),
        ("--out", "", "which is no part of a site"),
    ],
)
def test_bad_input_writes_nothing(
    tmp_path: Path, small_bundle: SmallBundle, runtime: Path, option: str, value: str, says: str
) -> None:
    options: dict[str, object] = {
        "--out": tmp_path / "site",
        "--model": small_bundle.path,
        "--wasm": runtime,
    }
    options[option] = tmp_path / value if option != "--bins" else value
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BinsightError, match=says):
        web(*(word for pair in options.items() for word in pair))
    assert sorted(tmp_path.iterdir()) == before


def test_serving_ends_with_an_interrupt(
    small_bundle: SmallBundle, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_server: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("http.server.ThreadingHTTPServer.serve_forever", interrupted)
    said = web("--serve", "--model", small_bundle.path, "--wasm", runtime, "--port", 0)
    assert said.startswith("http://localhost:")
