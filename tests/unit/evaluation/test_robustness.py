from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from answering import ByColour
from PIL import ExifTags, Image

from binsight.errors import TrainingError, UnreadableImageError
from binsight.evaluation.corruptions import FAMILIES, Family, corrupt
from binsight.evaluation.robustness import (
    Corrupted,
    Robustness,
    measure_robustness,
    most_telling,
    photo_seed,
    show_corrupted,
    shown,
)
from binsight.images import decode


def _keep(image_hwc, strength, random):
    return image_hwc


def _swap(image_hwc, strength, random):
    """Above a strength of 2, red and blue change places."""
    return image_hwc[..., ::-1] if strength > 2 else image_hwc


MADE_UP = (
    Family("nothing", (1.0, 2.0, 3.0, 4.0, 5.0), "", _keep),
    Family("swap", (1.0, 2.0, 3.0, 4.0, 5.0), "", _swap),
)
PATHS = ("red/0.png", "red/1.png", "blue/0.png")
LABELS = np.array([0, 0, 2])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for path in PATHS:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        colour = (200, 40, 40) if path.startswith("red") else (40, 40, 200)
        Image.new("RGB", (50, 40), colour).save(tmp_path / path)
    return tmp_path


def test_answers_are_counted_under_their_family_and_severity(photos: Path) -> None:
    calls: list[tuple[int, int]] = []
    found = show_corrupted(
        ByColour(),
        photos,
        PATHS,
        LABELS,
        families=MADE_UP,
        severities=(5, 1, 3),
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls[-1] == (21, 21)
    assert (found.severities, found.families) == ((1, 3, 5), ("nothing", "swap"))
    assert found.clean_n.all()
    assert found.correct_nfs[:, 0].all()
    assert found.correct_nfs[:, 1].tolist() == [[True, False, False]] * 3
    assert found.sure_nfs is not None
    measured = measure_robustness(found, resamples=50)
    assert measured.accuracy["swap"] == {1: 1.0, 3: 0.0, 5: 0.0}
    assert measured.family_accuracy("swap") == pytest.approx(1 / 3)
    assert measured.mean_accuracy.value == pytest.approx(4 / 6)
    assert measured.retained is not None
    assert measured.retained.value == pytest.approx(4 / 6)
    assert measured.coverage is not None
    assert measured.coverage["swap"][5] == 1.0
    assert measured.accuracy_when_sure is not None
    assert measured.accuracy_when_sure["swap"][5] == 0.0
    assert (measured.photos, measured.wanted) == (3, 3)


def test_an_interrupted_showing_keeps_the_photos_that_are_done(photos: Path) -> None:
    each = 1 + 2 * 5
    model = ByColour(stop_after=2 * each + 3)
    found = show_corrupted(model, photos, PATHS, LABELS, families=MADE_UP)
    assert (len(found.files), found.wanted) == (2, 3)
    assert found.correct_nfs.shape == (2, 2, 5)
    with pytest.raises(KeyboardInterrupt):
        show_corrupted(ByColour(stop_after=each - 1), photos, PATHS, LABELS, families=MADE_UP)


def test_clean_and_corrupted_photos_are_of_the_size_the_model_can_use(tmp_path: Path) -> None:
    Image.new("RGB", (900, 300), (10, 200, 30)).save(tmp_path / "large.png")
    Image.new("RGB", (50, 40), (10, 200, 30)).save(tmp_path / "small.png")
    assert shown(tmp_path / "large.png", ByColour()).size == (192, 64)
    assert shown(tmp_path / "small.png", ByColour()).size == (50, 40)


def test_a_photo_is_corrupted_alike_whatever_else_is_shown(photos: Path) -> None:
    seen: list[bytes] = []

    class Watching(ByColour):
        def answers(self, photos):
            kept = list(photos)
            seen.append(kept[-1].tobytes())
            return super().answers(kept)

    for paths in (PATHS, PATHS[2:]):
        show_corrupted(Watching(), photos, paths, LABELS[-len(paths) :], severities=(2,))
    image = shown(photos / PATHS[2], ByColour())
    wanted = corrupt(image, FAMILIES[-1], 2, seed=photo_seed(PATHS[2]))
    assert seen == [wanted.tobytes()] * 2


def test_a_photo_that_lies_on_its_side_is_shown_upright(photos: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    lying = Image.open(photos / PATHS[0])
    lying.save(photos / PATHS[0], exif=exif)
    seen: list[tuple[int, int]] = []

    class Watching(ByColour):
        def answers(self, photos):
            kept = [decode(one) for one in photos]
            seen.extend(one.size for one in kept)
            return super().answers(kept)

    show_corrupted(Watching(), photos, PATHS[:1], LABELS[:1], families=MADE_UP, severities=(1,))
    assert seen == [(40, 50)] * 3


def test_photos_that_cannot_be_shown_are_refused(photos: Path) -> None:
    with pytest.raises(TrainingError, match="no labelled photos"):
        show_corrupted(ByColour(), photos, (), LABELS[:0])
    with pytest.raises(UnreadableImageError):
        show_corrupted(ByColour(), photos, ("red/gone.png",), LABELS[:1])


def answers(clean: list[bool], correct: list[list[bool]], *, sure: bool = False) -> Corrupted:
    """One family; rows are photos, columns severities."""
    correct_nfs = np.array(correct)[:, np.newaxis]
    return Corrupted(
        files=tuple(Path(f"{n}.jpg") for n in range(len(clean))),
        wanted=len(clean),
        families=("fog",),
        severities=tuple(range(1, correct_nfs.shape[2] + 1)),
        clean_n=np.array(clean),
        correct_nfs=correct_nfs,
        clean_sure_n=np.zeros(len(clean), np.bool_) if sure else None,
        sure_nfs=np.zeros_like(correct_nfs) if sure else None,
    )


def test_intervals_hold_their_value_and_shrink_with_photos() -> None:
    random = np.random.default_rng(3)

    def width(photos: int) -> float:
        clean = random.random(photos) < 0.9
        measured = measure_robustness(answers(clean.tolist(), random.random((photos, 3)) < 0.5))
        for one in (measured.clean, measured.mean_accuracy, measured.retained):
            assert one is not None
            assert one.low <= one.value <= one.high
        return measured.mean_accuracy.high - measured.mean_accuracy.low

    assert width(400) < 0.6 * width(40)


def test_a_model_that_withstood_all_may_not_withstand_more() -> None:
    measured = measure_robustness(answers([True] * 20, [[True] * 5] * 20), resamples=50)
    for one in (measured.mean_accuracy, measured.retained):
        assert one is not None
        assert one.low == pytest.approx(20 / (20 + 1.959964**2))
    copies = replace(answers([True] * 20, [[True] * 5] * 20), group_n=np.arange(20) // 2)
    low = measure_robustness(copies, resamples=50).mean_accuracy.low
    assert low == pytest.approx(10 / (10 + 1.959964**2))


def test_a_photo_takes_all_its_corruptions_along() -> None:
    """Were each picture drawn by itself, the interval would be much narrower."""
    half = [[True] * 5] * 20 + [[False] * 5] * 20
    measured = measure_robustness(answers([True] * 40, half))
    width = measured.mean_accuracy.high - measured.mean_accuracy.low
    assert width == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 40), rel=0.15)


def test_nothing_recognised_and_nothing_sure_have_no_share() -> None:
    measured = measure_robustness(answers([False] * 3, [[False]] * 3, sure=True))
    assert measured.retained is None
    assert measured.clean_coverage == 0.0
    assert measured.accuracy_when_sure == {"fog": {1: None}}
    assert measure_robustness(answers([True], [[True]])).coverage is None


def test_robustness_survives_json() -> None:
    measured = measure_robustness(answers([True, False], [[True, False]] * 2), resamples=20)
    assert Robustness.model_validate(json.loads(json.dumps(measured.to_dict()))) == measured


def test_the_example_has_the_most_contrast_of_the_first_photos(photos: Path) -> None:
    board = np.indices((40, 50)).sum(axis=0) // 10 % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(photos / "red/1.png")
    assert most_telling(photos, PATHS, ByColour()) == "red/1.png"
    late = (*["red/0.png"] * 8, "red/1.png")
    assert most_telling(photos, late, ByColour()) == "red/0.png"


def test_sure_answers_are_counted_and_judged_apart() -> None:
    plain = answers(
        [True, False, True, True],
        [[True, False], [False, True], [True, True], [False, False]],
    )
    sure = np.array([[True, True], [True, False], [False, True], [True, False]])
    clean_sure = np.array([True, True, False, False])
    measured = measure_robustness(
        replace(plain, clean_sure_n=clean_sure, sure_nfs=sure[:, np.newaxis])
    )
    assert (measured.clean.value, measured.clean_coverage) == (0.75, 0.5)
    assert measured.coverage == {"fog": {1: 0.75, 2: 0.5}}
    assert measured.accuracy_when_sure == {"fog": {1: pytest.approx(1 / 3), 2: 0.5}}


def test_groups_come_back_with_their_photos(photos: Path) -> None:
    found = show_corrupted(
        ByColour(), photos, PATHS, LABELS, group_n=np.array([5, 6, 7]), families=MADE_UP
    )
    assert [file.name for file in found.files] == ["0.png", "0.png", "1.png"]
    assert found.group_n is not None
    assert found.group_n.tolist() == [7, 5, 6]
