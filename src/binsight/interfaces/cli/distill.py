"""``binsight distill``: a small student of a large trained network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from binsight.errors import UsageError
from binsight.runtime import is_bundle

from .extras import needs_extra
from .train import (
    Usual,
    calm_lightning,
    check_accelerator,
    check_same,
    finish,
    parse_shares,
    resumed,
    starting_point,
)
from .train_options import (
    Accelerator,
    Arch,
    Cache,
    Changes,
    Resume,
    Shares,
    Weights,
    Workers,
)

if TYPE_CHECKING:
    from binsight.data.relabel import LabelIssue
    from binsight.data.split import Split
    from binsight.training.run import Run

STUDENT = Usual("student", "student")


def distill(
    out: Annotated[Path, typer.Option(help="The run folder of the student.")],
    teachers: Annotated[
        list[str] | None,
        typer.Argument(
            help="Trained runs, folders of folds, or bundles, such as accurate; of several, the "
            "mean is learned.",
            metavar="TEACHER",
        ),
    ] = None,
    photos: Annotated[
        list[Path] | None,
        typer.Option(help="Folders or CSV files; else those of the first teacher."),
    ] = None,
    split: Annotated[Path | None, typer.Option(help="Of these photos; else the teacher's.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Name of a recipe, or a TOML file.", show_default="student")
    ] = None,
    arch: Arch = None,
    weights: Weights = "imagenet",
    changes: Changes = None,
    shares: Shares = None,
    resume: Resume = False,
    workers: Workers = 2,
    accelerator: Accelerator = "auto",
    cache: Cache = None,
) -> None:
    """Train a student on what larger networks say of the same photos, as well as on labels."""
    changes = [*([f"architecture={arch}"] if arch else []), *(changes or [])]
    drawn = parse_shares(shares or [])
    with needs_extra("train"):
        from binsight.training.run import has_run, open_run

        calm_lightning()
        check_accelerator(accelerator)
        if resume and has_run(out):
            run = resumed(open_run(out), recipe, changes, None, STUDENT)
            check_same(run, split, None, weights, drawn, tuple(teachers or ()))
        else:
            run = _new(
                out,
                tuple(teachers or ()),
                tuple(photos or ()),
                split,
                recipe,
                weights,
                changes,
                drawn,
            )
        finish(
            run,
            tuple(photos or ()),
            again="distill",
            workers=workers,
            accelerator=accelerator,
            cache=cache,
        )


def _new(
    out: Path,
    teachers: tuple[str, ...],
    photos: tuple[Path, ...],
    split: Path | None,
    recipe: str | None,
    weights: str,
    changes: list[str],
    shares: dict[str, float],
) -> Run:
    from binsight.training.run import check_unused, create_run

    if not teachers:
        raise UsageError("give one or more trained runs or bundles: binsight distill accurate")
    if bool(photos) != (split is not None):
        raise UsageError("--photos and --split belong together; leave both out for the teacher's")
    check_unused(out)
    lesson = _of_photos(photos, split) if photos else _of_run(teachers[0])
    weights, resolved = starting_point(lesson.split, weights, recipe, changes, teachers, STUDENT)
    return create_run(
        out,
        recipe=resolved,
        split=lesson.split,
        sources=lesson.sources,
        weights=weights,
        shares=shares or lesson.shares,
        teachers=teachers,
        decisions=lesson.decisions,
    )


class _Lesson(NamedTuple):
    """What a student learns from, besides its teachers."""

    sources: tuple[Path, ...]
    split: Split
    shares: Mapping[str, float]
    decisions: tuple[LabelIssue, ...]


def _of_photos(photos: tuple[Path, ...], split: Path | None) -> _Lesson:
    from binsight.data.split import read_split

    assert split is not None
    return _Lesson(photos, read_split(split), {}, ())


def _of_run(teacher: str) -> _Lesson:
    from binsight.training.folds import has_folds, open_folds
    from binsight.training.run import open_run

    if is_bundle(teacher):
        raise UsageError(
            f"{teacher}: a bundle does not know its photos, and a run would be a folder; give "
            "--photos, and a --split of them, made by: binsight data split"
        )
    if not has_folds(Path(teacher)):
        run = open_run(Path(teacher))
        split = run.split
    else:
        folds = open_folds(Path(teacher))
        run = folds.runs[0]
        split = folds.split.with_folds_joined()
        if "val" not in split.parts:
            raise UsageError(
                f"{teacher}: all its photos are in folds, and none is left to validate a student "
                "on; give --photos and a --split with train and val, or make such folds with: "
                "binsight data split PHOTOS --folds 5 --list val=FILE"
            )
    sources = tuple(Path(source) for source in run.facts.sources)
    return _Lesson(sources, split, run.facts.shares, run.decisions)
