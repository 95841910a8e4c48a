"""Show the same photos to the page in Chromium and to Python, and compare the answers.

    python benchmarks/web_parity.py DATA/trashnet --list test.txt --photos 200

``--list`` names photos, one path a line; only the file's name counts. The photos are drawn with a
fixed seed. Needs the package playwright and Chromium (``--chromium``).
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from platformdirs import user_cache_path
from playwright.sync_api import Page, sync_playwright

from binsight import Classifier
from binsight.interfaces.web.server import serving
from binsight.interfaces.web.site_files import write_site
from binsight.interfaces.web.wasm import fetch_wasm

MOST = 0.01  # difference of a probability
LOADED_MS = 300_000
PROBS = "meters => Object.fromEntries(meters.map(one => [one.title, one.value]))"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]


def main() -> int:
    """Compare, print one line for each photo that differs, and a summary."""
    options = parsed()
    photos = chosen(options.photos_in, options.list, options.photos)
    classifier = Classifier(options.model)
    with tempfile.TemporaryDirectory() as temporary:
        site = Path(temporary) / "site"
        cache = user_cache_path("binsight", appauthor=False) / "web"
        write_site(site, classifier, wasm=fetch_wasm(cache))
        answers = asked(site, photos, options.chromium)
    return compared(photos, answers, classifier)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("photos_in", type=Path, help="a folder of photos, at any depth")
    parser.add_argument("--list", type=Path)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--model", default="small")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    return parser.parse_args()


def chosen(folder: Path, listed: Path | None, count: int) -> list[Path]:
    photos = sorted(path for path in folder.rglob("*") if path.suffix in {".jpg", ".png"})
    if listed:
        lines = listed.read_text(encoding="utf-8").splitlines()
        names = {Path(line.split()[0]).name for line in lines if line.strip()}
        photos = [path for path in photos if path.name in names]
    return random.Random(0).sample(photos, min(count, len(photos)))  # noqa: S311


def asked(site: Path, photos: list[Path], chromium: str) -> list[dict[str, float]]:
    """What the page says of each photo: class to probability."""
    with serving(site, "127.0.0.1", 0) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        page = browser.new_page(service_workers="block")
        page.goto(f"http://localhost:{server.server_port}/")
        page.wait_for_selector("#load", state="hidden", timeout=LOADED_MS)
        answers = [probs_of(page, photo) for photo in photos]
        browser.close()
        server.shutdown()
    return answers


def probs_of(page: Page, photo: Path) -> dict[str, float]:
    page.set_input_files("#file", photo)
    page.wait_for_selector("main[aria-busy=false]", timeout=LOADED_MS)
    if page.is_visible("#status"):
        raise SystemExit(f"{photo}: {page.inner_text('#status')}")
    probs: dict[str, float] = page.eval_on_selector_all("meter", PROBS)
    return probs


def compared(photos: list[Path], answers: list[dict[str, float]], classifier: Classifier) -> int:
    worst, same = 0.0, 0
    for photo, probs, ours in zip(photos, answers, classifier.classify(photos), strict=True):
        difference = max(abs(probs[name] - share) for name, share in ours.probs.items())
        label = max(probs, key=lambda name: probs[name])
        worst, same = max(worst, difference), same + (label == ours.label)
        if label != ours.label or difference > MOST:
            print(f"{photo}: page {label}, Python {ours.label}, difference {difference:.4f}")
    print(f"{len(photos)} photos: {same} of the same label, largest difference {worst:.2g}")
    return int(same < len(photos) or worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
