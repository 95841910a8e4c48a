"""``binsight data check --labels``: which labels are probably wrong, for a person to decide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from binsight.errors import UsageError

from .extras import needs_extra
from .progress import reporting
from .terminal import warn

if TYPE_CHECKING:
    from binsight.data.catalog import Catalog
    from binsight.data.relabel import LabelIssue

__all__ = ["check_nothing_lost", "doubted_labels", "write_issues"]

TABLE, PAGE = "label-issues.csv", "label-issues.html"
TRUSTED = 0.6  # accuracy, below which doubts are more often the models' mistake than the label's


def doubted_labels(
    catalog: Catalog, labels: Path, decisions: Sequence[LabelIssue]
) -> tuple[LabelIssue, ...]:
    """Doubted labels that nobody decided about yet, the most doubtful first.

    Args:
        catalog: with the decisions applied.
        labels: a folder of folds, or a file of probabilities of photos held out.
        decisions: about labels, made before.
    """
    with needs_extra("labels"):
        from binsight.data.relabel import DROP, check_class_names, decision_of
        from binsight.evaluation.label_issues import find_label_issues, with_labels_of
        from binsight.evaluation.scored import OUT_OF_FOLD, read_predictions

        check_class_names(catalog)
        decided = decision_of(decisions)
        dropped = frozenset(path for path, decision in decided.items() if decision == DROP)
        scored = read_predictions(labels / OUT_OF_FOLD if labels.is_dir() else labels)
        there = with_labels_of(catalog, scored, dropped=dropped)
        if gone := len(set(scored.paths) - set(there.paths) - dropped):
            warn(f"note: {gone:,} photos are not there any more")
        if (right := float(there.correct_n.mean())) < TRUSTED:
            warn(
                f"note: the models are right of {right:.0%} of these photos; who knows so little "
                "says little about labels, so train them longer first"
            )
        found = find_label_issues(there)
    return tuple(issue for issue in found if issue.path not in decided)


def write_issues(
    catalog: Catalog,
    found: Sequence[LabelIssue],
    decisions: Sequence[LabelIssue],
    folder: Path,
    *,
    most: int,
) -> None:
    """Write the table and the page; decisions made before stay in both."""
    from binsight.data.relabel import write_label_issues

    rows = (*(issue for issue in decisions if issue.decision), *found)
    with needs_extra("labels"):
        from binsight.evaluation.label_page import write_label_page

        with reporting("drawing") as report:
            write_label_page(
                folder / PAGE,
                rows,
                classes=catalog.classes,
                photos_root=catalog.root,
                most=most,
                progress=report,
            )
    write_label_issues(folder / TABLE, rows)
    # stdout may be JSON that a program reads.
    doubted = f"{len(found):,} labels are doubted" if found else "no label is doubted"
    typer.echo(
        f"{doubted}; wrote {folder / TABLE}: decide in it, or in a browser: {folder / PAGE}",
        err=True,
    )


def check_nothing_lost(folder: Path, decisions: Sequence[LabelIssue]) -> None:
    """Fail before photos are read rather than after.

    Raises:
        UsageError: the table that is there holds decisions that would be lost.
    """
    from binsight.data.relabel import decision_of, read_label_issues

    table = folder / TABLE
    if not table.exists():
        return
    before, now = decision_of(read_label_issues(table)), decision_of(decisions)
    if any(now.get(path) != decision for path, decision in before.items()):
        raise UsageError(
            f"{table} holds decisions that would be lost; give it as --corrections {table}, or "
            "write elsewhere with --issues FOLDER"
        )
