"""The work itself, in threads: the event loop only passes messages, whatever a photo costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from binsight.corrections import add_correction
from binsight.errors import CorrectionError, ImageError
from binsight.runtime import Prediction

from .bodies import Sent
from .leaving import unless_left
from .logs import logger
from .metrics import Metrics
from .model import Model, Told, Watched
from .places import Places, Room
from .problems import NO_MEMORY, RefusedError, full, status_of, unanswered
from .settings import Settings

__all__ = ["Work"]

MOST_BODIES = 500  # half of the files that a process may commonly have open; each is a connection

T = TypeVar("T")


class Work:
    """Answers photos, keeps corrections and follows the bundle's file.

    Args:
        settings: of the service.

    Raises:
        BinsightError: the model or the bins cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.places = Places(settings.places)
        self.room = Room(settings.body_bytes, MOST_BODIES)
        self.metrics = Metrics(self.places, self.room)
        self._watched = Watched(settings, taken=self._taken, failed=self._failed)

    @property
    def model(self) -> Model:
        """The model that answers now."""
        return self._watched.current

    def start(self) -> None:
        """Take requests from now on."""
        self._workers = ThreadPoolExecutor(self.settings.workers, "binsight-photo")
        # Files in a thread of its own: a slow disk or a large bundle must not keep photos waiting.
        self._files = ThreadPoolExecutor(1, "binsight-file")

    async def tell(
        self, model: Model, photos: Sequence[Sent], *, heatmap: bool, gone: asyncio.Task[None]
    ) -> list[Told]:
        """Answer photos one after the other, so that requests of many do not keep out others.

        Args:
            model: that answers.
            photos: to answer.
            heatmap: whether each has one.
            gone: done when the client is; then no other photo is begun.

        Raises:
            ClientDisconnect: the client has gone.
            UnexplainableError: a heat map of a model that has none.
        """
        return [await self._told(model, one, heatmap, gone) for one in photos]

    async def _told(
        self, model: Model, sent: Sent, heatmap: bool, gone: asyncio.Task[None]
    ) -> Told:
        return await unless_left(gone, self._workers.submit(self._tell, model, sent, heatmap))

    def _tell(self, model: Model, sent: Sent, heatmap: bool) -> Told:
        started = time.perf_counter()
        told = model.tell(sent, heatmap=heatmap)
        self.metrics.photo_seconds.observe(time.perf_counter() - started)
        self.metrics.photo(told.answer)
        return told

    async def keep(
        self, folder: Path, model: Model, sent: Sent, label: str, *, gone: asyncio.Task[None]
    ) -> tuple[Path, Told]:
        """Keep a correction; return where the photo lies below the folder, and what was said.

        Raises:
            ClientDisconnect: the client has gone before it was kept.
            RefusedError: 413 or 422 an unusable photo or label; 503 the folder cannot be written,
                or memory is short.
        """
        told = await self._told(model, sent, False, gone)
        if not isinstance(told.answer, Prediction):
            raise unanswered(status_of(told.answer), told.values["error"]["detail"])
        path = await self._in(self._files, _kept, folder, model, sent, label, told.answer)
        self.metrics.corrections.inc()
        return path.relative_to(folder), told

    async def follow(self) -> None:
        """Look at the bundle's file again and again, until cancelled."""
        while self.settings.watch_seconds:
            await asyncio.sleep(self.settings.watch_seconds)
            try:
                await self._in(self._files, self._watched.look)
            except Exception:  # the next look may go well; without looks, no bundle ever would
                logger.exception("watching failed")

    def close(self) -> None:
        """Wait for what was begun; blocks."""
        self._workers.shutdown()
        self._files.shutdown()

    def _taken(self, model: Model) -> None:
        digest = model.classifier.digest
        self.metrics.model(digest)
        if hasattr(self, "_watched"):
            self.metrics.reload("taken")
        logger.info("model", digest=digest, classes=list(model.classifier.classes))

    def _failed(self, reason: str) -> None:
        self.metrics.reload("failed")
        logger.error("new model refused; the one before goes on", reason=reason)

    @staticmethod
    async def _in(pool: ThreadPoolExecutor, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)


def _kept(folder: Path, model: Model, sent: Sent, label: str, answer: Prediction) -> Path:
    try:
        return add_correction(
            folder,
            sent.data,
            label=label,
            prediction=answer,
            model_digest=model.classifier.digest,
        )
    except MemoryError as error:
        raise full(NO_MEMORY) from error
    except ImageError as error:  # decoded whole, it may show more faults than as the model sees it
        raise RefusedError(status_of(error), str(error)) from error
    except CorrectionError as error:
        if error.__cause__ is None:  # the label
            raise RefusedError(422, str(error)) from error
        logger.error("correction not kept", reason=str(error))
        raise full("the correction cannot be written now; try again later") from error
