"""A public data set becomes a folder of photos, one subfolder per class.

Sources are named Kaggle sets and plain addresses of archives. How bytes travel is `transfer`'s,
how an archive is opened `unpack`'s; whether the photos are any good is found out by the catalog.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from binsight.errors import CatalogError, DataError, DownloadError, MissingExtraError, UsageError

from .transfer import DEFAULT_RETRIES, Progress, Retries, download
from .unpack import DEFAULT_UNPACK_LIMITS, UnpackLimits, is_photo, unpack_photos

__all__ = ["KAGGLE_SETS", "FetchResult", "fetch"]

KAGGLE_SETS = {"trashnet": "asdasdasasdas/garbage-classification"}


@dataclass(frozen=True, kw_only=True)
class FetchResult:
    """What `fetch` brought.

    Args:
        folder: holds one subfolder per class.
        classes: number of photos by class name, in the order of the names.
        ignored: files of the source that are not photos, or lie outside the class folders.
        example: one of these that is a photo; empty if none is.
    """

    folder: Path
    classes: dict[str, int]
    ignored: int
    example: str = ""

    @property
    def photos(self) -> int:
        """Number of photos in all classes."""
        return sum(self.classes.values())


def fetch(
    source: str,
    out: Path,
    *,
    sha256: str | None = None,
    progress: Progress | None = None,
    retries: Retries = DEFAULT_RETRIES,
    limits: UnpackLimits = DEFAULT_UNPACK_LIMITS,
) -> FetchResult:
    """Bring a data set to ``out``, which appears whole or not at all.

    A transfer that was cut off stays in ``.<out name>.partial`` beside ``out``; the same call
    resumes it.

    Args:
        source: a name in `KAGGLE_SETS`, or the http(s) address of a .zip, .tar or .tar.gz whose
            photos lie in one folder per class, at any depth.
        out: a folder that does not exist or is empty.
        sha256: checksum of the archive, for an address only.
        progress: told of each piece that arrives, for an address only.
        retries: how stubborn the transfer is.
        limits: what the archive may grow to.

    Raises:
        UsageError: unknown source, malformed checksum, or ``out`` is in the way.
        DownloadError: nothing came, it did not match, or it is not safe to unpack.
        CatalogError: no class folders inside, or several sets of them.
        MissingExtraError: the package for this kind of source is not installed.
    """
    _check_source(source, sha256)
    out = _free_folder(out)
    work = out.with_name(f".{out.name}.partial")
    try:
        if source in KAGGLE_SETS:
            return _from_kaggle(source, work, out)
        archive = download(source, work, sha256=sha256, progress=progress, retries=retries)
        return _from_archive(archive, work, out, limits)
    except OSError as error:
        raise DownloadError(f"{error.filename or out}: {error.strerror or error}") from error
    finally:
        _tidy(work)


def _check_source(source: str, sha256: str | None) -> None:
    if source in KAGGLE_SETS:
        if sha256 is not None:
            raise UsageError(f"{source} takes no checksum; leave it out or give an address")
        return
    if not _is_web_address(source):
        raise UsageError(
            f"cannot fetch {source!r}; give {', '.join(KAGGLE_SETS)} or the http(s) address of a "
            ".zip, .tar or .tar.gz"
        )
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"{sha256!r} is not a SHA-256 checksum; give 64 hexadecimal digits")


def _is_web_address(source: str) -> bool:
    try:
        parts = urlsplit(source)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


def _free_folder(out: Path) -> Path:
    """The absolute path of ``out``, which a finished folder can take by one rename."""
    out = out.resolve()
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; give another folder")
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; give another folder or empty it")
    if out == Path.cwd() or os.path.ismount(out):
        raise UsageError(f"{out} cannot be replaced; give a folder inside it")
    return out


def _from_kaggle(source: str, work: Path, out: Path) -> FetchResult:
    folder = _kaggle_folder(KAGGLE_SETS[source])
    # kagglehub's folder is its cache: copy, so that nothing done to the photos reaches it.
    return _publish(folder, work, out, shutil.copyfile)


def _kaggle_folder(handle: str) -> Path:
    # kagglehub writes to stdout, where a command's answer belongs.
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        try:
            import kagglehub
        except ImportError as error:
            raise MissingExtraError("kagglehub", "data") from error
        try:
            return Path(kagglehub.dataset_download(handle))
        # Its errors share no base: requests', its own, ValueError for a broken kaggle.json.
        except Exception as error:
            raise DownloadError(
                f"Kaggle did not hand out {handle} ({_kaggle_reason(error)}); check the network, "
                "set KAGGLE_API_TOKEN or ~/.kaggle/kaggle.json, or download it by hand from "
                f"https://www.kaggle.com/datasets/{handle} and unpack it yourself"
            ) from error


def _kaggle_reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"HTTP {status}"
    words = " ".join(str(error).split())
    name = type(error).__name__
    return f"{name}: {words[:97]}..." if len(words) > 100 else f"{name}: {words}".rstrip(": ")


def _from_archive(archive: Path, work: Path, out: Path, limits: UnpackLimits) -> FetchResult:
    unpacked = _emptied(work / "unpacked")
    try:
        left_out = unpack_photos(archive, unpacked, limits=limits)
        return _publish(unpacked, work, out, shutil.move, left_out)
    except CatalogError as error:  # others can make something of it
        raise CatalogError(f"{error}; the archive is kept: {archive}") from error
    except DataError:
        archive.unlink()  # to resume it would fail again
        raise


def _publish(
    folder: Path,
    work: Path,
    out: Path,
    place: Callable[[Path, Path], object],
    left_out: int = 0,
) -> FetchResult:
    """Lay the photos of ``folder`` out in class folders, and make them ``out`` in one step."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    photos = [path for path in files if is_photo(path.relative_to(folder))]
    root = _class_root(folder, photos)
    chosen = [path for path in photos if root in path.parent.parents]
    others = [path for path in photos if root not in path.parent.parents]
    built = _emptied(work / "photos")
    for path in chosen:
        target = built / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        place(path, target)
    if out.exists():
        out.rmdir()  # Windows does not rename onto a folder, not even an empty one
    built.rename(out)
    (work / "download").unlink(missing_ok=True)
    classes = dict(sorted(Counter(path.relative_to(root).parts[0] for path in chosen).items()))
    return FetchResult(
        folder=out,
        classes=classes,
        ignored=left_out + len(files) - len(chosen),
        example=others[0].relative_to(folder).as_posix() if others else "",
    )


def _class_root(folder: Path, photos: list[Path]) -> Path:
    """The one folder whose subfolders, two or more, directly hold photos."""
    found = Counter(path.parent for path in {photo.parent for photo in photos})
    roots = sorted(root for root, count in found.items() if count >= 2)
    if not roots:
        raise CatalogError(
            "no class folders inside: photos must lie in one folder per class, of at least two"
        )
    if len(roots) > 1:
        places = ", ".join(repr(str(root.relative_to(folder))) for root in roots[:4])
        raise CatalogError(
            f"class folders in more than one place ({places}); unpack it yourself and keep one"
        )
    return roots[0]


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _tidy(work: Path) -> None:
    """Keep only bytes that a next call can resume."""
    shutil.rmtree(work / "unpacked", ignore_errors=True)
    shutil.rmtree(work / "photos", ignore_errors=True)
    download = work / "download"
    if not (download.exists() and download.stat().st_size):
        shutil.rmtree(work, ignore_errors=True)
