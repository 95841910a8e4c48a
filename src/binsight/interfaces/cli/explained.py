"""Explained photos as lines of text or JSON, and as galleries of right and wrong answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import typer
from PIL import Image

from binsight.explain import Explanation
from binsight.explain.gallery import Gallery
from binsight.images import write_picture

from .sorting import folder_names
from .terminal import printable

__all__ = ["Explained", "Galleries", "JsonLines", "Lines", "TextLines"]


@dataclass
class Explained:
    """One photo on its way.

    Args:
        path: as it was found.
        name: of its overlay, below the folder of overlays.
        true: its class, if its folder says so.
        explanation: where the model looked; `None` before, after it was shown, and if it failed.
        overlay: where the picture was written.
        error: why the photo could not be read, without its path.
    """

    path: Path
    name: Path
    true: str | None
    explanation: Explanation | None = None
    overlay: Path | None = None
    error: str = ""


class Galleries:
    """One gallery for each true class and right or wrong answers; one in all without labels.

    Args:
        folder: where they are written.
        labelled: whether any photo has a true class.
    """

    def __init__(self, folder: Path, *, labelled: bool) -> None:
        self._folder = folder
        self._labelled = labelled
        self._of: dict[tuple[str, str], Gallery] = {}

    def add(self, one: Explained, picture: Image.Image) -> None:
        """Add one photo that was explained."""
        assert one.explanation
        if one.true is not None:
            answer = "right" if one.explanation.label == one.true else "wrong"
            key, title = (one.true, answer), f"{one.true}: {answer} answers"
        elif self._labelled:
            key, title = ("", "of-no-known-class"), "photos of no class that the model knows"
        else:
            key, title = ("", "all"), "where the model looked"
        gallery = self._of.setdefault(key, Gallery(title))
        gallery.add(picture, one.explanation, one.path.name, true=one.true)

    def write(self) -> list[Path]:
        """Write them and return their paths, in order of class and answer."""
        classes = sorted({name for name, _ in self._of})
        hyphened = [name.replace(" ", "-") for name in classes]
        plain = dict(zip(classes, folder_names(hyphened), strict=True))
        written = []
        for (name, answer), gallery in sorted(self._of.items()):
            words = [plain[name], answer] if name else [answer]
            path = self._folder / f"gallery-{'-'.join(words)}.jpg"
            write_picture(path, gallery.draw())
            written.append(path)
        return written


class Lines(Protocol):
    """A way to print explained photos, each as it comes."""

    def row(self, one: Explained) -> None:
        """Print one photo."""

    def end(self, galleries: Sequence[Path], broken: int, total: int) -> None:
        """Print what many photos came to."""


class TextLines:
    """A line for each photo, for people."""

    def row(self, one: Explained) -> None:
        """Print the answer and the place, or on stderr why there is none."""
        if one.explanation is None:
            typer.secho(f"{printable(one.path)}: {printable(one.error)}", fg="red", err=True)
            return
        told = one.explanation
        answer = f"{told.label} {told.confidence:.1%}"
        if told.explained != told.label:
            answer += f", {told.explained} {told.probs[told.explained]:.1%}"
        typer.echo(f"{printable(one.path)}: {answer}; {_place(told)}; {printable(one.overlay)}")

    def end(self, galleries: Sequence[Path], broken: int, total: int) -> None:
        """Name the galleries, and count what could not be read."""
        for path in galleries:
            typer.echo(f"wrote {printable(path)}")
        if broken:
            typer.secho(f"{broken} of {total} photos could not be read", fg="red", err=True)


def _place(told: Explanation) -> str:
    if told.region is None:
        return f"nowhere: no place speaks for {told.explained}"
    left, top, right, bottom = told.region.box
    return f"looked at: {told.region.words}, x {left} to {right}, y {top} to {bottom}"


class JsonLines:
    """One JSON object a line."""

    def row(self, one: Explained) -> None:
        """Print one photo."""
        values: dict[str, object] = {"path": str(one.path)}
        if one.explanation is None:
            values["error"] = one.error
        else:
            values |= one.explanation.to_dict()
            values["true"] = one.true
            values["overlay"] = str(one.overlay)
        typer.echo(json.dumps(values))

    def end(self, galleries: Sequence[Path], broken: int, total: int) -> None:
        """Nothing: each photo said what it had to say."""
