"""Lines of CSV that read back as they were written, and that no spreadsheet runs.

What a spreadsheet would run as a formula (CWE-1236) is written so that it does not.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["csv_line", "plain", "plain_path"]

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain(text: str) -> str:
    """The text, with a quote in front of a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def plain_path(path: Path) -> str:
    """The path, in a form that programs take as well."""
    return os.path.join(".", path) if str(path).startswith(FORMULA) else str(path)  # noqa: PTH118


def csv_line(values: Sequence[str]) -> str:
    """One line with a Unix end; a carriage return in a name is quoted like a newline."""
    text = io.StringIO()
    # The writer quotes what stands in its line's end, and not every line end.
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n") + "\n"
