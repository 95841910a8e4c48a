"""Which photos show the same picture: equal bytes, or resized, re-encoded, turned, mirrored.

Perceptual hashes come from ImageHash; a photo is compared in its eight orientations. Two photos
are the same picture if a coarse hash (64 bits) and a fine one (256 bits) both agree in one
orientation. On TrashNet the coarse hash alone also joins different bottles seen from above; with
the fine one, all pairs within the limits were the same picture or the same scene shot twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from binsight.errors import MissingExtraError

__all__ = [
    "COARSE_BITS",
    "FINE_BITS",
    "group_by_content",
    "group_near",
    "require_hashing",
    "same_picture",
    "thumbnail",
]

SIDE = 32
COARSE_BITS = 8  # of 64 may differ
FINE_BITS = 40  # of 256 may differ

Bits: TypeAlias = NDArray[np.uint64]

ORIENTATIONS: tuple[Image.Transpose | None, ...] = (None, *Image.Transpose)


def require_hashing() -> None:
    """Fail before hours of reading rather than after.

    Raises:
        MissingExtraError: the extra ``data`` is not installed.
    """
    for package in ("imagehash", "scipy"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "data")


def thumbnail(image_rgb: Image.Image) -> Image.Image:
    """The 32 x 32 greyscale picture that the hashes are made of."""
    return image_rgb.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def same_picture(first: Image.Image, second: Image.Image) -> bool:
    """Whether two thumbnails show the same picture in some orientation."""
    return len(set(group_near(["first", "second"], [first, second]))) == 1


def group_by_content(digests: Sequence[str]) -> list[int]:
    """Groups of files with equal digests, numbered by first appearance."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(digest, len(numbers)) for digest in digests]


def group_near(digests: Sequence[str], thumbnails: Sequence[Image.Image]) -> list[int]:
    """Groups of photos that show the same picture, numbered by first appearance.

    Every pair of different files is compared, in time quadratic in their number (some two minutes
    for 100,000 on one core, and as long for their hashes). Membership is transitive.
    """
    contents = group_by_content(digests)
    shown: dict[int, Image.Image] = {}
    for content, picture in zip(contents, thumbnails, strict=True):
        shown.setdefault(content, picture)
    groups = _near_groups(list(shown.values()))
    return group_by_content([str(groups[content]) for content in contents])


def _near_groups(thumbnails: Sequence[Image.Image]) -> NDArray[np.int64]:
    coarse = np.stack([_hashes(one, 8) for one in thumbnails])  # (N, 8, 1) words of 64 bits

    @cache  # few photos need it, and those in large groups need it often
    def fine(index: int) -> Bits:  # (8, 4)
        return _hashes(thumbnails[index], 16)

    group_n = np.arange(len(thumbnails))
    for index in range(1, len(thumbnails)):
        near = _distances(coarse[index], coarse[:index, 0]) <= COARSE_BITS  # (8, index)
        candidates = np.flatnonzero(near.any(axis=0))
        while candidates.size:
            other = int(candidates[0])
            agreeing = fine(index)[near[:, other]]
            if _distances(agreeing, fine(other)[:1]).min() <= FINE_BITS:
                group_n[group_n == group_n[index]] = group_n[other]
            # Frames of a still camera are all alike; one of a group is enough.
            apart = group_n[candidates] != group_n[index]
            apart[0] = False
            candidates = candidates[apart]
    return group_n


def _distances(orientations: Bits, others: Bits) -> NDArray[np.uint64]:
    """Hamming distances between (O, W) and (N, W) words: (O, N)."""
    differing = np.bitwise_count(orientations[:, None, :] ^ others[None, :, :])
    distances: NDArray[np.uint64] = differing.sum(axis=2, dtype=np.uint64)
    return distances


def _hashes(image: Image.Image, hash_size: int) -> Bits:
    """Hash of each of the eight orientations, as words of 64 bits: (8, hash_size**2 / 64)."""
    from imagehash import phash

    turned = [image if turn is None else image.transpose(turn) for turn in ORIENTATIONS]
    hashes = [phash(one, hash_size, highfreq_factor=SIDE // hash_size).hash for one in turned]
    bits_on = np.stack(hashes).reshape(len(turned), -1)
    words: Bits = np.packbits(bits_on, axis=1).view(np.uint64)
    return words
