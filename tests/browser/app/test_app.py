"""The app as a person meets it: in a browser, with a file or a camera."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served_app import PATIENCE, serving

pytestmark = pytest.mark.browser

EXAMPLES = Path(__file__).parents[3] / "examples"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
Visit = Callable[..., Any]


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """Open an address in a window of its own, and wait until the app has answered."""
    opened = []

    def open_page(address: str, *, size: dict[str, int] = DESK, scheme: str = "light") -> Any:
        context = browser.new_context(
            viewport=size, color_scheme=scheme, permissions=["camera"], accept_downloads=True
        )
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.get_by_text("I know").wait_for()
        return page

    yield open_page
    for context in opened:
        context.close()


def upload(page: Any, *files: Any) -> None:
    page.locator("input[type=file]").set_input_files(list(files))


def answer(page: Any) -> str:
    heading = page.locator(".bs-card h2")
    heading.wait_for()
    return str(heading.text_content())  # as it is, not as the style sheet writes it


def choose(page: Any, label: str, option: str) -> None:
    """Choose from a list; it closes again where the page still moves below the click."""
    wanted = page.get_by_role("option").filter(has_text=option)
    for _ in range(20):
        page.get_by_role("combobox", name=label).click()
        page.wait_for_timeout(1000)
        if wanted.is_visible():
            break
    wanted.click()


def test_an_uploaded_photo_is_answered(visit: Visit, address: str) -> None:
    page = visit(address)
    upload(page, EXAMPLES / "metal.jpg")
    assert answer(page) == "metal"
    assert page.locator(".bs-bin h3").inner_text() == "Wertstofftonne"
    assert page.locator(".bs-bars li").count() == 6


def test_where_it_looked_is_drawn(visit: Visit, address: str) -> None:
    page = visit(address)
    upload(page, EXAMPLES / "metal.jpg")
    answer(page)
    page.get_by_text("Show where it looked").click()
    page.get_by_text("Yellow speaks most for metal").wait_for()


def test_a_photo_from_the_camera_is_answered(visit: Visit, address: str) -> None:
    page = visit(address, size=PHONE)
    page.get_by_text("Camera", exact=True).click()
    playing = "[...document.querySelectorAll('video')].some(one => one.currentTime > 0.5)"
    page.wait_for_function(playing)  # a photo of a camera that is still waking up is none
    page.get_by_role("button", name="Take Photo").click()
    assert answer(page)


def test_a_broken_file_gets_a_line_and_the_page_goes_on(visit: Visit, address: str) -> None:
    page = visit(address)
    upload(page, {"name": "text.jpg", "mimeType": "image/jpeg", "buffer": b"I am no photo"})
    page.get_by_text("not a photo that can be read").wait_for()
    upload(page, EXAMPLES / "metal.jpg")
    assert answer(page) == "metal"


def test_many_photos_give_counts_and_a_file(visit: Visit, address: str) -> None:
    page = visit(address)
    upload(page, *sorted(EXAMPLES.glob("*.jpg")))
    page.get_by_role("heading", name="6 photos").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("photo,label,confidence,sure,why,p cardboard")
    assert len(lines) == 7


def test_a_correction_is_taught_and_answers(visit: Visit, tmp_path: Path) -> None:
    with serving(tmp_path) as address:
        page = visit(address)
        upload(page, EXAMPLES / "glass.jpg")
        answer(page)
        page.get_by_text(re.compile("That's wrong|I know what it is")).click()
        choose(page, "What is it really?", "glass")
        page.get_by_role("button", name="Keep this").click()
        page.get_by_text("Kept. Thank you!").wait_for()
        assert len(list((tmp_path / "corrections" / "glass").iterdir())) == 1
        page.get_by_role("button", name="Teach from corrections").click()
        page.get_by_text("The taught model answers now").wait_for()
        assert (tmp_path / "taught.onnx").is_file()
        assert answer(page)


def test_the_model_card_is_a_page(visit: Visit, address: str) -> None:
    page = visit(address)
    page.get_by_role("link", name="The model").click()
    page.get_by_role("heading", name="Built-in model").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_everybody_can_use_it(
    visit: Visit, address: str, size: dict[str, int], scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = visit(address, size=size, scheme=scheme)
    upload(page, EXAMPLES / "metal.jpg")
    answer(page)
    page.wait_for_timeout(1000)  # until nothing fades in any more, which dims its colours
    ours = [one for one in Axe().run(page).response["violations"] if one["impact"] != "minor"]
    assert not ours, [(one["id"], [node["html"] for node in one["nodes"]]) for one in ours]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
