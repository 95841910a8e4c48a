"""Who a student learns from: trained runs and bundles, asked for the same views."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn
from torch.nn import functional

from binsight.bundle import INPUT, read_verified
from binsight.errors import RunError
from binsight.model.network import Network
from binsight.preprocess import PreprocessSpec
from binsight.runtime import Classifier, is_bundle
from binsight.runtime.classifier import open_session
from binsight.runtime.cpus import available_cpus
from binsight.runtime.providers import available_providers

from .checkpoints import best_network
from .kept import weights_digest
from .run import Run, open_run

__all__ = ["BundleTeacher", "RunTeacher", "Teachers", "open_teachers"]


class RunTeacher(nn.Module):
    """The network of a run.

    Args:
        network: trained.

    Attributes:
        width: D.
        digest: of all that decides its answers.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.width = network.head.in_features
        self.digest = weights_digest(network)

    def forward(self, images_nchw: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (N, 3, H, W) to probabilities (N, C) and embeddings (N, D)."""
        outputs = self.network(images_nchw)
        return outputs.logits_nc.float().softmax(dim=1), outputs.embedding_nd.float()


class BundleTeacher(nn.Module):
    """A bundle, asked on the CPU; its probabilities are the calibrated ones.

    Attributes as of a `RunTeacher`.

    A bundle takes images of one size. The network in it takes any, since it pools what it finds,
    and answers small views sooner than enlarged ones.

    Args:
        bundle: opened.

    Raises:
        RunError: its network has an operator that is bound to one size.
    """

    def __init__(self, bundle: Classifier) -> None:
        super().__init__()
        self.path = bundle.path
        self.digest = bundle.digest
        self._session = _for_any_size(bundle)
        side = bundle.metadata.preprocess.size // 2
        answer = self(torch.zeros(1, 3, side, side))
        self.width = answer[1].shape[1]

    def forward(self, images_nchw: Tensor) -> tuple[Tensor, Tensor]:
        """As a `RunTeacher`; the answers are put where the images are."""
        images = images_nchw.float().cpu().contiguous().numpy()
        try:
            probs, embedding = self._session.run(["probs", "embedding"], {INPUT: images})
        # ONNX Runtime's exceptions share no public base class.
        except Exception as error:
            raise RunError(
                f"{self.path}: its network takes no views of {images.shape[-1]} px "
                f"({str(error).splitlines()[0]})"
            ) from error
        device = images_nchw.device
        return torch.from_numpy(probs).to(device), torch.from_numpy(embedding).to(device)


class Teachers(nn.Module):
    """Teachers that are asked together.

    Args:
        teachers: of the same classes, in the same order.

    Attributes:
        width: D, of all embeddings together.
        digests: of the teachers, in order.
    """

    def __init__(self, teachers: Sequence[RunTeacher | BundleTeacher]) -> None:
        super().__init__()
        self.teachers = nn.ModuleList(teachers)
        self.width = sum(teacher.width for teacher in teachers)
        self.digests = [teacher.digest for teacher in teachers]

    def forward(self, images_nchw: Tensor) -> Tensor:
        """Images (N, 3, H, W) to mean probabilities and embeddings of norm 1: (N, C + D)."""
        answers = [teacher(images_nchw) for teacher in self.teachers]
        probs = torch.stack([probs for probs, _ in answers]).mean(dim=0)
        embedding = torch.cat([embedding for _, embedding in answers], dim=1)
        return torch.cat([probs, functional.normalize(embedding, dim=1)], dim=1)


def open_teachers(given: Sequence[str], classes: tuple[str, ...], spec: PreprocessSpec) -> Teachers:
    """Open runs and bundles.

    Args:
        given: folders of runs, paths of bundles or names of built-in ones.
        classes: that they have to know, in this order.
        spec: how their student is shown photos.

    Raises:
        RunError: a teacher is gone, has other classes, or was trained on other numbers.
        BundleError: a bundle cannot be used.
    """
    return Teachers([_opened(one, classes, spec) for one in given])


def _opened(
    given: str, classes: tuple[str, ...], spec: PreprocessSpec
) -> RunTeacher | BundleTeacher:
    source = Classifier(given) if is_bundle(given) else open_run(Path(given))
    known = source.facts.classes if isinstance(source, Run) else source.classes
    if known != classes:
        raise RunError(
            f"{given}: the teacher knows {', '.join(known)}, these photos are of "
            f"{', '.join(classes)}"
        )
    if isinstance(source, Run):
        return RunTeacher(best_network(source))
    its = source.metadata.preprocess
    if not np.allclose((its.mean, its.std), (spec.mean, spec.std)):
        raise RunError(f"{given}: mean and deviation of its images are not those of the student")
    return BundleTeacher(source)


def _for_any_size(bundle: Classifier) -> ort.InferenceSession:
    model = onnx.load_from_string(read_verified(bundle.path))
    del model.graph.value_info[:]
    for tensor in (*model.graph.input, *model.graph.output):
        for place, dimension in enumerate(tensor.type.tensor_type.shape.dim[2:]):
            dimension.dim_param = f"{tensor.name}_{place}"
    data = model.SerializeToString()
    return open_session(bundle.path, data, available_cpus(), available_providers(None))
