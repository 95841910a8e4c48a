"""Who a student learns from: trained runs, folds and bundles, asked for the same views."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn
from torch.nn import functional

from binsight.bundle import INPUT
from binsight.cpus import available_cpus
from binsight.data.split import Split
from binsight.errors import RunError, UsageError
from binsight.model.network import Network
from binsight.runtime import Classifier, is_bundle
from binsight.runtime.classifier import open_session
from binsight.runtime.providers import available_providers

from .checkpoints import best_network
from .folds import Folds, check_finished, has_folds, open_folds
from .kept import weights_digest
from .recipe import Recipe
from .run import open_run

__all__ = ["BundleTeacher", "FoldsTeacher", "RunTeacher", "Teachers", "open_teachers"]


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

    def forward(self, images_nchw: Tensor, paths: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Normalised images (N, 3, H, W) to probabilities (N, C) and embeddings (N, D).

        Args:
            images_nchw: of photos.
            paths: of the photos in their catalog; not every teacher needs to know.
        """
        outputs = self.network(images_nchw)
        return outputs.logits_nc.float().softmax(dim=1), outputs.embedding_nd.float()


class FoldsTeacher(nn.Module):
    """The networks of a cross-validation; each photo is asked of the one that did not learn it.

    A network is surer of photos that it learned from than it is of others, and a student should not
    learn that ("Knowledge Distillation as Semiparametric Inference", Dao et al. 2021). For a photo
    that is in no fold, the mean of all networks answers.

    Attributes as of a `RunTeacher`; the embeddings of networks that were trained apart have nothing
    in common, so that none are given.

    Args:
        folds: trained.
    """

    def __init__(self, folds: Folds) -> None:
        super().__init__()
        networks = [RunTeacher(best_network(run)) for run in folds.runs]
        self.networks = nn.ModuleList(networks)
        self.width = 0
        self.classes = len(folds.runs[0].facts.classes)
        place_of = {number: place for place, number in enumerate(folds.split.folds)}
        self._place_of = {path: place_of[number] for path, number in folds.split.fold_of.items()}
        text = json.dumps([[network.digest for network in networks], self._place_of])
        self.digest = hashlib.sha256(text.encode()).hexdigest()

    def forward(self, images_nchw: Tensor, paths: Sequence[str]) -> tuple[Tensor, Tensor]:
        """As a `RunTeacher`."""
        own = [self._place_of.get(path) for path in paths]
        sums = torch.zeros(len(paths), self.classes, device=images_nchw.device)
        asked = torch.zeros(len(paths), 1, device=images_nchw.device)
        for place, network in enumerate(self.networks):
            rows = [row for row, its in enumerate(own) if its in {None, place}]
            if rows:
                probs, _ = network(images_nchw[rows], [paths[row] for row in rows])
                sums[rows] += probs
                asked[rows] += 1
        return sums / asked, sums[:, :0]


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
        answer = self(torch.zeros(1, 3, side, side), [""])
        self.width = answer[1].shape[1]

    def forward(self, images_nchw: Tensor, paths: Sequence[str]) -> tuple[Tensor, Tensor]:
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

    def __init__(self, teachers: Sequence[RunTeacher | FoldsTeacher | BundleTeacher]) -> None:
        super().__init__()
        self.teachers = nn.ModuleList(teachers)
        self.width = sum(teacher.width for teacher in teachers)
        self.digests = [teacher.digest for teacher in teachers]

    def forward(self, images_nchw: Tensor, paths: Sequence[str]) -> Tensor:
        """Images (N, 3, H, W) to mean probabilities and embeddings of norm 1: (N, C + D).

        Args:
            images_nchw: of photos.
            paths: of the photos in their catalog.
        """
        answers = [teacher(images_nchw, paths) for teacher in self.teachers]
        probs = torch.stack([probs for probs, _ in answers]).mean(dim=0)
        embedding = torch.cat([embedding for _, embedding in answers], dim=1)
        return torch.cat([probs, functional.normalize(embedding, dim=1)], dim=1)


def open_teachers(given: Sequence[str], split: Split, recipe: Recipe) -> Teachers:
    """Open runs, folders of folds and bundles.

    Args:
        given: folders of runs and of folds, paths of bundles or names of built-in ones.
        split: of the student; its classes are what teachers have to know, in this order.
        recipe: of the student.

    Raises:
        RunError: a teacher is gone or not finished, has other classes, was trained on other
            numbers, or its folds cannot say who has not learned a photo.
        UsageError: the recipe asks for embeddings, and a teacher has none to give.
        BundleError: a bundle cannot be used.
    """
    return Teachers([_opened(one, split, recipe) for one in given])


def _opened(given: str, split: Split, recipe: Recipe) -> RunTeacher | FoldsTeacher | BundleTeacher:
    if is_bundle(given):
        bundle = Classifier(given)
        _check_classes(given, bundle.classes, split)
        its, spec = bundle.metadata.preprocess, recipe.preprocess
        if not np.allclose((its.mean, its.std), (spec.mean, spec.std)):
            raise RunError(
                f"{given}: mean and deviation of its images are not those of the student"
            )
        return BundleTeacher(bundle)
    if has_folds(Path(given)):
        folds = open_folds(Path(given))
        _check_classes(given, folds.runs[0].facts.classes, split)
        _check_folds(folds, split)
        if recipe.distillation.embedding:
            raise UsageError(
                f"{given}: the embeddings of networks that were trained apart have nothing in "
                "common; --set distillation.embedding=0"
            )
        return FoldsTeacher(folds)
    run = open_run(Path(given))
    _check_classes(given, run.facts.classes, split)
    return RunTeacher(best_network(run))


def _check_classes(given: str, known: tuple[str, ...], split: Split) -> None:
    if known != split.classes:
        raise RunError(
            f"{given}: the teacher knows {', '.join(known)}, these photos are of "
            f"{', '.join(split.classes)}"
        )


def _check_folds(folds: Folds, split: Split) -> None:
    """Make sure that of each photo it can be told which network has not learned it."""
    if folds.split.catalog_digest != split.catalog_digest:
        raise RunError(
            f"{folds.folder}: its folds are of other photos, so nobody knows which of its networks "
            "has not learned one; leave --photos and --split out, or make folds of these photos"
        )
    if folds.split.straddling(["train", *folds.split.fold_parts]):
        raise RunError(
            f"{folds.folder}: duplicates are in different folds, so that every network has learned "
            "a copy; make folds that keep them together"
        )
    check_finished(folds)


def _for_any_size(bundle: Classifier) -> ort.InferenceSession:
    model = onnx.load_from_string(bundle.data())
    del model.graph.value_info[:]
    for tensor in (*model.graph.input, *model.graph.output):
        for place, dimension in enumerate(tensor.type.tensor_type.shape.dim[2:]):
            dimension.dim_param = f"{tensor.name}_{place}"
    data = model.SerializeToString()
    return open_session(bundle.path, data, available_cpus(), available_providers(None))
