from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from binsight.data.catalog import Catalog, Photo
from binsight.errors import CatalogError, TrainingError
from binsight.evaluation.scored import Scored

pytest.importorskip("cleanlab")

from binsight.evaluation.label_issues import find_label_issues, with_labels_of

CLASSES = tuple("abcd")
PLANTED = 30


@pytest.fixture(scope="module")
def digits() -> tuple[Scored, set[str]]:
    """Real pictures with labels that were made wrong, and honest probabilities."""
    pixels, true = load_digits(n_class=len(CLASSES), return_X_y=True)
    random = np.random.default_rng(0)
    wrong = random.choice(len(true), PLANTED, replace=False)
    labels = true.copy()
    labels[wrong] = (true[wrong] + random.integers(1, len(CLASSES), PLANTED)) % len(CLASSES)
    probs = cross_val_predict(
        LogisticRegression(max_iter=500), pixels / 16, labels, cv=5, method="predict_proba"
    )
    paths = tuple(f"{place:03}.png" for place in range(len(true)))
    planted = {paths[place] for place in wrong}
    return Scored(paths, labels.astype(np.int64), probs.astype(np.float32), CLASSES), planted


def test_planted_labels_are_found(digits: tuple[Scored, set[str]]) -> None:
    scored, planted = digits
    issues = find_label_issues(scored)
    found = {issue.path for issue in issues}
    assert len(found & planted) > 0.9 * PLANTED
    assert len(found) < 1.5 * PLANTED
    assert len({issue.path for issue in issues[: PLANTED // 2]} - planted) < 3
    scores = [issue.score for issue in issues]
    assert scores == sorted(scores)


def test_an_issue_says_what_the_model_thinks(digits: tuple[Scored, set[str]]) -> None:
    scored, _ = digits
    true = load_digits(n_class=len(CLASSES)).target
    place_of = {path: place for place, path in enumerate(scored.paths)}
    right = 0
    for issue in find_label_issues(scored):
        place = place_of[issue.path]
        right += issue.suggested == CLASSES[true[place]]
        assert issue.label == CLASSES[scored.labels_n[place]] != issue.suggested
        assert issue.score == pytest.approx(scored.probs_nc[place, scored.labels_n[place]])
        assert not issue.decision
    assert right > 0.9 * PLANTED


def test_a_class_without_photos_is_no_fault(digits: tuple[Scored, set[str]]) -> None:
    scored, planted = digits
    probs = np.pad(scored.probs_nc, [(0, 0), (0, 1)])
    more = Scored(scored.paths, scored.labels_n, probs, (*CLASSES, "e"))
    found = {issue.path for issue in find_label_issues(more)}
    assert len(found & planted) > 0.9 * PLANTED


def test_labels_that_the_model_agrees_with_are_not_doubted() -> None:
    labels = np.tile(np.arange(4), 25)
    probs = np.full((100, 4), 0.01, np.float32)
    probs[np.arange(100), labels] = 0.97
    paths = tuple(f"{n}.png" for n in range(100))
    assert find_label_issues(Scored(paths, labels, probs, CLASSES)) == ()


def catalog_of(**label_of: str) -> Catalog:
    photos = (
        Photo(path=path, label=label, bytes=1, width=9, height=9, sha256=path, group=0)
        for path, label in label_of.items()
    )
    return Catalog(Path(), tuple(photos))


ANSWERS = Scored(
    ("one", "two", "three"),
    np.array([0, 1, 2]),
    np.full((3, 3), 1 / 3, np.float32),
    ("a", "b", "c"),
)


def test_the_labels_that_count_are_those_of_today() -> None:
    now = with_labels_of(
        catalog_of(one="b", two="b", four="a"), ANSWERS, dropped=frozenset({"three"})
    )
    assert now.paths == ("one", "two")
    assert list(now.labels_n) == [1, 1]


def test_probabilities_of_other_photos_are_refused() -> None:
    with pytest.raises(CatalogError, match="2 of 3 are missing, such as two"):
        with_labels_of(catalog_of(one="a"), ANSWERS, dropped=frozenset())
    few = with_labels_of(catalog_of(one="a", two="b"), ANSWERS, dropped=frozenset())
    assert few.paths == ("one", "two"), "a photo may be gone"
    dropped = with_labels_of(catalog_of(one="a"), ANSWERS, dropped=frozenset({"two", "three"}))
    assert dropped.paths == ("one",), "most were left out on purpose"


def test_a_class_that_is_new_is_refused() -> None:
    with pytest.raises(TrainingError, match="one is d"):
        with_labels_of(catalog_of(one="d", two="b", three="c"), ANSWERS, dropped=frozenset())
