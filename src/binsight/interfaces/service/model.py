"""The bundle that answers, and its replacement while others are being answered.

A request takes the model once and keeps it to its end, so a swap drops and mixes nothing.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from binsight.bins import Bins
from binsight.errors import BinsightError, ImageError, ImageTooLargeError, UnexplainableError
from binsight.explain import BundleExplainer, explain_with
from binsight.explain.overlay import overlay
from binsight.images import decode
from binsight.interfaces.deciding import bins_for, decided
from binsight.runtime import Classifier, Prediction, bundle_path

from .bodies import Sent
from .problems import NO_MEMORY, problem, status_of
from .settings import Settings

__all__ = ["Model", "Told", "Watched", "load_model"]

LONGEST_SIDE = 1024  # pixels of the heat map's picture
# Each worker runs the graph in its own thread, so that they do not fight over CPUs.
THREADS = 1
SHORT = "not enough memory to load it"
LACKING = ("bad_alloc", "Failed to allocate memory")  # how ONNX Runtime says it
Stamp = tuple[int, int, int, int]


@dataclass(frozen=True)
class Told:
    """What was said about one photo.

    Args:
        values: as `answers.PhotoAnswer` describes them.
        answer: the prediction; or the error that is told of in ``values``, an `ImageError` or a
            `MemoryError`.
    """

    values: dict[str, Any]
    answer: Prediction | Exception


@dataclass(frozen=True)
class Model:
    """One loaded bundle. May be used from several threads at once.

    Args:
        classifier: of the bundle.
        explainer: of the bundle, or why its answers cannot be explained.
        bins: that know all its classes.
        settings: with the limits of a photo.
    """

    classifier: Classifier
    explainer: BundleExplainer | UnexplainableError
    bins: Bins | None
    settings: Settings

    def tell(self, sent: Sent, *, heatmap: bool = False) -> Told:
        """Answer one photo; if it cannot be used, or memory is short, its error is the answer.

        Raises:
            UnexplainableError: a heat map of a model that has none.
        """
        try:
            answer = self._answer(sent)
            values = {"name": sent.name, **answer.to_dict()}
            if heatmap:
                values["heatmap"] = self._heatmap(sent)
        except Exception as error:
            return _unanswered(sent, error)
        if decision := decided(self.classifier, self.bins, answer):
            values["bin"] = decision.to_dict()
        return Told(values, answer)

    def _answer(self, sent: Sent) -> Prediction:
        if sent.too_large:
            most = self.settings.limits.max_bytes
            raise ImageTooLargeError(f"more than {most:,} bytes; shrink the photo")
        return self.classifier.classify(sent.data)

    def _heatmap(self, sent: Sent) -> dict[str, Any]:
        if isinstance(self.explainer, UnexplainableError):
            raise self.explainer
        limits = self.settings.limits
        told = explain_with(self.explainer, sent.data, limits=limits)
        photo = decode(sent.data, min_side=LONGEST_SIDE, limits=limits)
        photo.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        where = told.to_dict()
        return {
            "of": told.explained,
            "media_type": "image/jpeg",
            "base64": base64.b64encode(_jpeg(overlay(photo, told))).decode("ascii"),
            **{name: where[name] for name in ("box", "where", "width", "height")},
        }


def _unanswered(sent: Sent, error: Exception) -> Told:
    if _lacks_memory(error):  # which comes first: such an error may be of a photo as well
        error, reason = MemoryError(), NO_MEMORY
    elif isinstance(error, ImageError):
        reason = error.reason
    else:
        raise error
    wrong = problem(status_of(error), reason).model_dump()
    return Told({"name": sent.name, "error": wrong}, error)


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


def load_model(settings: Settings) -> Model:
    """Load a bundle, and let it answer once.

    Raises:
        BundleError: it cannot be used.
        BinsError: the bins cannot be used, or lack one of its classes.
    """
    classifier = Classifier(settings.model, threads=THREADS, limits=settings.limits)
    bins = bins_for(classifier, settings.bins)
    try:
        explainer: BundleExplainer | UnexplainableError = BundleExplainer(classifier)
    except UnexplainableError as error:
        explainer = error
    side = classifier.metadata.preprocess.size
    classifier.classify(np.zeros((side, side, 3), np.uint8))
    return Model(classifier, explainer, bins, settings)


class Watched:
    """The model that answers now; looks at its file, and takes a new one over when it is whole.

    Args:
        settings: with the bundle to load.
        taken: called with each model that answers from now on.
        failed: called with what is wrong with a replacement; the model before it goes on. Once
            only, if the same goes wrong at each look.

    Raises:
        BinsightError: the first model cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        taken: Callable[[Model], None],
        failed: Callable[[str], None],
    ) -> None:
        self._settings, self._taken, self._failed = settings, taken, failed
        self._path = bundle_path(settings.model)
        self._seen = _stamp(self._path)
        self._told: tuple[Stamp | None, str] | None = None
        self.current = load_model(settings)
        taken(self.current)

    def look(self) -> None:
        """Load the file anew if it is another one than at the last look. Blocks.

        A file that could not be read, be it for want of memory, is tried again at the next look;
        one whose content is refused, once it has changed.
        """
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return
        # Taken before the file is read: what is written meanwhile shows at the next look.
        self._seen = stamp
        try:
            model = load_model(self._settings)
        except Exception as error:  # those of ONNX Runtime share no base class
            if _may_pass(error):
                self._seen = None
            short = _lacks_memory(error)
            self._tell(stamp, SHORT if short else str(error) or type(error).__name__)
            return
        self._told = None
        if model.classifier.digest != self.current.classifier.digest:
            self.current = model
            self._taken(model)

    def _tell(self, stamp: Stamp | None, reason: str) -> None:
        if (stamp, reason) != self._told:
            self._told = (stamp, reason)
            self._failed(reason)


def _may_pass(error: Exception) -> bool:
    """Whether it is not the file's content that is wrong, but what happened when it was read."""
    if not isinstance(error, BinsightError):
        return True
    return isinstance(error.__cause__, OSError) or _lacks_memory(error)


def _lacks_memory(error: Exception) -> bool:
    told = (error, error.__cause__)
    return any(isinstance(one, MemoryError) for one in told) or any(
        words in str(one) for words in LACKING for one in told
    )


def _stamp(path: Path) -> Stamp | None:
    """What changes when a file is replaced, written to or allowed; ``None`` while there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a link is followed to what it now means
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
