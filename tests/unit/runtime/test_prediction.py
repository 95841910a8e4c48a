from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from binsight.runtime import Prediction

PROBS = {"glass": 0.25, "metal": 0.7500000004}


def prediction(**changes: object) -> Prediction:
    values: dict[str, object] = {
        "label": "metal",
        "confidence": 0.7500000004,
        "sure": True,
        "probs": PROBS,
        "embedding": np.zeros(4, np.float32),
    }
    return Prediction(**(values | changes))  # type: ignore[arg-type]


def test_as_plain_values() -> None:
    plain = prediction().to_dict()
    assert json.loads(json.dumps(plain)) == {
        "label": "metal",
        "confidence": 0.75,
        "sure": True,
        "why": None,
        "novelty": None,
        "probs": {"glass": 0.25, "metal": 0.75},
    }
    strange = prediction(sure=False, novelty=3.1234567, strange=True).to_dict()
    assert strange["novelty"] == 3.123457
    assert strange["why"] == "like nothing it learned"
    no_number = prediction(sure=False, novelty=float("nan"), strange=True).to_dict()
    assert no_number["novelty"] is None
    assert prediction(sure=False, novelty=0.5).to_dict()["why"] == "low confidence"


@pytest.mark.parametrize(
    "changes",
    [
        {"label": "paper"},
        {"probs": {"glass": 0.25, "metal": 0.5}},
        {"probs": {"glass": float("nan"), "metal": 0.5}},
        {"embedding": np.zeros((1, 4), np.float32)},
        {"strange": True, "novelty": 9.0},
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        prediction(**changes)


def test_it_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        prediction().label = "glass"  # type: ignore[misc]
