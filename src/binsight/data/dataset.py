"""Photos of one part of a split, as batches of tensors.

Random changes to a photo depend on the seed, the epoch and the photo alone: not on the number of
worker processes, nor on what was drawn before. So a run that was interrupted goes on as if it had
not been. Where a photo has a fixed number of views, they depend on its bytes instead of its place,
so that what a network made of them can be kept (`kept`) and used again by another run.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from binsight.images import decode
from binsight.preprocess import PreprocessSpec, apply

from .labelled import LabelledPhotos

__all__ = [
    "Views",
    "evaluation_loader",
    "mixed_seed",
    "start_worker",
    "training_loader",
]


@dataclass(frozen=True)
class Views:
    """Photos with random changes, as tensors (3, size, size).

    Args:
        photos: to draw from.
        transform: photo to a tensor, with random changes.
        size: side of the tensors, pixels.
        seed: of the changes.
        count: of different views of a photo, which come round again; 0 for a new one each epoch.
    """

    photos: LabelledPhotos
    transform: Callable[[Image.Image], Tensor]
    size: int
    seed: int
    count: int = 0

    def __post_init__(self) -> None:
        assert not self.count or self.photos.digests

    def view(self, epoch: int) -> int:
        """Number of the view that an epoch shows."""
        return epoch % self.count if self.count else epoch

    def tensor(self, index: int, view: int) -> Tensor:
        """One view of one photo: (3, size, size)."""
        image = decode(self.photos.files[index], min_side=2 * self.size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed_seed(self.seed, view, *self._photo(index)))
            return self.transform(image)

    def _photo(self, index: int) -> tuple[int, ...]:
        if not self.count:
            return (index,)
        digest = self.photos.digests[index]
        return int(digest[:8], 16), int(digest[8:16], 16)


class Kept(Protocol):
    """Reads what a network made of a photo's view, from somewhere."""

    def __call__(self, digest: str, view: int) -> Tensor:
        """Of the photo with this SHA-256."""


class _Training(Dataset[tuple[Any, ...]]):
    """Photos, or what frozen stages made of them, and what else `training_loader` adds."""

    def __init__(
        self, views: Views, stages: Kept | None, teacher: Kept | None, named: bool
    ) -> None:
        self.views = views
        self.stages = stages
        self.teacher = teacher
        self.named = named

    def __getitem__(self, key: tuple[int, int]) -> tuple[Any, ...]:
        epoch, index = key
        view = self.views.view(epoch)
        photos = self.views.photos
        if self.stages:
            image = self.stages(photos.digests[index], view)
        else:
            image = self.views.tensor(index, view)
        label = torch.tensor(photos.labels[index])
        if self.teacher:
            return image, label, self.teacher(photos.digests[index], view)
        return (image, label, photos.digests[index]) if self.named else (image, label)


class _Evaluation(Dataset[tuple[Tensor, int]]):
    def __init__(self, photos: LabelledPhotos, spec: PreprocessSpec, stages: Kept | None) -> None:
        self.photos = photos
        self.spec = spec
        self.stages = stages

    def __len__(self) -> int:
        return len(self.photos.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if self.stages:
            return self.stages(self.photos.digests[index], 0), self.photos.labels[index]
        image = decode(self.photos.files[index], min_side=self.spec.min_side)
        return torch.from_numpy(apply(image, self.spec)), self.photos.labels[index]


class _Shuffled(Sampler[tuple[int, int]]):
    """Draws photos in an order that seed and epoch decide, none twice in an epoch.

    Of the photos that have the same share, that share is drawn, anew each epoch.
    """

    def __init__(self, shares: Sequence[float], seed: int, epoch: int) -> None:
        self.groups: dict[float, list[int]] = defaultdict(list)
        for index, share in enumerate(shares):
            self.groups[share].append(index)
        self.seed = seed
        self.epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(self._drawn(share) for share in self.groups)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch, 2**32 - 1))
        chosen: list[int] = []
        for share, indices in self.groups.items():
            if self._drawn(share) == len(indices):
                chosen += indices
                continue
            order = torch.randperm(len(indices), generator=generator)[: self._drawn(share)]
            chosen += [indices[place] for place in order]
        order = torch.randperm(len(chosen), generator=generator)
        return iter([(self.epoch, chosen[place]) for place in order])

    def _drawn(self, share: float) -> int:
        return max(1, round(share * len(self.groups[share])))


def mixed_seed(*numbers: int) -> int:
    """One seed, 0 to 2^63-1, from several numbers, each 0 to 2^32-1."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def start_worker(number: int) -> None:  # noqa: ARG001
    """Let no worker collect the garbage that it inherited when it was forked.

    A session of ONNX Runtime among it would wait forever for its threads, which no fork copies.
    """
    gc.freeze()


def training_loader(
    views: Views,
    *,
    batch: int,
    workers: int,
    shares: Sequence[float] | None = None,
    first_epoch: int = 0,
    stages: Kept | None = None,
    teacher: Kept | None = None,
    named: bool = False,
) -> DataLoader[tuple[Any, ...]]:
    """Shuffled batches: images (N, 3, size, size), class numbers (N,), and what is asked for.

    The last, smaller batch is left out, unless it is the only one: BatchNorm learns nothing from
    one photo. A resumed run names the epoch that it begins with.

    Args:
        views: of the photos to draw from.
        batch: photos in a batch.
        workers: processes that prepare photos.
        shares: for each photo, above 0 and at most 1: which part of the photos with the same
            share an epoch draws. ``None`` draws every photo.
        first_epoch: number of the first epoch.
        stages: reads what frozen stages made of a view; it takes the image's place.
        teacher: reads a teacher's answer to a view: (N, C + D) in a batch.
        named: add the SHA-256 of the photos, for who asks a teacher as they are shown.
    """
    assert not (teacher and named)
    sampler = _Shuffled(shares or [1.0] * len(views.photos.files), views.seed, first_epoch)
    return DataLoader(
        _Training(views, stages, teacher, named),
        batch_size=batch,
        sampler=sampler,
        num_workers=workers,
        worker_init_fn=start_worker,
        persistent_workers=workers > 0,
        drop_last=len(sampler) >= batch,
        # Its own generator: starting workers draws a number, and dropout's must not depend on it.
        generator=torch.Generator().manual_seed(views.seed),
    )


def evaluation_loader(
    photos: LabelledPhotos,
    spec: PreprocessSpec,
    *,
    batch: int,
    workers: int,
    stages: Kept | None = None,
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches in order, as the runtime would prepare them, or what frozen stages made of them."""
    return DataLoader(
        _Evaluation(photos, spec, stages),  # type: ignore[arg-type]  # collated
        batch_size=batch,
        num_workers=workers,
        worker_init_fn=start_worker,
        persistent_workers=workers > 0,
        generator=torch.Generator().manual_seed(0),
    )
