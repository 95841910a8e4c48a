"""The formats of ``binsight export``: which there are, who writes each, and how each is run.

A format is a module of this package that is imported when it is needed and that has two functions:

    convert(source, draft, request) -> outputs      write the file; what it gives, in its order
    open_runner(path, description, threads) -> Runner

`write_exported` does the rest for all of them: it shows real photos to the draft and to the bundle
that it was made of, refuses what does not answer alike, describes the file and puts it in place.
The bundle itself (``onnx``) has writers of its own: `onnx` of a run, `reduced` of another bundle.
PyTorch is not imported here.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast

from binsight.bundle import Metadata, Precision, now
from binsight.errors import MissingExtraError, NotABundleError, UsageError
from binsight.files import check_writable
from binsight.runtime import Classifier
from binsight.training.run import Run

from .choosing import chosen_anew
from .described import (
    Description,
    FormatName,
    digest_of_path,
    put_in_place,
    read_description,
    sidecar_of,
    write_description,
)
from .measured import (
    Answers,
    Floats,
    Progress,
    Runner,
    answers_of_each,
    fall_of,
    parity_of,
)
from .shown import Shown

__all__ = [
    "FORMATS",
    "BundleRunner",
    "Exported",
    "Format",
    "Request",
    "Source",
    "check_request",
    "open_exported",
    "precision_of",
    "write_exported",
]

TAKEN_OVER = (
    "classes",
    "preprocess",
    "architecture",
    "temperature",
    "threshold",
    "threshold_risk",
    "licence",
)


@dataclass(frozen=True, kw_only=True)
class Format:
    """One kind of file.

    Args:
        name: as ``--to`` takes it.
        suffix: of its files, with the dot.
        precisions: that it can be written in; the first one if nothing is said.
        module: that has ``convert`` and ``open_runner``.
        extra: of binsight that brings what the module needs; empty if nothing more is needed.
        packages: that the module imports, as they are imported.
        runs_on: value of `sys.platform` on the one system that can run it; empty if any can.
        is_folder: whether such a file is a folder.
    """

    name: FormatName
    suffix: str
    precisions: tuple[Precision, ...]
    module: str = ""
    extra: str = ""
    packages: tuple[str, ...] = ()
    runs_on: str = ""
    is_folder: bool = False

    @property
    def runs_here(self) -> bool:
        """Whether this system can run it at all."""
        return not self.runs_on or sys.platform.startswith(self.runs_on)

    def require(self) -> None:
        """Raise `MissingExtraError` if a package is not installed."""
        for package in self.packages:
            if find_spec(package) is None:
                raise MissingExtraError(package, self.extra)


FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format(name="onnx", suffix=".onnx", precisions=("fp32", "fp16", "int8")),
        Format(
            name="litert",
            suffix=".tflite",
            precisions=("fp32", "int8"),
            module="binsight.export.litert",
            extra="litert",
            packages=("torch", "litert_torch", "ai_edge_litert"),
        ),
        Format(
            name="tensorrt",
            suffix=".engine",
            precisions=("fp32", "fp16", "int8"),
            module="binsight.export.tensorrt",
            extra="tensorrt",
            packages=("torch", "tensorrt"),
        ),
        Format(
            name="coreml",
            suffix=".mlpackage",
            precisions=("fp32", "fp16"),
            module="binsight.export.coreml",
            extra="coreml",
            packages=("torch", "coremltools"),
            runs_on="darwin",
            is_folder=True,
        ),
        Format(
            name="executorch",
            suffix=".pte",
            precisions=("fp32",),
            module="binsight.export.executorch",
            extra="executorch",
            packages=("torch", "executorch"),
        ),
    )
}


@dataclass(frozen=True, eq=False)
class Source:
    """What is exported: a bundle, and the run that it was made of if there is one."""

    classifier: Classifier
    run: Run | None = None

    @property
    def bundle(self) -> Path:
        """The bundle's file."""
        return self.classifier.path

    @property
    def digest(self) -> str:
        """The bundle's digest."""
        return self.classifier.digest

    @property
    def metadata(self) -> Metadata:
        """What the bundle says about itself."""
        return self.classifier.metadata


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for, besides the format.

    Args:
        precision: of the file.
        photos: to compare on; for ``int8`` also to measure accuracy on.
        calibration: photos that ranges of activations are measured on; for ``int8`` alone.
        progress: called with (done, total) photos of the comparison.
    """

    precision: Precision = "fp32"
    photos: Shown
    calibration: Shown | None = None
    progress: Progress | None = field(default=None, compare=False)


class _Module(Protocol):
    """What the module of a format has."""

    def convert(self, source: Source, draft: Path, request: Request) -> tuple[str, ...]:
        """Write the file, and return the names of what it gives, in its order."""

    def open_runner(self, path: Path, description: Description, threads: int | None) -> Runner:
        """Open the file to run it."""


@dataclass(frozen=True, eq=False)
class Exported:
    """A file that was exported, of any format.

    Args:
        metadata: of a bundle, which says more than other formats do.
    """

    path: Path
    format: Format
    description: Description
    metadata: Metadata | None = None

    def open(self, threads: int | None = None) -> Runner:
        """Make it ready to answer.

        Args:
            threads: to use; ``None`` for the CPUs that this process may use.

        Raises:
            UsageError: the format does not run on this system.
            MissingExtraError: what runs it is not installed.
        """
        if self.format.name == "onnx":
            return BundleRunner(Classifier(self.path, threads=threads))
        if not self.format.runs_here:
            raise UsageError(f"{self.path}: {self.format.name} runs on {self.format.runs_on} alone")
        return _module(self.format).open_runner(self.path, self.description, threads)


class BundleRunner:
    """A bundle, as a `Runner`."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def run(self, images_nchw: Floats) -> Answers:
        """See `Runner`."""
        outputs = self._classifier.run(images_nchw)
        return Answers(outputs.probs_nc, outputs.embedding_nd, outputs.novelty_n)


