"""``binsight distill``: a small student of a large trained network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from binsight.errors import UsageError
from binsight.runtime import is_bundle

from .asked_training import STUDENT, AskedTraining, parse_shares
from .extras import needs_extra
from .results import refuse_among
from .train import begin, calm_lightning, check_accelerator, finish
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
    from binsight.data.catalog import Catalog
    from binsight.data.relabel import LabelIssue
    from binsight.data.split import Split
    from binsight.training.run import Run


def distill(
    out: Annotated[Path, typer.Option(help="The run folder of the student.")],
    teachers: Annotated[
        list[str] | None,
        typer.Argument(
            help="Trained runs, folders of folds, or bundles, such as accurate; of several, the "
            "mean is learned. Not needed to --resume.",
            metavar="TEACHER",
        ),
    ] = None,
    photos: Annotated[
        list[Path] | None,
        typer.Option(help="Folders or CSV files; without --split where the teacher's are now."),
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
    asked = AskedTraining(
        out=out,
        photos=tuple(photos or ()),
        split=split,
        recipe=recipe,
        arch=arch,
        changes=changes or (),
        weights=weights,
        shares=parse_shares(shares or ()),
        teachers=tuple(teachers or ()),
        usual=STUDENT,
    )
    with needs_extra("train"):
        from binsight.training.run import has_run, open_run

        calm_lightning()
        check_accelerator(accelerator)
        if resume and has_run(out):
            run = open_run(out)
            asked.check_begun(run)
            catalog = run.photos(asked.photos)
        else:
            run, catalog = _new(asked, resume=resume)
        finish(
            run,
            catalog,
            again="distill",
            workers=workers,
            accelerator=accelerator,
            cache=cache,
        )


def _new(asked: AskedTraining, *, resume: bool) -> tuple[Run, Catalog]:
    from binsight.training.run import check_unused

    if not asked.teachers:
        raise UsageError("give one or more trained runs or bundles: binsight distill accurate")
    if asked.split and not asked.photos:
        raise UsageError("--split needs the --photos that it is of; leave it out for the teacher's")
    check_unused(asked.out, resumable=not resume)
    parts = asked.parts()
    if parts:
        lesson = _Lesson(asked.photos, parts, {}, ())
    else:
        lesson = _of_run(asked.teachers[0])
        lesson = lesson._replace(sources=asked.photos or lesson.sources)
    refuse_among(asked.out, lesson.sources, "--out")
    weights, recipe = asked.starting_point(lesson.split)
    return begin(
        asked.out,
        recipe=recipe,
        split=lesson.split,
        sources=lesson.sources,
        weights=weights,
        shares=asked.shares or lesson.shares,
        teachers=asked.teachers,
        decisions=lesson.decisions,
    )


class _Lesson(NamedTuple):
    """What a student learns from, besides its teachers."""

    sources: tuple[Path, ...]
    split: Split
    shares: Mapping[str, float]
    decisions: tuple[LabelIssue, ...]


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
