"""What an exported file says about itself where its format has no place for it: ``FILE.json``.

A bundle carries its own description; every other format gets a JSON file of the same name beside
it. It holds the digest of the file, so that neither is used without the other, and the same file
after a change is refused. Like a bundle's digest it finds damage, and is not a signature.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from binsight.bundle import Novelty, Parity, Precision, Sha256, Share, Strict, first_mistake
from binsight.errors import AlteredBundleError, NotABundleError
from binsight.files import file_digest, write_text
from binsight.preprocess import PreprocessSpec

__all__ = [
    "Description",
    "FormatName",
    "digest_of_path",
    "put_in_place",
    "read_description",
    "sidecar_of",
    "size_of",
    "write_description",
]

FormatName = Literal["onnx", "litert", "tensorrt", "coreml", "executorch"]


class Description(BaseModel):
    """Everything that is needed to run an exported file and to know what it is.

    Args:
        description_version: of this description.
        format: of the file.
        precision: of weights, and for ``int8`` of activations too.
        outputs: that the file gives, in its order: ``probs``, ``embedding``, ``novelty``, and for
            a bundle ``feature_map``.
        classes: names, in the order of ``probs``.
        preprocess: how a photo becomes the input, (N, 3, size, size) float32.
        architecture: torchvision's name.
        temperature: that logits are divided by, in the file.
        threshold: a prediction is sure if its confidence is at least this.
        threshold_risk: share of wrong answers among the sure ones that it was chosen for.
        novelty: when a photo is too strange to be sure; ``None`` if the file has no such output.
        parent: digest of the bundle that it shall answer like; ``None`` for one that came from a
            run or a lesson.
        digest: SHA-256 of the file.
        parity: with its parent on real photos; ``None`` if it could not be run where it was made.
        metrics: measured figures by name, such as ``val_accuracy``.
        binsight_version: that wrote it.
        licence: SPDX identifier of the weights' licence.
        created: ISO 8601, UTC.
    """

    model_config = Strict

    description_version: Literal[1] = 1
    format: FormatName
    precision: Precision
    outputs: Annotated[tuple[str, ...], Field(min_length=1)]
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    preprocess: PreprocessSpec
    architecture: str
    temperature: Annotated[float, Field(gt=0)]
    threshold: Share
    threshold_risk: Share
    novelty: Novelty | None = None
    parent: Sha256 | None
    digest: Sha256
    parity: Parity | None
    metrics: dict[str, float] = {}
    binsight_version: str
    licence: str
    created: str


def sidecar_of(path: Path) -> Path:
    """Where the description of an exported file lies."""
    return path.with_name(f"{path.name}.json")


def write_description(path: Path, description: Description) -> None:
    """Describe an exported file beside it."""
    text = json.dumps(description.model_dump(mode="json"), indent=2)
    write_text(sidecar_of(path), text + "\n")


def read_description(path: Path) -> Description:
    """What lies beside an exported file, if the file is the one that was described.

    Raises:
        NotABundleError: no such file, or no description of it.
        AlteredBundleError: the file is not as it was described.
    """
    if not path.exists():
        raise NotABundleError(f"{path}: no such file")
    sidecar = sidecar_of(path)
    try:
        description = Description.model_validate_json(sidecar.read_bytes())
    except OSError as error:
        raise NotABundleError(
            f"{path}: its description is missing ({sidecar.name}, {error.strerror or error}); keep "
            "both together, or export it again"
        ) from error
    except ValidationError as error:
        raise NotABundleError(f"{sidecar}: broken description ({first_mistake(error)})") from error
    if digest_of_path(path) != description.digest:
        raise AlteredBundleError(f"{path}: altered or damaged since it was written; get it again")
    return description


def digest_of_path(path: Path) -> str:
    """SHA-256 of a file; of a folder, that of its files' names and contents in order."""
    if not path.is_dir():
        return file_digest(path)
    digest = hashlib.sha256()
    for file in _files_below(path):
        name = file.relative_to(path).as_posix()
        digest.update(f"{name}\0{file_digest(file)}\n".encode())
    return digest.hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(file.stat().st_size for file in _files_below(path))


@contextmanager
def put_in_place(out: Path) -> Iterator[Path]:
    """Yield a path in a folder of its own, of the same name; move it to ``out`` on success.

    A description that was written beside it is moved along. Unlike `files.replacing` it also moves
    a folder, which is what some formats are, but never puts a file in a folder's place.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        draft = Path(folder) / out.name
        yield draft
        if out.is_dir() and draft.is_dir():
            # A folder cannot be renamed onto another; the old one goes with the temporary one.
            out.rename(Path(folder) / "old")
        draft.replace(out)
        if sidecar_of(draft).exists():
            sidecar_of(draft).replace(sidecar_of(out))


def _files_below(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())
