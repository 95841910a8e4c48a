"""A missing optional dependency becomes one line that says what to install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from binsight.errors import BinsightError, MissingExtraError

__all__ = ["needs_extra"]


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Turn a failed import inside the block into `MissingExtraError`."""
    try:
        yield
    except BinsightError:
        raise
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"", "binsight"}:
            raise
        raise MissingExtraError(package, extra) from error
