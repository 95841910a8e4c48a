"""The bundle: one ``.onnx`` file that describes itself, and that is refused if it was altered.

Inputs and outputs of the graph, all float32:

    images       (N, 3, size, size)  as `preprocess.apply` makes them
    probs        (N, C)              softmax(logits / temperature)
    embedding    (N, D)              pooled features, the input of the linear head
    feature_map  (N, K, h, w)        the last spatial features, before pooling
    novelty      (N,)                how strange the photo is (`novelty`), where metadata says so

A bundle may also remember some of the photos that it learned from, and which these were, as
constants that no node of the graph uses (`teaching.memory`).

The metadata is JSON under the key ``binsight`` of the ONNX metadata. The last bytes of the file are
one more metadata entry, ``binsight.digest``, with the SHA-256 of all bytes before it. Protocol
buffers allow a repeated field anywhere, so every ONNX tool reads the file, and the digest can be
checked without parsing it. It finds damage and edits; it is not a signature.

Reading needs neither onnx nor torch. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .errors import AlteredBundleError, BundleTooNewError, NotABundleError
from .files import replacing
from .preprocess import PreprocessSpec

__all__ = [
    "FORMAT_VERSION",
    "INPUT",
    "METADATA_KEY",
    "NOVELTY",
    "OUTPUTS",
    "ChosenOn",
    "Metadata",
    "Novelty",
    "Parity",
    "Precision",
    "Reduced",
    "Sha256",
    "Share",
    "Strict",
    "Taught",
    "TrainingData",
    "class_name",
    "describe",
    "digest_of",
    "first_mistake",
    "now",
    "parse_metadata",
    "read_verified",
    "write_bundle",
]

# 2 added the lineage and what a bundle remembers; 3 the novelty, and what was chosen on what; 4 the
# bundle that one of fewer bits was made of.
FORMAT_VERSION = 4
METADATA_KEY = "binsight"
DIGEST_KEY = b"binsight.digest"
INPUT = "images"
OUTPUTS = ("probs", "embedding", "feature_map")
NOVELTY = "novelty"

Strict = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Precision = Literal["fp32", "fp16", "int8"]


class TrainingData(BaseModel):
    """What the model learned from.

    Args:
        photos: number of photos in the training part.
        counts: of these, photos of each class.
        catalog_digest: SHA-256 of the whole catalog (`data.catalog.Catalog.digest`).
        sources: names of the data sets, without paths.
    """

    model_config = Strict

    photos: Annotated[int, Field(ge=0)]
    counts: dict[str, int]
    catalog_digest: Sha256
    sources: tuple[str, ...] = ()


class Parity(BaseModel):
    """How the bundle compared with its checkpoint, or with the bundle that it was reduced from.

    Args:
        photos: real photos that both were shown.
        same_label: share of these with the same label.
        max_difference: largest difference of a probability.
        max_novelty_difference: of the novelty, where the bundle has one; relative above 1.
    """

    model_config = Strict

    photos: Annotated[int, Field(ge=1)]
    same_label: Share
    max_difference: Annotated[float, Field(ge=0)]
    max_novelty_difference: Annotated[float, Field(ge=0)] | None = None


class Novelty(BaseModel):
    """From which novelty on a photo is like nothing the model knows.

    Args:
        score: name of the score that the graph computes.
        limit: a prediction is sure only if its novelty is at most this.
        accepted: share of validation photos at or below the limit that it was chosen for.
    """

    model_config = Strict

    score: str
    limit: float
    accepted: Annotated[float, Field(gt=0, le=1)]


class ChosenOn(BaseModel):
    """Photos that temperature, threshold and the limit of the novelty were chosen on.

    Args:
        photos: number of them.
        part: of the split, or ``held out and taught`` after a lesson.
        catalog_digest: SHA-256 of the whole catalog; after a lesson, of the taught photos'.
    """

    model_config = Strict

    photos: Annotated[int, Field(ge=1)]
    part: str
    catalog_digest: Sha256


class Taught(BaseModel):
    """One lesson that a bundle was taught.

    Args:
        parent: digest of the bundle that was taught.
        photos: that it was taught with.
        counts: of these, photos of each class.
        catalog_digest: SHA-256 of these photos' catalog.
        renamed: old class name to new.
        accuracy_before: of the parent on these photos.
        accuracy_after: of folds that the head was not taught with.
        created: ISO 8601, UTC.
    """

    model_config = Strict

    parent: Sha256
    photos: Annotated[int, Field(ge=1)]
    counts: dict[str, int]
    catalog_digest: Sha256
    renamed: dict[str, str] = {}
    accuracy_before: Share
    accuracy_after: Share
    created: str


class Reduced(BaseModel):
    """A bundle whose numbers have fewer bits than those of the one that it was made of.

    For ``int8``, threshold and limit of the novelty were chosen anew on its own answers; all else
    is its parent's.

    Args:
        parent: digest of the other bundle.
        precision: ``fp16`` of weights alone, ``int8`` of weights and activations.
        calibrated_on: photos that the ranges of activations were measured on.
    """

    model_config = Strict

    parent: Sha256
    precision: Literal["fp16", "int8"]
    calibrated_on: Annotated[int, Field(ge=1)] | None = None


class Metadata(BaseModel):
    """What a bundle says about itself.

    Args:
        format_version: of this description.
        classes: names, in the order of ``probs``.
        preprocess: how a photo becomes ``images``.
        architecture: torchvision's name.
        temperature: that the graph divides logits by (Guo et al. 2017).
        threshold: a prediction is sure if its confidence is at least this.
        threshold_risk: share of wrong answers among the sure ones that it was chosen for.
        novelty: when a photo is too strange to be sure; ``None`` if the graph has no such output.
        chosen_on: photos behind the three; ``None`` in formats 1 and 2.
        training: data it learned from.
        metrics: measured figures by name, such as ``val_accuracy``.
        parity: with the checkpoint it was made of.
        binsight_version: that wrote it.
        licence: SPDX identifier of the weights' licence.
        created: ISO 8601, UTC.
        lineage: lessons since training, the latest last.
        reduced: from which bundle, if its numbers have fewer bits than that one's; not after a
            lesson.
    """

    model_config = Strict

    format_version: Annotated[int, Field(strict=True, ge=1, le=FORMAT_VERSION)] = FORMAT_VERSION
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    preprocess: PreprocessSpec
    architecture: str
    temperature: Annotated[float, Field(gt=0)]
    threshold: Share
    threshold_risk: Share
    novelty: Novelty | None = None
    chosen_on: ChosenOn | None = None
    training: TrainingData
    metrics: dict[str, float] = {}
    parity: Parity
    binsight_version: str
    licence: str
    created: str
    lineage: tuple[Taught, ...] = ()
    reduced: Reduced | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the graph gives, in this order."""
        return (*OUTPUTS, NOVELTY) if self.novelty else OUTPUTS

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes):
            raise ValueError("class names must differ")
        return classes


