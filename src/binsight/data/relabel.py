"""Doubted labels and what a person decided about them: a CSV file, and the catalog it leads to.

    path,label,suggested,score,decision
    glass/12.jpg,glass,plastic,0.0213,plastic      it is plastic
    paper/7.jpg,paper,cardboard,0.1100,keep        the label is right
    trash/3.jpg,trash,paper,0.0040,drop            nobody should learn from it
    metal/9.jpg,metal,glass,0.2300,                not decided

Only ``path`` and ``decision`` have to be there. Finding such labels is left to
`evaluation.label_issues`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from binsight.bundle import class_name
from binsight.errors import CorrectionError

from .catalog import Catalog, Photo
from .tables import read_table, write_table

__all__ = [
    "DROP",
    "KEEP",
    "LabelIssue",
    "check_class_names",
    "corrected",
    "decision_of",
    "read_label_issues",
    "write_label_issues",
]

KEEP, DROP = "keep", "drop"
COLUMNS = ("path", "label", "suggested", "score", "decision")


@dataclass(frozen=True, kw_only=True)
class LabelIssue:
    """A photo whose label is doubted.

    Args:
        path: of the photo, as in the catalog.
        label: that it has; empty if the file did not say.
        suggested: what it may be instead; empty if nobody said.
        score: how much speaks for the label that it has, 0 to 1; ``None`` if nobody said.
        decision: a class name, ``keep``, ``drop``, or empty for not decided.
    """

    path: str
    label: str = ""
    suggested: str = ""
    score: float | None = None
    decision: str = ""


def decision_of(issues: Iterable[LabelIssue]) -> dict[str, str]:
    """The decision about each path that there is one about."""
    return {issue.path: issue.decision for issue in issues if issue.decision}


def corrected(catalog: Catalog, decisions: Sequence[LabelIssue]) -> Catalog:
    """The catalog with other labels, and without the photos that were dropped.

    Its digest differs from that of the catalog as soon as a label or the number of photos does.
    Rows without a decision count for nothing.

    Raises:
        CorrectionError: a photo that is not there or has another label than the file says, a
            decision that is no class, or nothing is left.
    """
    decided = [issue for issue in decisions if issue.decision]
    if not decided:
        return catalog
    _check(catalog, decided)
    photos = tuple(_decided(catalog.photos, decision_of(decided)))
    if not photos:
        raise CorrectionError("the corrections drop every photo; keep some")
    return Catalog(catalog.root, photos, catalog.problems)


def _decided(photos: Iterable[Photo], decisions: Mapping[str, str]) -> Iterator[Photo]:
    for photo in photos:
        decision = decisions.get(photo.path, KEEP)
        if decision != DROP:
            yield photo if decision == KEEP else replace(photo, label=decision)


def check_class_names(catalog: Catalog) -> None:
    """Make sure that no class is called as a decision is.

    Raises:
        CorrectionError: one is.
    """
    taken = {KEEP, DROP} & set(catalog.classes)
    if taken:
        raise CorrectionError(
            f"a class is called {min(taken)}, which is also a decision; rename its folder"
        )


def _check(catalog: Catalog, decided: Sequence[LabelIssue]) -> None:
    check_class_names(catalog)
    label_of = {photo.path: photo.label for photo in catalog.photos}
    left_out = {problem.path for problem in catalog.problems}
    if any(one.path in label_of for one in decided):  # so these are the folders
        left_out |= {one.path for one in decided if one.decision == DROP}
    unknown = [one.path for one in decided if one.path not in label_of and one.path not in left_out]
    if unknown:
        raise CorrectionError(
            f"{len(unknown)} corrected photos are not there, such as {unknown[0]}; name the same "
            "folders as when the corrections were made"
        )
    for issue in decided:
        its = label_of.get(issue.path, issue.label)
        if issue.label not in {"", its}:
            raise CorrectionError(
                f"{issue.path} is {its}, not {issue.label} as the corrections say; make them anew"
            )
        if issue.decision not in {KEEP, DROP, *catalog.classes}:
            raise CorrectionError(
                f"{issue.path}: decision {issue.decision!r} is no class; give {KEEP}, {DROP} or "
                f"one of {', '.join(catalog.classes)}"
            )


def read_label_issues(file: Path) -> tuple[LabelIssue, ...]:
    """Read what `write_label_issues`, a spreadsheet or the page of `data check` wrote.

    Returns:
        Rows in the order of the file, each photo once.

    Raises:
        CorrectionError: not such a file, a row that is not complete, or rows that contradict.
    """
    found: dict[str, LabelIssue] = {}
    for number, row in enumerate(_rows(file), start=2):
        issue = _issue(row, f"{file}, line {number}")
        before = found.get(issue.path)
        if before and before.decision and issue.decision not in {"", before.decision}:
            raise CorrectionError(
                f"{file}: {issue.path} is decided as {before.decision} and as {issue.decision}; "
                "keep one of the rows"
            )
        if not before or issue.decision:
            found[issue.path] = issue
    return tuple(found.values())


def _rows(file: Path) -> list[dict[str, str]]:
    table = read_table(file, CorrectionError)
    if missing := table.lacking(("path", "decision")):
        raise CorrectionError(
            f"{file}: no column {' and no column '.join(missing)}; corrections have the columns "
            f"{','.join(COLUMNS)}{table.separator_hint}"
        )
    return table.rows


def _issue(row: Mapping[str, str | None], where: str) -> LabelIssue:
    path = row["path"] or ""  # a file's name may begin or end with a space
    label, suggested, score, decision = (
        class_name((row.get(name) or "").strip()) for name in COLUMNS[1:]
    )
    path = path.removeprefix("./")
    if not path:
        raise CorrectionError(f"{where}: no path")
    try:
        number = float(score) if score else None
    except ValueError as error:
        raise CorrectionError(f"{where}: {score} is no score from 0 to 1") from error
    return LabelIssue(path=path, label=label, suggested=suggested, score=number, decision=decision)


def write_label_issues(file: Path, issues: Iterable[LabelIssue]) -> None:
    """Write ``path,label,suggested,score,decision``; scores carry four digits after the point."""
    write_table(file, COLUMNS, map(_row, issues))


def _row(one: LabelIssue) -> tuple[str, ...]:
    score = "" if one.score is None else f"{one.score:.4f}"
    return one.path, one.label, one.suggested, score, one.decision
