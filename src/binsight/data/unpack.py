"""The photos out of a .zip or .tar archive of unknown origin, and nothing else.

Members are only ever read, and their bytes written to regular files that are opened here: no
links, owners, modes or devices come into being. What the folders mean is left to `fetch`.
"""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import IO, Literal, TypeAlias

from binsight.errors import BinsightError, DownloadError
from binsight.images import PHOTO_SUFFIXES

__all__ = ["DEFAULT_UNPACK_LIMITS", "UnpackLimits", "is_photo", "unpack_photos"]

PADDING_MIB = 64
_Kind: TypeAlias = Literal["file", "folder", "other"]


@dataclass(frozen=True, kw_only=True)
class UnpackLimits:
    """What an archive may grow to; members that are not photos count too.

    Args:
        max_bytes: all members together, uncompressed.
        max_files: members, folders included.
    """

    max_bytes: int = 50 * 1000**3
    max_files: int = 1_000_000


DEFAULT_UNPACK_LIMITS = UnpackLimits()


@dataclass(frozen=True)
class _Member:
    name: str
    size_bytes: int
    kind: _Kind
    reader: Callable[[], IO[bytes] | None]


def is_photo(path: PurePath) -> bool:
    """Whether a relative path is named like a photo and not hidden, as macOS's shadow files are."""
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.suffix.lower() in PHOTO_SUFFIXES


def unpack_photos(
    archive: Path, folder: Path, *, limits: UnpackLimits = DEFAULT_UNPACK_LIMITS
) -> int:
    """Write the photos of an archive below ``folder`` and return how many files were left out.

    Raises:
        DownloadError: not an archive, broken, over the limits, or with a member that is a link, a
            device, named twice, or would land outside ``folder``. Part of it may be written then.
    """
    try:
        return _unpack(archive, folder, limits)
    except BinsightError:
        raise
    # zipfile, tarfile and their decompressors raise nearly anything on broken input.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the archive
            raise
        raise DownloadError(f"the archive is broken ({error}); download it again") from error


def _unpack(archive: Path, folder: Path, limits: UnpackLimits) -> int:
    total_bytes = left_out = 0
    for count, member in enumerate(_members(archive), start=1):
        # Both readers stop at the size a member declares, so the declared sizes can be trusted.
        total_bytes += member.size_bytes
        _check_limits(count, total_bytes, limits)
        path = _safe_path(member)
        if member.kind == "folder":
            continue
        if is_photo(path):
            _write(member, folder / path)
        else:
            left_out += 1
    return left_out


def _members(archive: Path) -> Iterator[_Member]:
    # tar first: a tar whose last member is a zip also passes for a zip.
    if tarfile.is_tarfile(archive):
        return _tar_members(archive)
    if zipfile.is_zipfile(archive):
        return _zip_members(archive)
    raise DownloadError(
        "what came is not a .zip or .tar archive; give the direct address of the file, "
        "not of a page about it"
    )


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as tar:
        for info in tar:
            kind: _Kind = "file" if info.isreg() else "folder" if info.isdir() else "other"
            if info.size < 0:  # would lower the sum, and lead tarfile in circles
                raise DownloadError(f"the archive holds {info.name!r} of negative size; refused")
            yield _Member(info.name, info.size, kind, partial(tar.extractfile, info))
        _read_to_end(tar)


def _read_to_end(tar: tarfile.TarFile) -> None:
    """Reach the checksum of a compressed stream, which lies behind tar's own padding."""
    assert tar.fileobj is not None
    for _ in range(PADDING_MIB):
        if not tar.fileobj.read(1 << 20):
            return
    raise DownloadError("the archive goes on long after its last file; refused")


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as zip_file:
        for info in zip_file.infolist():
            yield _Member(
                info.filename, info.file_size, _zip_kind(info), partial(zip_file.open, info)
            )


def _zip_kind(info: zipfile.ZipInfo) -> _Kind:
    # The upper half of the attributes is the Unix mode; 0 where another system packed.
    if stat.S_IFMT(info.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "other"
    return "folder" if info.is_dir() else "file"


def _check_limits(count: int, total_bytes: int, limits: UnpackLimits) -> None:
    if count > limits.max_files:
        raise DownloadError(f"the archive holds more than {limits.max_files:,} files; refused")
    if total_bytes > limits.max_bytes:
        raise DownloadError(f"the archive unpacks to over {limits.max_bytes:,} bytes; refused")


def _safe_path(member: _Member) -> PurePosixPath:
    """Path of a member below the folder it is unpacked into."""
    path = PureWindowsPath(member.name)  # reads both kinds of slash, and drive letters
    if path.drive or path.root or ".." in path.parts or "\0" in member.name:
        raise DownloadError(f"the archive holds {member.name!r}, which leads outside; refused")
    if member.kind == "other":
        raise DownloadError(f"the archive holds {member.name!r}, a link or device; refused")
    return PurePosixPath(*path.parts)


def _write(member: _Member, target: Path) -> None:
    if target.exists():
        raise DownloadError(f"the archive holds {member.name!r} twice; refused")
    target.parent.mkdir(parents=True, exist_ok=True)
    source = member.reader()
    assert source is not None, "only regular files are read"
    with source, target.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
