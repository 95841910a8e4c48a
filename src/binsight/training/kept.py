"""What a network made of the views of a photo, kept in files.

One file for each photo, by the digest of its bytes, in a folder for everything else that decides
what is in it. So an interrupted computation goes on where it was, and runs share what they can.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from binsight.data.dataset import Views
from binsight.errors import RunError
from binsight.files import replacing

__all__ = ["Keeper", "Report", "weights_digest"]

IMAGES = 32  # in one pass of the network, about
Compute = Callable[[Tensor], Tensor]
Report = Callable[[int, int | None], None]


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of all weights and statistics, in order."""
    found = hashlib.sha256()
    for name, values in module.state_dict().items():
        found.update(name.encode())
        found.update(values.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


class Keeper:
    """Keeps one float16 array (views, ...) for each photo.

    Args:
        folder: of everything that is kept.
        made_by: all that decides what is kept, apart from the photo; plain values.
    """

    def __init__(self, folder: Path, made_by: Any) -> None:
        text = json.dumps(made_by, sort_keys=True)
        self.folder = folder / hashlib.sha256(text.encode()).hexdigest()[:16]

    def __call__(self, digest: str, view: int) -> Tensor:
        """What was made of one view of a photo, in float32.

        Raises:
            RunError: it is gone.
        """
        try:
            arrays = np.load(self._file(digest), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise RunError(
                f"{self._file(digest)}: cannot be read ({error}); train again with --resume"
            ) from error
        return torch.from_numpy(arrays[view].astype(np.float32))

    def fill(
        self, views: Views, compute: Compute, *, workers: int, report: Report | None = None
    ) -> None:
        """Make and keep what is missing.

        Args:
            views: photos, of which every one shall be there in ``views.count`` views.
            compute: images (N, 3, H, W) to what shall be kept, (N, ...).
            workers: processes that prepare photos.
            report: called with (done, total) photos.
        """
        missing = self._missing(views.photos.digests)
        if not missing:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        loader = DataLoader(
            _AllViews(views, missing),
            batch_size=max(1, IMAGES // views.count),
            num_workers=workers,
            collate_fn=_side_by_side,
        )
        done = 0
        for digests, images in loader:
            made = compute(images.flatten(0, 1))
            made = made.reshape(*images.shape[:2], *made.shape[1:])
            for digest, arrays in zip(digests, made, strict=True):
                self._put(digest, arrays.half().cpu().numpy())
            done += len(digests)
            if report:
                report(done, len(missing))

    def _missing(self, digests: Sequence[str]) -> list[int]:
        """Places of photos that are not kept yet, one for each digest."""
        place_of = {digest: place for place, digest in enumerate(digests)}
        return sorted(
            place for digest, place in place_of.items() if not self._file(digest).exists()
        )

    def _put(self, digest: str, arrays: np.ndarray[Any, Any]) -> None:
        with replacing(self._file(digest)) as temporary, temporary.open("wb") as file:
            np.save(file, arrays, allow_pickle=False)

    def _file(self, digest: str) -> Path:
        return self.folder / f"{digest}.npy"


class _AllViews(Dataset[tuple[str, Tensor]]):
    def __init__(self, views: Views, places: Sequence[int]) -> None:
        self.views = views
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> tuple[str, Tensor]:
        place = self.places[number]
        shown = [self.views.tensor(place, view) for view in range(self.views.count)]
        return self.views.photos.digests[place], torch.stack(shown)


def _side_by_side(rows: list[tuple[str, Tensor]]) -> tuple[list[str], Tensor]:
    return [digest for digest, _ in rows], torch.stack([images for _, images in rows])
