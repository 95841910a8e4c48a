"""The pages, run by Streamlit's own test runner without a browser."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_bundle import SmallBundle, squares, write_taught_bundle
from streamlit.testing.v1 import AppTest

from binsight import Classifier
from binsight.interfaces.app import script
from binsight.interfaces.app.examples import example, example_names
from binsight.interfaces.app.settings import Settings

SLOW = 300  # seconds; nothing here takes that long, but a busy machine may
HOSTILE = "<img src=x onerror=alert(1)>**.png"
OWN_BINS = """
[[bins]]
name = "Bottle <b>bank</b>"
colour = "#123456"
advice = "Rinse it."
takes = ["glass", "metal"]
[[bins]]
name = "Paper bin"
colour = "#abcdef"
takes = ["paper"]
"""
Open = Callable[..., AppTest]


def png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def opened(small_bundle: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open the app with a small model, as `serve` does."""

    def open_app(model: Path = small_bundle.path, bins: str | None = None) -> AppTest:
        settings = Settings(model=str(model), bins=bins, corrections=str(tmp_path / "corrections"))
        monkeypatch.setattr(sys, "argv", ["script.py", settings.to_argument()])
        page = AppTest.from_file(str(script.__file__), default_timeout=SLOW).run()
        assert not page.exception
        return page

    return open_app


def uploaded(page: AppTest, files: Sequence[tuple[str, bytes]]) -> AppTest:
    given = [(name, data, "image/png") for name, data in files]
    page.file_uploader(key="upload").set_value(given)
    page.run()
    assert not page.exception
    return page


def html(page: AppTest) -> str:
    return "\n".join(one.proto.body for one in page.get("html"))


def sure_and_unsure(bundle: SmallBundle) -> tuple[bytes, bytes]:
    """Two photos: one that the model is sure of, one that it is not."""
    data = [png(one) for one in squares(40)]
    answers = Classifier(bundle.path).classify(data)
    sure = next(one for one, answer in zip(data, answers, strict=True) if answer.sure)
    return sure, next(one for one, answer in zip(data, answers, strict=True) if not answer.sure)


def test_it_opens_with_a_word_of_welcome(opened: Open) -> None:
    page = opened()
    assert page.title[0].value == "What is it made of?"
    assert "I know glass, metal, paper" in page.caption[0].value


def test_a_photo_gets_its_material(opened: Open, small_bundle: SmallBundle) -> None:
    sure, _ = sure_and_unsure(small_bundle)
    shown = html(uploaded(opened(), [("a.png", sure)]))
    label = Classifier(small_bundle.path).classify(sure).label
    assert f"<h2>{label}</h2>" in shown
    assert "not sure" not in shown


def test_not_sure_is_an_answer_that_says_why_and_what_to_do(
    opened: Open, small_bundle: SmallBundle
) -> None:
    _, unsure = sure_and_unsure(small_bundle)
    shown = html(uploaded(opened(), [("a.png", unsure)]))
    assert "<h2>not sure</h2>" in shown
    assert "It may be" in shown
    assert "Take another photo" in shown


def test_every_class_has_a_bar(opened: Open) -> None:
    shown = html(uploaded(opened(), [("a.png", png(squares(1)[0]))]))
    assert all(f'<span class="bs-name">{name}</span>' in shown for name in ("glass", "metal"))


def test_bins_of_ones_own_are_shown_as_text(
    opened: Open, small_bundle: SmallBundle, tmp_path: Path
) -> None:
    (tmp_path / "house.toml").write_text(OWN_BINS, encoding="utf-8")
    page = opened(bins=str(tmp_path / "house.toml"))
    assert page.selectbox(key="bins").value == "House"
    shown = html(uploaded(page, [("a.png", png(Image.new("RGB", (32, 32), "red")))]))
    assert "Bottle &lt;b&gt;bank&lt;/b&gt;" in shown
    assert "Rinse it." in shown


def test_bins_that_do_not_take_a_class_are_said_to(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "few.toml").write_text(
        '[[bins]]\nname = "a"\ncolour = "#fff"\ntakes = ["glass"]\n', encoding="utf-8"
    )
    page = opened(bins=str(tmp_path / "few.toml"))
    assert "no bin takes metal, paper" in page.warning[0].value


def test_a_photo_from_the_camera_is_answered(opened: Open) -> None:
    page = opened()
    page.segmented_control(key="from").set_value(":material/photo_camera: Camera").run()
    data = io.BytesIO()
    squares(1)[0].save(data, "JPEG")
    page.camera_input(key="camera").set_value(("shot.jpg", data.getvalue(), "image/jpeg")).run()
    assert "bs-card" in html(page)


