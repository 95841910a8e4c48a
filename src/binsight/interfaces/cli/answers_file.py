"""Answers in a file that grows line by line, so that a run over millions of photos can go on."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from binsight.errors import UsageError

from .classified import CsvLines, JsonLines

__all__ = ["writing"]

ERRORS = "surrogateescape"  # names may be of bytes that are no text
JSON_BEGIN = b'{"path": "'
LONGEST_BEGIN = 1 << 20


@contextmanager
def writing(
    path: Path, lines: CsvLines | JsonLines, classes: Sequence[str], *, resume: bool
) -> Iterator[frozenset[str]]:
    """Let lines go into a file, and yield the names of the photos that it has already.

    Each line is in the file before the next photo is looked at. What an interruption left of a line
    is taken away when the file is opened again.

    Args:
        path: of the file.
        lines: what to write.
        classes: of the model, which must have answered before, too.
        resume: go on with a file that is there.

    Raises:
        UsageError: the file is there and not to be gone on with, or something else wrote it.
    """
    if path.exists() and not resume:
        raise UsageError(f"{path} is there already; go on with --resume, or give another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    known, end = frozenset[str](), 0
    if path.exists():
        with path.open("rb") as whole:
            known, end = _known(path, whole, lines, tuple(classes))
    with path.open("a", encoding="utf-8", errors=ERRORS, newline="") as file:
        file.truncate(end)

        def write(line: str) -> None:
            file.write(line)
            file.flush()

        if not end:
            write(lines.first_line)
        lines.write = write
        yield known


def _known(
    path: Path, file: BinaryIO, lines: CsvLines | JsonLines, classes: tuple[str, ...]
) -> tuple[frozenset[str], int]:
    """Names in all whole records, and where the last of these ends."""
    known, end = set(), 0
    is_csv = isinstance(lines, CsvLines)
    for record in _records(file, quoted=is_csv):
        text = record.decode("utf-8", ERRORS)
        if is_csv and not end:
            if text != lines.first_line:
                raise UsageError(
                    f"{path}: has other columns than this run would write; give the model and "
                    "options that it was begun with, or another --out"
                )
        elif is_csv:
            known.add(next(csv.reader([text]))[0])
        else:
            known.add(_named_in_json(path, text, classes))
        end += len(record)
    if not end:
        file.seek(0)
        _check_begun(path, file.read(LONGEST_BEGIN), lines)
    return frozenset(known), end


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


def _named_in_json(path: Path, line: str, classes: tuple[str, ...]) -> str:
    try:
        row = json.loads(line)
        name, probs = row["path"], row.get("probs")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path}: not a file of answers; give another --out") from error
    if probs is not None and tuple(probs) != classes:
        raise UsageError(
            f"{path}: its answers have other classes; give the model that it was begun with, or "
            "another --out"
        )
    return str(name)
