"""Each way that ``binsight export`` goes, and what it says at its end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from binsight.bundle import Metadata, Precision
from binsight.errors import UsageError
from binsight.export.choosing import too_few_to_choose
from binsight.export.described import Description, size_of
from binsight.export.formats import (
    FORMATS,
    Format,
    Request,
    Source,
    check_request,
    write_exported,
)
from binsight.export.reduced import check_reducible, reduce_bundle
from binsight.export.shown import Shown, of_files, of_run, of_split, some_of
from binsight.files import is_same_file
from binsight.runtime import Classifier, is_bundle
from binsight.runtime.memory import learned_by
from binsight.training.run import Run, open_run

from .extras import needs_extra
from .photo_paths import every_photo
from .progress import reporting
from .terminal import warn

__all__ = ["Asked", "Fitting", "export_any"]

COMPARED = 200  # photos, where no accuracy is measured
VALIDATION = "val"


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How the bundle of a run is made; a bundle keeps its own. ``None`` is as usual."""

    risk: float | None
    accepted: float | None
    licence: str | None

    @property
    def given(self) -> dict[str, Any]:
        """What was asked for."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line asked for; ``source`` is as it was named."""

    source: str
    to: str
    out: Path
    precision: Precision
    photos: tuple[Path, ...]
    split: Path | None
    part: str
    fitting: Fitting


def export_any(asked: Asked) -> None:
    """Export a run folder, a bundle, or a built-in bundle."""
    given = asked.source
    if asked.to not in FORMATS:
        raise UsageError(f"no format {asked.to!r}; there are: {', '.join(FORMATS)}")
    chosen = FORMATS[asked.to]
    if is_bundle(given):
        check_request(chosen, asked.out, asked.precision)
        for name in asked.fitting.given:
            raise UsageError(f"--{name} goes with a run; a bundle keeps its own")
        source = Source(Classifier(given))
        _in_the_way(source.bundle, asked.out)
        if chosen.name == "onnx":
            check_reducible(source.bundle, asked.precision)
        _export(chosen, source, asked)
        return
    with needs_extra("train"):
        import_module("binsight.export.onnx")  # before anything is asked of the run

        run = open_run(Path(given))
        check_request(chosen, asked.out, asked.precision)
        if asked.split:
            raise UsageError("--split goes with a bundle; a run keeps its own")
        if asked.precision == "int8":
            run.split.paths(asked.part)  # before the bundle is made, which takes minutes
        if chosen.name == "onnx" and asked.precision != "int8":
            _tell_bundle(asked.out, _bundle_of(run, asked.out, asked, asked.precision))
            return
        _export(chosen, _through_bundle(run, asked), asked)


def _through_bundle(run: Run, asked: Asked) -> Source:
    """Make the bundle of a run beside what was asked for: it is what that is compared with."""
    bundle = asked.out.with_name(f"{asked.out.stem}-fp32.onnx")
    if bundle.exists():
        raise UsageError(f"{bundle} is in the way; export from it, or give another --out")
    _bundle_of(run, bundle, asked, "fp32")
    typer.echo(f"wrote {bundle}, the bundle that it is made of and compared with")
    return Source(Classifier(bundle), run)


def _bundle_of(run: Run, out: Path, asked: Asked, precision: Precision) -> Metadata:
    from binsight.export.onnx import LEARNED_VAL, export_bundle

    with reporting("calibrating") as report:
        described = export_bundle(
            run,
            out,
            sources=asked.photos,
            **asked.fitting.given,
            store="fp16" if precision == "fp16" else "fp32",
            progress=report,
        )
    shown = int(described.metrics["val_photos"])
    if left_out := len(run.split.paths("val")) - shown:
        warn(f"left out {left_out:,} validation photos that {run.folder} has learned from")
    _warn_of_known(str(run.folder), int(described.metrics.get(LEARNED_VAL, 0)), shown, "val")
    return described


def _in_the_way(bundle: Path, out: Path) -> None:
    if is_same_file(out, bundle):
        raise UsageError(f"{out} is the bundle itself; give another --out")


def _export(chosen: Format, source: Source, asked: Asked) -> None:
    photos, calibration = _shown(chosen, source, asked)
    with reporting("comparing") as report:
        request = Request(
            precision=asked.precision, photos=photos, calibration=calibration, progress=report
        )
        if chosen.name == "onnx":
            written = reduce_bundle(source, asked.out, request)
        else:
            described = write_exported(chosen, source, asked.out, request)
    if chosen.name == "onnx":
        _tell_reduced(asked, written.metadata, written.times_as_fast)
    else:
        _tell_described(asked.out, described)