def test_an_example_is_answered(opened: Open) -> None:
    page = opened()
    page.segmented_control(key="from").set_value("Example").run()
    assert not page.exception
    assert "bs-card" in html(page)


def test_the_examples_are_those_of_the_project() -> None:
    folder = Path(__file__).parents[4] / "examples"
    assert {path.stem for path in folder.glob("*.jpg")} == set(example_names())
    for name in example_names():
        assert example(name).data == (folder / f"{name}.jpg").read_bytes()


def test_where_the_model_looked_is_shown(opened: Open) -> None:
    page = uploaded(opened(), [("a.png", png(squares(1)[0]))])
    assert page.image[0].captions == ["Your photo"]
    page.toggle(key="heat").set_value(True).run()
    assert not page.exception
    assert "It looked here" in page.image[0].captions[0]


@pytest.mark.parametrize(
    ("data", "word"),
    [(b"", "empty"), (b"text", "not a photo"), (png(squares(1)[0])[:-40], "not a photo")],
    ids=["empty", "text", "cut"],
)
def test_a_broken_file_gets_a_friendly_line(opened: Open, data: bytes, word: str) -> None:
    page = uploaded(opened(), [(HOSTILE, data)])
    assert word in page.error[0].value
    assert page.text[0].value == HOSTILE
    assert "Traceback" not in str(page)


def test_a_broken_file_leaves_the_others_their_answers(opened: Open) -> None:
    page = uploaded(opened(), [("a.jpg", b"text"), ("b.png", png(squares(1)[0]))])
    assert len(page.error) == 1
    assert "bs-card" in html(page)


def test_many_photos_give_a_table_and_counts(opened: Open) -> None:
    files = [(f"{place}.png", png(one)) for place, one in enumerate(squares(5))]
    page = uploaded(opened(), files)
    table = page.dataframe[0].value
    assert list(table["File"]) == [name for name, _ in files]
    assert "Number of photos" in html(page)
    page.selectbox(key="closer").set_value(2).run()
    assert not page.exception
    assert "bs-card" in html(page)


def test_a_correction_is_kept_and_can_be_taught(opened: Open, tmp_path: Path) -> None:
    page = opened()
    for place, square in enumerate(squares(4)):
        uploaded(page, [(f"{place}.png", png(square))])
        chosen = next(one for one in page.selectbox if one.label == "What is it really?")
        chosen.set_value("something else ...").run()
        page.text_input[0].set_value("wood").run()
        next(one for one in page.button if one.label == "Keep this").click().run()
        assert "Kept" in page.success[0].value
    assert len(list((tmp_path / "corrections" / "wood").iterdir())) == 4
    next(one for one in page.button if one.label == "Teach from corrections").click().run()
    assert not page.exception
    assert "taught.onnx" in " ".join(one.value for one in page.success)
    assert list(page.table[0].value["Right before"]) == ["0%", "0%"]
    assert "wood" in Classifier(tmp_path / "taught.onnx").classes
    assert "<h2>" in html(page)
    next(one for one in page.button if one.label.startswith("Back to")).click().run()
    assert not page.table


def painted(colour: tuple[int, int, int], count: int, seed: int) -> list[Image.Image]:
    random = np.random.default_rng(seed)
    noise = random.normal(0, 8, (count, 32, 32, 3)) + random.normal(0, 12, (count, 1, 1, 3))
    return [Image.fromarray(np.clip(one, 0, 255).astype(np.uint8)) for one in noise + colour]


def test_a_lesson_that_makes_it_worse_is_not_kept(opened: Open, tmp_path: Path) -> None:
    colours = {"glass": (30, 160, 60), "metal": (120, 120, 130), "paper": (230, 220, 200)}
    known = {name: painted(colours[name], 24, place) for place, name in enumerate(colours)}
    held = [one for place, name in enumerate(colours) for one in painted(colours[name], 20, place)]
    good = write_taught_bundle(tmp_path / "good.onnx", known, held)
    lies = tmp_path / "corrections" / "paper"
    lies.mkdir(parents=True)
    for number, lie in enumerate(painted(colours["glass"], 60, 9)):
        lie.save(lies / f"{number}.png")
    page = opened(model=good)
    next(one for one in page.button if one.label == "Teach from corrections").click().run()
    assert not page.exception
    assert "it would make me worse" in page.warning[-1].value
    assert not (tmp_path / "taught.onnx").exists()
