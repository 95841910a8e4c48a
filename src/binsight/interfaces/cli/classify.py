"""``binsight classify``: photos and folders in, a table or JSON lines out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from binsight.errors import ImageError, UsageError
from binsight.images import PHOTO_SUFFIXES
from binsight.runtime import Classifier, Prediction

Answers = Iterator[tuple[Path, Prediction | ImageError]]


def classify(
    photos: Annotated[list[Path], typer.Argument(help="Photos, and folders of them.")],
    model: Annotated[
        Path | None, typer.Option(help="A bundle; the built-in one if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Say what photos show."""
    classifier = Classifier(model)
    paths = list(_expanded(photos))
    if not paths:
        raise UsageError(f"no photos in {', '.join(map(str, photos))}")
    answers = zip(paths, classifier.classify_each(paths), strict=True)
    broken = _print_json(answers) if as_json else _print_table(answers, paths)
    if broken:
        raise typer.Exit(1)


def _expanded(photos: Iterable[Path]) -> Iterator[Path]:
    for path in photos:
        if path.is_dir():
            yield from _photos_below(path)
        else:
            yield path


def _photos_below(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in PHOTO_SUFFIXES:
                yield Path(here, name)


def _print_json(answers: Answers) -> int:
    broken = 0
    for path, answer in answers:
        row: dict[str, object] = {"path": str(path)}
        if isinstance(answer, ImageError):
            broken += 1
            row["error"] = str(answer)
        else:
            row |= answer.to_dict()
        typer.echo(json.dumps(row, ensure_ascii=False))
    return broken


def _print_table(answers: Answers, paths: Sequence[Path]) -> int:
    """Rows as they come, so that a long list shows its first lines at once."""
    width = max(len("photo"), *(len(str(path)) for path in paths))
    typer.secho(f"{'photo':{width}}  {'material':12}  confidence", bold=True)
    broken = unsure = 0
    for path, answer in answers:
        if isinstance(answer, ImageError):
            broken += 1
            reason = str(answer).removeprefix(f"{path}: ")
            typer.secho(f"{path!s:{width}}  {reason}", fg="red")
            continue
        unsure += not answer.sure
        line = f"{path!s:{width}}  {answer.label:12}  {answer.confidence:>6.1%}"
        if answer.sure:
            typer.echo(line)
        else:
            typer.secho(f"{line}      not sure{_second(answer)}", fg="yellow")
    if broken:
        typer.secho(f"{broken} of {len(paths)} photos could not be read", fg="red", err=True)
    return broken


def _second(answer: Prediction) -> str:
    """The next best class of an answer that is not sure."""
    others = {name: share for name, share in answer.probs.items() if name != answer.label}
    name = max(others, key=others.__getitem__)
    return f", or {name} ({others[name]:.0%})"
