from __future__ import annotations

import csv
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from binsight.calibration import expected_calibration_error
from binsight.errors import TrainingError, UsageError
from binsight.evaluation.metrics import Metrics, by_source, evaluate, selective
from binsight.evaluation.scored import Scored, write_predictions

NAMES = ("cardboard", "glass", "metal", "paper", "plastic")


def answers(labels, predicted, classes=NAMES, confidence=0.8, paths=None):
    """A model that gives `predicted` the confidence and the rest to all others alike."""
    labels, predicted = np.array(labels, dtype=np.int64), np.array(predicted)
    others = (1.0 - confidence) / max(len(classes) - 1, 1)
    probs = np.full((len(labels), len(classes)), others, dtype=np.float32)
    probs[np.arange(len(labels)), predicted] = confidence if len(classes) > 1 else 1.0
    names = tuple(f"{classes[label]}/{n}.jpg" for n, label in enumerate(labels))
    return Scored(paths or names, labels, probs, tuple(classes))


@st.composite
def scoreds(draw):
    classes = draw(st.integers(1, len(NAMES)))
    pair = st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1))
    labels, predicted = zip(*draw(st.lists(pair, min_size=1, max_size=40)), strict=True)
    return answers(labels, predicted, NAMES[:classes])


@settings(deadline=None)
@given(scoreds())
def test_headline_agrees_with_scikit_learn(scored):
    metrics = evaluate(scored, resamples=20)
    true, said = scored.labels_n, scored.predicted_n
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about answers for classes without a photo
        balanced = sklearn.metrics.balanced_accuracy_score(true, said)
    macro = sklearn.metrics.f1_score(true, said, labels=np.unique(true), average="macro")
    assert metrics.accuracy.value == pytest.approx(sklearn.metrics.accuracy_score(true, said))
    assert metrics.balanced_accuracy.value == pytest.approx(balanced)
    assert metrics.macro_f1.value == pytest.approx(macro)


@settings(deadline=None)
@given(scoreds())
def test_classes_agree_with_scikit_learns_report(scored):
    every = np.arange(len(scored.classes))
    report = sklearn.metrics.classification_report(
        scored.labels_n,
        scored.predicted_n,
        labels=every,
        target_names=scored.classes,
        output_dict=True,
        zero_division=0,
    )
    metrics = evaluate(scored, resamples=2)
    assert tuple(row.name for row in metrics.per_class) == scored.classes
    for row in metrics.per_class:
        wanted = report[row.name]
        assert row.support == wanted["support"]
        assert (row.precision, row.recall, row.f1) == pytest.approx(
            (wanted["precision"], wanted["recall"], wanted["f1-score"])
        )


@settings(deadline=None)
@given(scoreds(), st.integers(0, 2**32))
def test_intervals_are_ordered_and_confusion_counts_every_photo(scored, seed):
    metrics = evaluate(scored, seed=seed, resamples=50)
    for interval in (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1):
        assert 0.0 <= interval.low <= interval.high <= 1.0 + 1e-12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a model of one class
        wanted = sklearn.metrics.confusion_matrix(
            scored.labels_n, scored.predicted_n, labels=range(len(scored.classes))
        )
    assert np.array(metrics.confusion).tolist() == wanted.tolist()
    assert sum(map(sum, metrics.confusion)) == metrics.photos == len(scored)
    assert [sum(row) for row in metrics.confusion] == [row.support for row in metrics.per_class]
    expected = expected_calibration_error(scored.confidence_n, scored.correct_n)
    assert metrics.expected_calibration_error == expected


def test_confusion_has_true_classes_in_rows():
    metrics = evaluate(answers([0, 0, 1], [1, 1, 2], NAMES[:3]), resamples=2)
    assert metrics.confusion == ((0, 2, 0), (0, 0, 1), (0, 0, 0))


def test_class_without_a_photo_has_no_say():
    # recall: 1/2 and 1; F1: 2/3 and 1; the third class is predicted once but never shown
    metrics = evaluate(answers([0, 0, 1, 1], [0, 2, 1, 1], NAMES[:3]))
    assert metrics.balanced_accuracy.value == pytest.approx(3 / 4)
    assert metrics.macro_f1.value == pytest.approx(5 / 6)
    assert metrics.per_class[2].support == 0


def test_class_named_like_a_row_of_a_report_is_kept_apart():
    metrics = evaluate(answers([0, 0, 1], [0, 1, 1], ("accuracy", "macro avg")), resamples=2)
    assert [row.support for row in metrics.per_class] == [2, 1]
    assert metrics.per_class[0].recall == pytest.approx(0.5)


