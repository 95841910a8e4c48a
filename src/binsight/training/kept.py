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

from binsight.data.dataset import Views, start_worker
from binsight.errors import RunError
from binsight.files import replacing

__all__ = ["Compute", "Keeper", "Report", "fill", "weights_digest"]

IMAGES = 32  # in one pass of the network, about
Compute = Callable[[Tensor, Sequence[str]], Tensor]
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
        except (OSError, ValueError, EOFError) as error:
            self._file(digest).unlink(missing_ok=True)  # so that it is made anew
            raise RunError(
                f"{self._file(digest)}: could not be read ({error}) and is removed; train again "
                "with --resume"
            ) from error
        return torch.from_numpy(arrays[view].astype(np.float32))

    def lacks(self, digest: str) -> bool:
        """Whether nothing was made of this photo yet."""
        return not self._file(digest).exists()

    def make(self, compute: Compute, digests: Sequence[str], images: Tensor) -> None:
        """Keep what is made of the views (photos, views, 3, H, W) of photos that are missing."""
        rows = [row for row, digest in enumerate(digests) if self.lacks(digest)]
        if not rows:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        views = images.shape[1]
        of_each = [digests[row] for row in rows for _ in range(views)]
        made = compute(images[rows].flatten(0, 1), of_each)
        made = made.reshape(len(rows), views, *made.shape[1:])
        for row, arrays in zip(rows, made, strict=True):
            self._put(digests[row], arrays.half().cpu().numpy())

    def _put(self, digest: str, arrays: np.ndarray[Any, Any]) -> None:
        with replacing(self._file(digest)) as temporary, temporary.open("wb") as file:
            np.save(file, arrays, allow_pickle=False)

    def _file(self, digest: str) -> Path:
        return self.folder / f"{digest}.npy"


def fill(
    made: Sequence[tuple[Keeper, Compute]],
    views: Views,
    *,
    workers: int,
    report: Report | None = None,
) -> None:
    """Make and keep what is missing; each view is prepared once for all keepers.

    Args:
        made: keepers of the same views, and how images (N, 3, H, W) and the SHA-256 of their photos
            become what each keeps, (N, ...).
        views: photos, of which every one shall be there in ``views.count`` views.
        workers: processes that prepare photos.
        report: called with (done, total) photos.
    """
    place_of = {digest: place for place, digest in enumerate(views.photos.digests)}
    missing = sorted(
        place for digest, place in place_of.items() if any(one.lacks(digest) for one, _ in made)
    )
    if not missing:
        return
    loader = DataLoader(
        _AllViews(views, missing),
        batch_size=max(1, IMAGES // views.count),
        num_workers=workers,
        worker_init_fn=start_worker,
        collate_fn=_side_by_side,
        # A run is the same whether it finds its views kept or not: no number is drawn for them.
        generator=torch.Generator().manual_seed(0),
    )
    done = 0
    for digests, images in loader:
        for keeper, compute in made:
            keeper.make(compute, digests, images)
        done += len(digests)
        if report:
            report(done, len(missing))


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
