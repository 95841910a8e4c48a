"""Answers in a file that grows line by line, so that a run over millions of photos can go on."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from binsight.errors import UsageError

from .classified import CsvLines, JsonLines

__all__ = ["Before", "writing"]

ERRORS = "surrogateescape"  # names may be of bytes that are no text
JSON_BEGIN = b'{"path": "'
LONGEST_BEGIN = 1 << 20


@dataclass(frozen=True)
class Before:
    """What a file of answers held when it was opened.

    Args:
        names: of the photos, as its lines have them.
        broken: how many of these could not be read.
    """

    names: frozenset[str] = frozenset()
    broken: int = 0


@contextmanager
def writing(
    path: Path, lines: CsvLines | JsonLines, classes: Sequence[str], *, resume: bool
) -> Iterator[Before]:
    """Let lines go into a file, and yield what it has already.

    Each line is in the file before the next photo is looked at. What an interruption left of a line
    is taken away when the file is opened again.

    Args:
        path: of the file.
        lines: what to write.
        classes: of the model; answers that are there must be about the same.
        resume: go on with a file that is there.

    Raises:
        UsageError: the file is there and not to be gone on with, something else wrote it, or
            another process does.
    """
    if path.exists() and not resume:
        raise UsageError(f"{path} is there already; go on with --resume, or give another --out")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no plain file; give another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors=ERRORS, newline="") as file:
        _lock(path, file)
        with path.open("rb") as whole:
            before, end = _read(path, whole, lines, tuple(classes))
        file.truncate(end)

        def write(line: str) -> None:
            file.write(line)
            file.flush()

        if not end:
            write(lines.first_line)
        lines.write = write
        yield before


def _lock(path: Path, file: IO[str]) -> None:
    """Be the only process that writes to it, where the system can tell; leaves no lock file."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(f"{path}: another process writes to it; give another --out") from error


def _read(
    path: Path, file: BinaryIO, lines: CsvLines | JsonLines, classes: tuple[str, ...]
) -> tuple[Before, int]:
    """What all whole records say, and where the last of these ends."""
    names, broken, end = set(), 0, 0
    is_csv = isinstance(lines, CsvLines)
    for record in _records(file, quoted=is_csv):
        text = record.decode("utf-8", ERRORS)
        if is_csv and not end:
            if text != lines.first_line:
                raise UsageError(
                    f"{path}: has other columns than this run would write; give the model and "
                    "options that it was begun with, or another --out"
                )
            columns = next(csv.reader([text]))
        else:
            if is_csv:
                row = dict(zip(columns, next(csv.reader([text])), strict=False))
            else:
                row = _json_row(path, text, classes)
            names.add(row["path"])
            broken += bool(row.get("error"))
        end += len(record)
    if not end:
        file.seek(0)
        _check_begun(path, file.read(LONGEST_BEGIN), lines)
    return Before(frozenset(names), broken), end


def _check_begun(path: Path, begun: bytes, lines: CsvLines | JsonLines) -> None:
    """Make sure that what is taken away, of a file without a whole line, is of such a line."""
    if isinstance(lines, CsvLines):
        is_ours = lines.first_line.encode("utf-8", ERRORS).startswith(begun)
    else:
        is_ours = begun[: len(JSON_BEGIN)] == JSON_BEGIN[: len(begun)]
    if not is_ours:
        raise UsageError(f"{path}: not a file of answers; give another --out")


def _records(file: BinaryIO, *, quoted: bool) -> Iterator[bytes]:
    """Whole lines; in CSV a name may hold a newline, between quotes."""
    record = b""
    for line in file:
        record += line
        if line.endswith(b"\n") and not (quoted and record.count(b'"') % 2):
            yield record
            record = b""


def _json_row(path: Path, line: str, classes: tuple[str, ...]) -> dict[str, Any]:
    try:
        row: dict[str, Any] = json.loads(line)
        probs, _ = row.get("probs"), row["path"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path}: not a file of answers; give another --out") from error
    if probs is not None and tuple(probs) != classes:
        raise UsageError(
            f"{path}: its answers have other classes; give the model that it was begun with, or "
            "another --out"
        )
    return row
