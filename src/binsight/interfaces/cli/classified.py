"""One photo with all that was said about it, as a line of JSON or CSV."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from binsight import Decision
from binsight.errors import ImageError
from binsight.interfaces.spreadsheets import csv_line, plain, plain_path
from binsight.runtime import Prediction

__all__ = ["Classified", "CsvLines", "JsonLines", "Lines"]

Write = Callable[[str], None]


@dataclass(frozen=True)
class Classified:
    """One photo and its answer.

    Args:
        path: as it was found.
        answer: what the model said, or why the photo could not be read.
        decision: the bin, if bins were given and the photo was read.
        copy: where a copy was put.
    """

    path: Path
    answer: Prediction | ImageError
    decision: Decision | None = None
    copy: Path | None = None

    @property
    def error(self) -> str:
        """Why the photo could not be read, without its path; empty if it was."""
        return self.answer.reason if isinstance(self.answer, ImageError) else ""

    def best(self, number: int) -> list[tuple[str, float]]:
        """The most probable classes and their probabilities, the best first."""
        assert isinstance(self.answer, Prediction)
        probs = self.answer.probs
        return sorted(probs.items(), key=lambda item: -item[1])[:number]


class Lines(Protocol):
    """A way to print answers, each as it comes."""

    def head(self) -> None:
        """Print what comes before the first."""

    def row(self, one: Classified) -> None:
        """Print one photo."""


def print_as_it_is(line: str) -> None:
    """Typer would leave escape sequences out, and a name without them is another file's."""
    sys.stdout.write(line)
    sys.stdout.flush()


class JsonLines:
    """One JSON object a line.

    Args:
        top: adds that many best classes in order.

    Attributes:
        write: given each line; `print_as_it_is` unless somebody puts another in its place.
    """

    first_line = ""

    def __init__(self, top: int | None) -> None:
        self._top = top
        self.write: Write = print_as_it_is

    def head(self) -> None:
        """Nothing: each line names its values."""

    @staticmethod
    def name(path: Path) -> str:
        """A path as its line has it."""
        return str(path)

    def row(self, one: Classified) -> None:
        """Print one photo."""
        values: dict[str, object] = {"path": str(one.path)}
        if isinstance(one.answer, ImageError):
            values["error"] = one.error
        else:
            values |= one.answer.to_dict()
        if self._top and not one.error:
            best = one.best(self._top)
            values["top"] = [{"label": name, "confidence": round(p, 6)} for name, p in best]
        if one.decision:
            values["bin"] = one.decision.to_dict()
        if one.copy:
            values["copy"] = str(one.copy)
        self.write(f"{json.dumps(values)}\n")


class CsvLines:
    """Comma-separated values with a header: what JSON says, a probability for each class, the bin.

    The columns are the same for every photo. A path that a spreadsheet would run as a formula
    begins with ``./``, any other name with a quote.

    Args:
        classes: of the model.
        copies: adds a column for where the copy lies.

    Attributes:
        write: as that of `JsonLines`.
    """

    FIRST = ("path", "label", "confidence", "sure", "why", "novelty")
    LAST = ("bin", "error")

    def __init__(self, classes: Sequence[str], *, copies: bool) -> None:
        self._classes = classes
        self.write: Write = print_as_it_is
        self._last = (*self.LAST, "copy") if copies else self.LAST

    @property
    def first_line(self) -> str:
        """The names of the columns; a class that is called like one gets a mark."""
        own = {*self.FIRST, *self._last}
        marked = (f"class {name}" if name in own else plain(name) for name in self._classes)
        return csv_line([*self.FIRST, *marked, *self._last])

    def head(self) -> None:
        """Print the names of the columns."""
        self.write(self.first_line)

    @staticmethod
    def name(path: Path) -> str:
        """A path as its line has it."""
        return plain_path(path)

    def row(self, one: Classified) -> None:
        """Print one photo; what is not known is left empty."""
        if isinstance(one.answer, ImageError):
            said = [""] * (len(self.FIRST) - 1 + len(self._classes))
        else:
            told = one.answer
            shares = [told.confidence, *(told.probs[name] for name in self._classes)]
            confidence, *probs = (f"{share:.6f}" for share in shares)
            sure, novelty = str(told.sure).lower(), told.to_dict()["novelty"]
            strange = "" if novelty is None else f"{novelty:.6f}"
            said = [plain(told.label), confidence, sure, told.why or "", strange, *probs]
        where = plain(one.decision.name) if one.decision else ""
        copy = plain_path(one.copy) if one.copy else ""
        values = [plain_path(one.path), *said, where, one.error, copy]
        known = len(self.FIRST) + len(self._classes) + len(self._last)
        self.write(csv_line(values[:known]))
