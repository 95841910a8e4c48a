"""Which labels `binsight evaluate` takes for true."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_training import SMALL, draw_photos

from binsight.data.catalog import scan
from binsight.data.relabel import LabelIssue, corrected, write_label_issues
from binsight.data.split import Split, split_by_ratios, write_split
from binsight.errors import SplitError, UsageError

pytest.importorskip("torch")

from binsight.interfaces.cli.evaluate_on import Asked, _catalog, plan_home
from binsight.training.recipe import load_recipe
from binsight.training.run import Run, create_run

RATIOS = {"train": 0.5, "val": 0.5}
MOVED = LabelIssue(path="glass/0.png", decision="metal")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw_photos(tmp_path / "photos", each=4)


def split_of(photos: Path, file: Path, *decisions: LabelIssue) -> Split:
    split = split_by_ratios(corrected(scan([photos], duplicates=False), decisions), RATIOS, seed=0)
    write_split(file, split)
    return split


def label(photos: Path, split: Path | None, *, run: Run | None = None, file: Path | None = None):
    catalog, _, _ = _catalog(run, (photos,), split, None, file)
    return next(one.label for one in catalog.photos if one.path == MOVED.path)


def test_a_bundle_is_told_the_corrections(photos: Path, tmp_path: Path) -> None:
    table, split = tmp_path / "labels.csv", tmp_path / "split.csv"
    write_label_issues(table, [MOVED])
    split_of(photos, split, MOVED)
    assert label(photos, None) == "glass"
    assert label(photos, None, file=table) == "metal"
    assert label(photos, split, file=table) == "metal"
    with pytest.raises(SplitError, match="--corrections"):
        label(photos, split)


def test_a_run_knows_them_where_they_belong(photos: Path, tmp_path: Path) -> None:
    own, other = tmp_path / "own.csv", tmp_path / "other.csv"
    split = split_of(photos, own, MOVED)
    split_of(photos, other)
    recipe = load_recipe("seed", [f"{key}={value}" for key, value in SMALL.items()])
    run = create_run(
        tmp_path / "run",
        recipe=recipe,
        split=split,
        sources=(photos,),
        weights="none",
        decisions=[MOVED],
    )
    assert label(photos, own, run=run) == "metal"
    assert label(photos, other, run=run) == "glass"
    with pytest.raises(UsageError, match="keeps its own"):
        plan_home(Asked("run", None, None, run), (), None, None, False, own)
