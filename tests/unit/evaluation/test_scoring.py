from __future__ import annotations

from pathlib import Path

import pytest
from answering import ByColour
from PIL import Image

pytest.importorskip("torch")

from binsight.data.labelled import LabelledPhotos
from binsight.errors import UnreadableImageError
from binsight.evaluation.scoring import score

PATHS = ("blue.png", "red.png", "again.png")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    for path in PATHS:
        colour = (40, 40, 200) if path.startswith("blue") else (200, 40, 40)
        Image.new("RGB", (50, 40), colour).save(tmp_path / path)
    return [tmp_path / path for path in PATHS]


def test_answers_stand_beside_labels_and_copies_are_known(files: list[Path]) -> None:
    scored = score(ByColour(), PATHS, LabelledPhotos(files, [2, 0, 1], groups=[7, 9, 9]))
    assert scored.paths == PATHS
    assert scored.predicted_n.tolist() == [2, 0, 0]
    assert scored.correct_n.tolist() == [True, True, False]
    assert scored.group_n is not None
    assert scored.group_n.tolist() == [7, 9, 9]
    assert score(ByColour(), PATHS, LabelledPhotos(files, [2, 0, 1])).group_n is None


def test_a_photo_that_became_unreadable_ends_it(files: list[Path]) -> None:
    files[1].write_bytes(b"no photo")
    with pytest.raises(UnreadableImageError, match=r"red\.png"):
        score(ByColour(), PATHS, LabelledPhotos(files, [2, 0, 1]))
