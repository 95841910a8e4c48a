"""LiteRT, once TensorFlow Lite: ``.tflite`` for Android, iOS and small boards.

The file takes one image of shape (1, size, size, 3), as phones keep pictures, and is otherwise told
the same numbers as a bundle. ``int8`` computes with integers up to the last feature map, but for
the first convolutions; pooling and head stay in float32. Labels and the description of the input
are also in the file itself: it ends in a zip archive with ``labels.txt`` and ``preprocess.json``,
where Android's tools look for them.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from binsight.bundle import Metadata
from binsight.cpus import available_cpus
from binsight.preprocess import PreprocessSpec, load

from .measured import Answers, Floats
from .quiet import converting
from .reduced import kept_first

if TYPE_CHECKING:
    from .described import Description
    from .formats import Request, Source

__all__ = ["convert", "open_runner"]

SIGNATURE = "serving_default"
# What the features of torchvision's networks are made of. MEAN is not here: it makes the embedding,
# and where an output is in integers the quantiser leaves its signature at a tensor that is gone.
INTEGER = (
    "ADD",
    "AVERAGE_POOL_2D",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "HARD_SWISH",
    "LOGISTIC",
    "MAX_POOL_2D",
    "MUL",
    "PAD",
    "RELU",
)


def convert(source: Source, draft: Path, request: Request) -> tuple[str, ...]:
    """Write the file, and return what it gives, in its order.

    ``int8`` gives no novelty: its limit was chosen for what float32 computes.

    Raises:
        NotABundleError: the bundle's graph cannot be rebuilt.
        ParityError: the rebuilt network does not answer like the bundle.
        ConversionError: the converter failed.
    """
    from .rebuilt import outputs_of_bundle, rebuild

    is_int8 = request.precision == "int8"
    outputs = outputs_of_bundle(source.classifier)[: 2 if is_int8 else None]
    network = rebuild(source.classifier, outputs)
    size = source.metadata.preprocess.size
    with converting(draft.name):
        content = _converted(network, size)
        if is_int8:
            assert request.calibration is not None
            images = _Images(request.calibration.files, source.metadata.preprocess)
            content = _quantised(content, images)
    draft.write_bytes(content)
    _add_labels(draft, source.metadata)
    return outputs


def open_runner(path: Path, description: Description, threads: int | None) -> LiteRtRunner:
    """Open the file to run it; see `formats`."""
    return LiteRtRunner(path, description.outputs, threads)


class LiteRtRunner:
    """A ``.tflite`` file, as a `measured.Runner`.

    Args:
        path: of the file.
        outputs: that it gives, in its order.
        threads: ``None`` for the CPUs that this process may use.
    """

    def __init__(self, path: Path, outputs: Sequence[str], threads: int | None = None) -> None:
        with converting(path.name):
            from ai_edge_litert.interpreter import Interpreter

            self._interpreter = Interpreter(
                model_path=str(path), num_threads=threads or available_cpus()
            )
            self._interpreter.allocate_tensors()
        names = self._interpreter.get_signature_list()[SIGNATURE]
        self._signature = self._interpreter.get_signature_runner(SIGNATURE)
        (self._input,) = names["inputs"]
        self._outputs = dict(zip(outputs, sorted(names["outputs"]), strict=True))

    def run(self, images_nchw: Floats) -> Answers:
        """Answer image by image, since the file takes one at a time."""
        rows = [self._row(image) for image in images_nchw]
        made = {name: np.concatenate([row[name] for row in rows]) for name in self._outputs}
        return Answers.by_name(made)

    def _row(self, image_chw: Floats) -> dict[str, Floats]:
        image_nhwc = np.ascontiguousarray(image_chw.transpose(1, 2, 0)[np.newaxis])
        found = self._signature(**{self._input: image_nhwc})
        return {name: found[key] for name, key in self._outputs.items()}


def _converted(network: Any, size: int) -> bytes:
    import litert_torch
    import torch

    class ChannelsLast(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images_nhwc: torch.Tensor) -> tuple[torch.Tensor, ...]:
            answers: tuple[torch.Tensor, ...] = self.network(images_nhwc.permute(0, 3, 1, 2))
            return answers

    made = litert_torch.convert(ChannelsLast().eval(), (torch.zeros(1, size, size, 3),))
    return bytes(made.model_content())


class _Images:
    """Photos as the file takes them; the quantiser goes through them more than once.

    They come in random order, since its ranges are moving averages: of photos sorted by class it
    would remember the last class.
    """

    def __init__(self, files: Sequence[Path], spec: PreprocessSpec) -> None:
        self._files = [files[place] for place in np.random.default_rng(0).permutation(len(files))]
        self._spec = spec

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[dict[str, Floats]]:
        for file in self._files:
            image_hwc = load(file, self._spec).transpose(1, 2, 0)
            yield {"args_0": np.ascontiguousarray(image_hwc[np.newaxis])}


def _quantised(content: bytes, images: _Images) -> bytes:
    """Integers for activations and, with a scale for each channel, for weights."""
    from ai_edge_quantizer import qtyping, quantizer

    operation, algorithm = qtyping.TFLOperationName, "no_quantize"
    maker = quantizer.Quantizer(content)
    for name in INTEGER:
        maker.add_static_config(
            regex=".*", operation_name=operation(name), activation_num_bits=8, weight_num_bits=8
        )
    for scope in _first_convolutions(content):
        maker.update_quantization_recipe(
            f"^{re.escape(scope)}$", operation.ALL_SUPPORTED, algorithm_key=algorithm
        )
    ranges = maker.calibrate({SIGNATURE: images}, num_threads=available_cpus())
    result = maker.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _first_convolutions(content: bytes) -> list[str]:
    """Scopes, as the quantiser calls them, of convolutions that stay in float32.

    See `reduced.kept_first`.
    """
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffer

    model = flatbuffer.read_model(content)
    (graph,) = model.subgraphs
    kinds = {BuiltinOperator.CONV_2D, BuiltinOperator.DEPTHWISE_CONV_2D}
    scopes = [
        flatbuffer.get_op_scope(one, graph.tensors)
        for one in graph.operators
        if model.operatorCodes[one.opcodeIndex].builtinCode in kinds
    ]
    return kept_first(scopes)


def _add_labels(draft: Path, metadata: Metadata) -> None:
    """Append an archive: readers of ``.tflite`` ignore what follows, and zip reads from the end."""
    spec = metadata.preprocess.model_dump(mode="json")
    with zipfile.ZipFile(draft, "a") as archive:
        archive.writestr("labels.txt", "\n".join(metadata.classes) + "\n")
        archive.writestr("preprocess.json", json.dumps(spec, indent=2) + "\n")