def _shown(chosen: Format, source: Source, asked: Asked) -> tuple[Shown, Shown | None]:
    """Photos to compare on, and those to calibrate on."""
    measured = asked.precision == "int8" or chosen.name == "onnx"
    parts = [VALIDATION, asked.part] if asked.precision == "int8" else [VALIDATION]
    if source.run:
        found = of_run(source.run, asked.photos, parts)
    elif not asked.photos:
        raise UsageError("name photos to compare on: --photos FOLDER, and --split of them")
    elif asked.split:
        found = of_split(asked.photos, asked.split, parts, source.metadata.classes)
    elif measured:
        raise UsageError(
            f"{asked.precision} is written if it keeps the accuracy on validation photos; give the "
            "--split of these photos"
        )
    else:
        return of_files(every_photo(asked.photos), COMPARED), None
    photos = found[0] if measured else some_of(found[0], COMPARED)
    if measured and not source.run:
        _warn_of_learned(asked.source, source, photos)
    return photos, some_of(found[1]) if asked.precision == "int8" else None


def _warn_of_learned(name: str, source: Source, photos: Shown) -> None:
    learned = learned_by(source.bundle)
    known = sum(digest in learned for digest in photos.digests)
    _warn_of_known(name, known, len(photos), photos.part)


def _warn_of_known(name: str, known: int, shown: int, part: str) -> None:
    if known:
        warn(
            f"note: {name} has learned from {known:,} of the {shown:,} photos of part {part}; what "
            "is measured and chosen on them flatters"
        )


def _tell_bundle(out: Path, described: Metadata) -> None:
    parity = described.parity
    typer.echo(
        f"parity on {parity.photos} photos: same label on {parity.same_label:.0%}, probabilities "
        f"within {parity.max_difference:.1g}"
    )
    changed = described.metrics.get("val_labels_changed_by_fp16")
    if changed is not None:
        typer.echo(
            f"weights in float16: {changed:.0f} of {described.metrics['val_photos']:.0f} labels "
            f"changed on validation photos, {described.metrics['val_accuracy_before_fp16']:.1%} "
            f"right before and {described.metrics['val_accuracy']:.1%} now"
        )
    _tell_chosen(described)
    _warn_of_few(int(described.metrics["val_photos"]))
    _tell_file(out)
    typer.echo(f"next: binsight classify PHOTO --model {out}")


def _tell_reduced(asked: Asked, described: Metadata, times_as_fast: float) -> None:
    metrics, parity = described.metrics, described.parity
    before = metrics[f"val_accuracy_before_{asked.precision}"]
    typer.echo(
        f"{asked.precision}: {before:.1%} of {metrics['val_photos']:.0f} validation photos right "
        f"before and {metrics['val_accuracy']:.1%} now; same label on {parity.same_label:.1%}, "
        f"probabilities within {parity.max_difference:.2g}"
    )
    typer.echo(f"one photo takes {1 / times_as_fast:.2f} times as long here as with its parent")
    _tell_chosen(described)
    if asked.precision == "int8":
        _warn_of_few(int(metrics["val_photos"]))
    _tell_file(asked.out)
    typer.echo(f"next: binsight classify PHOTO --model {asked.out}")


def _tell_described(out: Path, described: Description) -> None:
    parity = described.parity
    if parity:
        typer.echo(
            f"parity on {parity.photos} photos: same label on {parity.same_label:.1%}, "
            f"probabilities within {parity.max_difference:.1g}"
        )
    else:
        typer.echo("not compared with its parent: this format cannot be run on this system")
    if "val_accuracy" in described.metrics:
        typer.echo(f"{described.metrics['val_accuracy']:.1%} of validation photos right")
        _tell_chosen(described)
        _warn_of_few(int(described.metrics["val_photos"]))
    _tell_file(out)
    typer.echo(f"next: binsight verify {out}")


def _tell_chosen(described: Metadata | Description) -> None:
    limit = f" and up to a novelty of {described.novelty.limit:.2f}" if described.novelty else ""
    typer.echo(
        f"temperature {described.temperature:.3f}; sure from {described.threshold:.3f}{limit} "
        f"({described.metrics['val_coverage']:.0%} of validation photos)"
    )
    if not described.metrics["val_coverage"]:
        warn("it is sure of none of them: no threshold keeps the promised share of wrong answers")


def _warn_of_few(photos: int) -> None:
    if warning := too_few_to_choose(photos):
        warn(warning)


def _tell_file(out: Path) -> None:
    typer.echo(f"wrote {out} ({size_of(out) / 1e6:.1f} MB)")
