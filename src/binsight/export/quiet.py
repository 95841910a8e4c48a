"""Converters talk a lot, from Python and from C++; here they are heard only where they fail."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import IO

from binsight.errors import BinsightError, ConversionError

__all__ = ["converting"]

LONGEST = 200  # characters of a converter's complaint


@contextlib.contextmanager
def converting(what: str) -> Iterator[None]:
    """Keep everything that is printed inside the block off the terminal, by any means.

    Args:
        what: is made, for the message, such as ``a.tflite``.

    Raises:
        ConversionError: something inside failed with an error that is not one of ours.
        ImportError: as it is, so that a missing package can be named.
    """
    try:
        with tempfile.TemporaryFile() as sink, _silenced(sink), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (BinsightError, ImportError):
        raise
    # Each converter has errors of its own, and compilers beneath them more.
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = lines[0][:LONGEST] if lines else type(error).__name__
        raise ConversionError(f"{what}: the converter failed ({reason})") from error


@contextlib.contextmanager
def _silenced(sink: IO[bytes]) -> Iterator[None]:
    """Lead the file descriptors of stdout and stderr elsewhere, and Python's streams too."""
    kept = {number: os.dup(number) for number in (1, 2)}
    text = os.fdopen(os.dup(sink.fileno()), "w", encoding="utf-8", errors="replace")
    try:
        _flush()
        for number in kept:
            os.dup2(sink.fileno(), number)
        with text, contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            yield
    finally:
        _flush()
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError):  # closed
            stream.flush()
