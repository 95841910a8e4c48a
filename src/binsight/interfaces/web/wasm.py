"""ONNX Runtime's WebAssembly, which the page needs and which is too large to come along.

It is taken out of the npm package ``onnxruntime-web``, once, and kept. Both the package and the
file are pinned by their SHA-256. Which version the page was built for is up to
``web/package-lock.json``; a test compares the two.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from binsight.errors import DownloadError, MissingExtraError, UsageError
from binsight.files import file_digest, replacing

__all__ = ["FILE_NAME", "VERSION", "checked", "fetch_wasm"]

VERSION = "1.30.0"
PACKAGE_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
WASM_SHA256 = "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
MEMBER = "package/dist/ort-wasm-simd-threaded.wasm"
FILE_NAME = f"ort-wasm-{VERSION}.wasm"
REGISTRY = "https://registry.npmjs.org"
REGISTRY_SETTINGS = ("npm_config_registry", "NPM_CONFIG_REGISTRY")


def fetch_wasm(cache: Path) -> Path:
    """The file, from the cache or over the network (34 MB, once).

    Args:
        cache: folder that keeps it.

    Raises:
        DownloadError: the network or the registry does not give it.
        MissingExtraError: it has to be downloaded, and httpx is not installed.
        UsageError: the cache cannot be written.
    """
    kept = cache / FILE_NAME
    if kept.is_file() and file_digest(kept) == WASM_SHA256:
        return kept
    try:
        package = _download(cache / "download")
        _take_out(package, kept)
        shutil.rmtree(package.parent)
    except OSError as error:
        raise UsageError(f"{cache}: cannot be written ({error.strerror or error})") from error
    return checked(kept)


def checked(wasm: Path) -> Path:
    """A file that somebody brought along, if it is the right one.

    Raises:
        UsageError: it is not there, or another file.
    """
    try:
        actual = file_digest(wasm)
    except OSError as error:
        raise UsageError(f"{wasm}: {error.strerror or error}") from error
    if actual != WASM_SHA256:
        raise UsageError(
            f"{wasm}: not the file of onnxruntime-web {VERSION}; take {MEMBER.partition('/')[2]} "
            "of that npm package"
        )
    return wasm


def package_address() -> str:
    """Where npm would take the package from, by its own environment variable."""
    settings = (os.environ.get(name) for name in REGISTRY_SETTINGS)
    registry = next(filter(None, settings), REGISTRY)
    return f"{registry.rstrip('/')}/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"


def _download(folder: Path) -> Path:
    from binsight.data.transfer import download

    try:
        return download(package_address(), folder, sha256=PACKAGE_SHA256)
    except MissingExtraError as error:
        raise MissingExtraError(error.package, "web") from error


def _take_out(package: Path, to: Path) -> None:
    try:
        with tarfile.open(package) as archive, replacing(to) as temporary:
            content = archive.extractfile(MEMBER)
            assert content is not None, "a file, in the package that was pinned"
            with temporary.open("wb") as file:
                shutil.copyfileobj(content, file)
    except (tarfile.TarError, KeyError) as error:
        raise DownloadError(f"{package}: not the npm package ({error})") from error
