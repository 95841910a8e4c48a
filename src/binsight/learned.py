"""Which photos a model has learned from, without the photos: eight bytes stand for each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["NOTHING", "Learned", "photo_id"]

ID_LENGTH = 8  # bytes
DIGEST_LENGTH = 64  # hexadecimal digits of a SHA-256


def photo_id(digest: str) -> int:
    """A signed integer of eight bytes that stands for a photo.

    Args:
        digest: SHA-256 of the photo's bytes, in hexadecimal digits.
    """
    return _number(hashlib.sha256(digest.encode()).digest()[:ID_LENGTH])


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


@dataclass(frozen=True)
class Learned:
    """A set of photos, asked by the SHA-256 of their bytes.

    Args:
        ids: `photo_id` of each.
    """

    ids: frozenset[int] = frozenset()

    @classmethod
    def of(cls, digests: Iterable[str]) -> Learned:
        """Photos of these digests."""
        return cls(frozenset(map(photo_id, digests)))

    @classmethod
    def union(cls, several: Iterable[Learned]) -> Learned:
        """Photos of any of them."""
        return cls(frozenset().union(*(one.ids for one in several)))

    @classmethod
    def parse(cls, text: str) -> Learned:
        """What `text` wrote, or a digest a line, as runs of before have them.

        Raises:
            ValueError: something else.
        """
        return cls(frozenset(map(_parsed, text.split())))

    @property
    def text(self) -> str:
        """Sixteen hexadecimal digits a line."""
        names = (one.to_bytes(ID_LENGTH, "little", signed=True).hex() for one in self.ids)
        return "".join(f"{name}\n" for name in sorted(names))

    def __contains__(self, digest: str) -> bool:
        return photo_id(digest) in self.ids

    def __len__(self) -> int:
        return len(self.ids)

    def __or__(self, other: Learned) -> Learned:
        return Learned(self.ids | other.ids)

    def __sub__(self, other: Learned) -> Learned:
        return Learned(self.ids - other.ids)


NOTHING = Learned()


def _parsed(line: str) -> int:
    if len(line) == DIGEST_LENGTH:
        return photo_id(line)
    if len(line) != 2 * ID_LENGTH:
        raise ValueError(f"{line!r} is neither {DIGEST_LENGTH} nor {2 * ID_LENGTH} digits")
    return _number(bytes.fromhex(line))
