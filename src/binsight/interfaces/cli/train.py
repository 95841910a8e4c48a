"""``binsight train``: a recipe, photos and a split in, a run folder out."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from binsight.errors import UsageError
from binsight.runtime import Classifier

from .extras import needs_extra
from .progress import reporting
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
    from binsight.data.split import Split
    from binsight.training.recipe import Recipe
    from binsight.training.run import Run

# Lightning's advice on what is so on purpose, and its own deprecations.
UNHELPFUL = (
    ".*does not have many workers.*",
    ".*GPU available but not used.*",
    ".*Checkpoint directory .* not empty.*",
    ".*The dirpath has changed.*",
    ".*LeafSpec.* is deprecated.*",
)


class Usual(NamedTuple):
    """Recipes for when none is named: with other first weights, and with those of a bundle."""

    plain: str = "default"
    from_bundle: str = "onward"


USUAL = Usual()


def train(
    out: Annotated[Path, typer.Option(help="The run folder.")],
    photos: Annotated[
        list[Path] | None, typer.Argument(help="Folders of class folders, or CSV files.")
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
        Path | None, typer.Option(help="Decided labels: see binsight data check --labels.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="default, accurate, thaw, student, seed, onward, or a TOML file.",
            show_default="default; with a bundle's weights: onward",
        ),
    ] = None,
    arch: Arch = None,
    weights: Weights = "imagenet",
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
    changes = [*([f"architecture={arch}"] if arch else []), *(changes or [])]
    drawn = parse_shares(shares or [])
    with needs_extra("train"):
        from binsight.training.folds import has_folds
        from binsight.training.run import has_run, open_run

        from .train_folds import cross_validate

        calm_lightning()
        check_accelerator(accelerator)
        if folds is not None or also_ungrouped or (resume and has_folds(out)):
            cross_validate(
                out,
                tuple(photos or ()),
                folds=folds,
                split=split,
                fold=fold,
                recipe=recipe,
                changes=changes,
                weights=weights,
                shares=drawn,
                corrections=corrections,
                also_ungrouped=also_ungrouped,
                teachers=tuple(teachers or ()),
                resume=resume,
                workers=workers,
                tensorboard=tensorboard,
                accelerator=accelerator,
                cache=cache,
            )
            return
        if resume and has_run(out):
            run = resumed(open_run(out), recipe, changes, corrections)
            check_same(run, split, fold, weights, drawn, tuple(teachers or ()))
        else:
            run = _new(
                out,
                tuple(photos or ()),
                split,
                fold,
                recipe,
                weights,
                changes,
                drawn,
                tuple(teachers or ()),
                corrections,
            )
        finish(
            run,
            tuple(photos or ()),
            workers=workers,
            tensorboard=tensorboard,
            accelerator=accelerator,
            cache=cache,
        )


def finish(run: Run, photos: tuple[Path, ...], *, again: str = "train", **options: Any) -> None:
    """Train a run to its end, and say what comes next.

    Args:
        run: new, or with epochs behind it.
        photos: where they are now; empty if they have not moved.
        again: the command that goes on if this one is interrupted.
        options: of `binsight.training.train.train`.
    """
    from binsight.training import train as training

    out = run.folder
    log_to(out / "log.txt")
    try:
        with reporting("computing features") as report:
            best = training.train(
                run,
                run.photos(photos),
                resume=run.last.is_file(),
                # Lightning's bar writes to stdout, which a pipe or file should not get.
                progress=sys.stderr.isatty() and sys.stdout.isatty(),
                report=report,
                **options,
            )
    except KeyboardInterrupt:
        typer.echo(f"interrupted; go on with: binsight {again} --out {out} --resume", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"best validation accuracy {best:.2%}; next: binsight evaluate {out}")


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


def _new(
    out: Path,
    photos: tuple[Path, ...],
    split: Path | None,
    fold: int | None,
    recipe: str | None,
    weights: str,
    changes: list[str],
    shares: dict[str, float],
    teachers: tuple[str, ...],
    corrections: Path | None,
) -> Run:
    from binsight.data.relabel import read_label_issues
    from binsight.data.split import read_split
    from binsight.training.run import check_unused, create_run

    if not photos or split is None:
        raise UsageError(
            "give photos and --split; make one with: binsight data split PHOTOS --out split.csv"
        )
    check_unused(out)
    parts = read_split(split)
    if fold is not None:
        parts = parts.with_fold(fold)
    weights, resolved = starting_point(parts, weights, recipe, changes, teachers)
    return create_run(
        out,
        recipe=resolved,
        split=parts,
        sources=photos,
        weights=weights,
        shares=shares,
        teachers=teachers,
        decisions=read_label_issues(corrections) if corrections else (),
    )


def parse_shares(items: list[str]) -> dict[str, float]:
    """Folder to share.

    Raises:
        UsageError: not FOLDER=NUMBER, or one folder twice.
    """
    shares: dict[str, float] = {}
    for item in items:
        folder, _, number = item.rpartition("=")
        name = folder.strip("/")
        try:
            share = float(number)
        except ValueError:
            name = ""
        if not name or name in shares:
            raise UsageError(f"--share {item}: give each FOLDER=NUMBER once, such as web=0.2")
        shares[name] = share
    return shares


def starting_point(
    split: Split,
    weights: str,
    recipe: str | None,
    changes: list[str],
    teachers: tuple[str, ...],
    usual: Usual = USUAL,
) -> tuple[str, Recipe]:
    """First weights and recipe of a new run; what is wrong is found before a folder is made.

    Raises:
        SplitError: no train or val part.
        UsageError, TrainingError, RunError, BundleError: see `check_early`.
    """
    from binsight.training.run import weights_of

    for part in ("train", "val"):
        split.paths(part)
    weights = weights_of(weights)
    resolved = recipe_for(weights, recipe, changes, usual)
    check_early(resolved, split, weights, teachers)
    return weights, resolved


def check_early(recipe: Recipe, split: Split, weights: str, teachers: tuple[str, ...] = ()) -> None:
    """Fail on a wrong architecture, weight file or teacher before a folder is made.

    Raises:
        UsageError: the recipe does not go with the first weights or a teacher.
        TrainingError: no such architecture, or no such weights.
        RunError, BundleError: see `binsight.training.teachers.open_teachers`.
    """
    from binsight.training.first import first_network
    from binsight.training.run import check_first_weights
    from binsight.training.teachers import open_teachers

    check_first_weights(recipe, weights)
    first_network(recipe, weights, split.classes)
    if teachers:
        open_teachers(teachers, split, recipe)


def recipe_for(
    weights: str, recipe: str | None, changes: list[str], usual: Usual = USUAL
) -> Recipe:
    """The recipe that is named, or the one that goes with the first weights.

    If none is named, it takes architecture and sizes from a bundle.
    """
    from binsight.model.origins import names_bundle
    from binsight.training.recipe import load_recipe, onward

    if not names_bundle(weights) or recipe not in {None, "onward"}:
        return load_recipe(recipe or usual.plain, changes)
    return onward(Classifier(weights).metadata, changes, recipe or usual.from_bundle)


def resumed(
    run: Run,
    recipe: str | None,
    changes: list[str],
    corrections: Path | None,
    usual: Usual = USUAL,
) -> Run:
    """The run, if it was begun with what is asked for again.

    Raises:
        UsageError: another recipe, other corrections, a mean of runs, or a refit head.
    """
    from binsight.data.relabel import decision_of, read_label_issues

    out = run.folder
    if run.facts.soup:
        raise UsageError(f"{out} is the mean of runs; train on from it with --weights {out}")
    if run.facts.refit:
        raise UsageError(f"{out} has a refit head; train on from it with --weights {out}")
    if (recipe or changes) and recipe_for(run.facts.weights, recipe, changes, usual) != run.recipe:
        raise UsageError(f"{out} was begun with another recipe; --resume keeps {out}/recipe.toml")
    if corrections and decision_of(read_label_issues(corrections)) != decision_of(run.decisions):
        raise UsageError(f"{out} was begun with other corrections; --resume keeps its own")
    return run


def check_same(
    run: Run,
    split: Path | None,
    fold: int | None,
    weights: str,
    shares: dict[str, float],
    teachers: tuple[str, ...],
) -> None:
    """Make sure that what is given again of a run is what it was begun with.

    Raises:
        UsageError: something else.
    """
    from binsight.data.split import read_split
    from binsight.training.run import placed, weights_of

    parts = read_split(split) if split else run.split
    if split and fold is not None:
        parts = parts.with_fold(fold)
    differs = {
        "another --split": parts != run.split,
        "other --weights": weights != "imagenet"
        and placed(weights_of(weights)) != run.facts.weights,
        "other --share": shares and shares != run.facts.shares,
        "other teachers": teachers and tuple(map(placed, teachers)) != run.facts.teachers,
    }
    for what, so in differs.items():
        if so:
            raise UsageError(f"{run.folder} was begun with {what}; leave it out, it keeps its own")


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
