"""One thing that was seen, as one line of JSON."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from binsight.bins import Decision
from binsight.errors import ImageError
from binsight.runtime import Prediction

__all__ = ["Event", "new_id", "photo_id"]

PHOTOS = uuid.UUID("9d0f3c5e-41f8-5c0b-8a8b-6f2a5d1e7c30")  # the namespace of `photo_id`


def new_id() -> str:
    """An id that no other event has."""
    return str(uuid.uuid4())


def photo_id(path: Path, data: bytes) -> str:
    """The id of a file's event: the same whenever that photo is seen in that place."""
    # A name may be of bytes that are no text.
    name = os.fsencode(path.absolute()).decode("utf-8", "backslashreplace")
    place = uuid.uuid5(PHOTOS, name)
    return str(uuid.uuid5(place, hashlib.sha256(data).hexdigest()))


@dataclass(frozen=True, kw_only=True)
class Event:
    """What was seen, and when.

    Args:
        source: where, without passwords.
        model: digest of the bundle.
        answer: what the model said, or why the photo could not be read.
        decision: the bin, if bins were given.
        picture: where the photo lies, if it was kept.
        at_s: seconds into a video file.
        id: the same for each delivery of this event.
        time: when it was answered, UTC.
    """

    source: str
    model: str
    answer: Prediction | ImageError
    decision: Decision | None = None
    picture: Path | None = None
    at_s: float | None = None
    id: str = field(default_factory=new_id)
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def sure(self) -> bool:
        """Whether the photo was read and the model stands by its answer."""
        return isinstance(self.answer, Prediction) and self.answer.sure

    def to_json(self) -> str:
        """One line; times are ISO 8601 in UTC with milliseconds."""
        values: dict[str, object] = {
            "id": self.id,
            "time": self.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "source": self.source,
        }
        if self.at_s is not None:
            values["at_s"] = round(self.at_s, 3)
        if isinstance(self.answer, ImageError):
            values["error"] = str(self.answer)
        else:
            values |= self.answer.to_dict()
        if self.decision:
            values["bin"] = self.decision.to_dict()
        values["model"] = self.model
        values["picture"] = None if self.picture is None else str(self.picture)
        return json.dumps(values)
