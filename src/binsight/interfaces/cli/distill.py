"""``binsight distill``: a small student of a large trained network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from binsight.errors import UsageError

from .extras import needs_extra
from .train import (
    calm_lightning,
    check_accelerator,
    check_early,
    finish,
    parse_shares,
    resumed,
    where,
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
    from binsight.training.run import Run


def distill(
    out: Annotated[Path, typer.Option(help="The run folder of the student.")],
    teachers: Annotated[
        list[Path] | None,
        typer.Argument(help="Trained runs; of several, the mean is learned.", metavar="RUN"),
    ] = None,
    photos: Annotated[
        list[Path] | None,
        typer.Option(help="Folders or CSV files; else those of the (first) teacher."),
    ] = None,
    split: Annotated[Path | None, typer.Option(help="Of these photos; else the teacher's.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="student, or a TOML file. [default: student]")
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
        from binsight.training.run import open_run

        calm_lightning()
        check_accelerator(accelerator)
        if resume and (out / "run.json").exists():
            run = resumed(open_run(out), recipe, changes, None)
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
    teachers: tuple[Path, ...],
    photos: tuple[Path, ...],
    split: Path | None,
    recipe: str | None,
    weights: str,
    changes: list[str],
    shares: dict[str, float],
) -> Run:
    from binsight.data.split import read_split
    from binsight.training.recipe import load_recipe
    from binsight.training.run import create_run, open_run

    if not teachers:
        raise UsageError("give one or more trained runs, such as: binsight distill runs/accurate")
    if bool(photos) != (split is not None):
        raise UsageError("--photos and --split belong together; leave both out for the teacher's")
    if (out / "run.json").exists():
        raise UsageError(f"{out} holds a run; go on with --resume, or choose another --out")
    first = open_run(teachers[0])
    parts = read_split(split) if split else first.split
    resolved = load_recipe(recipe or "student", changes)
    check_early(resolved, parts.classes, weights)
    return create_run(
        out,
        recipe=resolved,
        split=parts,
        sources=photos or tuple(Path(source) for source in first.facts.sources),
        weights=where(weights),
        shares=shares or (first.facts.shares if not photos else {}),
        teachers=teachers,
        decisions=() if photos else first.decisions,
    )
