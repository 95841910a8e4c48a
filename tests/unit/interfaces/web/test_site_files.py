"""The site is written whole or not at all, and nothing else is lost."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_bundle import CLASSES, WEIGHT, SmallBundle, write_small_bundle

from binsight import Classifier, load_bins
from binsight.errors import BinsError, UsageError
from binsight.interfaces.web import wasm
from binsight.interfaces.web.site_files import write_site

ROOT = Path(__file__).parents[4]
WEB = ROOT / "web"
PAGE = {"index.html", "page.css", "page.js", "worker.js", "sw.js", "manifest.webmanifest"}
OWN_BINS = '[[bins]]\nname = "B"\ncolour = "#123456"\ntakes = ["glass", "metal", "paper"]\n'


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    path = tmp_path / "any.wasm"
    path.write_bytes(b"\0asm")
    return path


@pytest.fixture
def classifier(small_bundle: SmallBundle) -> Classifier:
    return Classifier(small_bundle.path)


def write(out: Path, classifier: Classifier, runtime: Path, bins: str | None = None) -> set[str]:
    return {path.name for path in write_site(out, classifier, bins=bins, wasm=runtime)}


def listed(site: Path) -> list[str]:
    """What the service worker keeps."""
    found = re.search(r"`(\./ [^`]+)`", (site / "sw.js").read_text(encoding="utf-8"))
    assert found
    return found[1].split(" ")


def test_the_site_is_whole(tmp_path: Path, classifier: Classifier, runtime: Path) -> None:
    out = tmp_path / "deep" / "site"
    files = write(out, classifier, runtime)
    bundle = f"small-{classifier.digest[:12]}.onnx"
    assert files >= {*PAGE, bundle, "model.json", "bins.json", wasm.FILE_NAME}
    assert (out / bundle).read_bytes() == classifier.path.read_bytes()
    assert (out / wasm.FILE_NAME).read_bytes() == b"\0asm"
    assert set(listed(out)) == {"./", *files - {"sw.js"}}
    assert not list(out.parent.glob(".site*"))


def test_whatever_the_page_names_is_there(
    tmp_path: Path, classifier: Classifier, runtime: Path
) -> None:
    files = write(tmp_path / "site", classifier, runtime)
    manifest = json.loads((tmp_path / "site" / "manifest.webmanifest").read_text(encoding="utf-8"))
    html = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    named = {icon["src"] for icon in manifest["icons"]}
    named |= {name.removeprefix("./") for name in re.findall(r'(?:src|href)="([^"]+)"', html)}
    assert len(named) > 5
    assert named <= files


def test_the_description(tmp_path: Path, classifier: Classifier, runtime: Path) -> None:
    write(tmp_path / "site", classifier, runtime)
    model = json.loads((tmp_path / "site" / "model.json").read_text(encoding="utf-8"))
    assert model["metadata"] == classifier.metadata.model_dump(mode="json")
    assert (model["digest"], model["runtime"]) == (classifier.digest, wasm.FILE_NAME)
    assert (tmp_path / "site" / model["file"]).stat().st_size == model["bytes"]
    np.testing.assert_allclose(model["heat"]["weights"], WEIGHT.T, rtol=1e-5)
    assert (model["heat"]["first"], model["heat"]["step"]) == (0.5, 1.0)  # its map is the photo


def test_bins_that_fit_are_offered(tmp_path: Path, classifier: Classifier, runtime: Path) -> None:
    write(tmp_path / "site", classifier, runtime)
    offered = json.loads((tmp_path / "site" / "bins.json").read_text(encoding="utf-8"))
    assert offered == {
        name: load_bins(name).model_dump(mode="json") for name in ("berlin", "new-york", "paris")
    }


def test_own_bins_alone(tmp_path: Path, classifier: Classifier, runtime: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(OWN_BINS, encoding="utf-8")
    write(tmp_path / "site", classifier, runtime, str(mine))
    offered = json.loads((tmp_path / "site" / "bins.json").read_text(encoding="utf-8"))
    assert list(offered) == ["mine"]
    assert offered["mine"]["bins"][0]["takes"] == list(CLASSES)


def test_schemes_that_do_not_fit_are_left_out(tmp_path: Path, runtime: Path) -> None:
    bundle = write_small_bundle(tmp_path / "a.onnx", classes=["glass", "metal", "snow"])
    write(tmp_path / "site", Classifier(bundle.path), runtime)
    assert (tmp_path / "site" / "bins.json").read_text(encoding="utf-8") == "{}"


def test_bins_without_a_class_write_nothing(tmp_path: Path, runtime: Path) -> None:
    bundle = write_small_bundle(tmp_path / "a.onnx", classes=["glass", "metal", "snow"])
    with pytest.raises(BinsError, match=r"^berlin: no bin takes snow"):
        write(tmp_path / "site", Classifier(bundle.path), runtime, "berlin")
    assert not (tmp_path / "site").exists()


def test_an_earlier_site_is_replaced(tmp_path: Path, classifier: Classifier, runtime: Path) -> None:
    out = tmp_path / "site"
    write(out, classifier, runtime)
    before = (out / "sw.js").read_text(encoding="utf-8")
    other = write_small_bundle(tmp_path / "other.onnx", licence="MIT")
    files = write(out, Classifier(other.path), runtime)
    assert len([name for name in files if name.endswith(".onnx")]) == 1
    assert (out / "sw.js").read_text(encoding="utf-8") != before


def test_the_same_site_twice_is_no_new_version(
    tmp_path: Path, classifier: Classifier, runtime: Path
) -> None:
    texts = set()
    for name in ("a", "b"):
        write(tmp_path / name, classifier, runtime)
        texts.add((tmp_path / name / "sw.js").read_text(encoding="utf-8"))
    assert len(texts) == 1


def test_other_files_are_not_touched(tmp_path: Path, classifier: Classifier, runtime: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "model.json").write_text("mine", encoding="utf-8")
    for out, says in [("full", "full: holds model.json"), ("any.wasm", "is a file")]:
        with pytest.raises(UsageError, match=says):
            write(tmp_path / out, classifier, runtime)
    assert (tmp_path / "full" / "model.json").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", [".git/config", "CNAME", "thesis/a.txt"])
def test_what_somebody_put_into_a_site_is_not_deleted(
    tmp_path: Path, classifier: Classifier, runtime: Path, name: str
) -> None:
    write(tmp_path / "site", classifier, runtime)
    mine = tmp_path / "site" / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine", encoding="utf-8")
    top = re.escape(name.partition("/")[0])
    with pytest.raises(UsageError, match=f"site: holds {top}, which is no part"):
        write(tmp_path / "site", classifier, runtime)
    assert mine.read_text(encoding="utf-8") == "mine"


def test_a_name_that_no_address_can_have(
    tmp_path: Path, small_bundle: SmallBundle, runtime: Path
) -> None:
    odd = tmp_path / "my `new` ${model} ü.onnx"
    shutil.copy(small_bundle.path, odd)
    files = write(tmp_path / "site", Classifier(odd), runtime)
    (bundle,) = (name for name in files if name.endswith(".onnx"))
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.onnx", bundle)
    assert bundle in listed(tmp_path / "site")


def test_the_page_is_built_from_its_sources() -> None:
    """If this fails: npm run build, in web/."""
    if not WEB.is_dir():
        pytest.skip("the sources of the page are in the repository only")
    tops = ["index.html", "package-lock.json", "package.json", "vite.config.ts"]
    below = [path for name in ("public", "src") for path in (WEB / name).iterdir()]
    paths = sorted([*tops, *(path.relative_to(WEB).as_posix() for path in below)])
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path}\n".encode() + (WEB / path).read_bytes())
    built = ROOT / "src/binsight/interfaces/web/site/built-from.txt"
    assert built.read_text(encoding="utf-8").strip() == digest.hexdigest()


def test_the_runtime_is_the_one_that_the_page_was_built_with() -> None:
    if not WEB.is_dir():
        pytest.skip("the sources of the page are in the repository only")
    lock = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))
    package = lock["packages"]["node_modules/onnxruntime-web"]
    assert package["version"] == wasm.VERSION


def test_the_lock_names_no_host() -> None:
    if not WEB.is_dir():
        pytest.skip("the sources of the page are in the repository only")
    lock = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))
    assert not [name for name, one in lock["packages"].items() if "resolved" in one]
