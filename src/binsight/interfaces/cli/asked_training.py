"""What a user asks of a training, and whether that can be done or was begun with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os.path import realpath
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from binsight.errors import UsageError
from binsight.runtime import Classifier

if TYPE_CHECKING:
    from binsight.data.relabel import LabelIssue
    from binsight.data.split import Split
    from binsight.training.recipe import Recipe
    from binsight.training.run import Run

__all__ = ["STUDENT", "AskedTraining", "Usual", "check_early", "parse_shares"]


class Usual(NamedTuple):
    """Recipes for when none is named: with other first weights, and with those of a bundle."""

    plain: str = "default"
    from_bundle: str = "onward"


USUAL = Usual()
STUDENT = Usual("student", "student")


@dataclass(frozen=True, kw_only=True)
class AskedTraining:
    """Arguments of a command that trains, as they were given.

    Args:
        out: the run folder, or that of folds.
        photos: folders or CSVs; a run that is resumed knows its own.
        split: file of a split.
        fold: of that split, the one that validates.
        recipe: name or TOML file.
        arch: architecture, instead of the recipe's.
        changes: to the recipe, ``NAME=VALUE``.
        weights: first ones.
        shares: of folders; see `parse_shares`.
        teachers: runs, folds and bundles.
        corrections: file of decided labels.
        usual: recipes where none is named.
    """

    out: Path
    photos: tuple[Path, ...] = ()
    split: Path | None = None
    fold: int | None = None
    recipe: str | None = None
    arch: str | None = None
    changes: Sequence[str] = ()
    weights: str = "imagenet"
    shares: Mapping[str, float] = field(default_factory=dict)
    teachers: tuple[str, ...] = ()
    corrections: Path | None = None
    usual: Usual = USUAL

    def parts(self) -> Split | None:
        """The split that was given, with the fold that was chosen as its val part."""
        from binsight.data.split import read_split

        if self.split is None:
            return None
        parts = read_split(self.split)
        return parts if self.fold is None else parts.with_fold(self.fold)

    def decisions(self) -> Sequence[LabelIssue]:
        """About labels."""
        from binsight.data.relabel import read_label_issues

        return read_label_issues(self.corrections) if self.corrections else ()

    def recipe_from(self, weights: str) -> Recipe:
        """The recipe that is named, or the one that goes with first weights, and the changes.

        If none is named, it takes architecture and sizes from a bundle.
        """
        from binsight.model.origins import names_bundle
        from binsight.training.recipe import load_recipe, onward

        changes = [*([f"architecture={self.arch}"] if self.arch else []), *self.changes]
        if not names_bundle(weights) or self.recipe not in {None, "onward"}:
            return load_recipe(self.recipe or self.usual.plain, changes)
        return onward(Classifier(weights).metadata, changes, self.recipe or self.usual.from_bundle)

    def starting_point(self, split: Split) -> tuple[str, Recipe]:
        """First weights and recipe of a new run; what is wrong is found before a folder is made.

        Raises:
            SplitError: no train or val part.
            UsageError, TrainingError, RunError, BundleError: see `check_early`.
        """
        from binsight.training.run import open_run, weights_of

        if "train" not in split.parts and split.folds:
            raise UsageError(
                f"{self.split} has folds; train one with --fold {split.folds[0]}, or all with "
                f"--folds {len(split.folds)}"
            )
        for part in ("train", "val"):
            split.paths(part)
        weights = weights_of(self.weights)
        recipe = self.recipe_from(weights)
        if weights != self.weights:
            its = open_run(Path(self.weights)).recipe.architecture
            if its != recipe.architecture:
                raise UsageError(f"{self.weights} is a {its}; train on from it with --arch {its}")
        check_early(recipe, split, weights, self.teachers)
        return weights, recipe

    def check_begun(self, run: Run) -> None:
        """Make sure that a run that is resumed was begun with what is asked for again.

        Raises:
            UsageError: something else, a mean of runs, or a refit head.
        """
        from binsight.data.relabel import decision_of
        from binsight.training.run import placed, weights_of

        out, begun = run.folder, run.facts
        if begun.soup:
            raise UsageError(f"{out} is the mean of runs; train on from it with --weights {out}")
        if begun.refit:
            raise UsageError(f"{out} has a refit head; train on from it with --weights {out}")
        if self.fold is not None and self.split is None:
            raise UsageError(f"--fold goes with --split; leave it out, {out} keeps its own split")
        asked = self.recipe or self.arch or self.changes
        if asked and self.recipe_from(begun.weights) != run.recipe:
            raise UsageError(
                f"{out} was begun with another recipe, and keeps its own ({out}/recipe.toml); "
                f"leave --recipe, --arch and --set out, or begin another run with --weights {out}"
            )
        if self.corrections and decision_of(self.decisions()) != decision_of(run.decisions):
            raise UsageError(f"{out} was begun with other corrections; --resume keeps its own")
        weights = placed(weights_of(self.weights))
        differs = {
            "another --split": self.split and self.parts() != run.split,
            "other --weights": self.weights != "imagenet"
            and realpath(weights) != realpath(begun.weights),
            "other --share": self.shares and self.shares != begun.shares,
            "other teachers": self.teachers
            and [*map(realpath, map(placed, self.teachers))] != [*map(realpath, begun.teachers)],
        }
        for what, so in differs.items():
            if so:
                raise UsageError(f"{out} was begun with {what}; leave it out, it keeps its own")


def parse_shares(items: Sequence[str]) -> dict[str, float]:
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
