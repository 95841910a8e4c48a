"""Pictures to try the app on; the project renders them itself."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from .desk import Photo

__all__ = ["example", "example_names"]


def example_names() -> tuple[str, ...]:
    """What they show, one of each."""
    names = (Path(item.name) for item in _folder().iterdir())
    return tuple(sorted(name.stem for name in names if name.suffix == ".jpg"))


def example(name: str) -> Photo:
    """One of them, by what it shows."""
    return Photo(f"{name}.jpg", (_folder() / f"{name}.jpg").read_bytes())


def _folder() -> resources.abc.Traversable:
    return resources.files(__package__) / "examples"
