"""``binsight train``: a recipe, photos and a split in, a run folder out."""

from __future__ import annotations

import json
import logging
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from binsight.errors import UsageError

from .asked_training import AskedTraining, parse_shares
from .extras import needs_extra
from .progress import reporting
from .results import refuse_among
from .terminal import interrupted, warn
from .train_options import (
    Accelerator,
    Arch,
    Cache,
    Changes,
    Resume,
    Shares,
    WeightsOrFolds,
    Workers,
)

if TYPE_CHECKING:
    from binsight.data.catalog import Catalog
    from binsight.data.relabel import LabelIssue
    from binsight.data.split import Split
    from binsight.training.run import Run

# Lightning's advice on what is so on purpose, and its own deprecations.
UNHELPFUL = (
    ".*does not have many workers.*",
    ".*GPU available but not used.*",
    ".*Checkpoint directory .* not empty.*",
    ".*The dirpath has changed.*",
    ".*LeafSpec.* is deprecated.*",
)


def train(
    out: Annotated[Path, typer.Option(help="The run folder.")],
    photos: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of class folders, or CSV files; not needed to --resume."),
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Made by: binsight data split. Needs train and val.")
    ] = None,
    fold: Annotated[
        int | None, typer.Option(help="Of a split into folds: the one that validates.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(help="Cross-validate: one run for each fold, and a report of them all."),
    ] = None,
    also_ungrouped: Annotated[
        bool,
        typer.Option("--also-ungrouped", help="And on random folds, to see what duplicates leak."),
    ] = False,
    corrections: Annotated[
        Path | None, typer.Option(help="A CSV of decided labels: see binsight data check --labels.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="default, accurate, thaw, student, seed, onward, or a TOML file.",
            show_default="default; with a bundle's weights: onward",
        ),
    ] = None,
    arch: Arch = None,
    weights: WeightsOrFolds = "imagenet",
    changes: Changes = None,
    shares: Shares = None,
    resume: Resume = False,
    workers: Workers = 2,
    accelerator: Accelerator = "auto",
    tensorboard: Annotated[bool, typer.Option(help="Also write TensorBoard logs.")] = False,
    cache: Cache = None,
    teachers: Annotated[
        list[str] | None,
        typer.Option("--teacher", help="A run, folds or a bundle to learn from, besides labels."),
    ] = None,
) -> None:
    """Fine-tune a network on photos."""
    asked = AskedTraining(
        out=out,
        photos=tuple(photos or ()),
        split=split,
        fold=fold,
        recipe=recipe,
        arch=arch,
        changes=changes or (),
        weights=weights,
        shares=parse_shares(shares or ()),
        teachers=tuple(teachers or ()),
        corrections=corrections,
    )
    options: dict[str, Any] = {
        "workers": workers,
        "accelerator": accelerator,
        "tensorboard": tensorboard,
        "cache": cache,
    }
    with needs_extra("train"):
        from binsight.training.folds import has_folds
        from binsight.training.run import has_run, open_run

        from .train_folds import cross_validate

        calm_lightning()
        check_accelerator(accelerator)
        if folds is not None or also_ungrouped or (resume and has_folds(out)):
            cross_validate(
                asked, folds=folds, also_ungrouped=also_ungrouped, resume=resume, **options
            )
            return
        if resume and has_run(out):
            run = open_run(out)
            asked.check_begun(run)
            catalog = run.photos(asked.photos)
        else:
            run, catalog = _new(asked, resume=resume)
        finish(run, catalog, **options)


