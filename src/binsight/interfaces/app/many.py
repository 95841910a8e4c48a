"""Many photos: a table, how many of each, a file for a spreadsheet, and a closer look at one."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence

import streamlit as st

from binsight import Bins
from binsight.interfaces.deciding import decided
from binsight.interfaces.spreadsheets import csv_line, plain

from . import one, parts, words
from .desk import Desk, Seen

__all__ = ["as_csv", "show"]


def show(desk: Desk, seen: Sequence[Seen], bins: Bins | None) -> None:
    """Draw it all."""
    where = [_bin(desk, photo, bins) for photo in seen]
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.subheader(f"{len(seen)} photos")
        _table(seen, where)
        st.download_button(
            "Download as CSV",
            as_csv(desk.classifier.classes, seen, where),
            "binsight.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
    with right:
        st.subheader("How many of each")
        _counts(where if bins else [_label(photo) for photo in seen])
    _closer(desk, seen, bins)


def as_csv(classes: Sequence[str], seen: Sequence[Seen], where: Sequence[str]) -> str:
    """One line a photo: name, answer, confidence, sure, why not, a probability a class, bin.

    A name that a spreadsheet would run as a formula gets a quote in front.
    """
    probabilities = (f"p {one}" for one in classes)
    lines = [csv_line(["photo", "label", "confidence", "sure", "why", *probabilities, "bin"])]
    for photo, into in zip(seen, where, strict=True):
        told = photo.prediction
        probs = [f"{told.probs[name]:.6f}" for name in classes]
        values = [photo.photo.name, told.label, f"{told.confidence:.6f}"]
        values += [str(told.sure).lower(), told.why or "", *probs, into]
        lines.append(csv_line([plain(value) for value in values]))
    return "".join(lines)


def _bin(desk: Desk, seen: Seen, bins: Bins | None) -> str:
    decision = decided(desk.classifier, bins, seen.prediction)
    return decision.name if decision else ""


def _label(seen: Seen) -> str:
    return seen.prediction.label if seen.prediction.sure else words.NOT_SURE


def _table(seen: Sequence[Seen], where: Sequence[str]) -> None:
    columns: dict[str, Sequence[object]] = {
        "Photo": [_thumb(photo) for photo in seen],
        "It is": [_label(photo) for photo in seen],
        "Sure": [100 * photo.prediction.confidence for photo in seen],
        "Bin": where,
        "File": [photo.photo.name for photo in seen],
    }
    if not any(where):
        del columns["Bin"]
    st.dataframe(
        columns,
        hide_index=True,
        row_height=56,
        column_config={
            "Photo": st.column_config.ImageColumn(width=64),
            "Sure": st.column_config.NumberColumn(format="%.0f %%", width=64),
        },
    )


def _thumb(seen: Seen) -> str:
    data = io.BytesIO()
    seen.thumb.save(data, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def _counts(answers: Sequence[str]) -> None:
    counts: Mapping[str, int] = dict(Counter(answers).most_common())
    most = max(counts.values())
    said = {name: str(number) for name, number in counts.items()}
    shares = {name: number / most for name, number in counts.items()}
    st.html(parts.bars(shares, said, label="Number of photos"))


def _closer(desk: Desk, seen: Sequence[Seen], bins: Bins | None) -> None:
    """The page of one photo, for one of many."""
    chosen = st.selectbox(
        "Look closer at one",
        range(len(seen)),
        index=None,
        format_func=lambda place: f"{place + 1}: {seen[place].photo.name}",
        placeholder="Choose a photo",
        key="closer",
    )
    if chosen is None:
        return
    left, right = st.columns(2, gap="medium")
    with left:
        one.show_photo(desk, seen[chosen])
    with right:
        one.show_answer(desk, seen[chosen], bins)
