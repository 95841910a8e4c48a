"""What the command line tells the app."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Plain values, so that they can be handed to the script as one word.

    Args:
        model: a bundle, or the name of a built-in one; ``None`` is the first built-in one.
        bins: the scheme that is chosen at first, or a file of one's own.
        corrections: folder that corrections are kept in. A taught model lies beside it.
    """

    model: str | None = None
    bins: str | None = None
    corrections: str = "corrections"

    def to_argument(self) -> str:
        """As one word of a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_argument(cls, word: str) -> Settings:
        """What `to_argument` made."""
        return cls(**json.loads(word))
