"""``binsight teach``: a few photos of one's own in, a better bundle out."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from binsight.errors import TeachingError, UsageError, WorseModelError
from binsight.files import cache_folder
from binsight.runtime import Classifier

from .models import ModelOption
from .progress import reporting
from .terminal import columns, padded, printable, warn

if TYPE_CHECKING:
    from binsight.data.catalog import Catalog
    from binsight.teaching import Lesson

MOST_WRONG = 20


def teach(
    photos: Annotated[
        list[Path], typer.Argument(help="Folders of class folders, such as corrections.")
    ],
    out: Annotated[Path, typer.Option(help="The new bundle, such as my.onnx.")],
    model: ModelOption = None,
    renames: Annotated[
        list[str] | None,
        typer.Option("--rename", help="OLD=NEW; two classes of one new name become one."),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Write it even if it is worse than its parent.")
    ] = False,
    cache: Annotated[bool, typer.Option(help="Keep what was computed for a photo.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lesson as JSON.")] = False,
) -> None:
    """Teach a model photos of your own camera, in seconds and without torch.

    Three to ten photos of each class help. A folder with a new name makes a new class.
    """
    if out.suffix != ".onnx":  # a photo or a list, say, that would be gone
        raise UsageError(f"{out}: a bundle ends in .onnx; give that --out")
    rename = _parsed(renames or [])
    replaced = out.exists()
    classifier = Classifier(model)
    catalog = _catalog(photos)
    by_class: dict[str, list[Path]] = defaultdict(list)
    for photo in catalog.photos:
        by_class[photo.label].append(catalog.file(photo))
    try:
        with reporting("looking at photos") as report:
            lesson = classifier.teach(
                by_class,
                out,
                rename=rename,
                anyway=anyway,
                catalog_digest=catalog.digest,
                cache=cache_folder() / "embeddings" if cache else None,
                progress=report,
            )
    except WorseModelError as error:
        _print(error.lesson, catalog.root, as_json=as_json)  # type: ignore[arg-type]  # see there
        raise
    _print(lesson, catalog.root, as_json=as_json)
    if not as_json:
        where = f"{out} in place of the one before" if replaced else str(out)
        typer.echo(f"wrote {where}; next: binsight classify PHOTO --model {shlex.quote(str(out))}")


def _parsed(items: list[str]) -> dict[str, str]:
    renames: dict[str, str] = {}
    for item in items:
        old, equals, new = item.partition("=")
        if not (equals and old.strip() and new.strip()) or old.strip() in renames:
            raise UsageError(f"--rename {item}: give each OLD=NEW once, such as trash=residual")
        renames[old.strip()] = new.strip()
    return renames


def _catalog(photos: list[Path]) -> Catalog:
    from binsight.data.catalog import scan

    with reporting("reading photos") as report:
        catalog = scan(photos, duplicates=False, progress=report)
    if not catalog.photos:
        raise TeachingError(f"no photo in {', '.join(map(str, photos))} can be read")
    for problem in catalog.problems:
        warn(f"left out {problem.path}: {problem.reason}")
    return catalog


def _print(lesson: Lesson, root: Path, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(lesson.to_dict(), indent=2))
        return
    _print_table(lesson)
    if lesson.remembered_before is not None and lesson.remembered_after is not None:
        typer.echo(
            f"photos like those it learned from: {lesson.remembered_before:.1%} right before, "
            f"{lesson.remembered_after:.1%} now"
        )
    _print_wrong(lesson, root)
    for warning in lesson.warnings:
        typer.secho(f"note: {printable(warning)}", fg="yellow")


def _print_table(lesson: Lesson) -> None:
    taught = [name for name, count in lesson.photos.items() if count]
    width = max(columns(name) for name in ("all classes", *taught))
    after_of = lesson.after_of if lesson.folds else {}
    typer.secho(f"{padded('class', width)}  photos   before      now", bold=True)
    for name in taught:
        _print_row(
            padded(name, width), lesson.photos[name], lesson.before_of[name], after_of.get(name)
        )
    total = sum(lesson.photos.values())
    after = lesson.after if lesson.folds else None
    _print_row(padded("all classes", width), total, lesson.before, after)
    if lesson.folds:
        typer.echo(
            f"(now: each photo by a model that was not taught with it; {lesson.folds} folds)"
        )
    else:
        typer.echo("(now: not known of one photo alone, which the model was taught with)")


def _print_row(name: str, photos: int, before: float, after: float | None) -> None:
    now = "-" if after is None else f"{after:.1%}"
    typer.echo(f"{name}  {photos:>6}  {before:>7.1%}  {now:>7}")


def _print_wrong(lesson: Lesson, root: Path) -> None:
    if not lesson.wrong:
        return
    typer.secho(f"still wrong: {len(lesson.wrong)}", bold=True)
    for name, label, answer in lesson.wrong[:MOST_WRONG]:
        path = Path(name)
        shown = path.relative_to(root) if path.is_relative_to(root) else path
        typer.echo(f"  {printable(shown)}: {label}, taken for {answer}")
    if len(lesson.wrong) > MOST_WRONG:
        typer.echo(f"  ... and {len(lesson.wrong) - MOST_WRONG:,} more (--json lists all)")
