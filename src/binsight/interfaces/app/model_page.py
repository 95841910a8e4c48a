"""The page about the model: its card, or what the bundle says about itself."""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

from binsight.bundle import Metadata
from binsight.runtime import BUILTIN, builtin_model

from .desk import Desk

__all__ = ["card_of", "show"]

LINK = re.compile(r"\[([^\]]*)\]\((?![a-z]+://)[^)]*\)")  # to files that are not here


def show(desk: Desk) -> None:
    """Draw it."""
    classifier = desk.classifier
    st.markdown(card_of(classifier.path) or _described(classifier.path, classifier.metadata))
    with st.expander("All that the file says about itself", icon=":material/data_object:"):
        st.json({"digest": classifier.digest} | classifier.metadata.model_dump(mode="json"))


def card_of(path: Path) -> str | None:
    """The model card of a built-in bundle, without links into the source; ``None`` of others."""
    if path not in {builtin_model(name) for name in BUILTIN}:
        return None
    return LINK.sub(r"\1", path.with_suffix(".md").read_text(encoding="utf-8"))


def _described(path: Path, metadata: Metadata) -> str:
    """A short card from the description."""
    lines = [
        f"# Model `{path.name}`",
        _sentence(metadata),
        f"* **Knows** {', '.join(map(_code, metadata.classes))}.",
        f"* **Learned from** {metadata.training.photos:,} photos"
        + "".join(f", {_code(name)}" for name in metadata.training.sources),
        f"* **Is sure** from a confidence of {metadata.threshold:.1%}.",
    ]
    for taught in metadata.lineage:
        each = ", ".join(f"{number} {_code(name)}" for name, number in taught.counts.items())
        lines.append(
            f"* **Taught** {taught.photos} photos ({each}) on {_code(taught.created)}: "
            f"{taught.accuracy_before:.0%} of them right before, {taught.accuracy_after:.0%} then."
        )
    if metadata.metrics:
        lines += ["## Measured", "| figure | value |\n|---|---|"]
        lines[-1] += "".join(f"\n| {_code(k)} | {v:.4g} |" for k, v in metadata.metrics.items())
    return "\n\n".join(lines)


def _sentence(metadata: Metadata) -> str:
    made = f"made on {_code(metadata.created)}"
    return f"Network {_code(metadata.architecture)}, licence {_code(metadata.licence)}, {made}."


def _code(text: str) -> str:
    """As code, so that a name with marks in it stays a name."""
    return f"`{text.replace('`', ' ').replace('|', ' ')}`"
