"""ExecuTorch: ``.pte``, PyTorch's own format for phones, computed by XNNPACK on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .measured import Answers, Floats
from .quiet import converting

if TYPE_CHECKING:
    from .described import Description
    from .formats import Request, Source

__all__ = ["convert", "open_runner"]


def convert(source: Source, draft: Path, request: Request) -> tuple[str, ...]:  # noqa: ARG001
    """Write the file, which takes one image (1, 3, size, size), and return what it gives.

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
        import torch
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        traced = torch.export.export(network, (torch.zeros(1, 3, size, size),))
        lowered = to_edge_transform_and_lower(traced, partitioner=[XnnpackPartitioner()])
        draft.write_bytes(lowered.to_executorch().buffer)
    return outputs


def open_runner(
    path: Path,
    description: Description,
    threads: int | None,  # noqa: ARG001 - ExecuTorch's Python has no say in it
) -> ExecuTorchRunner:
    """Open the file to run it; see `formats`. It uses the threads that XNNPACK sees fit."""
    return ExecuTorchRunner(path, description.outputs)


class ExecuTorchRunner:
    """A ``.pte`` file, as a `measured.Runner`.

    Args:
        path: of the file.
        outputs: that it gives, in its order.
    """

    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        with converting(path.name):
            from executorch.runtime import Runtime

            # The program must outlive its method.
            self._program = Runtime.get().load_program(path)
            self._method = self._program.load_method("forward")
        self._outputs = tuple(outputs)

    def run(self, images_nchw: Floats) -> Answers:
        """Answer image by image, since the file takes one at a time."""
        rows = [self._row(image) for image in images_nchw]
        made = {
            name: np.concatenate(part) for name, *part in zip(self._outputs, *rows, strict=True)
        }
        return Answers.by_name(made)

    def _row(self, image_chw: Floats) -> list[Floats]:
        import torch

        image = torch.from_numpy(np.ascontiguousarray(image_chw[np.newaxis]))
        # A copy: the next run writes to the same memory.
        return [found.numpy().copy() for found in self._method.execute((image,))]
