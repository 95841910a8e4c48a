"""What stands behind the pages: a model that answers, corrections, and a lesson from them.

One desk serves everybody who has the app open, so a lesson is for all of them. It knows nothing of
pages; messages are for `words`.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from binsight import Bins, load_bins
from binsight.bins import built_in_schemes
from binsight.corrections import add_correction
from binsight.errors import ImageError, UnexplainableError
from binsight.files import free_path
from binsight.images import PHOTO_SUFFIXES, ImageLimits, decode
from binsight.runtime import Classifier, Prediction

from .settings import Settings

if TYPE_CHECKING:
    from binsight.explain import BundleExplainer, Explanation
    from binsight.teaching import Lesson

__all__ = ["LIMITS", "MAX_MEGABYTES", "Desk", "Photo", "Seen", "shown"]

MAX_MEGABYTES = 25
LIMITS = ImageLimits(max_bytes=MAX_MEGABYTES * 1024 * 1024, max_pixels=64_000_000)
REMEMBERED = 500  # answers that are kept, so that a click does not ask for them again
SHOWN_SIDE = 1024  # pixels of a photo on the page; more is not seen
THUMB_SIDE = 96


@dataclass(frozen=True)
class Photo:
    """A file as somebody gave it.

    Args:
        name: that it had; anything may stand there.
        data: its bytes; anything may stand there, too.
    """

    name: str
    data: bytes

    @property
    def sha256(self) -> str:
        """Digest of the bytes."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, eq=False)
class Seen:
    """A photo that was looked at.

    Args:
        photo: as it was given.
        prediction: the model's answer.
        thumb: RGB, at most 96 px wide and high.
    """

    photo: Photo
    prediction: Prediction
    thumb: Image.Image


class Desk:
    """A model and what people say about it. May be used from several threads at once.

    Args:
        settings: from the command line.

    Raises:
        BundleError: the model cannot be used.
        BinsError: likewise the bins.
    """

    def __init__(self, settings: Settings) -> None:
        self.corrections = Path(settings.corrections)
        self.first = Classifier(settings.model, limits=LIMITS)
        self.classifier = self.first
        self.schemes = _schemes(settings.bins)
        self.starts_with_bins = settings.bins is not None
        self.written: Path | None = None
        self._explainer: tuple[str, BundleExplainer | None] | None = None
        self._answers: OrderedDict[tuple[str, str], Seen | ImageError] = OrderedDict()
        self._one_at_a_time = threading.RLock()  # decoding is what takes memory

    @property
    def is_taught(self) -> bool:
        """Whether a lesson of this desk answers now."""
        return self.classifier is not self.first

    def answer(self, photo: Photo) -> Seen | ImageError:
        """Look at a photo, or say why that is not possible."""
        with self._one_at_a_time:
            key = (self.classifier.digest, photo.sha256)
            found = self._answers.pop(key, None) or self._looked_at(photo)
            self._answers[key] = found
            if len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)
        return found if isinstance(found, ImageError) else replace(found, photo=photo)

    def _looked_at(self, photo: Photo) -> Seen | ImageError:
        try:
            prediction = self.classifier.classify(photo.data)
            thumb = shown(photo, THUMB_SIDE)
        except ImageError as error:
            return error
        return Seen(replace(photo, data=b""), prediction, thumb)  # whoever asks again has the bytes

    def explanation(self, photo: Photo) -> Explanation | None:
        """Where the model looked; ``None`` if this model cannot tell.

        Raises:
            ImageError: the photo cannot be used.
        """
        from binsight.explain import explain_with

        with self._one_at_a_time:
            explainer = self._explainer_now()
            return explain_with(explainer, photo.data, limits=LIMITS) if explainer else None

    def _explainer_now(self) -> BundleExplainer | None:
        from binsight.explain import BundleExplainer  # needs onnx, which takes long to import

        digest = self.classifier.digest
        if self._explainer is None or self._explainer[0] != digest:
            try:
                self._explainer = (digest, BundleExplainer(self.classifier))
            except UnexplainableError:
                self._explainer = (digest, None)
        return self._explainer[1]

    def correct(self, seen: Seen, label: str) -> Path:
        """Keep what a person said about a photo.

        Raises:
            CorrectionError: the label cannot name a folder, or the folder cannot be written to.
        """
        return add_correction(
            self.corrections,
            seen.photo.data,
            label=label,
            prediction=seen.prediction,
            model_digest=self.classifier.digest,
        )

    def corrected(self) -> Mapping[str, int]:
        """Number of corrections of each class."""
        kept = (path for path in self.corrections.glob("*/*") if not path.name.startswith("."))
        found = Counter(one.parent.name for one in kept if one.suffix.lower() in PHOTO_SUFFIXES)
        return dict(sorted(found.items()))

    def teach(self, progress: Callable[[int, int], None] | None = None) -> Lesson:
        """Teach the first model all corrections, and answer by what comes of it from now on.

        The new model is a file beside the folder of corrections. No file is written over but one
        that this desk wrote before.

        Raises:
            WorseModelError: the lesson would make the model worse; the old one stays.
            TeachingError: there is nothing to learn from.
            BinsightError: a photo or the model cannot be used.
            OSError: the new model cannot be written.
        """
        from binsight.data.catalog import scan

        catalog = scan([self.corrections], duplicates=False)
        photos: dict[str, list[Path]] = defaultdict(list)
        for one in catalog.photos:
            photos[one.label].append(catalog.file(one))
        with self._one_at_a_time:
            out = self.written or free_path(self.corrections.absolute().parent, "taught", ".onnx")
            lesson = self.first.teach(photos, out, catalog_digest=catalog.digest, progress=progress)
            self.written = out
            self.classifier = Classifier(out, limits=LIMITS)
        return lesson

    def forget(self) -> None:
        """Answer by the first model again. The taught one stays where it was written."""
        with self._one_at_a_time:
            self.classifier = self.first


def shown(photo: Photo, side: int = SHOWN_SIDE) -> Image.Image:
    """The photo upright, RGB, shrunk to at most ``side`` pixels.

    Raises:
        ImageError: it cannot be used.
    """
    image = decode(photo.data, min_side=side, limits=LIMITS)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _schemes(own: str | None) -> dict[str, Bins]:
    """Bins by the name that they are chosen by; one's own file comes first."""
    found = {_title(own): load_bins(own)} if own else {}
    built_in = {_title(name): name for name in built_in_schemes()}
    return found | {title: load_bins(built_in[title]) for title in built_in if title not in found}


def _title(name: str) -> str:
    return Path(name).stem.replace("-", " ").replace("_", " ").title()