def test_accuracy_interval_agrees_with_the_binomial_distribution():
    photos, right = 500, 430
    scored = answers([0] * photos, [0] * right + [1] * (photos - right))
    interval = evaluate(scored, resamples=20_000).accuracy
    share = right / photos
    wanted = [binom.ppf(end, photos, share) / photos for end in (0.025, 0.975)]
    assert [interval.low, interval.high] == pytest.approx(wanted, abs=2.5 / photos)


def test_other_intervals_agree_with_drawing_photos_one_by_one():
    generator = np.random.default_rng(1)
    labels = generator.choice(4, size=240, p=[0.55, 0.25, 0.15, 0.05])
    predicted = np.where(generator.random(240) < 0.75, labels, generator.integers(0, 4, 240))
    metrics = evaluate(answers(labels, predicted, NAMES[:4]), resamples=4000)
    drawn = generator.integers(0, 240, size=(600, 240))
    balanced, macro = [], []
    for index in drawn:
        true, said = labels[index], predicted[index]
        present = np.unique(true)
        recalls = [(said[true == name] == name).mean() for name in present]
        balanced.append(np.mean(recalls))
        macro.append(sklearn.metrics.f1_score(true, said, labels=present, average="macro"))
    for interval, values in ((metrics.balanced_accuracy, balanced), (metrics.macro_f1, macro)):
        wanted = np.percentile(values, [2.5, 97.5])
        assert [interval.low, interval.high] == pytest.approx(wanted, abs=0.02)


def test_a_faultless_model_is_not_known_to_be_faultless():
    metrics = evaluate(answers([0, 1, 2, 2], [0, 1, 2, 2], NAMES[:3]))
    accuracy = metrics.accuracy
    # Wilson's interval for n of n has the lower end n / (n + z * z).
    assert (accuracy.value, accuracy.high) == (1.0, 1.0)
    assert accuracy.low == pytest.approx(4 / (4 + 1.959964**2))
    of_classes = np.mean([photos / (photos + 1.959964**2) for photos in (1, 1, 2)])
    for interval in (metrics.balanced_accuracy, metrics.macro_f1):
        assert (interval.value, interval.high) == (1.0, 1.0)
        assert interval.low == pytest.approx(of_classes)


def test_copies_of_one_picture_do_not_make_it_faultless():
    one = replace(answers([0] * 30 + [1], [0] * 30 + [1]), group_n=np.array([7] * 30 + [8]))
    balanced = evaluate(one, resamples=50).balanced_accuracy
    assert balanced.low == pytest.approx(1 / (1 + 1.959964**2))


def test_a_model_that_is_never_right_may_be_right_elsewhere():
    balanced = evaluate(answers([0] * 5 + [1] * 5, [1] * 5 + [0] * 5)).balanced_accuracy
    assert (balanced.low, balanced.value) == (0.0, 0.0)
    assert balanced.high == pytest.approx(1.959964**2 / (5 + 1.959964**2))


@pytest.mark.parametrize("photos", [10, 30, 100])
def test_the_interval_of_a_share_holds_the_truth_nineteen_times_in_twenty(photos):
    hits = np.arange(photos + 1)
    chance = binom.pmf(hits, photos, 0.95)
    holds = []
    for number in hits:
        labels = [0] * photos
        said = [0] * number + [1] * (photos - number)
        found = evaluate(answers(labels, said, NAMES[:2])).accuracy
        holds.append(found.low <= 0.95 <= found.high)
    assert 0.91 < (chance * np.array(holds)).sum() < 0.995


def test_seed_decides_the_interval():
    scored = answers([0, 1, 2, 3, 4] * 20, [0, 1, 2, 3, 3] * 19 + [1, 2, 3, 4, 0])
    assert evaluate(scored, seed=0) == evaluate(scored, seed=0)
    assert evaluate(scored, seed=0).macro_f1 != evaluate(scored, seed=1).macro_f1


def test_nll_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    probs = generator.dirichlet(np.ones(5), size=200)
    labels = generator.integers(0, 5, size=200)
    paths = tuple(f"{n}.jpg" for n in range(200))
    scored = Scored(paths, labels, probs.astype(np.float32), NAMES)
    wanted = sklearn.metrics.log_loss(labels, probs, labels=range(5))
    assert evaluate(scored, resamples=2).nll == pytest.approx(wanted, rel=1e-4)


def test_nll_of_a_ruled_out_truth_is_finite():
    scored = Scored(("a.jpg",), np.array([1]), np.array([[1, 0]], np.float32), ("a", "b"))
    assert evaluate(scored, resamples=2).nll == pytest.approx(-np.log(1e-12))


