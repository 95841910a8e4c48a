"""What ``binsight verify`` does and says; its imports are its own, not those of every command."""

from __future__ import annotations

from pathlib import Path

import typer

from binsight.bundle import Parity, digest_of, read_verified
from binsight.errors import ImageError, UsageError
from binsight.export.described import size_of
from binsight.export.formats import BundleRunner, Exported, open_exported
from binsight.export.measured import TOLERANCES, answers_of, check, compare
from binsight.images import decode
from binsight.runtime import BUILTIN, Classifier, builtin_model, bundle_path

from .photo_paths import every_photo
from .progress import reporting
from .terminal import printable, warn

__all__ = ["verify_any"]


def verify_any(file: str, photos: list[Path], parent: str | None) -> None:
    """See `verify.verify`."""
    exported = open_exported(bundle_path(file))
    if not photos:
        if parent:
            raise UsageError("name photos to compare both on")
        _tell(exported)
        return
    files, bundle = _readable(every_photo(photos)), _parent(exported, parent)
    _tell(exported)
    parity = _parity(exported, bundle, files)
    tolerance = TOLERANCES[exported.description.precision]
    wrong = check(parity, tolerance)
    typer.echo(f"on {parity.photos} photos   same label {parity.same_label:.1%}, {_within(parity)}")
    typer.secho(f"disagrees: {wrong}" if wrong else "agrees", fg="red" if wrong else "green")
    if wrong:
        raise typer.Exit(1)


def _readable(files: list[Path]) -> list[Path]:
    """Photos that can be compared; the others are told of."""
    found = []
    for file in files:
        try:
            decode(file, min_side=1)
        except ImageError as error:
            warn(f"left out {error}")
        else:
            found.append(file)
    if not found:
        raise UsageError(f"none of the {len(files):,} photos can be read")
    return found


def _tell(exported: Exported) -> None:
    described = exported.description
    size = described.preprocess.size
    lines = {
        "file": f"{printable(exported.path)} ({size_of(exported.path) / 1e6:.1f} MB)",
        "format": f"{described.format}, {described.precision}",
        "network": f"{described.architecture}, {size} x {size}",
        "classes": printable(", ".join(described.classes)),
        "gives": ", ".join(described.outputs),
        "digest": f"{described.digest[:16]}, as it was written",
        "parent": _parent_told(exported),
        "parity": _told(described.parity),
        "written": f"{described.created}, binsight {described.binsight_version}",
    }
    for name, value in lines.items():
        typer.echo(f"{name:<9}{value}")


def _parent_told(exported: Exported) -> str:
    """Digest of what it shall answer like, or where it came from if there is no such thing."""
    if exported.description.parent:
        return exported.description.parent[:16]
    if exported.metadata is None or not exported.metadata.lineage:
        return "none: it came from a run"
    lineage = exported.metadata.lineage
    return f"none: a lesson of {lineage[-1].photos:,} photos changed {lineage[-1].parent[:16]}"


def _told(parity: Parity | None) -> str:
    if parity is None:
        return "not measured when it was written: it could not be run there"
    return (
        f"same label on {parity.same_label:.1%} of {parity.photos} photos, {_within(parity)}, when "
        "it was written"
    )


def _within(parity: Parity) -> str:
    said = f"probabilities within {parity.max_difference:.2g}"
    if parity.max_novelty_difference is None:
        return said
    return f"{said}, novelty within {parity.max_novelty_difference:.2g}"


def _parent(exported: Exported, named: str | None) -> Classifier:
    """The bundle that was named, or a built-in one, if it is the parent."""
    wanted = exported.description.parent
    if named:
        found = Classifier(named)
        if wanted not in {None, found.digest}:
            raise UsageError(
                f"{named} ({found.digest[:16]}) is not what {exported.path} was made of "
                f"({str(wanted)[:16]})"
            )
        return _described_alike(exported, found)
    for path in map(builtin_model, BUILTIN):
        if digest_of(read_verified(path)) == wanted:
            return _described_alike(exported, Classifier(path))
    raise UsageError("give the bundle to compare with: --parent BUNDLE")


def _described_alike(exported: Exported, parent: Classifier) -> Classifier:
    """The parent, if a file says of itself what it says; a bundle's own words are sealed."""
    described, known = exported.description, parent.metadata
    same = ["classes"]
    if described.format != "onnx":
        same += ["preprocess", "temperature", "threshold_risk"]
        if described.precision != "int8":
            same += ["threshold", "novelty"] if described.novelty else ["threshold"]
    for name in same:
        if getattr(described, name) != getattr(known, name):
            raise UsageError(
                f"{exported.path} and {parent.path} say different things of their {name}"
            )
    return parent


def _parity(exported: Exported, parent: Classifier, files: list[Path]) -> Parity:
    spec = exported.description.preprocess
    runner = exported.open()
    with reporting("comparing") as report:
        before = answers_of(BundleRunner(parent), files, parent.metadata.preprocess)
        after = answers_of(runner, files, spec, progress=report)
    return compare(before, after)
