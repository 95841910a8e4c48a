"""Photos of one part of a split, as batches of tensors.

Random changes to a photo depend on the seed, the epoch and the photo alone: not on the number of
worker processes, nor on what was drawn before. So a run that was interrupted goes on as if it had
not been.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from binsight.images import decode
from binsight.preprocess import PreprocessSpec, apply

__all__ = ["LabelledPhotos", "evaluation_loader", "mixed_seed", "training_loader"]


@dataclass(frozen=True)
class LabelledPhotos:
    """Files and class numbers, side by side."""

    files: Sequence[Path]
    labels: Sequence[int]

    def __post_init__(self) -> None:
        assert len(self.files) == len(self.labels)


class _Training(Dataset[tuple[Tensor, int]]):
    def __init__(
        self,
        photos: LabelledPhotos,
        transform: Callable[[Image.Image], Tensor],
        seed: int,
        size: int,
    ) -> None:
        self.photos = photos
        self.transform = transform
        self.seed = seed
        self.min_side = 2 * size

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        epoch, index = key
        image = decode(self.photos.files[index], min_side=self.min_side)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed_seed(self.seed, epoch, index))
            return self.transform(image), self.photos.labels[index]


class _Evaluation(Dataset[tuple[Tensor, int]]):
    def __init__(self, photos: LabelledPhotos, spec: PreprocessSpec) -> None:
        self.photos = photos
        self.spec = spec

    def __len__(self) -> int:
        return len(self.photos.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
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


def training_loader(
    photos: LabelledPhotos,
    transform: Callable[[Image.Image], Tensor],
    *,
    batch: int,
    size: int,
    seed: int,
    workers: int,
    shares: Sequence[float] | None = None,
    first_epoch: int = 0,
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Shuffled batches: images (N, 3, size, size) and class numbers (N,).

    The last, smaller batch is left out, unless it is the only one: BatchNorm learns nothing from
    one photo. A resumed run names the epoch that it begins with.

    Args:
        photos: to draw from.
        transform: photo to a tensor (3, size, size), with random changes.
        batch: photos in a batch.
        size: side of the tensors, pixels.
        seed: of order and changes.
        workers: processes that prepare photos.
        shares: for each photo, above 0 and at most 1: which part of the photos with the same
            share an epoch draws. ``None`` draws every photo.
        first_epoch: number of the first epoch.
    """
    sampler = _Shuffled(shares or [1.0] * len(photos.files), seed, first_epoch)
    return DataLoader(
        _Training(photos, transform, seed, size),  # type: ignore[arg-type]  # keys are pairs
        batch_size=batch,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        drop_last=len(sampler) >= batch,
        # Its own generator: starting workers draws a number, and dropout's must not depend on it.
        generator=torch.Generator().manual_seed(seed),
    )


def evaluation_loader(
    photos: LabelledPhotos, spec: PreprocessSpec, *, batch: int, workers: int
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches in order, as the runtime would prepare them."""
    return DataLoader(
        _Evaluation(photos, spec),  # type: ignore[arg-type]  # collated
        batch_size=batch,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=torch.Generator().manual_seed(0),
    )
