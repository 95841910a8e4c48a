"""What people said where the model was wrong: photos in class folders, and a log of who said what.

    FOLDER/glass/3f79bb7b435b0532.jpg
    FOLDER/corrections.jsonl            one correction a line, the oldest first

The folder is one that training takes as it is. Any number of processes may add to it at once. It
knows photos and files; models only by the digest of their bundle.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Protocol

from filelock import FileLock, Timeout
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from .errors import CorrectionError
from .files import replacing
from .images import decode, read_file, usual_suffix

__all__ = ["LOG_NAME", "Correction", "Predicted", "Said", "add_correction", "read_corrections"]

LOG_NAME = "corrections.jsonl"
LOCK_NAME = ".corrections.lock"
LOCK_SECONDS = 30.0
LONGEST_LABEL = 60  # letters; file systems allow 255 bytes
DIGITS = 16  # of the SHA-256 in a photo's name; with 64 bits no two photos meet
FORBIDDEN = re.compile(r'[<>:"/\\|?*]')  # somewhere, in the name of a folder

Frozen = ConfigDict(frozen=True, allow_inf_nan=False)
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

logger = logging.getLogger(__name__)


class Predicted(Protocol):
    """What is kept of a prediction; `runtime.Prediction` is one."""

    @property
    def label(self) -> str:
        """The most probable class."""

    @property
    def confidence(self) -> float:
        """Its calibrated probability, 0 to 1."""

    @property
    def sure(self) -> bool:
        """Whether the model would stand by it."""


class Said(BaseModel):
    """What the model said; see `Predicted`."""

    model_config = Frozen

    label: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    sure: bool


class Correction(BaseModel):
    """One line of the log.

    Args:
        time: when it was said, UTC.
        file: where the photo was put, relative to the folder, with ``/``. A later correction of
            the same photo moves it.
        sha256: of the photo's bytes.
        model: digest of the bundle that was corrected.
        said: by the model.
        person: the label that a person gave.
    """

    model_config = Frozen

    time: AwareDatetime
    file: str
    sha256: Sha256
    model: str
    said: Said
    person: str


def add_correction(
    folder: Path, photo: bytes | Path, *, label: str, prediction: Predicted, model_digest: str
) -> Path:
    """Keep a photo under the label that a person gave, and write down what the model had said.

    The same photo with another label moves; with the same label nothing is added, so a call that
    may have failed can be made again.

    Args:
        folder: of the corrections; made if it is not there.
        photo: encoded bytes, or a file that is copied.
        label: a class name that can name a folder.
        prediction: the model's answer for the photo.
        model_digest: of the bundle (`Classifier.digest`).

    Returns:
        Where the photo lies.

    Raises:
        ImageError: it cannot be decoded; nothing is written.
        CorrectionError: the label cannot name a folder, or the folder cannot be written to.
    """
    label = _folder_name(label)
    data = photo if isinstance(photo, bytes) else read_file(photo)
    decode(data, name=None if isinstance(photo, bytes) else str(photo))
    sha256 = hashlib.sha256(data).hexdigest()
    path = folder / label / f"{sha256[:DIGITS]}{usual_suffix(data)}"
    correction = Correction(
        time=datetime.now(UTC),
        file=path.relative_to(folder).as_posix(),
        sha256=sha256,
        model=model_digest,
        said=Said(
            label=prediction.label,
            confidence=float(prediction.confidence),
            sure=bool(prediction.sure),
        ),
        person=label,
    )
    with _writing_to(folder):
        _keep(folder, path, data, correction)
    return path


def read_corrections(folder: Path) -> list[Correction]:
    """All corrections, the oldest first; of several for one photo the last one counts.

    A line that is not whole, as a power cut leaves it, is skipped with a logged warning.

    Raises:
        CorrectionError: the log cannot be read.
    """
    log = folder / LOG_NAME
    try:
        data = log.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CorrectionError(f"{log}: {error.strerror}") from error
    return list(_parsed(log, data))


def _parsed(log: Path, data: bytes) -> Iterator[Correction]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield Correction.model_validate_json(line)
        except ValidationError:
            logger.warning("%s, line %d: not a whole correction; skipped", log, number)


def _folder_name(label: str) -> str:
    """The label as it names a folder on any system: one spelling, no surprises."""
    name = unicodedata.normalize("NFC", label)
    wrong = (
        not name
        or name != name.strip()
        or name.startswith(".")
        or name.endswith(".")
        or not name.isprintable()
        or FORBIDDEN.search(name)
        or name.casefold() == LOG_NAME
    )
    if wrong or len(name) > LONGEST_LABEL:
        raise CorrectionError(
            f"{label!r} cannot name a class; give 1 to {LONGEST_LABEL} letters that can name a "
            'folder, without a leading dot and without / \\ : * ? " < > |'
        )
    return name


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Be the only one, in this process or another, that writes to the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK_NAME, timeout=LOCK_SECONDS):
            yield
    except Timeout as error:
        raise CorrectionError(
            f"{folder}: another process has been writing for {LOCK_SECONDS:.0f} s; try again"
        ) from error
    except OSError as error:
        raise CorrectionError(f"{error.filename or folder}: {error.strerror or error}") from error


def _keep(folder: Path, path: Path, data: bytes, correction: Correction) -> None:
    """Note the correction, then put the photo in its place: no photo lies there unnoted."""
    if path.is_file():
        return
    log, line = folder / LOG_NAME, correction.model_dump_json().encode()
    before = next(folder.glob(f"*/{path.name}"), None)
    if before:
        path.parent.mkdir(exist_ok=True)
        _append(log, line)
        before.replace(path)
        return
    with replacing(path) as temporary:
        _write_through(temporary, data)
        _append(log, line)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _append(log: Path, line: bytes) -> None:
    """Add a line, on a fresh one if the last was torn; all of it or nothing."""
    with log.open("a+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        start = b"" if file.read(1) in {b"", b"\n"} else b"\n"
        try:
            file.write(start + line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise
