"""One file over HTTP, to the last byte: tries again, resumes, checks the checksum.

What has arrived lies in ``folder/download``; beside it ``download.json`` remembers which version
of which file that was, so that the next call goes on where this one stopped. This module does not
know what is in the file (`fetch`).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from binsight.errors import DownloadError, MissingExtraError, UsageError
from binsight.files import file_digest

if TYPE_CHECKING:
    import httpx

__all__ = ["DEFAULT_RETRIES", "Progress", "Retries", "download"]

Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes in all, ``None`` where the server is silent.

The first number starts above zero when a transfer is resumed and falls when one starts anew.
"""

CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 30.0
LONGEST_WAIT_S = 60.0
PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How stubborn a transfer is.

    Args:
        attempts: failures in a row, without a new byte in between, that end the transfer.
        pause_s: wait after the first failure, in seconds; it doubles with each further one.
        sleep: what waits.
    """

    attempts: int = 5
    pause_s: float = 0.5
    sleep: Callable[[float], None] = time.sleep


DEFAULT_RETRIES = Retries()


class _TryAgainError(Exception):
    """This try failed; another may succeed, after ``after_s`` seconds at the earliest."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        self.after_s = after_s
        super().__init__(reason)


def download(
    url: str,
    folder: Path,
    *,
    sha256: str | None = None,
    progress: Progress | None = None,
    retries: Retries = DEFAULT_RETRIES,
) -> Path:
    """Bring the file at an http(s) address to ``folder/download`` and return that path.

    Connection failures and passing server errors are tried again. Bytes that an earlier call left
    in ``folder`` are kept if the server still has the same version of the file (RFC 9110, Range
    and If-Range).

    Args:
        url: address of the file; redirects are followed.
        folder: made where it is missing; belongs to this transfer alone.
        sha256: 64 hexadecimal digits the whole file must have.
        progress: see `Progress`.
        retries: see `Retries`.

    Raises:
        DownloadError: refused, given up, or another checksum (the file is then deleted).
        MissingExtraError: httpx is not installed.
        UsageError: the environment names a proxy that cannot be used.
    """
    with _client() as client:
        folder.mkdir(parents=True, exist_ok=True)
        partial = _Partial(url, folder)
        _persist(client, partial, progress or _silent, retries)
    _verify(partial, sha256)
    return partial.file


def _client() -> httpx.Client:
    try:
        import httpx
    except ImportError as error:
        raise MissingExtraError("httpx", "data") from error
    try:
        return httpx.Client(
            follow_redirects=True,
            timeout=httpx.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            # Compression on the way would make byte positions mean nothing.
            headers={"Accept-Encoding": "identity", "User-Agent": "binsight"},
        )
    # A scheme that httpx does not know, or SOCKS, which takes another package.
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise UsageError(f"the proxy set in the environment cannot be used: {error}") from error


def _silent(_done_bytes: int, _total_bytes: int | None) -> None:
    pass


