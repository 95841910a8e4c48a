"""``binsight explain``: photos in; overlays, galleries and where the model looked out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from binsight.errors import ImageError, UsageError
from binsight.explain import Explainer, explain_with
from binsight.explain.explainers import class_number
from binsight.files import free_path, is_same_file, numbered
from binsight.runtime import Classifier

from .explained import Explained, Galleries, JsonLines, Lines, TextLines
from .extras import needs_extra
from .models import ModelOption
from .photo_paths import is_listed, nothing_found, photo_paths
from .progress import reporting
from .results import check_folder, refuse_photo
from .terminal import printable

FOLDER, CHECK = Path("explained"), Path("explain-check.json")


def explain(
    photos: Annotated[list[Path], typer.Argument(help="Photos, and folders of them.")],
    label: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="Explain this class, not the likeliest."),
    ] = None,
    model: ModelOption = None,
    run: Annotated[
        Path | None, typer.Option(help="A run folder instead of a bundle; needs torch.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Of a run: gradcam, gradcam++ or eigencam.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Of a run, such as features.17.", show_default="the last")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The picture, or a folder for many; with --check, the JSON file.",
            show_default="PHOTO-explained.jpg, explained/ or explain-check.json",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Measure whether the maps mean anything.")
    ] = False,
    sample: Annotated[
        int, typer.Option(help="With --check: at most so many photos, drawn at random.", min=1)
    ] = 100,
) -> None:
    """Show where the model looked: a picture of each photo, and the place in words."""
    explainer = _explainer(model, run, method, layer)
    if label is not None:
        class_number(explainer.classes, label)
    unlisted: list[OSError] = []
    found = _listed(photos, explainer.classes, unlisted)
    if not found:
        raise UsageError(nothing_found(photos, unlisted))
    if check:
        from .explain_check import check_all

        refuse_photo(out or CHECK, "--out")
        wrong = check_all(explainer, found, label, out or CHECK, sample=sample, as_json=as_json)
    else:
        show = JsonLines() if as_json else TextLines()
        many = len(found) > 1 or any(map(is_listed, photos))
        if many:
            wrong = _explain_all(explainer, found, label, out or FOLDER, photos, show)
        else:
            wrong = _explain_one(explainer, found[0], label, out, show)
    for error in unlisted:
        typer.secho(f"{printable(error.filename)}: {error.strerror}", fg="red", err=True)
    if wrong or unlisted:
        raise typer.Exit(1)


def _explainer(
    model: str | None, run: Path | None, method: str | None, layer: str | None
) -> Explainer:
    if run is None:
        if method is not None or layer is not None:
            raise UsageError("--method and --layer need a run folder; give --run")
        from binsight.explain import BundleExplainer

        return BundleExplainer(Classifier(model))
    if model is not None:
        raise UsageError("--model and --run exclude each other; give one")
    with needs_extra("explain"):
        from binsight.explain.torch_cam import AnyLayer

        return AnyLayer.of_run(run, method=method or "gradcam", layer=layer)


def _listed(
    photos: Sequence[Path], classes: Sequence[str], unlisted: list[OSError]
) -> list[Explained]:
    """All photos, before anything is written, with the names of their overlays and their labels."""
    found: list[Explained] = []
    taken: set[str] = set()
    for given in photos:
        folder = is_listed(given)
        for path in photo_paths([given], problem=unlisted.append):
            relative = path.relative_to(given) if folder else Path(path.name)
            true = relative.parts[0] if len(relative.parts) > 1 else None
            name = _free(relative, taken)
            found.append(Explained(path, name, true if true in classes else None))
    return found


def _free(relative: Path, taken: set[str]) -> Path:
    """A name below the folder of overlays that no other photo has."""
    names = (relative.with_name(name) for name in numbered(relative.stem, ".jpg"))
    free = next(name for name in names if str(name).lower() not in taken)
    taken.add(str(free).lower())
    return free


def _explain_one(
    explainer: Explainer, one: Explained, label: str | None, out: Path | None, show: Lines
) -> int:
    target = out or Path()
    if target.is_dir() or not target.suffix:  # photos of several folders have the same names
        target = free_path(target, f"{one.path.stem}-explained", ".jpg")
    if is_same_file(target, one.path):
        raise UsageError(f"{target} is the photo itself; give another --out")
    _explain(explainer, one, label, target, show, None)
    return int(bool(one.error))


def _explain_all(
    explainer: Explainer,
    found: Sequence[Explained],
    label: str | None,
    folder: Path,
    photos: Sequence[Path],
    show: Lines,
) -> int:
    """Explain photos one by one, and return how many could not be."""
    check_folder(folder, photos)
    overlays = folder / "photos"
    _check_overlays(overlays, found, photos)
    galleries = Galleries(folder, labelled=any(one.true for one in found))
    broken = 0
    with reporting("explaining") as report:
        for done, one in enumerate(found, start=1):
            _explain(explainer, one, label, overlays / one.name, show, galleries)
            broken += bool(one.error)
            report(done, len(found))
    show.end(galleries.write(), broken, len(found))
    return broken


def _check_overlays(overlays: Path, found: Sequence[Explained], photos: Sequence[Path]) -> None:
    """Make sure that no picture would be written over a photo, or be taken for one next time."""
    check_folder(overlays, photos)
    originals = {one.path.resolve() for one in found}
    for one in found:
        if (overlays / one.name).resolve() in originals:
            raise UsageError(f"{overlays / one.name} is one of the photos; give another --out")


def _explain(
    explainer: Explainer,
    one: Explained,
    label: str | None,
    target: Path,
    show: Lines,
    galleries: Galleries | None,
) -> None:
    from binsight.explain.overlay import overlay
    from binsight.images import decode, write_picture

    try:
        one.explanation = explain_with(explainer, one.path, label)
        picture = overlay(decode(one.path), one.explanation)
    except ImageError as error:
        one.error = error.reason
    else:
        write_picture(target, picture)
        one.overlay = target
        if galleries:
            galleries.add(one, picture)
    show.row(one)
    one.explanation = None  # of many photos, only what the galleries need is kept