def finish(run: Run, catalog: Catalog, *, again: str = "train", **options: Any) -> None:
    """Train a run to its end, and say what comes next.

    Args:
        run: new, or with epochs behind it.
        catalog: its photos.
        again: the command that goes on if this one is interrupted.
        options: of `binsight.training.train.train`.
    """
    from binsight.training import train as training

    out = shlex.quote(str(run.folder))
    log_to(run.folder / "log.txt")
    if options.get("cache") and not run.recipe.views:
        typer.secho("note: --cache keeps nothing of endless views; see views in a recipe", err=True)
    try:
        with reporting("computing features") as report:
            best = training.train(
                run,
                catalog,
                resume=run.last.is_file(),
                # Lightning's bar writes to stdout, which a pipe or file should not get.
                progress=sys.stderr.isatty() and sys.stdout.isatty(),
                report=report,
                **options,
            )
    except KeyboardInterrupt:
        interrupted(f"binsight {again} --out {out} --resume")
    back = run.recipe.interpolation
    note = f", before it went back to {back:g} of the way" if _goes_back_after(run) else ""
    typer.echo(f"best validation accuracy {best:.2%}{note}; next: binsight evaluate {out}")


def _goes_back_after(run: Run) -> bool:
    """Whether the best epoch was measured before its weights went back towards the probe."""
    if run.recipe.interpolation == 1 or run.recipe.refit:  # which measures what was kept
        return False
    said = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))
    return bool(said["best"]["epoch"] >= run.recipe.warmup_epochs)


def check_accelerator(name: str) -> None:
    """Refuse what is unknown or not there.

    Raises:
        UsageError: such a name.
    """
    import torch

    if name not in {"auto", "cpu", "gpu"}:
        raise UsageError(f"--accelerator {name}: give auto, cpu or gpu")
    if name == "gpu" and not torch.accelerator.is_available():
        raise UsageError("--accelerator gpu: PyTorch finds none; give auto or cpu")


def _new(asked: AskedTraining, *, resume: bool) -> tuple[Run, Catalog]:
    from binsight.training.run import check_unused

    if not asked.photos or asked.split is None:
        if resume:
            raise UsageError(f"{asked.out} holds no run to go on with; begin one without --resume")
        raise UsageError(
            "give photos and --split; make one with: binsight data split PHOTOS --out split.csv"
        )
    check_unused(asked.out, resumable=not resume)
    refuse_among(asked.out, asked.photos, "--out")
    parts = asked.parts()
    assert parts is not None
    weights, recipe = asked.starting_point(parts)
    return begin(
        asked.out,
        recipe=recipe,
        split=parts,
        sources=asked.photos,
        weights=weights,
        shares=asked.shares,
        teachers=asked.teachers,
        decisions=asked.decisions(),
    )


def begin(
    out: Path,
    *,
    split: Split,
    sources: tuple[Path, ...],
    decisions: Sequence[LabelIssue],
    **options: Any,
) -> tuple[Run, Catalog]:
    """Make the folder of a run once its photos are known to be those of the split.

    Says if photos that it learns are among those that judge it.

    Args:
        out: new or empty.
        split: with the parts train and val.
        sources: folders or CSVs of the photos.
        decisions: about labels.
        options: of `binsight.training.run.create_run`, besides.
    """
    from binsight.data.labelled import matching_catalog
    from binsight.training.run import create_run

    catalog = matching_catalog(sources, split, decisions)
    if torn := split.straddling():
        warn(f"note: {len(torn)} duplicate groups are in more than one part, which flatters")
    run = create_run(out, split=split, sources=sources, decisions=decisions, **options)
    return run, catalog


def calm_lightning() -> None:
    """Leave out what Lightning says of what is so on purpose."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    for message in UNHELPFUL:
        warnings.filterwarnings("ignore", message=message)


def log_to(file: Path, who: str = "") -> list[logging.Handler]:
    """Write what is logged to a file and to stderr; ``who`` stands before each line there."""
    logger = logging.getLogger("binsight")
    logger.setLevel(logging.INFO)
    to_file = logging.FileHandler(file, encoding="utf-8")
    to_terminal = logging.StreamHandler()
    for handler, name in ((to_file, ""), (to_terminal, who)):
        form = f"%(asctime)s {name}%(message)s"
        handler.setFormatter(logging.Formatter(form, "%Y-%m-%d %H:%M:%S"))
        logger.addHandler(handler)
    return [to_file, to_terminal]
