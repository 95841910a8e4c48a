"""The page in Chromium: it answers as Python does, offline too, and says what is wrong."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from web_site import answering

from binsight import Classifier

pytestmark = pytest.mark.browser
EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.jpg"))
LOADED_MS = 120_000


@pytest.fixture(scope="module")
def visit(browser, address):
    """One visitor for all tests that leave the page as it was: loading it takes longest."""
    context = browser.new_context(permissions=["camera"])
    page = context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else 0)
    open_page(page, address)
    yield page, complaints
    context.close()


@pytest.fixture
def page(visit):
    """The page; whatever it complains of in the console fails the test."""
    page, complaints = visit
    yield page
    assert complaints == []


def open_page(page, address) -> None:
    page.goto(address)
    page.wait_for_selector("#load", state="hidden", timeout=LOADED_MS)
    assert page.is_hidden("#status"), page.inner_text("#status")


def upload(page, file) -> None:
    page.set_input_files("#file", file)
    page.wait_for_selector("main[aria-busy=false]", timeout=LOADED_MS)


def probs_of(page) -> dict[str, float]:
    return page.eval_on_selector_all(
        "meter", "meters => Object.fromEntries(meters.map(one => [one.title, one.value]))"
    )


@pytest.mark.parametrize("photo", EXAMPLES, ids=lambda path: path.stem)
def test_it_answers_as_python_does(page, classifier: Classifier, photo: Path) -> None:
    upload(page, photo)
    expected = classifier.classify(photo)
    assert page.inner_text("#caption") == photo.name
    assert probs_of(page) == pytest.approx(expected.probs, abs=1e-3)
    shown = page.inner_text("#label").lower()
    assert shown == (expected.label if expected.sure else "not sure")
    assert expected.label in page.inner_text(".answer").lower()
    assert page.is_visible("#why") is not expected.sure


def as_bytes(image: Image.Image, kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def turned(image: Image.Image) -> bytes:
    """Stored lying on its side, with a note that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return as_bytes(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)


def half_clear(image: Image.Image) -> bytes:
    copy = image.convert("RGBA")
    copy.putalpha(Image.linear_gradient("L").resize(image.size))
    return as_bytes(copy, "PNG")


