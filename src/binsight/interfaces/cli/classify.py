"""``binsight classify``: photos and folders in; a table, JSON lines, CSV or sorted copies out.

A long run writes to a file (``--out``), and goes on with it after an interruption (``--resume``).
"""

from __future__ import annotations

import codecs
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, islice, tee
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from binsight.bins import Bins
from binsight.errors import ImageError, UsageError
from binsight.interfaces.deciding import bins_for, decided
from binsight.runtime import Classifier

from .answers_file import Before, writing
from .classified import Classified, CsvLines, JsonLines, Lines
from .models import BinsOption, ModelOption
from .photo_paths import count, nothing_found, photo_paths
from .progress import reporting
from .sorting import Sorter
from .table import Table
from .terminal import interrupted, printable, stdout_columns

LOOK_AHEAD = 1000  # paths that the table's first column is made for


def classify(
    # One that may not be read is told of in its place.
    photos: Annotated[
        list[Path] | None, typer.Argument(help="Photos, and folders of them.", readable=False)
    ] = None,
    model: ModelOption = None,
    bins: BinsOption = None,
    top: Annotated[
        int | None, typer.Option(metavar="N", help="Show the N most probable classes.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
    copy_to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Put copies into a folder in DIR for each answer."),
    ] = None,
    files_from: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also photos named in FILE, one a line; - is stdin."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JSON lines or CSV to FILE.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with FILE: leave out photos that it has.")
    ] = False,
) -> None:
    """Say what photos show."""
    _check_options(top, as_json=as_json, as_csv=as_csv)
    _check_files(out, resume=resume, is_table=not (as_json or as_csv))
    if not photos and files_from is None:
        raise UsageError("name photos or folders of them, or a file that names them: --files-from")
    given = photos or []
    classifier = Classifier(model)
    rules = bins_for(classifier, bins)
    sorter = _sorter(copy_to, classifier, rules, given) if copy_to else None
    unlisted: list[OSError] = []
    with ExitStack() as opened:
        named = opened.enter_context(_named(files_from))
        found = chain(photo_paths(given, problem=unlisted.append), named)
        is_table = not (as_json or as_csv)
        first, paths = _peeked(found, LOOK_AHEAD if is_table else 1)
        if not first:
            raise UsageError(nothing_found([*given, *filter(None, [files_from])], unlisted))
        lines = JsonLines(top) if as_json else CsvLines(classifier.classes, copies=bool(copy_to))
        show: Lines = lines
        if is_table:
            show = Table(first, classifier.classes, bins=rules, top=top)
        before = Before()
        if out:
            before = opened.enter_context(writing(out, lines, classifier.classes, resume=resume))
            paths = (one for one in paths if lines.name(one) not in before.names)
        else:
            show.head()
        opened.enter_context(_ending(again=bool(out)))
        rows = _classified(paths, classifier, rules, sorter)
        report = opened.enter_context(_progress(None if files_from else given, seen=not out))
        broken, total = _show_all(rows, show, lambda done: report(len(before.names) + done))
    if before.names:
        typer.echo(f"{len(before.names):,} photos were answered before", err=True)
    broken, total = broken + before.broken, total + len(before.names)
    for error in unlisted:
        typer.secho(f"{printable(error.filename)}: {error.strerror}", fg="red", err=True)
    if broken:
        typer.secho(f"{broken} of {total} photos could not be read", fg="red", err=True)
    if broken or unlisted:
        raise typer.Exit(1)


def _check_files(out: Path | None, *, resume: bool, is_table: bool) -> None:
    if resume and out is None:
        raise UsageError("--resume goes on with a file; name it: --out FILE")
    if out is not None and is_table:
        raise UsageError("--out takes lines for programs; give --json or --csv as well")


def _check_options(top: int | None, *, as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other; give one")
    if top is not None and top < 1:
        raise UsageError(f"--top {top}; give 1 or more")
    if top is not None and as_csv:
        raise UsageError("--csv has a column for every class already; leave out --top")


def _sorter(
    folder: Path, classifier: Classifier, rules: Bins | None, photos: Sequence[Path]
) -> Sorter:
    if rules is None:
        return Sorter(folder, classifier.classes, undecided="not-sure", sources=photos)
    names = [one.name for one in rules.bins]
    return Sorter(folder, names, undecided="ask-a-person", sources=photos)


def _peeked(paths: Iterator[Path], number: int) -> tuple[list[Path], Iterator[Path]]:
    """The first of the paths, and all of them."""
    first = list(islice(paths, number))
    return first, chain(first, paths)


def _classified(
    paths: Iterator[Path], classifier: Classifier, rules: Bins | None, sorter: Sorter | None
) -> Iterator[Classified]:
    """Classify, decide and copy; only the paths of one batch are held."""
    shown, given = tee(paths)
    for path, answer in zip(shown, classifier.classify_each(given), strict=True):
        if isinstance(answer, ImageError):
            yield Classified(path, answer)
            continue
        name = answer.label if answer.sure else None
        if decision := decided(classifier, rules, answer):
            name = decision.bin.name if decision.bin else None
        try:
            copy = sorter.copy(path, name) if sorter else None
        except ImageError as error:
            yield Classified(path, error)
            continue
        yield Classified(path, answer, decision, copy)


def _show_all(
    rows: Iterator[Classified], show: Lines, report: Callable[[int], None]
) -> tuple[int, int]:
    """Print rows as they come, and count those with an error, and all."""
    broken = total = 0
    for one in rows:
        show.row(one)
        total += 1
        broken += bool(one.error)
        report(total)
    return broken, total


@contextmanager
def _progress(photos: Sequence[Path] | None, *, seen: bool) -> Iterator[Callable[[int], None]]:
    """Report on stderr, unless the rows themselves are seen on a terminal.

    Args:
        photos: that are named; ``None`` where nobody knows how many there are.
        seen: whether rows go to stdout.
    """
    if seen and stdout_columns():
        yield lambda _: None
        return
    # In a log, the number done will do.
    total = count(photos) if photos and sys.stderr.isatty() else None
    with reporting("classifying") as report:
        yield lambda done: report(done, total)


@contextmanager
def _named(file: Path | None) -> Iterator[Iterator[Path]]:
    """Paths that stand in a file, a line each; ``-`` is stdin."""
    if file is None:
        yield iter(())
    elif str(file) == "-":
        yield _lines(sys.stdin.buffer)
    else:
        with file.open("rb") as opened:
            yield _lines(opened)


def _lines(file: BinaryIO) -> Iterator[Path]:
    for number, line in enumerate(file):
        # As Windows' Notepad and PowerShell leave it.
        name = line.removeprefix(codecs.BOM_UTF8 if number == 0 else b"").rstrip(b"\r\n")
        if name:
            yield Path(os.fsdecode(name))


@contextmanager
def _ending(*, again: bool) -> Iterator[None]:
    """Let SIGTERM end it as Ctrl-C does, so that no half a copy stays behind; say how to go on."""
    try:
        with _terminable():
            yield
    except KeyboardInterrupt:
        if not again:
            raise
        interrupted("the same command and --resume")


@contextmanager
def _terminable() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)