def describe(model: Any, metadata: Metadata) -> None:
    """Replace all metadata entries of an ONNX ModelProto by the description."""
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(metadata.model_dump(mode="json"))


def write_bundle(path: Path, model: bytes) -> str:
    """Seal an ONNX model that already carries its metadata, and return its digest.

    Args:
        path: of the bundle; replaced only when all is written.
        model: serialised ONNX ModelProto with the metadata under `METADATA_KEY`.
    """
    digest = hashlib.sha256(model).hexdigest()
    with replacing(path) as temporary:
        temporary.write_bytes(model + _trailer(digest))
    return digest


def read_verified(path: Path) -> bytes:
    """Read a bundle whose digest is right.

    Raises:
        NotABundleError: no such file, or another kind of file.
        AlteredBundleError: not as it was written.
    """
    if path.is_dir():
        raise NotABundleError(
            f"{path}: a folder, not a bundle; of a run, make one with: binsight export {path} "
            "--out mine.onnx"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotABundleError(f"{path}: {error.strerror or error}") from error
    size = len(_trailer("0" * 64))
    body, trailer = data[:-size], data[-size:]
    # Either may be what was damaged.
    if DIGEST_KEY not in data and _field(1, METADATA_KEY.encode("ascii")) not in data:
        raise NotABundleError(
            f"{path}: not a whole binsight bundle; make one with: binsight export RUN"
        )
    if trailer != _trailer(hashlib.sha256(body).hexdigest()):
        raise AlteredBundleError(f"{path}: altered or damaged since it was written; get it again")
    return data


def class_name(text: str) -> str:
    """A class as it is called everywhere: macOS writes accents of folders in another form."""
    return unicodedata.normalize("NFC", text)


def digest_of(data: bytes) -> str:
    """The digest that a verified bundle carries, as its identity."""
    return data[-64:].decode("ascii")


def parse_metadata(path: Path, custom: Mapping[str, str]) -> Metadata:
    """Check and build the metadata.

    Args:
        path: for messages.
        custom: the model's metadata entries.

    Raises:
        NotABundleError: no metadata, or not of the form that its version has.
        BundleTooNewError: of a later format.
    """
    values = _json_object(path, custom.get(METADATA_KEY))
    version = values.get("format_version")
    if version is None:
        raise NotABundleError(f"{path}: broken description (format_version: missing)")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise BundleTooNewError(
            f"{path}: has format {version}, this binsight reads up to {FORMAT_VERSION}; "
            "install a newer binsight"
        )
    try:
        return Metadata.model_validate(values)
    except ValidationError as error:
        raise NotABundleError(f"{path}: broken description ({first_mistake(error)})") from error


def first_mistake(error: ValidationError) -> str:
    """The first thing that is wrong with a description: where, and what."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def now() -> str:
    """The time as descriptions hold it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _json_object(path: Path, text: str | None) -> dict[str, Any]:
    try:
        values = json.loads(text or "")
    except (ValueError, RecursionError) as error:
        raise NotABundleError(f"{path}: carries no description of a bundle") from error
    if not isinstance(values, dict):
        raise NotABundleError(f"{path}: carries no description of a bundle")
    return values


def _trailer(digest: str) -> bytes:
    """A ``metadata_props`` entry (field 14 of ModelProto) in the protocol buffers wire format."""
    entry = _field(1, DIGEST_KEY) + _field(2, digest.encode("ascii"))
    return _field(14, entry)


def _field(number: int, content: bytes) -> bytes:
    assert len(content) < 128, "one byte of length"
    return bytes([number << 3 | 2, len(content)]) + content