@pytest.mark.parametrize(
    ("name", "encode"),
    [
        ("turned.jpg", turned),
        ("clear.png", half_clear),
        ("grey.png", lambda image: as_bytes(image.convert("L"), "PNG")),
        ("lossless.webp", lambda image: as_bytes(image, "WEBP", lossless=True)),
        ("tall.png", lambda image: as_bytes(image.resize((200, 900)), "PNG")),
        ("tiny.png", lambda image: as_bytes(image.resize((9, 7)), "PNG")),
    ],
)
def test_other_kinds_of_photos(page, classifier: Classifier, name: str, encode) -> None:
    with Image.open(EXAMPLES[0]) as image:
        data = encode(image.convert("RGB"))
    upload(page, {"name": name, "mimeType": "image/*", "buffer": data})
    assert probs_of(page) == pytest.approx(classifier.classify(data).probs, abs=0.01)


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "empty"), (b"\xff\xd8\xff" + b"x" * 99, "not a photo"), (b"<svg></svg>", "not a photo")],
)
def test_a_broken_file_gives_a_line_and_the_next_photo_an_answer(page, data, says) -> None:
    upload(page, {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": data})
    assert says in page.inner_text("#status")
    assert page.is_hidden("#result")
    upload(page, EXAMPLES[0])
    assert page.is_hidden("#status")
    assert page.is_visible("#result")


def test_a_cut_photo_never_ends_the_page(page) -> None:
    data = EXAMPLES[0].read_bytes()
    upload(page, {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": data[:200]})
    assert "broken" in page.inner_text("#status")


def test_the_camera(page) -> None:
    page.click("#open-camera")
    page.wait_for_function("() => document.querySelector('video').videoWidth > 0")
    page.click("#shutter")
    page.wait_for_selector("#result", timeout=LOADED_MS)
    assert page.inner_text("#caption") == "From the camera"
    assert sum(probs_of(page).values()) == pytest.approx(1, abs=1e-3)
    assert page.evaluate("document.querySelector('video').srcObject") is None
    assert page.is_hidden("#viewfinder")


def test_without_a_camera_it_says_what_to_do(browser, address) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(
        "navigator.mediaDevices.getUserMedia = () => "
        "Promise.reject(new DOMException('', 'NotAllowedError'))"
    )
    open_page(page, address)
    page.click("#open-camera")
    page.wait_for_selector("#status")
    assert "choose a photo" in page.inner_text("#status")
    context.close()


def test_the_heat_map(page) -> None:
    upload(page, EXAMPLES[0])
    plain = page.evaluate("document.querySelector('#photo').toDataURL()")
    page.check("#heat")
    assert page.evaluate("document.querySelector('#photo').toDataURL()") != plain
    assert re.fullmatch(r"It looked most at: [a-z ]+\.", page.inner_text("#place"))
    page.uncheck("#heat")
    assert page.evaluate("document.querySelector('#photo').toDataURL()") == plain


def test_bins_are_offered_and_remembered(page) -> None:
    upload(page, EXAMPLES[0])  # cardboard
    assert page.is_hidden("#bin")
    page.select_option("#bins", "berlin")
    assert page.inner_text("#bin-name") == "Papiertonne"
    page.reload()
    page.wait_for_selector("#load", state="hidden", timeout=LOADED_MS)
    assert page.input_value("#bins") == "berlin"


def test_it_works_offline_after_the_first_load(browser, site: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    with answering(site) as server:
        address = f"http://localhost:{server.server_port}/"
        open_page(page, address)
        page.wait_for_selector("#offline", timeout=LOADED_MS)
    open_page(page, address)
    upload(page, EXAMPLES[0])
    assert page.inner_text("#label").lower() == "cardboard"
    context.close()


def test_each_page_of_a_site_is_there_offline_and_two_sites_leave_each_other_alone(
    browser, site: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        shutil.copytree(site, tmp_path / name)
    context = browser.new_context()
    page = context.new_page()
    with answering(tmp_path) as server:
        address = f"http://localhost:{server.server_port}"
        for name in ("a", "b"):
            open_page(page, f"{address}/{name}/")
            page.wait_for_selector("#offline", timeout=LOADED_MS)
    for name in ("a", "b"):
        open_page(page, f"{address}/{name}/")
        page.goto(f"{address}/{name}/licences.txt")
        assert "ONNX Runtime" in page.inner_text("body")
        open_page(page, f"{address}/{name}/no-such-page")
    context.close()


def test_bins_are_offered_where_nothing_may_be_remembered(browser, address) -> None:
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', "
        "{get() { throw new DOMException('', 'SecurityError'); }})"
    )
    open_page(page, address)
    upload(page, EXAMPLES[0])
    page.select_option("#bins", "berlin")
    assert page.inner_text("#bin-name") == "Papiertonne"
    context.close()


def test_a_camera_that_was_asked_for_twice_is_off_afterwards(browser, address) -> None:
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    page.add_init_script(
        """
        const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        window.streams = [];
        navigator.mediaDevices.getUserMedia = async (wanted) => {
          await new Promise((done) => setTimeout(done, 500));
          window.streams.push(await real(wanted));
          return window.streams.at(-1);
        };
        """
    )
    open_page(page, address)
    page.evaluate("() => [1, 2].map(() => document.querySelector('#open-camera').click())")
    page.wait_for_selector("#viewfinder[open]")
    page.wait_for_timeout(1000)
    page.click("#close-camera")
    asked = "window.streams.flatMap((s) => s.getTracks().map((t) => t.readyState))"
    for _ in range(50):  # the dialog tells of its end in a task of its own
        states = page.evaluate(asked)
        if set(states) == {"ended"}:
            break
        page.wait_for_timeout(100)
    assert set(states) == {"ended"}
    context.close()


def test_nothing_but_the_site_is_asked_for(browser, address) -> None:
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append((request.method, request.url)))
    open_page(page, address)
    before = len(asked)
    upload(page, EXAMPLES[0])
    page.check("#heat")
    assert asked[before:] == []
    assert {method for method, _ in asked} == {"GET"}
    assert all(url.startswith(address) for _, url in asked)
    context.close()


def test_the_policy_keeps_the_page_from_reaching_another_origin(browser, address) -> None:
    context = browser.new_context()
    page = context.new_page()
    open_page(page, address)
    reached = page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'reached', String)")
    assert "Failed to fetch" in reached
    policy = page.get_attribute("meta[http-equiv=Content-Security-Policy]", "content")
    assert "connect-src 'self'" in policy
    context.close()


def test_an_altered_bundle_is_refused(browser, address, site: Path) -> None:
    (bundle,) = site.glob("*.onnx")
    altered = bytearray(bundle.read_bytes())
    altered[len(altered) // 2] ^= 1
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    page.route(f"**/{bundle.name}", lambda route: route.fulfill(body=bytes(altered)))
    page.goto(address)
    page.wait_for_selector("#status", timeout=LOADED_MS)
    assert "altered or damaged" in page.inner_text("#status")
    assert page.is_disabled("#file")
    context.close()


def test_it_can_be_installed(browser, address) -> None:
    context = browser.new_context()
    page = context.new_page()
    open_page(page, address)
    page.wait_for_selector("#offline", timeout=LOADED_MS)
    protocol = context.new_cdp_session(page)
    manifest = protocol.send("Page.getAppManifest")
    assert manifest["errors"] == []
    described = json.loads(manifest["data"])
    assert {"name", "short_name", "start_url", "display", "icons"} <= described.keys()
    errors = protocol.send("Page.getInstallabilityErrors")["installabilityErrors"]
    # A test's visitor is always a private one, who could install nothing.
    assert {one["errorId"] for one in errors} <= {"in-incognito"}
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_to_complain_of(browser, address, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    open_page(page, address)
    page.select_option("#bins", "paris")
    for photo in (EXAMPLES[0], EXAMPLES[-1]):  # sure, and not sure
        upload(page, photo)
        page.check("#heat")
        found = axe.run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
    context.close()
