"""Draw docs/web.jpg: the page on a phone and on a desk, in light and dark.

    python docs/draw_web.py

Needs the package playwright and Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from PIL import Image
from platformdirs import user_cache_path
from playwright.sync_api import Browser, sync_playwright

from binsight import Classifier
from binsight.interfaces.web.server import serving
from binsight.interfaces.web.site_files import write_site
from binsight.interfaces.web.wasm import fetch_wasm

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
PHONE, DESK = (390, 844), (1280, 844)
LOADED_MS = 300_000
HEIGHT = 844  # of the whole picture
GAP = 24
VIEWS = [
    (PHONE, "light", "plastic.jpg", True),
    (PHONE, "dark", "trash.jpg", False),
    (DESK, "light", "cardboard.jpg", True),
    (DESK, "dark", "metal.jpg", False),
]


def main(folder: Path | None) -> None:
    """Write web.jpg; with a folder, every view as a PNG there."""
    with tempfile.TemporaryDirectory() as temporary:
        site = Path(temporary) / "site"
        cache = user_cache_path("binsight", appauthor=False) / "web"
        write_site(site, Classifier("small"), wasm=fetch_wasm(cache))
        views = taken(site)
    if folder:
        for (size, scheme, *_), view in zip(VIEWS, views, strict=True):
            view.save(folder / f"web-{size[0]}-{scheme}.png")
    together(views[:3]).save(HERE / "web.jpg", quality=88, optimize=True)


def taken(site: Path) -> list[Image.Image]:
    with serving(site, "127.0.0.1", 0) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://localhost:{server.server_port}/"
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        views = [view(browser, address, *one) for one in VIEWS]
        browser.close()
        server.shutdown()
    return views


def view(
    browser: Browser, address: str, size: tuple[int, int], scheme: str, photo: str, heat: bool
) -> Image.Image:
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page.goto(address)
    page.wait_for_selector("#load", state="hidden", timeout=LOADED_MS)
    page.select_option("#bins", "berlin")
    page.set_input_files("#file", EXAMPLES / photo)
    page.wait_for_selector("main[aria-busy=false]", timeout=LOADED_MS)
    page.wait_for_selector("#offline", timeout=LOADED_MS)
    if heat:
        page.check("#heat")
    shot = page.screenshot(full_page=True)
    page.close()
    return Image.open(io.BytesIO(shot)).convert("RGB")


def together(views: list[Image.Image]) -> Image.Image:
    """Side by side, cut to one height."""
    cut = [view.crop((0, 0, view.width, min(view.height, HEIGHT))) for view in views]
    width = sum(view.width for view in cut) + GAP * (len(cut) + 1)
    sheet = Image.new("RGB", (width, HEIGHT + 2 * GAP), "#8a948d")
    left = GAP
    for one in cut:
        sheet.paste(one, (left, GAP))
        left += one.width + GAP
    return sheet.resize((width * 2 // 3, (HEIGHT + 2 * GAP) * 2 // 3), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
