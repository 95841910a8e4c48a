"""Write a file whole or not at all, and read what a person wrote."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from .errors import BinsightError

__all__ = [
    "cache_folder",
    "check_writable",
    "creating",
    "drafting",
    "file_digest",
    "free_path",
    "is_same_file",
    "numbered",
    "read_toml",
    "replacing",
    "write_text",
]


LONGEST_SUFFIX = 16


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it onto ``path`` if the block succeeds.

    Through a link, what it points to is replaced.

    Raises:
        OSError: ``path`` is a folder, or a device or pipe, which a file would take the place of.
    """
    path = _checked_target(path)
    with _beside(path) as temporary:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)


@contextmanager
def creating(path: Path) -> Iterator[Path]:
    """Like `replacing`, but never onto anything.

    Raises:
        FileExistsError: something is there, be it that another process has just put it there.
    """
    with _beside(path) as temporary:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # no hard links, as on a memory card; so the name is held first
            path.open("xb").close()
            try:
                temporary.replace(path)
            except BaseException:
                path.unlink(missing_ok=True)
                raise


def _checked_target(path: Path) -> Path:
    """The file that a path means, through a link, if it is one or will be."""
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "Not a regular file", str(path))
    return path


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix if len(path.suffix) <= LONGEST_SUFFIX else ""  # names have an end
    handle, name = tempfile.mkstemp(prefix=".binsight-", suffix=suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def drafting(folder: Path) -> Iterator[Path]:
    """Yield a folder beside ``folder`` to fill; rename it onto that if the block succeeds.

    Args:
        folder: new or empty.
    """
    folder = folder.absolute()  # "." has no name
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        yield draft
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    if folder.exists():
        folder.rmdir()  # only POSIX renames onto an empty folder
    draft.replace(folder)


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in UTF-8 with Unix line ends."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def read_toml(path: Path, error: type[BinsightError]) -> dict[str, Any]:
    """Read what a person wrote; a byte order mark, as Windows' Notepad leaves, is passed over.

    Args:
        path: of the file.
        error: to raise, of the caller's kind.

    Raises:
        BinsightError: of that kind: the file cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as cause:
        raise error(f"{path}: {cause.strerror or cause}") from cause
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as cause:
        raise error(f"{path}: not a TOML file ({cause})") from cause


def numbered(stem: str, suffix: str = "") -> Iterator[str]:
    """A file's name, then the same with ever higher numbers, for when it is taken."""
    yield f"{stem}{suffix}"
    yield from (f"{stem}-{number}{suffix}" for number in count(2))


def free_path(folder: Path, stem: str, suffix: str) -> Path:
    """The first of a file's `numbered` names under which nothing is there."""
    return next(path for name in numbered(stem, suffix) if not (path := folder / name).exists())


def cache_folder() -> Path:
    """The user's folder for what can be made again."""
    from platformdirs import user_cache_path

    return user_cache_path("binsight", appauthor=False)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_same_file(one: Path, other: Path) -> bool:
    """Whether both are there and are one file, by whatever names."""
    return one.exists() and other.exists() and one.samefile(other)


def check_writable(path: Path) -> None:
    """Make sure that a file can be made at a path, before the work that it shall hold.

    Raises:
        OSError: it cannot, or something else than a file is there.
    """
    path = _checked_target(path)
    there = next(one for one in path.absolute().parents if one.exists())
    with tempfile.TemporaryFile(dir=there):
        pass
