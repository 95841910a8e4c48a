"""``binsight classify``: photos and folders in; a table, JSON lines, CSV or sorted copies out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice, tee
from pathlib import Path
from typing import Annotated

import typer

from binsight.bins import Bins
from binsight.errors import ImageError, UsageError
from binsight.interfaces.deciding import bins_for, decided
from binsight.runtime import Classifier

from .classified import Classified, CsvLines, JsonLines, Lines
from .models import BinsOption, ModelOption
from .photo_paths import count, photo_paths
from .progress import reporting
from .sorting import Sorter
from .table import Table
from .terminal import printable, stdout_columns

LOOK_AHEAD = 1000  # paths that the table's first column is made for


def classify(
    # One that may not be read is told of in its place.
    photos: Annotated[
        list[Path], typer.Argument(help="Photos, and folders of them.", readable=False)
    ],
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
) -> None:
    """Say what photos show."""
    _check_options(top, as_json=as_json, as_csv=as_csv)
    classifier = Classifier(model)
    rules = bins_for(classifier, bins)
    sorter = _sorter(copy_to, classifier, rules, photos) if copy_to else None
    unlisted: list[OSError] = []
    first, paths = _peeked(photo_paths(photos, problem=unlisted.append))
    if not first:
        raise UsageError(nothing_found(photos, unlisted))
    show: Lines = Table(first, classifier.classes, bins=rules, top=top)
    if as_json:
        show = JsonLines(top)
    elif as_csv:
        show = CsvLines(classifier.classes, copies=copy_to is not None)
    broken, total = _show_all(_classified(paths, classifier, rules, sorter), show, photos)
    for error in unlisted:
        typer.secho(f"{printable(error.filename)}: {error.strerror}", fg="red", err=True)
    if broken and isinstance(show, Table):
        typer.secho(f"{broken} of {total} photos could not be read", fg="red", err=True)
    if broken or unlisted:
        raise typer.Exit(1)


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


def _peeked(paths: Iterator[Path]) -> tuple[list[Path], Iterator[Path]]:
    """The first of the paths, and all of them."""
    first = list(islice(paths, LOOK_AHEAD))
    return first, chain(first, paths)


def nothing_found(photos: Sequence[Path], unlisted: Sequence[OSError]) -> str:
    """Say why no photo was found: a folder that cannot be listed, or that holds none."""
    if unlisted:
        return f"{unlisted[0].filename}: {unlisted[0].strerror}"
    return f"no photos in {', '.join(map(str, photos))}"


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


def _show_all(rows: Iterator[Classified], show: Lines, photos: Sequence[Path]) -> tuple[int, int]:
    """Print rows as they come, and count those with an error, and all."""
    broken = total = 0
    with _progress(photos) as report:
        show.head()
        for one in rows:
            show.row(one)
            total += 1
            broken += bool(one.error)
            report(total)
    return broken, total


@contextmanager
def _progress(photos: Sequence[Path]) -> Iterator[Callable[[int], None]]:
    """Report on stderr, unless the rows themselves appear on a terminal."""
    if stdout_columns():
        yield lambda _: None
        return
    total = count(photos) if sys.stderr.isatty() else None  # in a log, the number done will do
    with reporting("classifying") as report:
        yield lambda done: report(done, total)
