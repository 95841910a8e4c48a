"""Progress of long work: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["reporting"]

Report = Callable[[int, int | None], None]
SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def reporting(what: str, *, unit: str = "photos") -> Iterator[Report]:
    """Yield a function to call with (done, total); everything goes to stderr."""
    if sys.stderr.isatty():
        with _bar(what) as report:
            yield report
    else:
        yield _lines(what, unit)


@contextmanager
def _bar(what: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import Progress

    # Rich would send what is meant for stdout, perhaps a file, to the bar's console.
    console = Console(stderr=True)
    with Progress(console=console, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _lines(what: str, unit: str) -> Report:
    last = time.monotonic()

    def report(done: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            of_all = f" of {total:,}" if total else ""
            sys.stderr.write(f"{what}: {done:,}{of_all} {unit}\n")

    return report
