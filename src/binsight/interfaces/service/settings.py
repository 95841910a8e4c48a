"""What decides how the service behaves, in one place, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from binsight.cpus import available_cpus
from binsight.errors import UsageError
from binsight.images import ImageLimits

__all__ = ["MEGAPIXEL", "MIB", "Settings"]

MIB = 1024 * 1024
MEGAPIXEL = 1_000_000
LIMITS = ImageLimits(max_bytes=16 * MIB, max_pixels=50 * MEGAPIXEL)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the service behaves.

    Args:
        model: a bundle, as `runtime.bundle_path` takes it.
        bins: as `load_bins` takes them; ``None`` leaves bins out of the answers.
        corrections: folder that keeps them; ``None`` keeps none.
        tokens: any of which opens ``/v1``; none leaves it open to all.
        limits: what a single photo may cost.
        max_photos: in one request.
        max_request_bytes: of a whole body, however many photos it holds.
        workers: photos that are worked on at once, each in a thread of its own.
        waiting: requests that may wait beside as many as there are workers.
        body_seconds: in which a body must have arrived.
        watch_seconds: between two looks at the bundle's file; 0 never looks.
    """

    model: str | None = None
    bins: str | None = None
    corrections: Path | None = None
    tokens: tuple[str, ...] = ()
    limits: ImageLimits = LIMITS
    max_photos: int = 16
    max_request_bytes: int = 64 * MIB
    workers: int = field(default_factory=available_cpus)
    waiting: int = 8
    body_seconds: float = 30.0
    watch_seconds: float = 2.0

    def __post_init__(self) -> None:
        least = {
            "workers": (self.workers, 1, "--workers 1"),
            "waiting": (self.waiting, 0, "--waiting 0"),
            "photos in one request": (self.max_photos, 1, "--max-photos 1"),
            "bytes of a photo": (self.limits.max_bytes, 1, "--max-photo-mib 1"),
            "pixels of a photo": (self.limits.max_pixels, 1, "--max-megapixels 1"),
            "bytes of a request": (
                self.max_request_bytes,
                self.limits.max_bytes,
                f"--max-request-mib {math.ceil(self.limits.max_bytes / MIB)}",
            ),
        }
        for name, (value, bound, option) in least.items():
            if value < bound:
                raise UsageError(f"{value} {name}; give {bound} or more: {option}")
        if self.body_seconds <= 0 or self.watch_seconds < 0:
            raise UsageError("seconds must not be negative, and a body needs some")

    @property
    def places(self) -> int:
        """Requests that are worked on, or wait for that, at once."""
        return self.workers + self.waiting

    @property
    def body_bytes(self) -> int:
        """Bytes of all bodies that are held at once."""
        return self.places * self.max_request_bytes
