"""Names on a terminal: no control characters, aligned, and cut in their middle where room is short.

A file name may hold anything, a newline or a terminal's escape codes too.
"""

from __future__ import annotations

import shutil
import sys
import unicodedata
from typing import NoReturn

import typer

__all__ = [
    "INTERRUPTED",
    "columns",
    "cut_middle",
    "interrupted",
    "padded",
    "printable",
    "stdout_columns",
    "warn",
]

INTERRUPTED = 130  # an exit status
CUT = "\N{HORIZONTAL ELLIPSIS}"


def stdout_columns() -> int | None:
    """Width of the terminal that stdout is; ``None`` for a pipe or a file."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()  # None where it was closed
    return shutil.get_terminal_size().columns if is_terminal else None


def printable(text: object) -> str:
    """As text of one line: what cannot be printed is shown as its escape."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in str(text)
    )


def warn(text: object) -> None:
    """Say on stderr, in one yellow line, what a person should know."""
    typer.secho(printable(text), fg="yellow", err=True)


def interrupted(again: str) -> NoReturn:
    """End what a person interrupted, and say how it goes on.

    Args:
        again: the command for that.
    """
    typer.echo(f"interrupted; go on with: {again}", err=True)
    raise typer.Exit(INTERRUPTED)


def columns(text: str) -> int:
    """Columns that a terminal gives to a text; East Asian letters take two."""
    return sum(
        0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in {"W", "F"})
        for one in text
    )


def padded(text: str, width: int) -> str:
    """Fill up with spaces to a width in columns."""
    return text + " " * (width - columns(text))


def cut_middle(text: str, width: int) -> str:
    """Leave out letters in the middle of what is wider than ``width`` columns."""
    if columns(text) <= width:
        return text
    head, tail = list(text[: len(text) // 2]), list(text[len(text) // 2 :])
    while columns("".join(head)) > (width - 1) // 2:
        head.pop()
    while columns("".join(tail)) > width - 1 - columns("".join(head)):
        tail.pop(0)
    return f"{''.join(head)}{CUT}{''.join(tail)}"
