"""Figures for Prometheus, in a registry of their own for each application."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from binsight.runtime import Prediction

from .places import Places, Room
from .problems import status_of

__all__ = ["Metrics"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """What is counted. Labels have few values, none of which a client makes up.

    Args:
        places: for requests.
        room: for bodies.
    """

    def __init__(self, places: Places, room: Room) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "binsight_requests",
            "Requests that were answered.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "binsight_request_seconds",
            "From the request's headers to the first byte of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.photo_seconds = Histogram(
            "binsight_photo_seconds",
            "Work on one photo, in its thread.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._answers = Counter(
            "binsight_answers", "Photos by answer.", ["label", "sure"], registry=self.registry
        )
        self._photo_errors = Counter(
            "binsight_photo_errors",
            "Photos that got no answer, by the status of their problem.",
            ["status"],
            registry=self.registry,
        )
        self.corrections = Counter(
            "binsight_corrections", "Corrections that were taken.", registry=self.registry
        )
        self._reloads = Counter(
            "binsight_model_reloads",
            "Replaced bundles, by whether they answer now.",
            ["result"],
            registry=self.registry,
        )
        for result in ("taken", "failed"):
            self._reloads.labels(result)
        self._model = Gauge(
            "binsight_model_info", "The bundle that answers.", ["digest"], registry=self.registry
        )
        self._now("binsight_places", "Requests let in at once.", lambda: places.number)
        self._now("binsight_places_taken", "Requests now let in.", lambda: places.taken)
        self._now("binsight_bodies", "Bodies that arrive or are held.", lambda: room.bodies)
        self._now("binsight_body_bytes", "Bytes of these that are there.", lambda: room.bytes)
        self._now("binsight_body_bytes_most", "That may be there.", lambda: room.max_bytes)

    def _now(self, name: str, description: str, value: Callable[[], int]) -> None:
        Gauge(name, description, registry=self.registry).set_function(value)

    def photo(self, answer: Prediction | Exception) -> None:
        """Count one photo."""
        if isinstance(answer, Prediction):
            self._answers.labels(answer.label, str(answer.sure).lower()).inc()
        else:
            self._photo_errors.labels(str(status_of(answer))).inc()

    def model(self, digest: str) -> None:
        """Say which bundle answers from now on."""
        self._model.clear()
        self._model.labels(digest).set(1)

    def reload(self, result: str) -> None:
        """Count a replaced bundle: ``taken`` or ``failed``."""
        self._reloads.labels(result).inc()

    def text(self) -> bytes:
        """All figures, in Prometheus' text format."""
        return generate_latest(self.registry)
