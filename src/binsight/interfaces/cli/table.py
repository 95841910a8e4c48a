"""Answers as a table for people, each row as it comes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import typer

from binsight import Bins, Prediction
from binsight.bins import ASK
from binsight.errors import ImageError
from binsight.runtime.prediction import STRANGE

from .classified import Classified
from .terminal import columns, cut_middle, padded, printable, stdout_columns

__all__ = ["Table"]

FEWEST_PATH_COLUMNS = 16


class Table:
    """Photo, material, confidence, and then the bin, or what else it may be.

    Args:
        paths: some of those that will come; the column of the paths is made for them.
        classes: of the model.
        bins: if each row shall end with a bin.
        top: best classes to show, one below the other; ``None`` for one.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        classes: Sequence[str],
        *,
        bins: Bins | None,
        top: int | None,
    ) -> None:
        self._classes = max(columns(printable(name)) for name in ("material", *classes))
        self._bins = [printable(one.name) for one in bins.bins] if bins else []
        self._top = top
        self._paths = _path_columns(paths, self._answer_columns())

    def head(self) -> None:
        """Print the names of the columns."""
        line = f"{padded('photo', self._paths)}  {padded('material', self._classes)}  confidence"
        typer.secho(line + ("  bin" if self._bins else ""), bold=True)

    def row(self, one: Classified) -> None:
        """Print one photo."""
        name = padded(cut_middle(printable(one.path), self._paths), self._paths)
        if isinstance(one.answer, ImageError):
            typer.secho(f"{name}  {printable(one.error)}", fg="red")
            return
        first, *others = one.best(self._top or 1)
        note, settled = self._note(one, one.answer)
        line = f"{name}  {self._share(*first)}{note}"
        typer.secho(line, fg=None if settled else "yellow")
        for other in others:
            typer.echo(f"{' ' * self._paths}  {self._share(*other)}")

    def _share(self, name: str, share: float) -> str:
        return f"{padded(printable(name), self._classes)}  {share:>10.1%}"

    def _note(self, one: Classified, answer: Prediction) -> tuple[str, bool]:
        """What follows the confidence, and whether no person has to look."""
        if one.decision:
            return f"  {printable(one.decision.name)}", one.decision.bin is not None
        if answer.strange and not self._top:
            return f"  not sure: {answer.why}", False
        if answer.sure or self._top:
            return "" if answer.sure else "  not sure", answer.sure
        _, (second, share) = one.best(2)
        return f"  not sure, or {printable(second)} ({share:.0%})", False

    def _answer_columns(self) -> int:
        """Columns that the widest answer takes beside the path."""
        fixed = columns("    confidence") + self._classes
        if self._bins:
            return fixed + 2 + max(columns(name) for name in (ASK, *self._bins))
        if self._top:
            return fixed + columns("  not sure")
        return fixed + max(
            columns("  not sure, or  (99%)") + self._classes, columns(f"  not sure: {STRANGE}")
        )


def _path_columns(paths: Iterable[Path], answer: int) -> int:
    """Room for paths: of the longest, but no more than a terminal leaves beside the answers."""
    longest = max(columns(printable(path)) for path in (Path("photo"), *paths))
    terminal = stdout_columns()
    if terminal is None:
        return longest
    return min(longest, max(FEWEST_PATH_COLUMNS, terminal - answer))