def open_exported(path: Path) -> Exported:
    """Read what an exported file says about itself, and check that it is as it was written.

    Raises:
        NotABundleError: no such file, no description, or not of a format that is known.
        AlteredBundleError: not as it was written.
    """
    found = next((one for one in FORMATS.values() if path.suffix == one.suffix), None)
    if found is None and not path.suffix:
        found = FORMATS["onnx"]  # which is known by what is in it
    if found is None:
        endings = ", ".join(one.suffix for one in FORMATS.values())
        raise NotABundleError(f"{path}: not a file of any known format ({endings})")
    if found.name == "onnx":
        classifier = Classifier(path)
        return Exported(path, found, _of_bundle(classifier), classifier.metadata)
    description = read_description(path)
    if description.format != found.name:
        raise NotABundleError(f"{path}: described as {description.format}, not {found.name}")
    return Exported(path, found, description)


def check_request(chosen: Format, out: Path, precision: Precision) -> None:
    """Refuse what a format cannot do, before anything is done.

    Raises:
        UsageError: wrong suffix, a precision that it does not have, or a place that it cannot take.
        MissingExtraError: a package is not installed.
    """
    if out.suffix != chosen.suffix:
        raise UsageError(f"{out}: a file of {chosen.name} ends in {chosen.suffix}; give that --out")
    if precision not in chosen.precisions:
        raise UsageError(
            f"{chosen.name} is not written in {precision}; it can be {', '.join(chosen.precisions)}"
        )
    chosen.require()
    _check_place(chosen, out)


def _check_place(chosen: Format, out: Path) -> None:
    """Make sure that no folder but an earlier export is replaced, and that it can be written."""
    if out.is_dir() and not (chosen.is_folder and sidecar_of(out).is_file()):
        raise UsageError(f"{out} is a folder that no export wrote; give another --out")
    if chosen.is_folder and out.is_file():
        raise UsageError(f"{out} is a file, and {chosen.name} is a folder; give another --out")
    try:
        if not chosen.is_folder:
            check_writable(out)
        if chosen.name != "onnx":
            check_writable(sidecar_of(out))
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written ({error.strerror or error}); give another --out"
        ) from error


def write_exported(chosen: Format, source: Source, out: Path, request: Request) -> Description:
    """Write a file of any format but ``onnx``, with its description beside it.

    Raises:
        UsageError: see `check_request`.
        MissingExtraError: see `check_request`.
        ParityError: it does not answer like its parent, or ``int8`` costs accuracy.
    """
    check_request(chosen, out, request.precision)
    module = _module(chosen)
    with put_in_place(out) as draft:
        outputs = module.convert(source, draft, request)
        described = _described(chosen, source, request.precision, outputs, digest_of_path(draft))
        if chosen.runs_here:
            runner = module.open_runner(draft, described, None)
            described = described.model_copy(update=_compared(source, runner, request, described))
        write_description(draft, described)
    return described


def _compared(
    source: Source, runner: Runner, request: Request, described: Description
) -> dict[str, Any]:
    """What is known of a file once it has answered photos."""
    files, spec = request.photos.files, source.metadata.preprocess
    both = (BundleRunner(source.classifier), runner)
    before, after = answers_of_each(both, files, spec, progress=request.progress)
    found: dict[str, Any] = {}
    if request.precision == "int8":
        labels_n = request.photos.labels_n
        metrics = fall_of(before, after, labels_n, "int8")
        found, coverage = chosen_anew(described, after, labels_n)
        found["metrics"] = metrics | {"val_coverage": coverage}
    return found | {"parity": parity_of(before, after, request.precision)}


def _module(chosen: Format) -> _Module:
    chosen.require()
    return cast("_Module", import_module(chosen.module))


def _described(
    chosen: Format, source: Source, precision: Precision, outputs: tuple[str, ...], digest: str
) -> Description:
    from binsight import __version__

    metadata = source.metadata
    return Description(
        **_taken_over(metadata),
        format=chosen.name,
        precision=precision,
        outputs=outputs,
        novelty=metadata.novelty if "novelty" in outputs else None,
        parent=source.digest,
        digest=digest,
        parity=None,
        binsight_version=__version__,
        created=now(),
    )


def _taken_over(metadata: Metadata) -> dict[str, Any]:
    """What a description says in the words of a bundle."""
    return {name: getattr(metadata, name) for name in TAKEN_OVER}


def _of_bundle(classifier: Classifier) -> Description:
    """A bundle's own description, in the words of all formats."""
    metadata = classifier.metadata
    return Description(
        **_taken_over(metadata),
        format="onnx",
        precision=precision_of(classifier.path),
        outputs=metadata.outputs,
        novelty=metadata.novelty,
        parent=metadata.reduced.parent if metadata.reduced else None,
        digest=classifier.digest,
        parity=metadata.parity,
        metrics=metadata.metrics,
        binsight_version=metadata.binsight_version,
        created=metadata.created,
    )


def precision_of(bundle: Path) -> Precision:
    """What a bundle's graph computes with, or keeps its weights in."""
    import onnx

    graph = onnx.load(bundle).graph
    if any(node.op_type == "DequantizeLinear" for node in graph.node):
        return "int8"
    # Constants of the novelty and of the memory are float16 in every bundle.
    halves = (one for one in graph.initializer if one.name.endswith(".half"))
    return "fp16" if any(halves) else "fp32"
