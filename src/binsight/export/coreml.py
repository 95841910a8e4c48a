"""Core ML: ``.mlpackage`` for iOS and macOS.

Written on any system, but run by macOS alone: elsewhere nobody has compared its answers with the
bundle's, and its description says no parity.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from binsight.bundle import INPUT, Metadata
from binsight.errors import ConversionError

from .measured import Answers, Floats
from .quiet import converting

if TYPE_CHECKING:
    from .described import Description
    from .formats import Request, Source

__all__ = ["convert", "open_runner"]


def convert(source: Source, draft: Path, request: Request) -> tuple[str, ...]:
    """Write the package, which takes one image (1, 3, size, size), and return what it gives.

    Raises:
        NotABundleError: the bundle's graph cannot be rebuilt.
        ParityError: the rebuilt network does not answer like the bundle.
        ConversionError: the converter failed.
    """
    from .rebuilt import outputs_of_bundle, rebuild

    outputs = outputs_of_bundle(source.classifier)
    network = rebuild(source.classifier, outputs)
    size = source.metadata.preprocess.size
    with converting(draft.name):
        package = _converted(network, outputs, size, is_half=request.precision == "fp16")
        _describe(package, source.metadata)
        package.save(str(draft))
        _check(draft, outputs, size)
    return outputs


def open_runner(
    path: Path,
    description: Description,
    threads: int | None,  # noqa: ARG001 - Core ML decides
) -> CoreMlRunner:
    """Open the package to run it, on macOS; see `formats`."""
    return CoreMlRunner(path, description.outputs)


class CoreMlRunner:
    """A ``.mlpackage``, as a `measured.Runner`.

    Args:
        path: of the package.
        outputs: that it gives.
    """

    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        with converting(path.name):
            import coremltools

            self._model = coremltools.models.MLModel(str(path))
        self._outputs = tuple(outputs)

    def run(self, images_nchw: Floats) -> Answers:
        """Answer image by image, since the package takes one at a time."""
        rows = [self._model.predict({INPUT: image[np.newaxis]}) for image in images_nchw]
        made = {
            name: np.concatenate([row[name] for row in rows]).astype(np.float32)
            for name in self._outputs
        }
        return Answers.by_name(made)


def _converted(network: Any, outputs: Sequence[str], size: int, *, is_half: bool) -> Any:
    import coremltools
    import torch

    shape = (1, 3, size, size)
    traced = torch.export.export(network, (torch.zeros(shape),)).run_decompositions({})
    precision, kind = coremltools.precision, np.float32  # float16 computes; who asks gets float32
    return coremltools.convert(
        traced,
        convert_to="mlprogram",
        inputs=[coremltools.TensorType(name=INPUT, shape=shape, dtype=kind)],
        outputs=[coremltools.TensorType(name=name, dtype=kind) for name in outputs],
        compute_precision=precision.FLOAT16 if is_half else precision.FLOAT32,
        minimum_deployment_target=coremltools.target.iOS16,
        skip_model_load=True,
    )


def _describe(package: Any, metadata: Metadata) -> None:
    """What Xcode shows, and an app can read: labels and how a photo becomes the input."""
    package.short_description = "Says what a photo of waste shows"
    package.license = metadata.licence
    package.user_defined_metadata["classes"] = ",".join(metadata.classes)
    package.user_defined_metadata["preprocess"] = metadata.preprocess.model_dump_json()


def _check(draft: Path, outputs: Sequence[str], size: int) -> None:
    """Read the package back: names and shapes are all that can be checked on any system."""
    import coremltools

    spec = coremltools.models.MLModel(str(draft), skip_model_load=True).get_spec()
    taken = [(one.name, list(one.type.multiArrayType.shape)) for one in spec.description.input]
    given = [one.name for one in spec.description.output]
    if taken != [(INPUT, [1, 3, size, size])] or sorted(given) != sorted(outputs):
        raise ConversionError(f"{draft.name}: the package takes {taken} and gives {given}")
