"""Which photo goes into which part: stratified, seeded, duplicate groups kept together.

The order in which groups are dealt out depends on the seed and on the photos' bytes alone, so the
same folder gives the same split on every machine and with every version of every library.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from binsight.errors import SplitError

from .catalog import Catalog, Photo
from .tables import read_table, write_table

__all__ = [
    "COLUMNS",
    "DEFAULT_RATIOS",
    "UNUSED",
    "Split",
    "read_split",
    "resolve_lists",
    "split_by_lists",
    "split_by_ratios",
    "split_into_folds",
    "without_grouping",
    "write_split",
]

DEFAULT_RATIOS = {"train": 0.7, "val": 0.15, "test": 0.15}
UNUSED = "unused"
COLUMNS = ("path", "label", "part", "group", "seed", "catalog")
FOLD = re.compile(r"fold\d+")
# A photo that two lists claim stays where a leak would do the most harm.
PRIORITY = ("test", "val", "train")


@dataclass(frozen=True, kw_only=True)
class Split:
    """The part of every photo of one catalog.

    Args:
        part_of: path to part, for example ``{"glass/1.jpg": "train"}``.
        label_of: path to class name.
        group_of: path to duplicate group.
        seed: that it was dealt with.
        catalog_digest: of the catalog that it was made for (`Catalog.digest`).
    """

    part_of: Mapping[str, str]
    label_of: Mapping[str, str]
    group_of: Mapping[str, int]
    seed: int
    catalog_digest: str

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts, train, val and test first."""
        names = set(self.part_of.values())
        usual = [name for name in reversed(PRIORITY) if name in names]
        return (*usual, *sorted(names - set(usual)))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names in alphabetical order, of all parts that are used."""
        used = {self.label_of[path] for path, part in self.part_of.items() if part != UNUSED}
        return tuple(sorted(used))

    @cached_property
    def fold_parts(self) -> Mapping[str, int]:
        """The parts ``fold0``, ``fold1``, ... to their numbers, in order of these."""
        numbers = {part: int(part[4:]) for part in self.parts if FOLD.fullmatch(part)}
        return dict(sorted(numbers.items(), key=lambda one: one[1]))

    @property
    def folds(self) -> tuple[int, ...]:
        """Numbers of the folds; empty in a split of another kind."""
        return tuple(self.fold_parts.values())

    def paths(self, part: str) -> tuple[str, ...]:
        """Photos of one part, in order.

        Raises:
            SplitError: no such part.
        """
        found = tuple(sorted(path for path, its in self.part_of.items() if its == part))
        if not found:
            raise SplitError(f"the split has no part {part!r}; it has {', '.join(self.parts)}")
        return found

    def without(self, paths: Collection[str]) -> Split:
        """The same, with some photos unused."""
        unused = set(paths)
        parts = {path: UNUSED if path in unused else part for path, part in self.part_of.items()}
        return replace(self, part_of=parts)

    def counts(self) -> dict[str, dict[str, int]]:
        """Photos of each class in each part."""
        table = {part: dict.fromkeys(sorted(set(self.label_of.values())), 0) for part in self.parts}
        for path, part in self.part_of.items():
            table[part][self.label_of[path]] += 1
        return table

    def straddling(self, parts: Collection[str] | None = None) -> tuple[int, ...]:
        """Duplicate groups with photos in more than one of the parts; all used ones by default."""
        among = set(self.parts) - {UNUSED} if parts is None else set(parts)
        found = defaultdict(set)
        for path, part in self.part_of.items():
            if part in among:
                found[self.group_of[path]].add(part)
        return tuple(sorted(group for group, names in found.items() if len(names) > 1))

    @cached_property
    def fold_of(self) -> Mapping[str, int]:
        """Path to the number of the fold that has the photo or a duplicate of it.

        Photos that no fold has are left out.
        """
        number_of = {
            self.group_of[path]: self.fold_parts[part]
            for path, part in self.part_of.items()
            if part in self.fold_parts
        }
        return {
            path: number_of[group] for path, group in self.group_of.items() if group in number_of
        }

    def with_fold(self, fold: int) -> Split:
        """Train and val parts from k folds: fold number ``fold`` validates, the rest trains.

        Photos that were ``val`` before are kept for `with_folds_joined`; here they are ``unused``.

        Raises:
            SplitError: no such fold.
        """
        held = f"fold{fold}"
        if held not in self.parts:
            raise SplitError(f"the split has no {held}; it has {', '.join(self.parts)}")
        joined = dict.fromkeys(self.fold_parts, "train")
        return self._renamed(joined | {"val": UNUSED, held: "val"})

    def with_folds_joined(self) -> Split:
        """All folds train; other parts stay."""
        return self._renamed(dict.fromkeys(self.fold_parts, "train"))

    def _renamed(self, becomes: Mapping[str, str]) -> Split:
        parts = {path: becomes.get(part, part) for path, part in self.part_of.items()}
        return replace(self, part_of=parts)


def split_by_ratios(catalog: Catalog, ratios: Mapping[str, float], *, seed: int) -> Split:
    """Deal the photos out so that each part gets its share of each class.

    Raises:
        SplitError: ratios that are not positive or do not add up to 1, or too few photos.
    """
    _check_ratios(ratios)
    parts = _deal(catalog.photos, ratios, seed)
    _check_nothing_empty(parts, ratios)
    return _split(catalog, parts, seed)


def split_into_folds(
    catalog: Catalog,
    folds: int,
    *,
    lists: Mapping[str, Sequence[str]] | None = None,
    seed: int,
    keep_straddling: bool = False,
) -> Split:
    """Deal the photos out to equal parts ``fold0``, ``fold1``, ...

    Args:
        catalog: the photos.
        folds: 2 or more.
        lists: parts beside the folds, as in `split_by_lists`, such as ``val`` and ``test``.
        seed: for dealing out.
        keep_straddling: as in `split_by_lists`.

    Raises:
        SplitError: fewer than two folds, or more folds than duplicate groups; or see
            `split_by_lists`.
    """
    if folds < 2:
        raise SplitError(f"{folds} folds make no split; give 2 or more")
    ratios = {f"fold{number}": 1 / folds for number in range(folds)}
    split = split_by_lists(
        catalog, lists or {}, rest=ratios, seed=seed, keep_straddling=keep_straddling
    )
    _check_nothing_empty(split.part_of, ratios)
    return split


def without_grouping(split: Split) -> Split:
    """Deal the photos of the folds out anew, each by itself, wherever its duplicates are.

    Nobody should judge a model by such folds: they are there to measure what duplicates that leak
    into training do to a figure. Other parts stay as they are.

    Raises:
        SplitError: a split that has no folds.
    """
    if not split.folds:
        raise SplitError(f"the split has no folds; it has {', '.join(split.parts)}")
    inside = [path for path, part in split.part_of.items() if part in split.fold_parts]
    # Classes one after the other, so that each fold gets its share of each.
    inside.sort(key=lambda path: (split.label_of[path], _hashed(split.seed, path)))
    dealt = {
        path: f"fold{split.folds[place % len(split.folds)]}" for place, path in enumerate(inside)
    }
    return replace(split, part_of=dict(sorted((dict(split.part_of) | dealt).items())))


def split_by_lists(
    catalog: Catalog,
    lists: Mapping[str, Sequence[str]],
    *,
    rest: Mapping[str, float] | None = None,
    seed: int = 0,
    keep_straddling: bool = False,
) -> Split:
    """Take over an existing split that is given as lists of files.

    A duplicate group that two lists claim stays in ``test`` before ``val`` before ``train``; its
    other photos become ``unused``, unless ``keep_straddling``. A photo on no list goes with its
    duplicates into ``train``, or is ``unused`` where these are in another part.

    Args:
        catalog: the photos.
        lists: part to file names: a path of the catalog, or its end (``glass1.jpg``).
        rest: ratios for the photos that no list names and that duplicate none; ``None`` leaves
            them ``unused``.
        seed: for dealing out the rest.
        keep_straddling: keep every listed photo in its part, whatever it duplicates.

    Raises:
        SplitError: names that are not in the catalog, ambiguous, or on two lists.
    """
    listed = resolve_lists(catalog, lists)
    parts = dict(listed) if keep_straddling else _without_straddling(catalog, listed)
    claims: dict[int, set[str]] = {}
    for photo in catalog.photos:
        if photo.path in listed:
            claims.setdefault(photo.group, set()).add(listed[photo.path])
    for photo in catalog.photos:
        if photo.path not in listed and photo.group in claims:
            parts[photo.path] = "train" if claims[photo.group] == {"train"} else UNUSED
    remaining = [photo for photo in catalog.photos if photo.path not in parts]
    if rest is None:
        parts |= {photo.path: UNUSED for photo in remaining}
    else:
        _check_ratios(rest)
        parts |= _deal(remaining, rest, seed)
        _check_nothing_empty(parts, rest)
    return _split(catalog, parts, seed)


def _split(catalog: Catalog, parts: Mapping[str, str], seed: int) -> Split:
    return Split(
        part_of=dict(sorted(parts.items())),
        label_of={photo.path: photo.label for photo in catalog.photos},
        group_of={photo.path: photo.group for photo in catalog.photos},
        seed=seed,
        catalog_digest=catalog.digest,
    )


def _check_ratios(ratios: Mapping[str, float]) -> None:
    if not ratios or not all(0 < share <= 1 for share in ratios.values()):
        raise SplitError("every part needs a ratio above 0 and up to 1, such as train=0.8,val=0.2")
    if UNUSED in ratios:
        raise SplitError(f"{UNUSED!r} names the photos of no part; take another name")
    if abs(sum(ratios.values()) - 1) > 1e-6:
        raise SplitError(f"the ratios add up to {sum(ratios.values()):g}, not 1")


def _check_nothing_empty(parts: Mapping[str, str], wanted: Iterable[str]) -> None:
    there = set(parts.values())
    empty = [name for name in wanted if name not in there]
    if empty:
        raise SplitError(f"too few photos: nothing is left for {', '.join(empty)}")


def _deal(photos: Sequence[Photo], ratios: Mapping[str, float], seed: int) -> dict[str, str]:
    """Large groups first, each to the part that misses most of its class."""
    groups: dict[int, list[Photo]] = defaultdict(list)
    for photo in photos:
        groups[photo.group].append(photo)
    totals = Counter(photo.label for photo in photos)
    missing = {
        part: {label: share * count for label, count in totals.items()}
        for part, share in ratios.items()
    }
    parts: dict[str, str] = {}
    leftovers = dict.fromkeys(ratios, 0)  # photos in groups of which each part missed less

    def lack(part: str) -> tuple[float, int]:
        of_these = sum(missing[part][label] for label in labels)
        # By order alone, every class would give its last photos to the same part.
        return of_these, -leftovers[part] if of_these < len(group) else 0

    for group in sorted(groups.values(), key=lambda one: (-len(one), _shuffled(seed, one))):
        labels = sorted({photo.label for photo in group})  # sums of floats depend on their order
        part = max(ratios, key=lack)
        if lack(part)[0] < len(group):
            leftovers[part] += len(group)
        for photo in group:
            parts[photo.path] = part
            missing[part][photo.label] -= 1
    return parts


def _shuffled(seed: int, group: Sequence[Photo]) -> str:
    return _hashed(seed, min(photo.sha256 for photo in group))


def _hashed(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}:{text}".encode()).hexdigest()


def resolve_lists(catalog: Catalog, lists: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The path of each listed photo, and its part.

    Raises:
        SplitError: see `split_by_lists`.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    reasons = {problem.path: problem.reason for problem in catalog.problems}
    for photo in catalog.photos:
        by_name[photo.path.rpartition("/")[2]].append(photo.path)
    parts: dict[str, str] = {}
    for part, names in lists.items():
        if part == UNUSED:
            raise SplitError(f"{UNUSED!r} names the photos of no part; take another name")
        for name in names:
            path = _resolve_one(name, part, by_name, reasons)
            if parts.setdefault(path, part) != part:
                raise SplitError(f"{path} is on the lists of {parts[path]} and of {part}")
    return parts


def _resolve_one(
    name: str, part: str, by_name: Mapping[str, Sequence[str]], reasons: Mapping[str, str]
) -> str:
    wanted = name.replace("\\", "/").removeprefix("./")
    found = [
        path
        for path in by_name.get(wanted.rpartition("/")[2], ())
        if f"/{path}".endswith(f"/{wanted}")
    ]
    if not found:
        why = f"; left out: {reasons[wanted]}" if wanted in reasons else ""
        raise SplitError(f"{name} (list of {part}) is not among the photos{why}")
    if wanted in found:  # a whole path, though others end in it
        return wanted
    if len(found) > 1:
        raise SplitError(f"{name} (list of {part}) could be {found[0]} or {found[1]}; give a path")
    return found[0]


def _rank(part: str) -> int:
    return PRIORITY.index(part) if part in PRIORITY else len(PRIORITY)


def _without_straddling(catalog: Catalog, listed: Mapping[str, str]) -> dict[str, str]:
    winner: dict[int, str] = {}
    for photo in catalog.photos:
        if photo.path in listed:
            claims = (listed[photo.path], winner.get(photo.group, listed[photo.path]))
            winner[photo.group] = min(claims, key=lambda part: (_rank(part), part))
    group_of = {photo.path: photo.group for photo in catalog.photos}
    return {
        path: part if winner[group_of[path]] == part else UNUSED for path, part in listed.items()
    }


def write_split(path: Path, split: Split) -> None:
    """Write ``split.csv``: path, label, part, group, seed, catalog (its digest)."""
    of_all = (split.seed, split.catalog_digest)
    rows = (
        (name, split.label_of[name], part, split.group_of[name], *of_all)
        for name, part in split.part_of.items()
    )
    write_table(path, COLUMNS, rows)


def read_split(path: Path) -> Split:
    """Read what `write_split` wrote.

    Raises:
        SplitError: not such a file.
    """
    table = read_table(path, SplitError, what="a split")
    if table.lacking(COLUMNS) or not table.rows:
        raise SplitError(
            f"{path}: not a split{table.separator_hint}; make one with: binsight data "
            "split PHOTOS --out NEW.csv"
        )
    return _from_rows(path, table.rows)


def _from_rows(path: Path, rows: Sequence[Mapping[str, str]]) -> Split:
    if not all(row[name] for row in rows for name in COLUMNS):
        raise SplitError(f"{path}: a row is not complete")
    if len({(row["seed"], row["catalog"]) for row in rows}) > 1:
        raise SplitError(f"{path}: rows of different splits are mixed")
    if len({row["path"] for row in rows}) < len(rows):
        raise SplitError(f"{path}: a photo is listed twice")
    try:
        return Split(
            part_of={row["path"]: row["part"] for row in rows},
            label_of={row["path"]: row["label"] for row in rows},
            group_of={row["path"]: int(row["group"]) for row in rows},
            seed=int(rows[0]["seed"]),
            catalog_digest=rows[0]["catalog"],
        )
    except (TypeError, ValueError) as error:
        raise SplitError(f"{path}: not a split ({error})") from error
