"""The server gives each file its type, and nothing but files."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from binsight.errors import UsageError
from binsight.interfaces.web.server import serving


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "site" / "below").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    for name in ("index.html", "page.js", "a.wasm", "manifest.webmanifest", "a.onnx"):
        (tmp_path / "site" / name).write_text(name, encoding="utf-8")
    with serving(tmp_path / "site", "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "kind", "content"),
    [
        ("/", "text/html; charset=utf-8", "index.html"),
        ("/page.js", "text/javascript; charset=utf-8", "page.js"),
        ("/a.wasm", "application/wasm", "a.wasm"),
        ("/manifest.webmanifest", "application/manifest+json", "manifest.webmanifest"),
        ("/a.onnx", "application/octet-stream", "a.onnx"),
    ],
)
def test_files_have_their_types(address: str, path: str, kind: str, content: str) -> None:
    with urllib.request.urlopen(address + path) as answer:
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.read().decode() == content


@pytest.mark.parametrize("path", ["/below/", "/none.js", "/../secret.txt", "/%2e%2e/secret.txt"])
def test_nothing_else_is_given(address: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        urllib.request.urlopen(address + path)
    refused.value.close()


def test_a_port_that_is_taken(address: str, tmp_path: Path) -> None:
    port = int(address.rpartition(":")[2])
    with pytest.raises(UsageError, match=r"choose another --port"):
        serving(tmp_path, "127.0.0.1", port)


def test_visitors_who_leave_are_no_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path, "127.0.0.1", 0) as server:
        for error in (ConnectionResetError(), BrokenPipeError(), ValueError("a fault")):
            try:
                raise error
            except (OSError, ValueError):
                server.handle_error(None, ("127.0.0.1", 1))
    told = capsys.readouterr().err
    assert "ValueError: a fault" in told
    assert "ConnectionResetError" not in told
    assert "BrokenPipeError" not in told


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
def test_ipv6_is_served(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("six", encoding="utf-8")
    try:
        server = serving(tmp_path, "::1", 0)
    except UsageError:
        pytest.skip("this machine has no ::1")
    with server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with urllib.request.urlopen(f"http://[::1]:{server.server_port}/a.txt") as answer:
            assert answer.read() == b"six"
        thread.join()


@pytest.mark.parametrize("port", [-1, 70000])
def test_a_port_that_no_machine_has(tmp_path: Path, port: int) -> None:
    with pytest.raises(UsageError, match=r"choose another --port"):
        serving(tmp_path, "127.0.0.1", port)
