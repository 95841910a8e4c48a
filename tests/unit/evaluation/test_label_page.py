from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from binsight.data.relabel import LabelIssue, read_label_issues
from binsight.evaluation.label_page import write_label_page

HOSTILE_FILE = """a"'><img src=http:x onerror=alert(1)>,.png"""
HOSTILE_CLASS = "</script><script>alert(1)</script>"
CLASSES = ("glass", HOSTILE_CLASS, "paper")
# Enough of a browser to run the page's script: elements with their attributes, and clicks.
BROWSER = """
const page = JSON.parse(require("fs").readFileSync(0, "utf8"));
const listeners = {};
let saved;
class Element {
  constructor(value) { this.value = value; this.on = {}; this.classList = { toggle() {} }; }
  addEventListener(name, call) { this.on[name] = call; }
  setAttribute(name, value) { this[name] = value; }
  click() { this.on.click ? this.on.click() : (saved = this.href); }
}
const cards = page.cards.map(({ data, buttons }) => {
  const select = buttons.length ? new Element("") : null;
  const own = buttons.map((value) => new Element(value));
  return Object.assign(new Element(), {
    dataset: data, querySelector: () => select, querySelectorAll: () => own, own,
  });
});
const named = { "#status": new Element(), "#save": new Element() };
globalThis.document = {
  querySelectorAll: () => cards, querySelector: (name) => named[name],
  createElement: () => new Element(),
};
globalThis.addEventListener = (name, call) => { listeners[name] = call; };
globalThis.setTimeout = () => {};
globalThis.Blob = class { constructor(parts) { this.text = parts.join(""); } };
globalThis.URL = { createObjectURL: (blob) => blob.text, revokeObjectURL() {} };
(0, eval)(page.script);
const clicks = page.clicks.map(([card, button]) => { cards[card].own[button].click();
  return named["#status"].textContent; });
let warned = false;
listeners.beforeunload({ preventDefault() { warned = true; } });
named["#save"].click();
console.log(JSON.stringify({ saved, clicks, warned, status: named["#status"].textContent }));
"""


class Page(HTMLParser):
    """Cards with their data and buttons, and everything that is fetched or runs."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cards: list[dict] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.options: list[str] = []
        self.policy = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.sources += [found[name] for name in ("src", "href") if name in found]
        if "data-path" in found:
            data = {k.removeprefix("data-"): v for k, v in found.items() if k.startswith("data-")}
            self.cards.append({"data": data, "buttons": []})
        if tag == "button" and "value" in found:
            self.cards[-1]["buttons"].append(found["value"])
        if tag == "option":
            self.options.append(found["value"])
        if tag == "meta" and "http-equiv" in found:
            self.policy = found["content"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in (HOSTILE_FILE, "b.png", "c.png"):
        Image.effect_noise((900, 600), 80).convert("RGB").save(tmp_path / name)
    return tmp_path


ISSUES = (
    LabelIssue(path="d.png", label="paper", suggested="glass", score=0.01, decision="drop"),
    LabelIssue(path=HOSTILE_FILE, label=HOSTILE_CLASS, suggested="glass", score=0.02),
    LabelIssue(path="b.png", label="glass", suggested=HOSTILE_CLASS, score=0.1),
    LabelIssue(path="c.png", label="glass", suggested="paper", score=0.2),
)


def page_of(photos: Path, **options) -> str:
    write_label_page(photos / "p.html", ISSUES, classes=CLASSES, photos_root=photos, **options)
    return (photos / "p.html").read_text(encoding="utf-8")


def script_of(html: str) -> str:
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    return script


def test_the_page_fetches_nothing_and_runs_its_own_script_alone(photos: Path) -> None:
    html = page_of(photos)
    page = Page(html)
    assert len(page.sources) == 3
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert page.tags.count("script") == 1
    digest = base64.b64encode(hashlib.sha256(script_of(html).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.policy
    assert page.policy.startswith("default-src 'none'")


def test_photos_are_small(photos: Path) -> None:
    for source in Page(page_of(photos)).sources:
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
            assert image.format == "JPEG"
            assert image.size == (200, 133)


def test_a_person_can_choose_every_class(photos: Path) -> None:
    page = Page(page_of(photos))
    assert [card["data"]["path"] for card in page.cards] == [
        HOSTILE_FILE,
        "b.png",
        "c.png",
        "d.png",
    ]
    assert page.cards[0]["data"]["label"] == HOSTILE_CLASS
    assert page.cards[0]["buttons"] == ["glass", "keep", "drop"]
    assert page.options[:5] == ["", "keep", "glass", "paper", "drop"]


def test_what_is_left_out_is_said(photos: Path) -> None:
    html = page_of(photos, most=1)
    assert len(Page(html).cards) == 2  # one is shown, one was decided before
    assert "2 more photos are doubted than shown" in html
    assert "more photo" not in page_of(photos)


@pytest.mark.skipif(not shutil.which("node"), reason="no Node.js to run the page's script")
def test_the_page_saves_what_was_decided(photos: Path) -> None:
    html = page_of(photos)
    task = {
        "cards": Page(html).cards,
        "script": script_of(html),
        "clicks": [[0, 0], [1, 2], [2, 1], [2, 1]],  # the last click takes the third back
    }
    done = subprocess.run(
        ["node", "-e", BROWSER],
        input=json.dumps(task),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["clicks"][2:] == ["3 of 3 decided, not saved yet", "2 of 3 decided, not saved yet"]
    assert told["status"] == "2 of 3 decided"
    assert told["warned"]
    rows = list(csv.DictReader(io.StringIO(told["saved"])))
    assert {row["path"]: row["decision"] for row in rows} == {
        HOSTILE_FILE: "glass",
        "b.png": "drop",
        "c.png": "",
        "d.png": "drop",
    }
    file = photos / "corrections.csv"
    file.write_text(told["saved"], encoding="utf-8", newline="")
    assert {one.path for one in read_label_issues(file)} == {issue.path for issue in ISSUES}