def test_threshold_gives_coverage_and_accuracy_among_the_accepted():
    probs = np.array([[0.9, 0.1], [0.75, 0.25], [0.4, 0.6], [0.2, 0.8]], np.float32)
    scored = Scored(("a", "b", "c", "d"), np.array([0, 1, 0, 1]), probs, ("x", "y"))
    result = evaluate(scored, resamples=2, threshold=0.75).selective
    assert result is not None
    assert (result.coverage, result.accuracy) == pytest.approx((3 / 4, 2 / 3))
    assert evaluate(scored, resamples=2).selective is None
    nothing = selective(scored, 1.0)
    assert (nothing.coverage, nothing.accuracy) == (0.0, None)


def test_values_out_of_range_are_refused():
    scored = answers([0], [0])
    with pytest.raises(UsageError, match="threshold"):
        evaluate(scored, threshold=1.5)
    with pytest.raises(UsageError, match="resamples"):
        evaluate(scored, resamples=0)
    with pytest.raises(TrainingError, match="no photos"):
        evaluate(scored.subset(np.array([False])))


def test_metrics_survive_json():
    metrics = evaluate(answers([0, 1, 1], [0, 1, 4]), threshold=0.5)
    assert Metrics.model_validate(json.loads(json.dumps(metrics.to_dict()))) == metrics


def test_folders_of_classes_with_other_names_are_no_sources():
    paths = tuple(f"{name}/2023/{number}.jpg" for number, name in enumerate(["tin", "bottle"]))
    scored = replace(answers([0, 1], [0, 1], NAMES[:2]), paths=paths)
    assert set(by_source(scored)) == {"bottle", "tin"}
    assert by_source(scored, ["bottle", "tin"]) == {}


def test_sources_are_first_folders():
    paths = ("b/glass/1.jpg", "a/glass/1.jpg", "b/metal/sub/2.jpg")
    groups = by_source(answers([1, 1, 2], [1, 0, 2], paths=paths))
    assert list(groups) == ["a", "b"]
    assert groups["a"].paths == ("a/glass/1.jpg",)
    assert groups["b"].paths == ("b/glass/1.jpg", "b/metal/sub/2.jpg")
    assert groups["b"].correct_n.tolist() == [True, True]


@pytest.mark.parametrize(
    "paths",
    [
        ("glass/1.jpg", "metal/1.jpg"),
        ("a/glass/1.jpg", "a/metal/1.jpg"),
        ("a/glass/1.jpg", "glass/1.jpg"),
        ("glass/green/1.jpg", "metal/tin/1.jpg"),
    ],
)
def test_single_source_or_class_folders_give_no_groups(paths):
    assert by_source(answers([1, 2], [1, 2], paths=paths)) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paths": ("a",)}, "do not fit"),
        ({"labels_n": np.array([[0], [1]])}, "do not fit"),
        ({"labels_n": np.array([0, 2])}, "outside 0 to 1"),
        ({"labels_n": np.array([0, -1])}, "outside 0 to 1"),
        ({"labels_n": np.array([0.0, 1.0])}, "integers"),
        ({"probs_nc": np.full((2, 3), 1 / 3, np.float32)}, "do not fit"),
        ({"probs_nc": np.array([[0.5, 0.5], [0.9, 0.2]], np.float32)}, r"^b: .*1 such"),
        ({"probs_nc": np.array([[0.5, 0.5], [1.5, -0.5]], np.float32)}, "^b: "),
        ({"probs_nc": np.full((2, 2), np.nan, np.float32)}, r"^a: .*2 such"),
        ({"classes": ("x", "x")}, "each once"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, message):
    parts = {
        "paths": ("a", "b"),
        "labels_n": np.array([0, 1]),
        "probs_nc": np.array([[0.7, 0.3], [0.6, 0.4]], np.float32),
        "classes": ("x", "y"),
    }
    Scored(**parts)
    with pytest.raises(TrainingError, match=message):
        Scored(**(parts | change))


def test_predictions_are_read_back(tmp_path):
    labels, predicted = [0, 1], [0, 2]
    paths = ('odd, "name".jpg', "line\nbreak.jpg")
    scored = answers(labels, predicted, NAMES[:3], 0.5, paths=paths)
    write_predictions(tmp_path / "predictions.csv", scored)
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == list(paths)
    assert [(row["label"], row["predicted"]) for row in rows] == [
        ("cardboard", "cardboard"),
        ("glass", "metal"),
    ]
    read = np.array([[float(row[f"p_{name}"]) for name in NAMES[:3]] for row in rows])
    assert read == pytest.approx(scored.probs_nc, abs=1e-6)
    assert [float(row["confidence"]) for row in rows] == [0.5, 0.5]
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.csv"]
