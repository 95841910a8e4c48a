from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from binsight.bundle import Novelty
from binsight.errors import UsageError
from binsight.export.choosing import choose_sure, chosen_anew, too_few_to_choose
from binsight.export.measured import Answers
from binsight.novelty import SCORE


def confident(*confidences: float) -> np.ndarray:
    return np.array([[one, 1 - one] for one in confidences], np.float32)


def test_the_threshold_is_chosen_among_what_is_not_strange() -> None:
    probs = confident(0.99, 0.9, 0.8, 0.7, 0.6)
    labels = np.array([1, 0, 0, 1, 0])  # the surest answer is wrong, and strange
    chosen = choose_sure(probs, np.array([9.0, 1, 2, 3, 0]), labels, accepted=0.8, risk=0.0)
    assert chosen.limit == pytest.approx(3, abs=2e-3)
    assert chosen.threshold == pytest.approx(0.8, abs=2e-4)
    assert chosen.coverage == pytest.approx(0.4)


def test_a_file_of_other_answers_chooses_for_its_parents_shares() -> None:
    answers = Answers(
        confident(0.99, 0.9, 0.8, 0.7, 0.6), None, np.array([9.0, 1, 2, 3, 0], np.float32)
    )
    labels = np.array([1, 0, 0, 1, 0])
    novelty = Novelty(score=SCORE, limit=77.0, accepted=0.8)
    chosen = {}
    for risk in (0.0, 0.3):
        parent = SimpleNamespace(novelty=novelty, threshold_risk=risk)
        chosen[risk], coverage = chosen_anew(parent, answers, labels)
        expected = choose_sure(answers.probs_nc, answers.novelty_n, labels, accepted=0.8, risk=risk)
        assert expected.limit == pytest.approx(3, abs=2e-3)
        assert chosen[risk]["novelty"] == novelty.model_copy(update={"limit": expected.limit})
        assert (chosen[risk]["threshold"], coverage) == (expected.threshold, expected.coverage)
    assert chosen[0.0]["threshold"] > chosen[0.3]["threshold"]


def test_without_a_novelty_all_photos_count() -> None:
    probs, labels = confident(0.99, 0.9, 0.8), np.array([0, 0, 1])
    chosen = choose_sure(probs, None, labels, accepted=1.0, risk=0.0)
    assert (chosen.limit, chosen.coverage) == (None, pytest.approx(2 / 3))
    assert chosen.threshold == pytest.approx(0.9, abs=2e-4)
    with pytest.raises(UsageError, match="risk"):
        choose_sure(probs, None, labels, accepted=1.0, risk=2)


def test_few_photos_are_told_of() -> None:
    assert "on 24 validation photos alone" in str(too_few_to_choose(24))
    assert too_few_to_choose(200) is None
