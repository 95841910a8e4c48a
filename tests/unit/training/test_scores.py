from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sklearn.metrics import balanced_accuracy_score  # noqa: E402

from binsight.training.scores import BalancedAccuracy  # noqa: E402


def test_it_is_scikit_learns() -> None:
    torch.manual_seed(0)
    metric, labels, logits = BalancedAccuracy(4), torch.randint(0, 4, (60,)), torch.randn(60, 4)
    for start in range(0, 60, 20):
        metric(logits[start : start + 20], labels[start : start + 20])
    said = logits.argmax(dim=1)
    assert float(metric.compute()) == pytest.approx(balanced_accuracy_score(labels, said))


def test_a_class_without_a_photo_has_no_say() -> None:
    metric = BalancedAccuracy(3)
    said = torch.eye(3)[torch.tensor([2, 0, 1, 0])]
    metric(said, torch.tensor([0, 0, 1, 0]))
    assert float(metric.compute()) == pytest.approx((2 / 3 + 1) / 2)
