"""The model behind the pages: answers, corrections, lessons."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_bundle import SmallBundle, squares, write_novelty_bundle

from binsight import Classifier
from binsight.errors import BinsError, ImageTooLargeError, UnreadableImageError
from binsight.interfaces.app.desk import Desk, Photo, Seen, shown
from binsight.interfaces.app.settings import Settings


def png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def photos(count: int, seed: int = 0) -> list[Photo]:
    return [Photo(f"{place}.png", png(one)) for place, one in enumerate(squares(count, seed))]


@pytest.fixture
def desk(small_bundle: SmallBundle, tmp_path: Path) -> Desk:
    return Desk(Settings(model=str(small_bundle.path), corrections=str(tmp_path / "corrections")))


def seen(desk: Desk, photo: Photo) -> Seen:
    answer = desk.answer(photo)
    assert isinstance(answer, Seen)
    return answer


def test_it_answers_like_the_classifier(desk: Desk, small_bundle: SmallBundle) -> None:
    given = photos(3)
    wanted = Classifier(small_bundle.path).classify([one.data for one in given])
    for photo, prediction in zip(given, wanted, strict=True):
        assert seen(desk, photo).prediction.probs == prediction.probs


def test_a_photo_is_looked_at_once_and_keeps_the_name_it_was_given(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photo,) = photos(1)
    first = seen(desk, photo)
    monkeypatch.setattr(Classifier, "classify", None)
    again = seen(desk, Photo("other.png", photo.data))
    assert again.prediction is first.prediction
    assert again.photo.name == "other.png"


def test_answers_are_remembered_without_the_photos(desk: Desk) -> None:
    (photo,) = photos(1)
    assert seen(desk, photo).photo.data == photo.data
    (kept,) = desk._answers.values()
    assert isinstance(kept, Seen)
    assert kept.photo.data == b""


def bomb() -> bytes:
    """A small file that says it holds more pixels than are allowed."""
    data = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", UnreadableImageError),
        (b"I am no photo", UnreadableImageError),
        (png(squares(1)[0])[:-40], UnreadableImageError),
        (bomb(), ImageTooLargeError),
    ],
    ids=["empty", "text", "cut", "bomb"],
)
def test_what_cannot_be_used_is_an_answer(desk: Desk, data: bytes, error: type) -> None:
    assert isinstance(desk.answer(Photo("x.jpg", data)), error)


def test_a_photo_is_shown_upright_and_small() -> None:
    data = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.new("RGB", (2000, 1000), "red").save(data, "JPEG", exif=exif)
    assert shown(Photo("a.jpg", data.getvalue()), 100).size == (50, 100)


def test_it_says_where_the_model_looked(desk: Desk) -> None:
    (photo,) = photos(1)
    explanation = desk.explanation(photo)
    assert explanation is not None
    assert explanation.label == seen(desk, photo).prediction.label
    assert explanation.photo_size == (32, 32)


def test_a_correction_is_kept_with_what_the_model_said(desk: Desk) -> None:
    one = seen(desk, photos(1)[0])
    path = desk.correct(one, "wood")
    assert path.read_bytes() == one.photo.data
    line = json.loads((desk.corrections / "corrections.jsonl").read_text(encoding="utf-8"))
    assert (line["person"], line["said"]["label"]) == ("wood", one.prediction.label)
    assert line["model"] == desk.classifier.digest
    assert desk.corrected() == {"wood": 1}


def test_a_lesson_answers_from_then_on_until_it_is_forgotten(desk: Desk) -> None:
    given = photos(6)
    before = seen(desk, given[0]).prediction
    for photo in given:
        desk.correct(seen(desk, photo), "wood")
    calls: list[tuple[int, int]] = []
    lesson = desk.teach(lambda done, total: calls.append((done, total)))
    assert calls[-1] == (6, 6)
    assert lesson.photos["wood"] == 6
    assert desk.is_taught
    after = seen(desk, given[0]).prediction
    assert (before.label in before.probs, after.label) == (True, "wood")
    assert Classifier(desk.corrections.parent / "taught.onnx").digest == desk.classifier.digest
    desk.forget()
    assert seen(desk, given[0]).prediction.probs == before.probs


def test_a_lesson_writes_over_no_file_but_its_own(desk: Desk) -> None:
    theirs = desk.corrections.parent / "taught.onnx"
    theirs.write_bytes(b"precious")
    for _ in range(2):
        for photo in photos(3):
            desk.correct(seen(desk, photo), "wood")
        desk.teach()
    assert theirs.read_bytes() == b"precious"
    assert sorted(path.name for path in theirs.parent.glob("*.onnx")) == [
        "taught-2.onnx",
        "taught.onnx",
    ]


def test_bins_of_ones_own_come_first(small_bundle: SmallBundle, tmp_path: Path) -> None:
    own = tmp_path / "our-house.toml"
    own.write_text('[[bins]]\nname="all"\ncolour="#fff"\ntakes=["glass","metal","paper"]\n')
    desk = Desk(Settings(model=str(small_bundle.path), bins=str(own)))
    assert list(desk.schemes) == ["Our House", "Berlin", "New York", "Paris"]


def test_a_changed_copy_of_a_scheme_takes_its_place(
    small_bundle: SmallBundle, tmp_path: Path
) -> None:
    own = tmp_path / "berlin.toml"
    own.write_text('[[bins]]\nname="mine"\ncolour="#fff"\ntakes=["glass","metal","paper"]\n')
    desk = Desk(Settings(model=str(small_bundle.path), bins=str(own)))
    assert list(desk.schemes) == ["Berlin", "New York", "Paris"]
    assert [one.name for one in desk.schemes["Berlin"].bins] == ["mine"]


def test_bins_that_are_not_there_are_refused(small_bundle: SmallBundle) -> None:
    with pytest.raises(BinsError, match="atlantis"):
        Desk(Settings(model=str(small_bundle.path), bins="atlantis"))


def test_settings_survive_the_command_line() -> None:
    settings = Settings(model="a b.onnx", bins=None, corrections='c "d"')
    assert Settings.from_argument(settings.to_argument()) == settings


def test_what_is_strange_is_kept_apart(tmp_path: Path) -> None:
    known = {
        name: [Image.fromarray(np.full((32, 32, 3), shade, np.uint8)) for shade in (10, 12, 14)]
        for name in ("glass", "metal", "paper")
    }
    bundle = write_novelty_bundle(tmp_path / "b.onnx", known, limit=-1.0)
    desk = Desk(Settings(model=str(bundle.path)))
    assert seen(desk, photos(1)[0]).prediction.strange
