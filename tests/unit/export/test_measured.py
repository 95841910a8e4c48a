from __future__ import annotations

import numpy as np
import pytest

from binsight.errors import ParityError
from binsight.export.measured import Answers, compare


def answers(*rows: list[float]) -> Answers:
    return Answers(np.array(rows, np.float32), None, None)


def test_labels_and_probabilities_are_compared() -> None:
    parity = compare(answers([0.9, 0.1], [0.6, 0.4]), answers([0.8, 0.2], [0.4, 0.6]))
    assert (parity.photos, parity.same_label) == (2, 0.5)
    assert parity.max_difference == pytest.approx(0.2)


def test_what_is_no_number_is_no_answer() -> None:
    with pytest.raises(ParityError, match="1 of 2 photos with what is no number"):
        compare(answers([0.9, 0.1], [0.6, 0.4]), answers([0.9, 0.1], [np.nan, 0.4]))
