"""TensorRT: ``.engine`` for one kind of NVIDIA GPU and one version of TensorRT.

The engine takes any number of images between the first and the last of `BATCHES`. What was timed
while building is kept in a cache, so that the next build of the same layers is quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from binsight.bundle import INPUT
from binsight.errors import ConversionError
from binsight.files import cache_folder, replacing

from .measured import Answers, Floats
from .quiet import converting

if TYPE_CHECKING:
    from .described import Description
    from .formats import Request, Source

__all__ = ["BATCHES", "build_engine", "convert", "open_runner"]

BATCHES = (1, 8, 32)  # images: the least, those that it is tuned for, the most
WORKSPACE = 1 << 30  # bytes


def convert(source: Source, draft: Path, request: Request) -> tuple[str, ...]:
    """Write the engine, and return what it gives.

    Raises:
        ConversionError: no GPU, or TensorRT cannot build it.
        NotABundleError: the graph has an operator that TensorRT cannot parse.
    """
    require_gpu()
    from .rebuilt import outputs_of_bundle
    from .typed import typed_model

    outputs = outputs_of_bundle(source.classifier)
    with converting(draft.name):
        model = typed_model(source.classifier, outputs, request.precision, request.calibration)
        size = source.metadata.preprocess.size
        draft.write_bytes(build_engine(model.SerializeToString(), size, timing_cache()))
    return outputs


def open_runner(
    path: Path,
    description: Description,
    threads: int | None,  # noqa: ARG001 - of the CPU
) -> TensorRtRunner:
    """Open the engine to run it; see `formats`."""
    require_gpu()
    return TensorRtRunner(path, description.outputs)


def require_gpu() -> None:
    """Raise `ConversionError` where there is no NVIDIA GPU: TensorRT times each layer on one."""
    import torch

    if not torch.cuda.is_available():
        raise ConversionError(
            "TensorRT needs an NVIDIA GPU, and there is none here; build the engine on the machine "
            "that shall run it"
        )


def timing_cache() -> Path:
    """Where the times of layers are kept, for each version of TensorRT and kind of GPU."""
    import tensorrt
    import torch

    major, minor = torch.cuda.get_device_capability()
    name = f"tensorrt-{tensorrt.__version__}-sm{major}{minor}.timing"
    return cache_folder() / name


def build_engine(model: bytes, size: int, cache: Path) -> bytes:
    """Build the engine of an ONNX model whose types say what to compute with.

    Args:
        model: serialised ModelProto with one input (N, 3, size, size).
        size: of the images.
        cache: file of times of layers; read if it is there, and written.

    Raises:
        ConversionError: TensorRT cannot parse or build it.
    """
    import tensorrt

    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(_typed(tensorrt))
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(model):
        reason = parser.get_error(0).desc() if parser.num_errors else "no reason given"
        raise ConversionError(f"TensorRT cannot parse the network ({reason})")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, WORKSPACE)
    config.add_optimization_profile(_profile(builder, size))
    times = config.create_timing_cache(cache.read_bytes() if cache.is_file() else b"")
    config.set_timing_cache(times, ignore_mismatch=False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ConversionError("TensorRT cannot build the network; its log says why")
    with replacing(cache) as temporary:
        temporary.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(engine)


def _typed(tensorrt: Any) -> int:
    """Flags for a strongly typed network, which TensorRT 11 makes without being asked.

    Batches are explicit in both versions.
    """
    flag = getattr(tensorrt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _profile(builder: Any, size: int) -> Any:
    profile = builder.create_optimization_profile()
    profile.set_shape(INPUT, *((batch, 3, size, size) for batch in BATCHES))
    return profile


class TensorRtRunner:
    """An ``.engine`` file, as a `measured.Runner`. Memory on the GPU is PyTorch's.

    Args:
        path: of the file.
        outputs: that it gives.
    """

    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        import tensorrt

        self._runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise ConversionError(
                f"{path}: made by another TensorRT or for another GPU; export it here again"
            )
        self._context = self._engine.create_execution_context()
        self._outputs = tuple(outputs)

    def run(self, images_nchw: Floats) -> Answers:
        """Answer in batches of at most the last of `BATCHES`."""
        most = BATCHES[-1]
        parts = [
            self._batch(images_nchw[start : start + most])
            for start in range(0, len(images_nchw), most)
        ]
        made = {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}
        return Answers.by_name(made)

    def _batch(self, images_nchw: Floats) -> dict[str, Floats]:
        import torch

        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            images = torch.from_numpy(np.ascontiguousarray(images_nchw)).cuda()
            self._context.set_input_shape(INPUT, tuple(images.shape))
            made = {
                name: torch.empty(tuple(self._context.get_tensor_shape(name)), device="cuda")
                for name in self._outputs
            }
            for name, tensor in {INPUT: images, **made}.items():
                self._context.set_tensor_address(name, tensor.data_ptr())
            if not self._context.execute_async_v3(stream.cuda_stream):
                raise ConversionError("TensorRT could not run the engine")
            stream.synchronize()
            return {name: tensor.cpu().numpy() for name, tensor in made.items()}
