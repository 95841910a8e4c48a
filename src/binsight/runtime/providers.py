"""Which of ONNX Runtime's execution providers compute: by name, and none in silence.

ONNX Runtime itself only warns and goes on with the CPU where a provider is missing or does not
start; here both are errors, so that nobody measures a CPU and calls it a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnxruntime as ort

from binsight.errors import UsageError

__all__ = ["PROVIDERS", "available_providers", "check_started"]

CPU = "CPUExecutionProvider"
PROVIDERS = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


def available_providers(names: Sequence[str] | None) -> tuple[str, ...]:
    """ONNX Runtime's names of the providers that were asked for, with the CPU at the end.

    Args:
        names: short ones of `PROVIDERS`, or any that ONNX Runtime knows; ``None`` for the CPU.

    Raises:
        UsageError: this ONNX Runtime has no such provider.
    """
    if isinstance(names, str):
        raise UsageError(f"providers is a list of names; give [{names!r}]")
    wanted = [PROVIDERS.get(name, name) for name in names or ()]
    here = ort.get_available_providers()
    missing = [name for name in wanted if name not in here]
    if missing:
        short = {long: name for name, long in PROVIDERS.items()}
        raise UsageError(
            f"this ONNX Runtime has no {missing[0]}; it has "
            f"{', '.join(short.get(name, name) for name in here)}; CUDA and TensorRT come with "
            "onnxruntime-gpu, in place of onnxruntime"
        )
    return tuple(dict.fromkeys([*wanted, CPU]))


def check_started(wanted: Sequence[str], started: Sequence[str]) -> None:
    """Make sure that a session runs on what was asked for.

    Raises:
        UsageError: a provider did not start, as for want of a device or a driver.
    """
    absent = [name for name in wanted if name not in started]
    if absent:
        raise UsageError(
            f"{absent[0]} did not start; is there a device, with a driver that fits ONNX Runtime?"
        )
