from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from binsight.errors import TrainingError
from binsight.evaluation.scored import Scored, read_predictions, write_predictions

SCORED = Scored(
    ("a/1.jpg", 'b/"2",\n.jpg'),
    np.array([0, 1]),
    np.array([[0.25, 0.75], [0.125, 0.875]], np.float32),
    ("glass", "p_metal"),
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv", SCORED)
    again = read_predictions(tmp_path / "p.csv")
    assert (again.paths, again.classes) == (SCORED.paths, SCORED.classes)
    assert (again.labels_n == SCORED.labels_n).all()
    assert (again.probs_nc == SCORED.probs_nc).all()


def test_a_subset_takes_all_that_is_known_of_its_photos() -> None:
    """Without its groups, intervals would be too narrow."""
    also = {
        "sure_n": np.array([True, False]),
        "novelty_n": np.array([0.5, 2.0], np.float32),
        "group_n": np.array([7, 9]),
    }
    part = replace(SCORED, **also).subset(np.array([False, True]))
    assert part.paths == SCORED.paths[1:]
    assert part.labels_n.tolist() == [1]
    assert part.probs_nc.tolist() == [[0.125, 0.875]]
    assert [getattr(part, name).tolist() for name in also] == [[False], [2.0], [9]]
    plain = SCORED.subset(np.array([True, False]))
    assert [getattr(plain, name) for name in also] == [None] * 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path,label\na,glass\n", "no predictions"),
        ("path,label,p_glass\n", "no predictions"),
        ("path,label,p_glass\na,metal,1\n", "'metal' has no column"),
        ("path,label,p_glass\na,glass,1\na,glass,1\n", "listed twice"),
        ("path,label,p_glass\na,glass,x\n", "no number"),
        ("path,label,p_glass,p_tin\na,glass,1\n", "no number"),
        ("path,label,p_glass\na,glass,0.5\n", "not a probability distribution"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(TrainingError, match=reason):
        read_predictions(tmp_path / "p.csv")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="No such file"):
        read_predictions(tmp_path / "p.csv")
