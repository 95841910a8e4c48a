"""From which confidence an answer is sure, and up to which novelty, by a model's own answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from binsight.bundle import Metadata
from binsight.calibration import choose_threshold
from binsight.novelty import choose_limit

from .described import Description
from .measured import Answers

__all__ = ["FEWEST", "Chosen", "choose_sure", "chosen_anew", "too_few_to_choose"]

FEWEST = 200  # photos; of fewer the share of wrong answers among the sure ones is a guess


@dataclass(frozen=True)
class Chosen:
    """What was chosen, and the share of those photos that it leaves sure.

    Args:
        limit: of the novelty; ``None`` where there is none.
        threshold: of the confidence.
        coverage: 0 to 1.
    """

    limit: float | None
    threshold: float
    coverage: float


def choose_sure(
    probs_nc: NDArray[np.floating[Any]],
    novelty_n: NDArray[np.floating[Any]] | None,
    labels_n: NDArray[np.int64],
    *,
    accepted: float,
    risk: float,
) -> Chosen:
    """Choose the limit of the novelty, and then the threshold among the photos below it.

    Args:
        probs_nc: of validation photos.
        novelty_n: likewise; ``None`` if the model has none.
        labels_n: their true classes, as numbers.
        accepted: share of them that shall not count as strange.
        risk: largest share of wrong answers among the sure ones.

    Raises:
        UsageError: a share is out of range.
    """
    limit = None
    known_n: NDArray[np.bool_] = np.ones(len(labels_n), np.bool_)
    if novelty_n is not None:
        limit = choose_limit(novelty_n, accepted=accepted)
        known_n = novelty_n <= limit
    confidence_n, correct_n = probs_nc.max(axis=1), probs_nc.argmax(axis=1) == labels_n
    threshold = choose_threshold(confidence_n[known_n], correct_n[known_n], risk=risk)
    return Chosen(limit, threshold, float((known_n & (confidence_n >= threshold)).mean()))


def chosen_anew(
    parent: Metadata | Description, answers: Answers, labels_n: NDArray[np.int64]
) -> tuple[dict[str, Any], float]:
    """What a file of other answers says instead of what was chosen for those of its parent.

    Args:
        parent: the shares to choose for, and whether there is a novelty.
        answers: of the file, to validation photos.
        labels_n: their true classes, as numbers.

    Returns:
        Threshold and novelty by their names in a description, and the share that is then sure.
    """
    novelty = parent.novelty
    chosen = choose_sure(
        answers.probs_nc,
        answers.novelty_n if novelty else None,
        labels_n,
        accepted=novelty.accepted if novelty else 1.0,
        risk=parent.threshold_risk,
    )
    novelty = novelty and novelty.model_copy(update={"limit": chosen.limit})
    return {"threshold": chosen.threshold, "novelty": novelty}, chosen.coverage


def too_few_to_choose(photos: int) -> str | None:
    """What to say of a choice that was made on few photos; ``None`` if they are enough."""
    if photos >= FEWEST:
        return None
    return (
        f"chosen on {photos} validation photos alone: more than the promised share of the sure "
        f"answers may be wrong; {FEWEST} photos or more tell"
    )
