"""Cross-validation: one run for each fold, all of one recipe.

cv/
  fold0/ fold1/ ...   ordinary runs: evaluate, export, explain or resume each of them
  folds.csv           which photo is in which fold
  ungrouped/          the same again with duplicates dealt out at random, if that was asked for

What the folds say together is left to `evaluation.cross_validation`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binsight.data.catalog import Catalog
from binsight.data.split import Split, read_split, without_grouping, write_split
from binsight.errors import RunError, SplitError, UsageError
from binsight.files import drafting

from .run import (
    FOLDS,
    Run,
    check_learnable,
    check_unused,
    create_run,
    create_twin,
    has_folds,
    open_run,
    weights_of,
)

__all__ = [
    "FOLDS",
    "UNGROUPED",
    "Around",
    "Folds",
    "add_ungrouped",
    "check_finished",
    "create_folds",
    "epochs_of",
    "finished",
    "first_weights",
    "has_folds",
    "open_folds",
    "train_folds",
]

UNGROUPED = "ungrouped"
Around = Callable[[int, Run], AbstractContextManager[dict[str, Any]]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Folds:
    """An opened folder of folds.

    Args:
        folder: where the runs are.
        split: with the parts ``fold0``, ``fold1``, ...; others are in no fold.
        runs: in the order of `Split.folds`; each has the parts train and val.
    """

    folder: Path
    split: Split
    runs: tuple[Run, ...]


def create_folds(folder: Path, split: Split, *, weights: str, **options: Any) -> Folds:
    """Make a new folder with a run for each fold; nothing is trained yet.

    Args:
        folder: new or empty.
        split: into folds.
        weights: see `first_weights`.
        options: of `create_run`, the same for each fold.

    Raises:
        UsageError: the folder is in use, or the weights are of other folds.
        SplitError: there are no two folds, or one leaves nothing to learn a class from.
    """
    first = first_weights(weights, split)

    def create(draft: Path, number: int, part: Split) -> None:
        create_run(draft, split=part, weights=first[number], **options)

    return _create(folder, split, create)


def first_weights(weights: str, split: Split) -> dict[int, str]:
    """What each fold begins with.

    Args:
        weights: see `weights_of`; or a folder of the same folds, of which each goes on.
        split: into folds.

    Raises:
        UsageError: a network of the folder has learned photos of a fold that it would validate on.
        RunError: the folder's files contradict each other.
    """
    if not has_folds(Path(weights)):
        return dict.fromkeys(split.folds, weights_of(weights))
    earlier = open_folds(Path(weights))
    if earlier.split.part_of != split.part_of:
        raise UsageError(
            f"--weights {weights}: its folds are others, so a network would be asked for photos "
            f"that it has learned; give its photos and --split {earlier.folder / FOLDS}"
        )
    return {number: str(run.best) for number, run in zip(split.folds, earlier.runs, strict=True)}


def add_ungrouped(folds: Folds) -> Folds:
    """Make the same runs once more, on folds that ignore which photos are duplicates.

    Raises:
        UsageError: folds went on from networks that have learned photos of any random fold.
        SplitError: a fold leaves nothing to learn a class from.
    """
    if len({run.facts.weights for run in folds.runs}) > 1:
        raise UsageError(
            f"--also-ungrouped: {folds.folder} went on from networks that have learned photos of "
            "any random fold; leave it out"
        )

    def create(draft: Path, _: int, part: Split) -> None:
        create_twin(folds.runs[0], draft, part)

    return _create(folds.folder / UNGROUPED, without_grouping(folds.split), create)


def _create(folder: Path, split: Split, create: Callable[[Path, int, Split], None]) -> Folds:
    check_unused(folder)
    if len(split.folds) < 2:
        raise SplitError(f"cross-validation needs two folds; the split has {len(split.folds)}")
    parts = {number: split.with_fold(number) for number in split.folds}
    for number, part in parts.items():
        try:
            check_learnable(part)
        except SplitError as error:
            raise SplitError(f"fold{number}: {error}") from error
    # A folder that is cut off while it is made could be neither resumed nor made again.
    with drafting(folder) as draft:
        for number, part in parts.items():
            create(draft / f"fold{number}", number, part)
        write_split(draft / FOLDS, split)
    return open_folds(folder)


def open_folds(folder: Path) -> Folds:
    """Read a folder that `create_folds` made.

    Raises:
        RunError: not such a folder, or a run is broken or of another split.
    """
    if not has_folds(folder):
        raise RunError(f"{folder}: not a folder of folds; make one with: binsight train --folds 5")
    split = read_split(folder / FOLDS)
    runs = tuple(open_run(folder / f"fold{number}") for number in split.folds)
    for number, run in zip(split.folds, runs, strict=True):
        if run.split != split.with_fold(number):
            raise RunError(f"{run.folder}: not a fold of {folder / FOLDS}")
    return Folds(folder, split, runs)


def epochs_of(run: Run) -> list[dict[str, float]]:
    """A row for each epoch that was finished: see `binsight.training.record`.

    Raises:
        RunError: no epoch was finished.
    """
    rows: list[dict[str, float]] = _said(run)["epochs"]
    return rows


def finished(run: Run) -> bool:
    """Whether all that the recipe says was done, or weights were made in another way."""
    if not (run.folder / "metrics.json").is_file():
        return False
    if run.facts.refit or run.facts.soup:
        return True
    said = _said(run)
    return len(said["epochs"]) >= run.recipe.epochs and (not run.recipe.refit or "refit" in said)


def _said(run: Run) -> dict[str, Any]:
    try:
        text = (run.folder / "metrics.json").read_text(encoding="utf-8")
        said: dict[str, Any] = json.loads(text)
        len(said["epochs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{run.folder}: no epoch was finished; train it with --resume") from error
    return said


def check_finished(folds: Folds) -> None:
    """Make sure that each fold can be asked.

    Raises:
        RunError: one is not trained to its end.
    """
    for run in folds.runs:
        if not finished(run):
            raise RunError(
                f"{run.folder}: not trained to the end; go on with: "
                f"binsight train --out {folds.folder} --resume"
            )


def train_folds(folds: Folds, catalog: Catalog, *, around: Around, **options: Any) -> None:
    """Train the folds that are not finished, each from where it stopped.

    Args:
        folds: made by `create_folds`.
        catalog: their photos.
        around: called with (place from 1, run); what it returns is open while that fold trains,
            and gives more options for it.
        options: of `binsight.training.train.train`.

    Raises:
        KeyboardInterrupt: Ctrl-C; call it again to go on.
    """
    from .train import train

    for place, run in enumerate(folds.runs, start=1):
        with around(place, run) as more:
            if finished(run):
                log.info("was trained before")
            else:
                train(run, catalog, resume=run.last.is_file(), **options, **more)
