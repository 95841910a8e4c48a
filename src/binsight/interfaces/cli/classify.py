"""``binsight classify``: photos and folders in, a table or JSON lines out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from binsight.errors import ImageError, NotABundleError, UsageError
from binsight.images import PHOTO_SUFFIXES
from binsight.runtime import Classifier, Prediction, builtin_model

from .terminal import columns, cut_middle, padded, printable, stdout_columns

Answers = Iterator[tuple[Path, Prediction | ImageError]]
FEWEST_PATH_COLUMNS = 16


def classify(
    photos: Annotated[list[Path], typer.Argument(help="Photos, and folders of them.")],
    model: Annotated[
        Path | None, typer.Option(help="A bundle; the built-in one if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Say what photos show."""
    classifier = opened(model)
    paths = list(_expanded(photos))
    if not paths:
        raise UsageError(f"no photos in {', '.join(map(str, photos))}")
    answers = zip(paths, classifier.classify_each(paths), strict=True)
    broken = _print_json(answers) if as_json else _print_table(answers, paths, classifier.classes)
    if broken:
        raise typer.Exit(1)


def opened(model: Path | None) -> Classifier:
    """The classifier of a bundle, or of the built-in one.

    Raises:
        BundleError: it cannot be used, or no bundle is built in.
    """
    if model is None and not builtin_model().is_file():
        raise NotABundleError(
            f"the built-in model is missing ({builtin_model()}); install binsight again, or give "
            "a bundle of your own"
        )
    return Classifier(model)


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
            row["error"] = _reason(path, answer)
        else:
            row |= answer.to_dict()
        typer.echo(json.dumps(row))
    return broken


def _print_table(answers: Answers, paths: Sequence[Path], classes: Sequence[str]) -> int:
    """Rows as they come, so that a long list shows its first lines at once."""
    labels = max(columns(name) for name in ("material", *classes))
    width = _path_columns(paths, labels)
    typer.secho(f"{padded('photo', width)}  {padded('material', labels)}  confidence", bold=True)
    broken = 0
    for path, answer in answers:
        name = padded(cut_middle(printable(path), width), width)
        if isinstance(answer, ImageError):
            broken += 1
            typer.secho(f"{name}  {printable(_reason(path, answer))}", fg="red")
            continue
        line = f"{name}  {padded(answer.label, labels)}  {answer.confidence:>10.1%}"
        if answer.sure:
            typer.echo(line)
        else:
            typer.secho(f"{line}  not sure{_second(answer)}", fg="yellow")
    if broken:
        typer.secho(f"{broken} of {len(paths)} photos could not be read", fg="red", err=True)
    return broken


def _path_columns(paths: Sequence[Path], labels: int) -> int:
    """Room for paths: of the longest, but no more than a terminal leaves beside the answers."""
    longest = max(columns(printable(path)) for path in (Path("photo"), *paths))
    terminal = stdout_columns()
    if terminal is None:
        return longest
    answer = len("    confidence  not sure, or  (99%)") + 2 * labels
    return min(longest, max(FEWEST_PATH_COLUMNS, terminal - answer))


def _reason(path: Path, error: ImageError) -> str:
    return str(error).removeprefix(f"{path}: ")


def _second(answer: Prediction) -> str:
    """The next best class of an answer that is not sure."""
    others = {name: share for name, share in answer.probs.items() if name != answer.label}
    name = max(others, key=others.__getitem__)
    return f", or {name} ({others[name]:.0%})"