class _Partial:
    """The bytes that are here, and what is known of the file they are the start of."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.file = folder / "download"
        self._note = folder / "download.json"
        # A digest, because an address may carry a password or a signature.
        self._url_sha256 = hashlib.sha256(url.encode()).hexdigest()
        self._known = self._read_note()
        if self._validator is None:
            self.clear()

    @property
    def size(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    @property
    def total(self) -> int | None:
        total = self._known.get("total_bytes")
        return total if isinstance(total, int) else None

    @property
    def _validator(self) -> str | None:
        validator = self._known.get("validator")
        return validator if isinstance(validator, str) else None

    @property
    def shown_url(self) -> str:
        """The address without user, password and query, for messages."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def clear(self) -> None:
        self.file.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self._known = {}

    def resume_headers(self) -> dict[str, str]:
        """Ask for the rest, or for everything if the server has another version by now."""
        if self._validator is None or not self.size:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self._validator}

    def start(self, headers: httpx.Headers) -> None:
        """Forget all bytes and remember what the server says of the file that comes now."""
        self.file.write_bytes(b"")
        length = headers.get("Content-Length", "")
        self._known = {
            "url_sha256": self._url_sha256,
            "validator": _validator(headers),
            "total_bytes": int(length) if length.isdecimal() else None,
        }
        self._note.write_text(json.dumps(self._known), encoding="utf-8")

    def is_continued_by(self, headers: httpx.Headers) -> bool:
        """Whether a partial answer starts where our bytes end and is of the same version."""
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
        if found is None or int(found[1]) != self.size:
            return False
        if self.total is not None and found[2] not in {"*", str(self.total)}:
            return False
        return _validator(headers) in {None, self._validator}

    def is_whole_by(self, headers: httpx.Headers) -> bool:
        """Whether a refused range says that our bytes are already the whole file."""
        return self.size > 0 and headers.get("Content-Range") == f"bytes */{self.size}"

    def _read_note(self) -> dict[str, Any]:
        try:
            known = json.loads(self._note.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # no note, or one that was cut off
            return {}
        ours = isinstance(known, dict) and known.get("url_sha256") == self._url_sha256
        return known if ours else {}


def _validator(headers: httpx.Headers) -> str | None:
    """What names this version byte by byte; a weak ETag does not (RFC 9110, 13.1.5)."""
    etag = headers.get("ETag", "")
    strong = etag.isascii() and not etag.startswith("W/")
    return (etag if strong else "") or headers.get("Last-Modified") or None


def _persist(client: httpx.Client, partial: _Partial, report: Progress, retries: Retries) -> None:
    most, failures = partial.size, 0
    while True:
        try:
            return _attempt(client, partial, report)
        except _TryAgainError as error:
            failures = 1 if partial.size > most else failures + 1
            most = max(most, partial.size)
            if failures >= retries.attempts:
                raise DownloadError(_given_up(partial, error, failures)) from error
            retries.sleep(max(error.after_s, retries.pause_s * 2 ** (failures - 1)))


def _given_up(partial: _Partial, error: _TryAgainError, failures: int) -> str:
    resumes = bool(partial.resume_headers())
    if not resumes:
        partial.clear()
    return (
        f"{partial.shown_url}: {error}, after {failures} tries; check the network and run the "
        f"same command again{', it resumes' if resumes else ''}"
    )


def _attempt(client: httpx.Client, partial: _Partial, report: Progress) -> None:
    import httpx

    try:
        with client.stream("GET", partial.url, headers=partial.resume_headers()) as response:
            if response.status_code == 416 and partial.is_whole_by(response.headers):
                return
            _begin(response, partial)
            _receive(response, partial, report)
    except (httpx.InvalidURL, httpx.TooManyRedirects, httpx.UnsupportedProtocol) as error:
        raise DownloadError(f"{partial.shown_url}: {error}; check the address") from error
    except httpx.TransportError as error:
        raise _TryAgainError(str(error) or type(error).__name__) from error


def _begin(response: httpx.Response, partial: _Partial) -> None:
    """Make the partial file fit the bytes that come next, or say why none do."""
    status = response.status_code
    if status == 200:
        partial.start(response.headers)
    elif status in PASSING_STATUSES:
        raise _TryAgainError(_answered(response), _retry_after_s(response.headers))
    elif status == 416 or (status == 206 and not partial.is_continued_by(response.headers)):
        partial.clear()
        raise _TryAgainError("the file has changed on the server")
    elif status != 206:
        raise DownloadError(f"{partial.shown_url}: {_answered(response)}; check the address")


def _answered(response: httpx.Response) -> str:
    return f"the server answered {response.status_code} {response.reason_phrase}".rstrip()


def _retry_after_s(headers: httpx.Headers) -> float:
    """Seconds the server asks for; its other form, a date, is left to the usual pause."""
    seconds = headers.get("Retry-After", "")
    return min(float(seconds), LONGEST_WAIT_S) if seconds.isdecimal() else 0.0


def _receive(response: httpx.Response, partial: _Partial, report: Progress) -> None:
    done, total = partial.size, partial.total
    with partial.file.open("ab") as file:
        for chunk in response.iter_raw():
            file.write(chunk)
            done += len(chunk)
            report(done, total)
    if total is not None and done != total:
        if done > total:
            partial.clear()
        raise _TryAgainError(f"the transfer ended after {done:,} of {total:,} bytes")


def _verify(partial: _Partial, sha256: str | None) -> None:
    if sha256 is None:
        return
    actual = file_digest(partial.file)
    if actual != sha256.lower():
        partial.clear()
        raise DownloadError(
            f"{partial.shown_url}: SHA-256 is {actual}, expected {sha256.lower()}; the file was "
            "deleted, check the address and the checksum"
        )
