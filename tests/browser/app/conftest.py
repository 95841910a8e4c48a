"""The app that tests share, and Chromium with a made-up camera."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served_app import ARGUMENTS, CHROMIUM, serving


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An app that tests share which change nothing."""
    with serving(tmp_path_factory.mktemp("app")) as where:
        yield where


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    if not Path(CHROMIUM).exists():
        pytest.skip("there is no chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()
