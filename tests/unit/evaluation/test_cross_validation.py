from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from binsight.data.split import Split, without_grouping
from binsight.errors import TrainingError
from binsight.evaluation.cross_validation import cross_validation, pooled
from binsight.evaluation.domains import Domain, measure_domains
from binsight.evaluation.report import write_report
from binsight.evaluation.scored import Scored

CLASSES = ("glass", "metal", "paper")
FOLDS = 3
EACH = 40


def made_up(right: float, seed: int = 0) -> tuple[Split, list[Scored]]:
    """Folds of pairs of duplicates, and answers that are right so often."""
    random = np.random.default_rng(seed)
    paths = [f"{name}/{n:03}.jpg" for name in CLASSES for n in range(EACH)]
    label_of = {path: path.split("/")[0] for path in paths}
    split = Split(
        part_of={path: f"fold{(place // 2) % FOLDS}" for place, path in enumerate(paths)},
        label_of=label_of,
        group_of={path: place // 2 for place, path in enumerate(paths)},
        seed=0,
        catalog_digest="",
    )
    return split, answers(split, right, random)


def answers(split: Split, right: float, random: np.random.Generator) -> list[Scored]:
    parts = []
    for number in split.folds:
        paths = split.paths(f"fold{number}")
        labels = np.array([CLASSES.index(split.label_of[path]) for path in paths], np.int64)
        said = np.where(random.random(len(paths)) < right, labels, (labels + 1) % 3)
        probs = np.full((len(paths), 3), 0.1, np.float32)
        probs[np.arange(len(paths)), said] = 0.8
        parts.append(Scored(paths, labels, probs, CLASSES))
    return parts


def rows(*accuracies: float) -> list[dict[str, float]]:
    return [
        {"epoch": place, "val_accuracy": one, "val_loss": 1.0 - place / 10}
        for place, one in enumerate(accuracies)
    ]


EPOCHS = [rows(0.5, 0.9, 0.6), rows(0.8, 0.4, 0.7), rows(0.3, 0.5, 0.9)]


def test_figures_of_the_folds_are_scikit_learns() -> None:
    split, parts = made_up(0.8)
    summary = cross_validation(split, parts, EPOCHS)
    for name, measure in {
        "accuracy": accuracy_score,
        "balanced_accuracy": balanced_accuracy_score,
        "macro_f1": lambda true, said: f1_score(true, said, average="macro"),
    }.items():
        values = [measure(part.labels_n, part.predicted_n) for part in parts]
        assert [fold[name] for fold in summary.folds] == pytest.approx(values)
        spread = summary[name]
        assert spread.mean == pytest.approx(np.mean(values))
        assert spread.deviation == pytest.approx(np.std(values, ddof=1))
        assert (spread.least, spread.most) == pytest.approx((min(values), max(values)))
    assert summary.leakage is None
    assert summary.straddling == 0


def test_folds_that_share_duplicates_say_so() -> None:
    split, _ = made_up(0.8)
    torn = without_grouping(split)
    parts = answers(torn, 0.8, np.random.default_rng(0))
    assert cross_validation(torn, parts, EPOCHS).straddling == len(torn.straddling()) > 0


def test_epochs_that_nobody_chose_on_these_photos() -> None:
    split, parts = made_up(0.8)
    summary = cross_validation(split, parts, EPOCHS)
    assert [fold.best_epoch for fold in summary.folds] == [1, 0, 2]
    assert [fold.last_accuracy for fold in summary.folds] == [0.6, 0.7, 0.9]
    # Means of the other two: (.55 .45 .8), (.4 .7 .75), (.65 .65 .65), of equals the first.
    assert [fold.others_accuracy for fold in summary.folds] == [0.6, 0.7, 0.3]


def test_a_fold_that_trained_further_is_compared_as_far_as_the_others() -> None:
    split, parts = made_up(0.8)
    longer = [rows(0.5, 0.9, 0.6, 1.0), *EPOCHS[1:]]
    summary = cross_validation(split, parts, longer)
    assert [fold.epochs for fold in summary.folds] == [4, 3, 3]
    assert [fold.others_accuracy for fold in summary.folds] == [0.6, 0.7, 0.3]
    assert summary.folds[0].last_accuracy == 1.0


def test_lone_photos_are_no_groups_of_duplicates() -> None:
    split, parts = made_up(0.7)
    group_of = {path: min(place, 9) for place, path in enumerate(split.group_of)}
    split = replace(split, group_of=group_of)
    random_split = without_grouping(split)
    others = answers(random_split, 0.9, np.random.default_rng(1))
    leakage = cross_validation(split, parts, EPOCHS, ungrouped=(random_split, others)).leakage
    assert leakage
    assert leakage.groups == 1


def test_among_equals_the_best_epoch_has_the_least_loss() -> None:
    split, parts = made_up(0.8)
    summary = cross_validation(split, parts, [rows(0.9, 0.9, 0.6)] * FOLDS)
    assert [fold.best_epoch for fold in summary.folds] == [1, 1, 1]


def test_pooling_takes_every_photo_once() -> None:
    _, parts = made_up(0.8)
    everything = pooled(parts)
    assert everything.paths == tuple(sorted(path for part in parts for path in part.paths))
    right = {p: c for part in parts for p, c in zip(part.paths, part.correct_n, strict=True)}
    assert list(everything.correct_n) == [right[path] for path in everything.paths]
    with pytest.raises(TrainingError, match="in two of the parts"):
        pooled([parts[0], parts[0]])


def test_the_difference_is_paired_and_resamples_whole_groups() -> None:
    split, parts = made_up(0.7)
    random_split = without_grouping(split)
    others = answers(random_split, 0.9, np.random.default_rng(1))
    summary = cross_validation(split, parts, EPOCHS, ungrouped=(random_split, others))
    leakage = summary.leakage
    assert leakage
    assert leakage.groups == len(CLASSES) * EACH // 2
    assert leakage.straddling == len(random_split.straddling())
    values = [part.correct_n.mean() for part in others]
    assert leakage.accuracy.mean == pytest.approx(np.mean(values))
    assert leakage.accuracy.deviation == pytest.approx(np.std(values, ddof=1))
    everything, leaked, rest = leakage.rows
    assert leaked.photos == 2 * leakage.straddling
    assert leaked.photos + rest.photos == everything.photos == len(CLASSES) * EACH
    one, two = pooled(parts), pooled(others)
    gain = two.correct_n.astype(float) - one.correct_n
    assert everything.difference.value == pytest.approx(gain.mean())
    assert everything.ungrouped - everything.grouped == pytest.approx(gain.mean())
    # All groups are pairs, so drawing groups is drawing means of pairs.
    pairs = gain.reshape(-1, 2).mean(axis=1)
    reference = bootstrap(
        (pairs,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert everything.difference.low == pytest.approx(reference.low, abs=0.02)
    assert everything.difference.high == pytest.approx(reference.high, abs=0.02)


def test_where_random_folds_change_nothing_they_may_change_something_elsewhere() -> None:
    split, parts = made_up(1.0)
    random_split = without_grouping(split)
    others = answers(random_split, 1.0, np.random.default_rng(1))
    leakage = cross_validation(split, parts, EPOCHS, ungrouped=(random_split, others)).leakage
    assert leakage
    pairs = len(CLASSES) * EACH // 2
    bound = 1.959964**2 / (pairs + 1.959964**2)
    difference = leakage.rows[0].difference
    assert (difference.low, difference.value) == pytest.approx((-bound, 0))
    assert difference.high == pytest.approx(bound)


def test_pooled_folds_keep_their_groups() -> None:
    _, parts = made_up(0.8)
    grouped = [
        replace(part, group_n=np.arange(len(part)) // 2 + 100 * n) for n, part in enumerate(parts)
    ]
    group_of = {p: g for part in grouped for p, g in zip(part.paths, part.group_n, strict=True)}
    together = pooled(grouped)
    assert list(together.group_n) == [group_of[path] for path in together.paths]
    assert pooled([grouped[0], *parts[1:]]).group_n is None


def test_random_folds_of_other_photos_are_refused() -> None:
    split, parts = made_up(0.7)
    fewer = [parts[0], parts[1]]
    with pytest.raises(TrainingError, match="not of the same photos"):
        cross_validation(split, parts, EPOCHS, ungrouped=(split, fewer))


def test_the_report_holds_the_folds(tmp_path: Path) -> None:
    split, parts = made_up(0.8)
    random_split = without_grouping(split)
    others = answers(random_split, 0.9, np.random.default_rng(1))
    summary = cross_validation(split, parts, EPOCHS, ungrouped=(random_split, others))
    scored = pooled(parts)
    domain = Domain("cv", tmp_path, scored)
    page = write_report(
        tmp_path,
        [domain],
        measure_domains([domain], threshold=None),
        title="cv",
        facts={},
        folds=summary,
    ).read_text(encoding="utf-8")
    assert "flatters" in page
    for fold in summary.folds:
        assert f"{100 * fold.accuracy:.1f}" in page
    assert f"{100 * summary.accuracy.deviation:.1f}" in page
    assert f"{summary.leakage.straddling} of {summary.leakage.groups} groups" in page
    assert (tmp_path / "out-of-fold.csv").is_file()
    assert not (tmp_path / "predictions.csv").exists()
