"""Which bin an answer means: the one place where answers and bins meet."""

from __future__ import annotations

from typing import overload

from binsight.bins import Bins, Decision, load_fitting_bins
from binsight.runtime import Classifier, Prediction

__all__ = ["bins_for", "decided"]


def bins_for(classifier: Classifier, name: str | None) -> Bins | None:
    """Bins that know all of the model's classes, before the first photo is looked at.

    Raises:
        BinsError: they cannot be used, or lack one of its classes.
    """
    return None if name is None else load_fitting_bins(name, classifier.classes)


@overload
def decided(classifier: Classifier, bins: Bins, answer: Prediction) -> Decision: ...
@overload
def decided(classifier: Classifier, bins: Bins | None, answer: Prediction) -> Decision | None: ...
def decided(classifier: Classifier, bins: Bins | None, answer: Prediction) -> Decision | None:
    """Where to put what the classifier answered about; ``None`` without bins."""
    if bins is None:
        return None
    threshold = classifier.metadata.threshold
    return bins.decide(answer.probs, threshold=threshold, strange=answer.strange)
