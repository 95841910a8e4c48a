"""The run folder: what a training leaves behind, and how it is read again.

run/
  recipe.toml       every value that was used
  run.json          photos, classes, first weights, binsight's version
  split.csv         a copy of the split
  corrections.csv   decisions about labels that the split was made with, if there were any
  metrics.csv       a row an epoch; metrics.json holds the same and the best epoch
  curves.png        loss and accuracy
  log.txt           what was printed
  learned.txt       eight bytes for each photo that it, or its first weights, learned from
  checkpoints/      best.safetensors (weights alone), refit.safetensors (the same with a head that
                    was fitted once more, if the recipe says so), probe.safetensors (what the
                    recipe's `interpolation` goes back to) and last.ckpt (to go on)
  kept/             what frozen stages and teachers made of each view; may be deleted
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from filelock import FileLock, Timeout

from binsight.bundle import now
from binsight.data.catalog import Catalog, common_root
from binsight.data.labelled import matching_catalog
from binsight.data.relabel import (
    DROP,
    KEEP,
    LabelIssue,
    read_label_issues,
    write_label_issues,
)
from binsight.data.split import Split, read_split, write_split
from binsight.errors import CatalogError, RunError, SplitError, UsageError
from binsight.files import file_digest, write_text
from binsight.learned import NOTHING, Learned
from binsight.model.origins import IMAGENET, NONE, names_bundle
from binsight.runtime import BUILTIN, bundle_path
from binsight.runtime.memory import learned_by

from .recipe import Recipe, to_toml, validated

__all__ = [
    "FOLDS",
    "Facts",
    "Run",
    "check_first_weights",
    "check_learnable",
    "check_unused",
    "create_run",
    "create_twin",
    "has_folds",
    "has_run",
    "learned_from",
    "open_run",
    "placed",
    "weights_of",
]

FACTS = "run.json"
FOLDS = "folds.csv"
CORRECTIONS = "corrections.csv"
LEARNED = "learned.txt"
LOCK = "checkpoints/.lock"
RESERVED = frozenset({IMAGENET, NONE, *BUILTIN})  # names that win over a path


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a run knows about itself besides its recipe and split.

    Args:
        sources: folders or CSVs of the photos, as absolute paths.
        weights: ``imagenet``, ``none``, a built-in bundle's name, or the file that was given.
        classes: names, in the order of the outputs.
        shares: folder of training photos to the part of them that an epoch draws, anew each time.
        teachers: that this one learns from: absolute paths of runs and bundles, or built-in names.
        catalog_digest: of the photos.
        corrections: SHA-256 of ``corrections.csv``; empty if no label was corrected.
        soup: absolute paths of the runs that its weights are the mean of; then nothing is trained.
        refit: absolute path of the run whose head was fitted once more; then nothing else is.
        binsight: version that trained.
        started: date and time, UTC, ISO 8601.
    """

    sources: tuple[str, ...]
    weights: str
    classes: tuple[str, ...]
    catalog_digest: str
    binsight: str
    started: str
    shares: Mapping[str, float] = field(default_factory=dict)
    teachers: tuple[str, ...] = ()
    corrections: str = ""
    soup: tuple[str, ...] = ()
    refit: str = ""

    def share_of(self, path: str) -> float:
        """The share of a photo's innermost folder that has one; 1 if none has."""
        folder = _innermost(self.shares, path)
        return 1.0 if folder is None else self.shares[folder]

    @cached_property
    def folders(self) -> frozenset[str]:
        """Where the photos of the sources lie, below what these have in common."""
        _, prefixes = common_root([Path(source) for source in self.sources])
        return frozenset("" if one == Path() else one.as_posix() for one in prefixes)

    def folder_of(self, path: str) -> str:
        """That of the `folders` which a photo lies in."""
        return _innermost(self.folders, path) or ""


def _innermost(folders: Iterable[str], path: str) -> str | None:
    holding = [one for one in folders if not one or path.startswith(f"{one}/")]
    return max(holding, key=len, default=None)


