"""What the app says to a person."""

from __future__ import annotations

import numpy as np
import pytest

from binsight.errors import ImageTooLargeError, UnreadableImageError
from binsight.interfaces.app.words import advice, counted, percent, reason, trouble
from binsight.runtime import Prediction


def prediction(*, strange: bool = False, **probs: float) -> Prediction:
    label = max(probs, key=lambda name: probs[name])
    return Prediction(label, probs[label], False, probs, np.zeros(2, np.float32), 1.0, strange)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1.0, "over 99 %"),
        (0.9951, "over 99 %"),
        (0.9949, "99 %"),
        (0.5, "50 %"),
        (0.006, "1 %"),
        (0.004, "under 1 %"),
        (0.0, "under 1 %"),
    ],
)
def test_nothing_is_certain(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_guess_names_what_it_may_be() -> None:
    told = prediction(glass=0.5, metal=0.4, paper=0.1)
    assert reason(told, ("glass",)).startswith("It may be glass (50 %) or metal (40 %)")


def test_a_guess_leaves_out_what_it_hardly_is() -> None:
    assert "metal" not in reason(prediction(glass=0.8, metal=0.12, paper=0.08), ())


def test_what_is_strange_is_told_what_is_known() -> None:
    told = prediction(strange=True, glass=0.9, metal=0.1)
    assert "I know glass and metal" in reason(told, ("glass", "metal"))
    assert "Batteries" in " ".join(advice(told))


def test_trouble_says_what_to_do() -> None:
    lines = {
        trouble(b"", UnreadableImageError("x")),
        trouble(b"x", UnreadableImageError("x")),
        trouble(b"x", ImageTooLargeError("x")),
    }
    assert len(lines) == 3
    assert all(line.count(".") >= 2 for line in lines)


def test_photos_are_counted() -> None:
    assert counted({"glass": 1}) == "1 photo: 1 glass"
    assert counted({"glass": 2, "metal": 1}) == "3 photos: 2 glass, 1 metal"
