"""What others may rely on: names, signatures, and the model that comes along."""

from __future__ import annotations

import dataclasses
import inspect

import binsight
from binsight import Classifier, Prediction
from binsight.runtime import builtin_model


def test_the_public_names() -> None:
    assert sorted(binsight.__all__) == [
        "Bins",
        "BinsError",
        "BinsightError",
        "BundleError",
        "Classifier",
        "Decision",
        "ImageError",
        "Prediction",
        "TeachingError",
        "UsageError",
        "WorseModelError",
        "__version__",
        "load_bins",
    ]
    assert all(hasattr(binsight, name) for name in binsight.__all__)


def test_a_classifier_is_made_and_asked_this_way() -> None:
    assert signature(Classifier.__init__) == {
        "self": "POSITIONAL_OR_KEYWORD",
        "model": None,
        "threads": "KEYWORD_ONLY",
        "providers": "KEYWORD_ONLY",
        "limits": "KEYWORD_ONLY",
    }
    assert signature(Classifier.classify) == {
        "self": "POSITIONAL_OR_KEYWORD",
        "photos": "POSITIONAL_OR_KEYWORD",
    }
    public = {name for name in vars(Classifier) if not name.startswith("_")}
    assert public == {"classes", "classify", "classify_each", "data", "run", "teach"}


def test_a_prediction_has_these_fields() -> None:
    names = [field.name for field in dataclasses.fields(Prediction)]
    assert names == [
        *("label", "confidence", "sure", "probs", "embedding"),
        *("novelty", "strange"),
    ]


def test_the_built_in_model_knows_the_six_classes() -> None:
    classifier = Classifier()
    assert classifier.path == builtin_model()
    assert classifier.classes == ("cardboard", "glass", "metal", "paper", "plastic", "trash")


def signature(function: object) -> dict[str, object]:
    """Parameter to its kind, or to its default where it may be left out by position."""
    assert callable(function)
    return {
        name: one.default
        if one.kind is one.POSITIONAL_OR_KEYWORD and one.default is not one.empty
        else one.kind.name
        for name, one in inspect.signature(function).parameters.items()
    }
