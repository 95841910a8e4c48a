"""What a spreadsheet would run as a formula (CWE-1236), written so that it does not."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["plain", "plain_path"]

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain(text: str) -> str:
    """The text, with a quote in front of a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def plain_path(path: Path) -> str:
    """The path, in a form that programs take as well."""
    return os.path.join(".", path) if str(path).startswith(FORMULA) else str(path)  # noqa: PTH118
