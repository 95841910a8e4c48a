"""A served site and a browser with a made-up camera."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from platformdirs import user_cache_path
from web_site import answering

from binsight import Classifier
from binsight.errors import DownloadError
from binsight.interfaces.web.site_files import write_site
from binsight.interfaces.web.wasm import fetch_wasm

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
OPTIONS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
]


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    return Classifier("small")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, classifier: Classifier) -> Path:
    try:
        wasm = fetch_wasm(user_cache_path("binsight", appauthor=False) / "web")
    except DownloadError as error:
        pytest.skip(f"ONNX Runtime's WebAssembly cannot be downloaded: {error}")
    folder = tmp_path_factory.mktemp("web") / "site"
    write_site(folder, classifier, wasm=wasm)
    return folder


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    with answering(site) as server:
        yield f"http://localhost:{server.server_port}/"


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    playwright_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("needs Chromium on the path")
    with playwright_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield running
        running.close()
