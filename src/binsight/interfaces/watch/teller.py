"""From a picture to an event that is kept, printed and sent, in this order."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from binsight.bins import Bins, Decision
from binsight.errors import ImageError, UsageError
from binsight.files import replacing
from binsight.images import read_file
from binsight.interfaces.deciding import decided
from binsight.runtime import Classifier, Prediction

from .event import Event, new_id, photo_id

__all__ = ["Teller"]

QUALITY = 92  # of JPEGs; the model's answer stays the same
LONGEST = 60  # letters of a file's name that are kept; file systems allow 255 bytes


@dataclass(kw_only=True)
class Teller:
    """Answers, and tells everybody.

    Args:
        classifier: answers.
        source: name of what is watched.
        tell: given each event once, in order.
        bins: say which bin.
        pictures: folder for the picture of each event.
        unsure: folder for those that the model was not sure of.
        counts: events by "sure", "not sure" and "error".
    """

    classifier: Classifier
    source: str
    tell: Callable[[Event], None]
    bins: Bins | None = None
    pictures: Path | None = None
    unsure: Path | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def picture(self, rgb_hwc_u8: NDArray[np.uint8], *, at_s: float | None) -> None:
        """Tell of a picture of a view.

        Args:
            rgb_hwc_u8: (H, W, 3).
            at_s: seconds into a video file.
        """
        answer = self.classifier.classify(rgb_hwc_u8)
        event_id, now = new_id(), datetime.now(UTC)
        name = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{event_id[:8]}.jpg"
        kept = None
        for folder in self._folders(answer):
            kept = _save(rgb_hwc_u8, folder / name)
        self._tell(answer, event_id=event_id, picture=kept, at_s=at_s, time=now)

    def photo(self, path: Path, *, retry: Callable[[Path], bool]) -> None:
        """Tell of a file.

        Args:
            path: of the photo; it stays where it is.
            retry: whether one that cannot be read will come again, so that nothing is told yet.
        """
        data = b""
        try:
            data = read_file(path)
            answer: Prediction | ImageError = self.classifier.classify(data)
        except ImageError as error:
            if retry(path) or not path.exists():
                return
            answer = type(error)(error.reason, str(path))
        if self.unsure is not None and isinstance(answer, Prediction) and not answer.sure:
            # Cameras begin to count anew, and several have the same names.
            digest = hashlib.sha256(data).hexdigest()
            _keep(data, self.unsure / f"{path.stem[:LONGEST]}-{digest[:8]}{path.suffix}")
        self._tell(answer, event_id=photo_id(path, data), picture=path)

    def _folders(self, answer: Prediction) -> list[Path]:
        """Where to keep a picture; the event names the last."""
        unsure = None if answer.sure else self.unsure
        return [folder for folder in (unsure, self.pictures) if folder is not None]

    def _tell(
        self,
        answer: Prediction | ImageError,
        *,
        event_id: str,
        picture: Path | None,
        at_s: float | None = None,
        time: datetime | None = None,
    ) -> None:
        event = Event(
            id=event_id,
            time=time or datetime.now(UTC),
            source=self.source,
            model=self.classifier.digest,
            answer=answer,
            decision=self._decision(answer),
            picture=picture,
            at_s=at_s,
        )
        self.tell(event)
        error = isinstance(answer, ImageError)
        self.counts["error" if error else "sure" if event.sure else "not sure"] += 1

    def _decision(self, answer: Prediction | ImageError) -> Decision | None:
        if isinstance(answer, ImageError):
            return None
        return decided(self.classifier, self.bins, answer)


def _save(rgb_hwc_u8: NDArray[np.uint8], path: Path) -> Path:
    with _making_room(path) as temporary:
        Image.fromarray(rgb_hwc_u8).save(temporary, format="JPEG", quality=QUALITY)
    return path


def _keep(data: bytes, path: Path) -> None:
    """What was answered: by now its file may be another one, or gone."""
    with _making_room(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def _making_room(path: Path) -> Iterator[Path]:
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise UsageError(f"{path.parent}: {error.strerror or error}; make room there") from error
