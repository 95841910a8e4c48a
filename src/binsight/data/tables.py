"""Tables that people may edit: CSV files in UTF-8, as a spreadsheet saves them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from binsight.errors import BinsightError
from binsight.files import replacing

__all__ = ["Table", "read_table", "write_table"]


@dataclass(frozen=True)
class Table:
    """The names of the columns, and each row by them."""

    columns: tuple[str, ...]
    rows: list[dict[str, str]]

    def lacking(self, required: Iterable[str]) -> list[str]:
        """Which columns are not there."""
        return [name for name in required if name not in self.columns]

    @property
    def separator_hint(self) -> str:
        """What to add where columns are missing because a spreadsheet wrote semicolons."""
        return "; it has semicolons, save it with commas" if ";" in "".join(self.columns) else ""


def read_table(
    path: Path, error: type[BinsightError], *, what: str = "a CSV file in UTF-8"
) -> Table:
    """Read a CSV, with or without a byte order mark.

    Args:
        path: of the file.
        error: to raise, of the caller's kind.
        what: that the file should be, for the message.

    Raises:
        BinsightError: of that kind: the file cannot be read, or is no CSV in UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            return Table(tuple(reader.fieldnames or ()), list(reader))
    except IsADirectoryError as cause:
        raise error(f"{path} is a folder; give a CSV file") from cause
    except OSError as cause:
        raise error(f"{path}: {cause.strerror or cause}") from cause
    except (UnicodeDecodeError, csv.Error) as cause:
        raise error(f"{path}: not {what} ({cause})") from cause


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Replace ``path`` by a CSV with Unix line ends."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
