"""The runtime comes out of the pinned package, once, or is refused."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from binsight.errors import DownloadError, UsageError
from binsight.interfaces.web import wasm

CONTENT = b"\0asm\1\0\0\0"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def package_of(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A registry of one package, which this machine serves."""
    folder = tmp_path / "registry"
    path = folder / "onnxruntime-web" / "-" / f"onnxruntime-web-{wasm.VERSION}.tgz"
    path.parent.mkdir(parents=True)
    path.write_bytes(package_of({"package/package.json": b"{}", wasm.MEMBER: CONTENT}))
    monkeypatch.setattr(wasm, "PACKAGE_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(wasm, "WASM_SHA256", hashlib.sha256(CONTENT).hexdigest())
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setenv("npm_config_registry", address)
        yield path
        server.shutdown()
        thread.join()


def test_it_is_taken_out_of_the_package_once(registry: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert wasm.fetch_wasm(cache).read_bytes() == CONTENT
    registry.unlink()
    assert wasm.fetch_wasm(cache).read_bytes() == CONTENT
    assert [path.name for path in cache.iterdir()] == [wasm.FILE_NAME]


def test_a_damaged_copy_is_fetched_again(registry: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / wasm.FILE_NAME).write_bytes(b"damaged")
    assert wasm.fetch_wasm(tmp_path / "cache").read_bytes() == CONTENT


def test_another_package_is_refused(registry: Path, tmp_path: Path) -> None:
    registry.write_bytes(package_of({wasm.MEMBER: b"other"}))
    with pytest.raises(DownloadError, match="SHA-256"):
        wasm.fetch_wasm(tmp_path / "cache")
    assert not (tmp_path / "cache" / wasm.FILE_NAME).exists()


def test_a_registry_without_it_is_named(registry: Path, tmp_path: Path) -> None:
    registry.unlink()
    with pytest.raises(DownloadError, match="404"):
        wasm.fetch_wasm(tmp_path / "cache")


def test_a_cache_that_cannot_be_written(registry: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be written"):
        wasm.fetch_wasm(tmp_path / "cache")


def test_a_file_that_somebody_brought_along(registry: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.wasm"
    with pytest.raises(UsageError, match="No such file"):
        wasm.checked(mine)
    mine.write_bytes(b"other")
    with pytest.raises(UsageError, match=r"take dist/ort-wasm-simd-threaded\.wasm"):
        wasm.checked(mine)
    mine.write_bytes(CONTENT)
    assert wasm.checked(mine) == mine


def test_without_a_setting_the_public_registry_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in wasm.REGISTRY_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    assert wasm.package_address().startswith("https://registry.npmjs.org/onnxruntime-web/-/")