@dataclass(frozen=True)
class Run:
    """An opened run folder."""

    folder: Path
    recipe: Recipe
    facts: Facts
    split: Split
    decisions: tuple[LabelIssue, ...] = ()

    @property
    def best(self) -> Path:
        """Weights of the best epoch, with the head that was fitted after it if there is one."""
        return self.refit if self.refit.is_file() else self.best_epoch

    @property
    def best_epoch(self) -> Path:
        """Weights of the best epoch."""
        return self.folder / "checkpoints" / "best.safetensors"

    @property
    def refit(self) -> Path:
        """The same, with a head that was fitted once more: see `binsight.training.refit`."""
        return self.folder / "checkpoints" / "refit.safetensors"

    @property
    def last(self) -> Path:
        """Everything that is needed to go on after the last whole epoch."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def probe(self) -> Path:
        """Weights when the warm-up ended, where the result is to lie between them and the last."""
        return self.folder / "checkpoints" / "probe.safetensors"

    @property
    def learned(self) -> Learned:
        """Photos that it and its first weights learned from; none before training."""
        return _learned_in(self.folder)

    def learned_of(self, catalog: Catalog) -> Learned:
        """The same, also where a run of before kept none.

        Args:
            catalog: the run's own photos, or others.
        """
        kept = self.learned
        if kept or catalog.digest != self.facts.catalog_digest:
            return kept
        return self._own(catalog)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only process that trains it.

        Raises:
            RunError: another one does.
        """
        lock = FileLock(self.folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise RunError(f"{self.folder}: another process is training it") from error
        try:
            yield
        finally:
            lock.release()

    def note_learned(self, catalog: Catalog) -> None:
        """Keep what it learns from, and what its first weights have learned from."""
        # A resumed run may no longer find what it began with.
        before = self.learned or learned_from(self.facts.weights)
        write_text(self.folder / LEARNED, (self._own(catalog) | before).text)

    def learned_before(self, catalog: Catalog) -> Learned:
        """What its first weights have learned from, besides its own photos."""
        return self.learned - self._own(catalog)

    def learned_by_teachers(self) -> Learned:
        """What those have learned from that it learns from, of folds any of them."""
        return Learned.union(map(learned_from, self.facts.teachers))

    def _own(self, catalog: Catalog) -> Learned:
        parts = self.split.part_of
        return Learned.of(one.sha256 for one in catalog.photos if parts.get(one.path) == "train")

    def photos(self, sources: tuple[Path, ...] = ()) -> Catalog:
        """The photos of the run, checked against its split.

        Args:
            sources: where they are now, if they moved.

        Raises:
            DataError: they are gone or not the same.
        """
        found = sources or tuple(Path(source) for source in self.facts.sources)
        try:
            return matching_catalog(found, self.split, self.decisions)
        except CatalogError as error:
            if sources:
                raise
            raise CatalogError(
                f"{error}; if the photos of {self.folder} lie elsewhere now, name where"
            ) from error


def _learned_in(folder: Path) -> Learned:
    file = folder / LEARNED
    if not file.is_file():
        return NOTHING
    try:
        return Learned.parse(file.read_text(encoding="ascii"))
    except ValueError as error:
        raise RunError(f"{file}: not what training wrote; put it back, or delete it") from error


def learned_from(given: str) -> Learned:
    """Photos that a model learned from; none if it kept no record.

    Args:
        given: a bundle or a built-in one's name, the folder of a run or of folds, or the file of a
            run's weights.

    Raises:
        NotABundleError, AlteredBundleError: see `binsight.runtime.memory.learned_by`.
        RunError: a broken record.
    """
    if names_bundle(given):
        return learned_by(bundle_path(given))
    if has_folds(Path(given)):
        records = Path(given).glob(f"fold*/{LEARNED}")
        return Learned.union(_learned_in(record.parent) for record in records)
    folders = [] if given in RESERVED else [Path(given), Path(given).parent.parent]
    return next((_learned_in(one) for one in folders if has_run(one)), NOTHING)


def has_run(folder: Path) -> bool:
    """Whether a run was begun in this folder."""
    return (folder / FACTS).is_file()


def has_folds(folder: Path) -> bool:
    """Whether it is a folder of runs, one for each fold; see `binsight.training.folds`."""
    return (folder / FOLDS).is_file()


def check_unused(folder: Path, *, resumable: bool = True) -> None:
    """Make sure that a run may begin in this folder.

    Args:
        folder: of the new run.
        resumable: whether the command can also go on with a run.

    Raises:
        UsageError: something is in it, or it is a file.
    """
    if has_run(folder):
        instead = "go on with --resume, or choose" if resumable else "choose"
        raise UsageError(f"{folder} holds a run; {instead} another --out")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; choose another --out")
    if folder.exists() and any(folder.iterdir()):
        instead = ", or --resume it" if resumable else ""
        raise UsageError(f"{folder} is not empty; choose another --out{instead}")


def create_run(
    folder: Path,
    *,
    recipe: Recipe,
    split: Split,
    sources: tuple[Path, ...],
    weights: str,
    shares: Mapping[str, float] | None = None,
    teachers: tuple[str, ...] = (),
    decisions: Sequence[LabelIssue] = (),
) -> Run:
    """Make a new run folder.

    Args:
        folder: new or empty.
        recipe: how to train.
        split: with the parts train and val.
        sources: folders or CSVs of the photos.
        weights: ``imagenet``, ``none``, a file or a bundle, as a user names it.
        shares: see `Facts`.
        teachers: runs and bundles to learn from, as a user names them.
        decisions: about labels; the split has to be that of the corrected catalog.

    Raises:
        UsageError: the folder is in use, a share is wrong or of no training photo, or the recipe
            does not go with the first weights.
        SplitError: the split was made without the decisions, has only one class, or no training
            photo of one.
    """
    from binsight import __version__

    check_unused(folder)
    check_first_weights(recipe, weights)
    check_learnable(split)
    _check_shares(shares or {}, split)
    decided = tuple(issue for issue in decisions if issue.decision)
    _check_decisions(decided, split)
    facts = Facts(
        sources=tuple(str(source.absolute()) for source in sources),
        weights=placed(weights),
        classes=split.classes,
        catalog_digest=split.catalog_digest,
        binsight=__version__,
        started=now(),
        shares=dict(shares or {}),
        teachers=tuple(map(placed, teachers)),
    )
    return _write(folder, recipe, facts, split, decided)


def check_learnable(split: Split) -> None:
    """Make sure that there is something to tell apart, and a training photo of each class.

    Raises:
        SplitError: there is not.
    """
    if len(split.classes) < 2:
        raise SplitError(
            f"all photos are {', '.join(split.classes)}; add a folder of another class to tell from"
        )
    learned = {split.label_of[path] for path in split.paths("train")}
    for missing in sorted(set(split.classes) - learned):
        raise SplitError(f"no training photo of {missing}; add photos of it, or move some to train")


def check_first_weights(recipe: Recipe, weights: str) -> None:
    """Make sure that a recipe goes with first weights; see `create_run`.

    Raises:
        UsageError: stages would be frozen, or interpolated with, that never learned, or BatchNorm
            would need statistics that a bundle does not keep.
    """
    if recipe.batch < 2 and not recipe.frozen_batchnorm:
        raise UsageError(
            "BatchNorm learns nothing from batches of one photo; --set batch=2 or more"
        )
    if recipe.frozen_stages and weights == NONE:
        raise UsageError(
            f"the recipe freezes the first {recipe.frozen_stages} stages, which know nothing with "
            "--weights none; give weights, or --set frozen_stages=0"
        )
    if recipe.interpolation < 1 and weights == NONE:
        raise UsageError(
            "the recipe goes back some way to the first weights, which know nothing with "
            "--weights none; give weights, or --set interpolation=1"
        )
    if names_bundle(weights) and not recipe.frozen_batchnorm:
        raise UsageError(
            f"--weights {weights}: a bundle keeps no statistics for BatchNorm to go on from; "
            "--set frozen_batchnorm=true, or leave --recipe out"
        )


def weights_of(given: str) -> str:
    """First weights as a user names them, where a run's folder stands for its best epoch.

    Raises:
        RunError, RecipeError, SplitError: see `open_run`.
    """
    if given in RESERVED or not has_run(Path(given)):
        return given
    return str(open_run(Path(given)).best)


def placed(given: str) -> str:
    """Where a file or folder is from anywhere; what is no path stays as it is."""
    return given if given in RESERVED else str(Path(given).absolute())


def create_twin(
    run: Run,
    folder: Path,
    split: Split | None = None,
    *,
    soup: tuple[str, ...] = (),
    refit: str = "",
) -> Run:
    """Make a new run folder that differs from another in its split, or in how weights are made.

    Nothing is trained. For ``soup`` and ``refit`` see `Facts`.
    """
    facts = replace(run.facts, soup=soup, refit=refit)
    twin = _write(folder, run.recipe, facts, split or run.split, run.decisions)
    if split is None:
        learned = Learned.union([run.learned, *(_learned_in(Path(one)) for one in soup)])
        write_text(folder / LEARNED, learned.text)
    return twin


def _write(
    folder: Path, recipe: Recipe, facts: Facts, split: Split, decided: tuple[LabelIssue, ...]
) -> Run:
    (folder / "checkpoints").mkdir(parents=True)
    if decided:
        write_label_issues(folder / CORRECTIONS, decided)
        digest = file_digest(folder / CORRECTIONS)
        facts = replace(facts, corrections=digest)
    write_text(folder / "recipe.toml", to_toml(recipe))
    write_split(folder / "split.csv", split)
    write_text(folder / FACTS, json.dumps(asdict(facts), indent=2) + "\n")
    return Run(folder, recipe, facts, split, decided)


def _check_decisions(decided: Sequence[LabelIssue], split: Split) -> None:
    for issue in decided:
        its = split.label_of.get(issue.path)  # none of a photo that could not be read
        if its not in {None, {DROP: None, KEEP: its}.get(issue.decision, issue.decision)}:
            raise SplitError(
                f"{issue.path} is {its} in the split, {issue.decision} in the corrections; make "
                "the split with: binsight data split PHOTOS --corrections FILE"
            )


def _check_shares(shares: Mapping[str, float], split: Split) -> None:
    for folder, share in shares.items():
        if not 0 < share <= 1:
            raise UsageError(f"share {folder}={share:g}: give a number above 0, up to 1")
        if not any(path.startswith(f"{folder}/") for path in split.paths("train")):
            raise UsageError(f"share {folder}={share:g}: no training photo is in {folder}/")


def open_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        RunError: not a run folder, or its files contradict each other.
        RecipeError: a wrong recipe.
        SplitError: a broken split.
    """
    try:
        values = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        recipe = tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8"))
        several = ("sources", "classes", "teachers", "soup")
        tuples = {name: tuple(values.get(name, ())) for name in several}
        facts = Facts(**(values | tuples))
    except OSError as error:
        if has_folds(folder):
            raise RunError(
                f"{folder} holds folds, each of them a run; name one, such as {folder / 'fold0'}"
            ) from error
        reason = f"{FACTS}: {error.strerror or error}"
        raise RunError(f"{folder}: not the folder of a run ({reason})") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{folder}: not the folder of a run ({error})") from error
    decisions = _kept_decisions(folder, facts)
    source = str(folder / "recipe.toml")
    split = read_split(folder / "split.csv")
    if (facts.classes, facts.catalog_digest) != (split.classes, split.catalog_digest):
        raise RunError(f"{folder}: run.json and split.csv are not of the same run")
    return Run(folder, validated(recipe, source=source), facts, split, decisions)


def _kept_decisions(folder: Path, facts: Facts) -> tuple[LabelIssue, ...]:
    if not facts.corrections:
        return ()
    file = folder / CORRECTIONS
    if not file.is_file() or file_digest(file) != facts.corrections:
        raise RunError(f"{file} is not what the run was made with; put it back")
    return read_label_issues(file)
