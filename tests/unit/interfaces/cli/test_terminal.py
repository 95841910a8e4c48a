from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binsight.interfaces.cli.terminal import columns, cut_middle, padded, printable


@pytest.mark.parametrize(
    ("text", "width"),
    [("glass", 5), ("瓶", 2), ("Fla\N{COMBINING DIAERESIS}sche", 7), ("", 0)],
)
def test_columns_are_those_of_a_terminal(text: str, width: int) -> None:
    assert columns(text) == width


def test_the_start_and_the_end_of_a_path_are_kept() -> None:
    assert cut_middle("photos/2024/holiday/bottle.jpg", 20) == "photos/20…bottle.jpg"
    assert cut_middle("photos/bottle.jpg", 17) == "photos/bottle.jpg"


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.integers(2, 40))
def test_what_was_cut_fits(text: str, width: int) -> None:
    cut = cut_middle(text, width)
    assert columns(cut) <= width
    assert (cut == text) == (columns(text) <= width) or "…" in text


@given(st.text(max_size=30))
def test_a_name_is_shown_on_one_line_without_control_codes(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert (shown == text) == text.isprintable()


def test_control_codes_are_shown_as_escapes() -> None:
    assert printable("a\nb\x1b[31m\udcff é") == r"a\nb\x1b[31m\udcff é"


def test_padding_counts_columns() -> None:
    assert padded("瓶", 4) == "瓶  "
