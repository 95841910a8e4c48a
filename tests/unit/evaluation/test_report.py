from __future__ import annotations

import base64
import csv
import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from binsight.errors import UsageError
from binsight.evaluation import report
from binsight.evaluation.corruptions import FAMILIES
from binsight.evaluation.domains import Domain, measure_domains
from binsight.evaluation.report import Worse, write_report
from binsight.evaluation.robustness import Corrupted, measure_robustness
from binsight.evaluation.scored import Scored, Strange

FILES = {
    "classification_report.txt",
    "confusion_matrix.png",
    "mistakes.png",
    "metrics.json",
    "per_class.png",
    "predictions.csv",
    "reliability.png",
    "report.html",
}
HOSTILE_CLASS = "<script>alert(1)</script>"
HOSTILE_FILE = 'a/x/"><img src=http://example.org/p.png>.jpg'
FACTS = {"Model": "best.onnx", "Split part": "test", "Note": "<b>& more</b>"}


class Page(HTMLParser):
    """Collects tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.style = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "style" and not self.style:
            self.style = data
        self.words.append(" ".join(data.split()))

    def values(self, *names):
        return [value for _, name, value in self.attributes if name in names]


@pytest.fixture(scope="module")
def scored():
    probs = [[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]
    paths = ("a/glass/1.jpg", "a/metal/2.jpg", HOSTILE_FILE, "b/glass/4.jpg")
    classes = ("glass", "metal", HOSTILE_CLASS)
    return Scored(paths, np.array([0, 1, 1, 0]), np.array(probs, np.float32), classes)


def write(folder, scored, threshold=0.65):
    return write_domains(folder, [Domain("here", folder, scored)], threshold)


def write_domains(folder, domains, threshold=0.65, worse=None):
    return write_report(
        folder,
        domains,
        measure_domains(domains, threshold=threshold, resamples=50, seed=3),
        title="How good & how sure",
        facts=FACTS,
        worse=worse,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory, scored):
    return write(tmp_path_factory.mktemp("report") / "deep" / "report", scored)


@pytest.fixture(scope="module")
def page(written):
    return Page(written.read_text("utf-8"))


def test_all_files_are_there_and_nothing_else(written):
    assert {path.name for path in written.parent.iterdir()} == FILES
    assert written.name == "report.html"


def test_page_fetches_nothing_and_runs_nothing(page):
    sources = page.values("src", "href", "srcset", "action", "data", "poster", "background")
    assert len(sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert page.style
    assert "url(" not in page.style
    assert "@import" not in page.style


def test_images_on_the_page_are_the_figures_in_the_folder(written, page):
    embedded = {base64.b64decode(value.split(",")[1]) for value in page.values("src")}
    assert embedded == {path.read_bytes() for path in written.parent.glob("*.png")}
    for data in embedded:
        with Image.open(io.BytesIO(data)) as image:
            image.verify()
    assert all(page.values("alt"))


def test_page_is_made_for_phones_and_for_the_dark(page):
    assert "width=device-width, initial-scale=1" in page.values("content")
    assert "prefers-color-scheme: dark" in page.style


def test_hostile_names_are_text(page):
    assert HOSTILE_CLASS in page.words
    assert HOSTILE_FILE in page.words
    assert FACTS["Note"] in page.words
    assert "b" not in page.tags


def test_page_tells_the_numbers(page):
    text = " ".join(" ".join(page.words).split())
    assert "How good & how sure" in text
    assert "Measured on 4 labelled photos." in text
    assert "Accuracy 50.0 %" in text
    assert "Right when sure 66.7 % answers 75.0 % of the photos" in text
    assert "Where the photos come from" in text
    assert "50 resamples, seed 3" in text
    for name, value in FACTS.items():
        assert f"{name} {value}" in text


def test_the_page_says_that_copies_were_drawn_together(tmp_path, scored, page):
    assert "bootstrap over photos" in " ".join(page.words)
    write(tmp_path, replace(scored, group_n=np.array([0, 0, 1, 2])))
    copied = (tmp_path / "report.html").read_text("utf-8")
    assert "bootstrap over 3 pictures, each with its copies" in copied


def test_metrics_are_written_with_facts_and_sources(written, scored):
    content = json.loads((written.parent / "metrics.json").read_text("utf-8"))
    assert content["facts"] == FACTS
    assert content["accuracy"]["value"] == 0.5
    assert content["confusion"] == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert content["selective"]["coverage"] == 0.75
    assert {name: part["photos"] for name, part in content["by_source"].items()} == {"a": 3, "b": 1}
    assert content["by_source"]["a"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert content["by_source"]["b"]["selective"]["accuracy"] == 0.0


def test_predictions_and_text_report_are_written(written, scored):
    with (written.parent / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(row["path"] for row in rows) == scored.paths
    text = (written.parent / "classification_report.txt").read_text("utf-8")
    assert all(name in text for name in ("precision", "glass", "metal"))
    assert HOSTILE_CLASS not in text, "no photo shows it"
    assert text.startswith("accuracy 0.5000 of 4 photos\n")


def test_a_class_without_photos_has_no_scores(page):
    cells = [one for one in page.words if one]
    rows = [cells[place : place + 5] for place, one in enumerate(cells) if one == HOSTILE_CLASS]
    assert [HOSTILE_CLASS, *"\N{EN DASH}" * 3, "0"] in rows


def test_what_an_earlier_report_wrote_does_not_stay(tmp_path, scored, elsewhere):
    home = Domain("home", tmp_path, scored)
    out = tmp_path / "out"
    write_domains(out, [home, elsewhere])
    (out / "notes.txt").write_text("mine")
    assert (out / "domains.png").is_file()
    write_domains(out, [home])
    assert {path.name for path in out.iterdir()} == FILES | {"notes.txt"}


def test_class_folders_that_a_map_names_are_no_sources(tmp_path, scored):
    paths = ("tins/x/1.jpg", "tins/x/2.jpg", "jars/x/3.jpg", "jars/x/4.jpg")
    named = Domain("here", tmp_path, replace(scored, paths=paths), labels=("tins", "jars"))
    write_domains(tmp_path, [named])
    assert not json.loads((tmp_path / "metrics.json").read_text())["by_source"]


def test_single_source_and_no_threshold_are_left_out(tmp_path, scored):
    simple = scored.subset(np.array([True, True, True, False]))
    page = Page(write(tmp_path, simple, threshold=None).read_text("utf-8"))
    assert "Where the photos come from" not in page.words
    assert "Right when sure" not in page.words
    assert "Classes" in page.words


def test_faultless_model_and_a_single_photo_make_a_report(tmp_path, scored):
    first = scored.subset(np.array([True, False, False, False]))
    page = Page(write(tmp_path, first, threshold=1.0).read_text("utf-8"))
    assert "Measured on 1 labelled photo." in page.words
    assert "Files of the most confident mistakes" not in page.words
    assert "\N{EN DASH}" in page.words  # nothing is accepted, so nothing can be right


def test_failure_leaves_the_earlier_report(tmp_path, scored, monkeypatch):
    write(tmp_path, scored)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*arguments, **options):
        raise OSError("disk full")

    monkeypatch.setattr(report, "_render", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path, scored.subset(np.array([True, True, False, False])))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_report_is_replaced_and_threshold_is_checked(tmp_path, scored):
    write(tmp_path, scored)
    page = write(tmp_path, scored.subset(np.array([True, True, False, False])))
    assert "Measured on 2 labelled photos." in Page(page.read_text("utf-8")).words
    assert {path.name for path in tmp_path.iterdir()} == FILES
    with pytest.raises(UsageError, match="threshold"):
        write(tmp_path, scored, threshold=-0.1)


@pytest.fixture
def elsewhere(scored, tmp_path):
    """The same answers as another domain, and two photos of no class; one is sure."""
    probs = np.array([[0.9, 0.1, 0.0], [0.4, 0.3, 0.3]], np.float32)
    strange = Strange(("x/1.jpg", HOSTILE_FILE), probs, scored.classes, np.array([True, False]))
    sure_n = np.array([True, True, False, False])
    novelty_n = np.array([0.5, 0.25, 0.125, 0.0], np.float32)
    known = Scored(
        scored.paths, scored.labels_n, scored.probs_nc, scored.classes, sure_n, novelty_n
    )
    strange = Strange(
        strange.paths, probs, scored.classes, strange.sure_n, np.array([1.0, 0.25], np.float32)
    )
    return Domain("a/b <kitchen>", tmp_path, known, strange, skipped=7)


def test_domains_stand_side_by_side(tmp_path, scored, elsewhere):
    home = Domain("home", tmp_path, scored)
    page = Page(write_domains(tmp_path / "out", [home, elsewhere]).read_text("utf-8"))
    text = " ".join(" ".join(page.words).split())
    assert "Measured on 10 labelled photos of 2 domains." in text
    for row in (
        "Photos of known classes 4 4",
        "Photos of none of the classes \N{EN DASH} 2",
        "accepted (sure) \N{EN DASH} 50.0 %",
        "Answered (sure) \N{EN DASH} 50.0 %",
        "Left out 0 7",
        "ranked by the model's novelty and told from the known photos of a/b <kitchen>",
        "below a confidence of 65.0 % or when a photo is strange to it it says",
    ):
        assert row in text
    assert "kitchen" not in page.tags
    assert (tmp_path / "out" / "2-a-b-kitchen-accepted.png").is_file()
    assert "a/b <kitchen>: photos of none of the classes that the model was sure of" in text
    sources = page.values("src")
    assert len(sources) == 2 * 4 + 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_numbers_of_every_domain_are_written(tmp_path, scored, elsewhere):
    write_domains(tmp_path / "out", [Domain("home", tmp_path, scored), elsewhere])
    told = json.loads((tmp_path / "out" / "metrics.json").read_text("utf-8"))
    assert told["accuracy"]["value"] == 0.5  # the first domain's, as if it were alone
    assert list(told["domains"]) == ["home", "a/b <kitchen>"]
    other = told["domains"]["a/b <kitchen>"]
    assert other["known"]["selective"]["coverage"] == 0.5
    assert other["strange"]["accepted"]["value"] == 0.5
    assert other["strange"]["taken_for"] == {"glass": 1.0}
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= FILES
    mine = "2-a-b-kitchen-"
    assert {name.removeprefix(mine) for name in names if name.startswith(mine)} == (
        FILES | {"accepted.png"}
    ) - {"metrics.json", "report.html"}
    with (tmp_path / "out" / f"{mine}predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [*["glass", "metal", "metal", "glass"], "", ""]
    assert [row["sure"] for row in rows] == ["1", "1", "0", "0", "1", "0"]
    assert [float(row["novelty"]) for row in rows] == [0.5, 0.25, 0.125, 0.0, 1.0, 0.25]


def test_photos_of_no_class_alone_make_a_report(tmp_path, scored, elsewhere):
    nothing = elsewhere.known.subset(np.zeros(4, np.bool_))
    alone = Domain("alone", tmp_path, nothing, elsewhere.strange)
    page = Page(write_domains(tmp_path / "out", [alone]).read_text("utf-8"))
    assert "Domains side by side" in page.words
    assert "Classes" not in page.words
    told = json.loads((tmp_path / "out" / "metrics.json").read_text("utf-8"))
    assert told["domains"]["alone"]["strange"]["auroc"] is None
    assert "accuracy" not in told


def test_corruptions_are_part_of_the_report(tmp_path, scored):
    names = tuple(family.name for family in FAMILIES)
    correct_nfs = np.zeros((4, len(FAMILIES), 2), np.bool_)
    correct_nfs[:2, :, 0] = True
    clean_n = np.array([True, True, True, False])
    shown = Corrupted((tmp_path,) * 4, 9, names, (1, 5), clean_n, correct_nfs, clean_n, correct_nfs)
    measured = measure_robustness(shown, resamples=50)
    photo = Image.new("RGB", (40, 30), (90, 120, 30))
    worse = Worse("home", measured, photo, 0, FAMILIES)
    out = tmp_path / "out"
    page = Page(write_domains(out, [Domain("home", tmp_path, scored)], worse=worse).read_text())
    text = " ".join(" ".join(page.words).split())
    assert "4 photos (of 9: it was interrupted) of home" in text
    assert "Retained 33.3 %" in text
    assert "jpeg 50.0 % sure 50.0 % 0.0 % sure 0.0 % 25.0 %" in text
    told = json.loads((out / "corruptions.json").read_text("utf-8"))
    assert told["accuracy"]["jpeg"] == {"1": 0.5, "5": 0.0}
    assert {path.name for path in out.iterdir()} - FILES == {
        "corruptions.json",
        "corruptions.png",
        "corruptions_shown.png",
    }
