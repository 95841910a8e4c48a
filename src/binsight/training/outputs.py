"""What a network makes of photos, as it will be asked of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from binsight.data.dataset import evaluation_loader
from binsight.data.labelled import LabelledPhotos
from binsight.model.network import Network
from binsight.preprocess import PreprocessSpec

__all__ = ["device_of", "outputs_of"]

BATCH = 32


def outputs_of(
    network: Network,
    photos: LabelledPhotos,
    spec: PreprocessSpec,
    *,
    workers: int = 0,
    accelerator: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits (N, classes) and embeddings (N, D) of a network in eval mode, in float32.

    Args:
        network: ends on the CPU, wherever it computes.
        photos: to show.
        spec: how they are prepared.
        workers: processes that prepare them.
        accelerator: ``auto``, ``cpu`` or ``gpu``.
        progress: called with (done, total) photos.
    """
    loader = evaluation_loader(photos, spec, batch=BATCH, workers=workers)
    logits: list[NDArray[np.float32]] = []
    embeddings: list[NDArray[np.float32]] = []
    device = device_of(accelerator)
    network.to(device)
    with torch.inference_mode():
        for images, _ in loader:
            outputs = network(images.to(device))
            logits.append(outputs.logits_nc.float().cpu().numpy())
            embeddings.append(outputs.embedding_nd.float().cpu().numpy())
            if progress:
                progress(sum(map(len, logits)), len(photos.files))
    network.to("cpu")
    return np.concatenate(logits), np.concatenate(embeddings)


def device_of(accelerator: str) -> str:
    """PyTorch's name of the device that ``auto``, ``cpu`` or ``gpu`` stands for here."""
    return "cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu"
