"""Teaching a bundle: photos to embeddings, a lesson, and a new bundle that was checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from binsight import __version__
from binsight.bundle import (
    FORMAT_VERSION,
    ChosenOn,
    Metadata,
    Parity,
    Taught,
    class_name,
    now,
)
from binsight.errors import ImageError, WorseModelError
from binsight.images import ImageSource, read_file
from binsight.teaching.familiar import Familiar
from binsight.teaching.graph import (
    network_digest,
    read_head,
    read_known,
    read_memory,
    with_head,
)
from binsight.teaching.lesson import Example, Lesson, Pupil, learn
from binsight.teaching.memory import Memory

from .classifier import Classifier
from .embeddings import EmbeddingCache
from .parity import write_if_alike

__all__ = ["pupil_of", "teach"]

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]
PARITY_PHOTOS = 20
HELD_OUT_AND_TAUGHT = "held out and taught"  # what a lesson chooses threshold and limit on


class _Photo(NamedTuple):
    source: ImageSource
    label: str
    digest: str


def teach(
    classifier: Classifier,
    photos: Mapping[str, Sequence[ImageSource]],
    out: Path,
    *,
    rename: Mapping[str, str] | None = None,
    anyway: bool = False,
    catalog_digest: str | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Lesson:
    """See `Classifier.teach`."""
    rename = {class_name(old): class_name(new) for old, new in (rename or {}).items()}
    shown = [
        _Photo(source, class_name(label), _digest(source))
        for label in photos
        for source in photos[label]
    ]
    data = classifier.data()
    pupil = pupil_of(classifier, data)
    width = pupil.head.weight_cd.shape[1]
    embeddings_nd = _embeddings(classifier, shown, _cache(classifier, data, cache, width), progress)
    examples = [
        Example(_name(one.source, place), one.label, one.digest, embedding_d)
        for place, (one, embedding_d) in enumerate(zip(shown, embeddings_nd, strict=True))
    ]
    lesson = learn(pupil, examples, rename=rename)
    if lesson.worse and not anyway:
        is_new = len(lesson.classes) > len(pupil.classes)
        also = ", teach another model" if is_new else ""  # not all are as good at new classes
        raise WorseModelError(
            f"the lesson makes the model worse: {lesson.worse}; check the photos' labels, add "
            f"more{also}, or write it anyway (--anyway)",
            lesson,
        )
    taught = Taught(
        parent=classifier.digest,
        photos=len(shown),
        counts={name: count for name, count in lesson.photos.items() if count},
        catalog_digest=catalog_digest or _digest_of_all(shown),
        renamed=rename,
        accuracy_before=lesson.before,
        accuracy_after=lesson.after,
        created=now(),
    )
    known = lesson.familiar.known if lesson.familiar else None
    write_if_alike(
        out,
        with_head(data, lesson.head, lesson.memory, known),
        _description(classifier.metadata, lesson, taught),
        [one.source for one in shown],
        lesson.head.probs(np.stack(embeddings_nd)),
        novelty_n=known.score(np.stack(embeddings_nd)) if known else None,
        most=PARITY_PHOTOS,
    )
    return lesson


def pupil_of(classifier: Classifier, data: bytes) -> Pupil:
    """A classifier as the lesson sees it.

    Args:
        classifier: to be taught.
        data: its verified bundle.

    Raises:
        NotABundleError: its head is no linear layer on the embedding.
    """
    head = read_head(classifier.path, data)
    metadata = classifier.metadata
    known = read_known(data)
    memory = read_memory(data)
    return Pupil(
        classes=classifier.classes,
        head=head,
        memory=Memory.empty(head.weight_cd.shape[1]) if memory is None else memory,
        threshold=metadata.threshold,
        risk=metadata.threshold_risk,
        familiar=Familiar(known, metadata.novelty) if known and metadata.novelty else None,
    )


def _digest(source: ImageSource) -> str:
    """SHA-256 of an encoded photo's bytes, or of a decoded one's pixels."""
    if isinstance(source, bytes | bytearray):
        return hashlib.sha256(source).hexdigest()
    how: tuple[object, ...]
    if isinstance(source, Image.Image):
        how = (source.mode, source.size, source.getpalette())
    elif isinstance(source, np.ndarray):
        how = (source.shape, source.dtype.str)
    else:
        return hashlib.sha256(read_file(Path(source))).hexdigest()
    return hashlib.sha256(repr(how).encode() + source.tobytes()).hexdigest()


def _name(source: ImageSource, place: int) -> str:
    described = isinstance(source, bytes | bytearray) or hasattr(source, "__array_interface__")
    return f"photo {place + 1}" if described else str(source)


def _digest_of_all(shown: Sequence[_Photo]) -> str:
    lines = sorted(f"{one.label}\0{one.digest}\n" for one in shown)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _cache(classifier: Classifier, data: bytes, folder: Path | None, width: int) -> EmbeddingCache:
    if folder is None:
        return EmbeddingCache(None, width)
    # Teaching changes the head alone, so all descendants of a bundle share its embeddings; one
    # that was rounded has others.
    spec = classifier.metadata.preprocess.model_dump_json()
    key = hashlib.sha256(f"{network_digest(data)} {spec}".encode()).hexdigest()
    return EmbeddingCache(folder / key[:16], width)


def _embeddings(
    classifier: Classifier,
    shown: Sequence[_Photo],
    cache: EmbeddingCache,
    progress: Progress | None,
) -> list[Floats]:
    """Of every photo, each computed once."""
    found = {one.digest: cache.get(one.digest) for one in shown}
    missing = {one.digest: one.source for one in shown if found[one.digest] is None}
    answers = classifier.classify_each(missing.values())
    for done, (digest, answer) in enumerate(zip(missing, answers, strict=True), start=1):
        if isinstance(answer, ImageError):
            raise answer
        found[digest] = cache.put(digest, answer.embedding)
        if progress:
            progress(done, len(missing))
    return [embedding for one in shown if (embedding := found[one.digest]) is not None]


def _description(parent: Metadata, lesson: Lesson, taught: Taught) -> Callable[[Parity], Metadata]:
    metrics = {
        "taught_photos": float(taught.photos),
        "taught_accuracy_before": lesson.before,
        "taught_accuracy_after": lesson.after,
    }
    if lesson.remembered_before is not None and lesson.remembered_after is not None:
        metrics["remembered_accuracy_before"] = lesson.remembered_before
        metrics["remembered_accuracy_after"] = lesson.remembered_after
    chosen_on = parent.chosen_on
    if lesson.calibrated_on:
        chosen_on = ChosenOn(
            photos=lesson.calibrated_on,
            part=HELD_OUT_AND_TAUGHT,
            catalog_digest=taught.catalog_digest,
        )
    changes = {
        "format_version": FORMAT_VERSION,
        "classes": lesson.classes,
        "temperature": lesson.head.temperature,
        "threshold": lesson.threshold,
        "novelty": lesson.familiar.novelty if lesson.familiar else None,
        "chosen_on": chosen_on,
        "metrics": metrics,
        "binsight_version": __version__,
        "created": taught.created,
        "lineage": (*parent.lineage, taught),
        "reduced": None,  # a lesson changes answers; what was taught is in the lineage
    }

    def describe(parity: Parity) -> Metadata:
        return Metadata.model_validate(parent.model_dump() | changes | {"parity": parity})

    return describe
