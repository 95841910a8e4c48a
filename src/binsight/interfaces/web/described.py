"""What the page is told about a bundle, and which bins it offers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from binsight.bins import Bins, built_in_schemes, load_bins, load_fitting_bins
from binsight.errors import BinsError, UnexplainableError
from binsight.runtime import Classifier

from .wasm import FILE_NAME

__all__ = ["bins_for", "bundle_name", "describe_model"]

WEIGHT_DIGITS = 6  # significant digits of a weight: the map is drawn in 256 colours


def bundle_name(classifier: Classifier) -> str:
    """File name on the site; the digest in it keeps two versions apart in every cache."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", classifier.path.stem)  # it becomes part of an address
    return f"{plain}-{classifier.digest[:12]}.onnx"


def describe_model(classifier: Classifier) -> dict[str, Any]:
    """What ``model.json`` holds; the page's ``bundle.ts`` names the types."""
    return {
        "name": classifier.path.stem,
        "file": bundle_name(classifier),
        "bytes": classifier.path.stat().st_size,
        "digest": classifier.digest,
        "runtime": FILE_NAME,
        "heat": _heat(classifier),
        "metadata": classifier.metadata.model_dump(mode="json"),
    }


def _heat(classifier: Classifier) -> dict[str, Any] | None:
    """What the heat map is made of; ``None`` for a network whose answers cannot be traced back."""
    from binsight.explain import BundleExplainer

    try:
        explainer = BundleExplainer(classifier)
    except UnexplainableError:
        return None
    weights = [
        [float(f"{value:.{WEIGHT_DIGITS}g}") for value in row]
        for row in explainer.weight_cd.tolist()
    ]
    return {"weights": weights, "first": explainer.grid.first, "step": explainer.grid.step}


def bins_for(classes: Iterable[str], chosen: str | None) -> dict[str, Any]:
    """What ``bins.json`` holds: a scheme that was chosen, or all that know the classes.

    Raises:
        BinsError: the chosen one cannot be read, or has no bin for a class.
    """
    if chosen is not None:
        rules = load_fitting_bins(chosen, classes)
        return {Path(chosen).stem: rules.model_dump(mode="json")}
    fitting = {name: load_bins(name) for name in built_in_schemes()}
    classes = list(classes)
    return {
        name: rules.model_dump(mode="json")
        for name, rules in fitting.items()
        if _knows(rules, classes)
    }


def _knows(rules: Bins, classes: Iterable[str]) -> bool:
    try:
        rules.require(classes)
    except BinsError:
        return False
    return True
