from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from binsight.interfaces.spreadsheets import csv_line


@given(st.lists(st.lists(st.text(), min_size=2, max_size=4), min_size=1, max_size=4))
def test_lines_read_back_as_they_were_written(rows: list[list[str]]) -> None:
    text = "".join(map(csv_line, rows))
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows


def test_a_line_ends_as_unix_has_it() -> None:
    assert csv_line(["a", "b, c", "d\re"]) == 'a,"b, c","d\re"\n'
