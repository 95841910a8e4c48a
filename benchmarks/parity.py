"""Show the same photos to the command line, the service, the page and Python; compare the answers.

    python benchmarks/parity.py DATA/trashnet --list test.txt --photos 200

``--list`` names photos, one path a line; only the file's name counts. The photos are drawn with a
fixed seed. The page needs the package playwright and Chromium (``--chromium``); ``--no-page``
leaves it out.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from fastapi.testclient import TestClient
from playwright.sync_api import Page, sync_playwright
from structlog.testing import capture_logs

from binsight import Classifier
from binsight.files import cache_folder
from binsight.interfaces.service.application import create_app
from binsight.interfaces.service.settings import Settings
from binsight.interfaces.web.server import serving
from binsight.interfaces.web.site_files import write_site
from binsight.interfaces.web.wasm import fetch_wasm

MOST = 0.01  # difference of a probability
LOADED_MS = 300_000
PROBS = "meters => Object.fromEntries(meters.map(one => [one.title, one.value]))"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]


def main() -> int:
    """Compare, print one line for each photo that differs, and a summary of each way."""
    options = parsed()
    photos = chosen(options.photos_in, options.list, options.photos)
    classifier = Classifier(options.model)
    expected = [dict(answer.probs) for answer in classifier.classify(photos)]
    ways = {
        "command line": by_command(photos, options.model),
        "service": by_service(photos, options.model),
    }
    if options.page:
        ways["page"] = by_page(photos, classifier, options.chromium)
    return max([compared(name, photos, found, expected) for name, found in ways.items()])


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("photos_in", type=Path, help="a folder of photos, at any depth")
    parser.add_argument("--list", type=Path)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--model", default="small")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    parser.add_argument("--no-page", dest="page", action="store_false")
    return parser.parse_args()


def chosen(folder: Path, listed: Path | None, count: int) -> list[Path]:
    photos = sorted(path for path in folder.rglob("*") if path.suffix in {".jpg", ".png"})
    if listed:
        lines = listed.read_text(encoding="utf-8").splitlines()
        names = {Path(line.split()[0]).name for line in lines if line.strip()}
        photos = [path for path in photos if path.name in names]
    return random.Random(0).sample(photos, min(count, len(photos)))  # noqa: S311


def by_command(photos: list[Path], model: str) -> list[dict[str, float]]:
    """What the command line says of each photo: class to probability."""
    run = "from binsight.interfaces.cli import main; main()"
    command = [sys.executable, "-c", run, "classify", "--json", "--model", model, *map(str, photos)]
    printed = subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout  # noqa: S603
    by_path = {one["path"]: one["probs"] for one in map(json.loads, printed.splitlines())}
    return [by_path[str(photo)] for photo in photos]


def by_service(photos: list[Path], model: str) -> list[dict[str, float]]:
    """What the service says, asked one photo at a time."""
    answers = []
    with capture_logs(), TestClient(create_app(Settings(model=model))) as client:
        for photo in photos:
            answer = client.post("/v1/classify", files={"photos": photo.read_bytes()})
            answers.append(answer.raise_for_status().json()["photos"][0]["probs"])
    return answers


def by_page(photos: list[Path], classifier: Classifier, chromium: str) -> list[dict[str, float]]:
    """What the page says in Chromium."""
    with tempfile.TemporaryDirectory() as temporary:
        site = Path(temporary) / "site"
        cache = cache_folder() / "web"
        write_site(site, classifier, wasm=fetch_wasm(cache))
        return asked(site, photos, chromium)


def asked(site: Path, photos: list[Path], chromium: str) -> list[dict[str, float]]:
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


def compared(
    way: str, photos: list[Path], found: list[dict[str, float]], expected: list[dict[str, float]]
) -> int:
    """Say how one way's answers differ from Python's; 1 if they do too much."""
    worst, same = 0.0, 0
    for photo, probs, ours in zip(photos, found, expected, strict=True):
        difference = max(abs(probs[name] - share) for name, share in ours.items())
        label, wanted = (max(one, key=lambda name: one[name]) for one in (probs, ours))
        worst, same = max(worst, difference), same + (label == wanted)
        if label != wanted or difference > MOST:
            print(f"{photo}: {way} {label}, Python {wanted}, difference {difference:.4f}")
    print(f"{way}: {same} of {len(photos)} the same label, largest difference {worst:.2g}")
    return int(same < len(photos) or worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
