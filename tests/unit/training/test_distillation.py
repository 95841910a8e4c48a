from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy.special import log_softmax, softmax  # noqa: E402
from scipy.stats import entropy  # noqa: E402
from torch import nn  # noqa: E402

from binsight.model.network import Outputs  # noqa: E402
from binsight.training.distillation import Distilling  # noqa: E402
from binsight.training.recipe import Distillation  # noqa: E402


def batch() -> tuple[Outputs, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 3, generator=generator)
    embedding = torch.randn(5, 8, generator=generator)
    probs = torch.randn(5, 3, generator=generator).softmax(dim=1)
    taught = torch.cat([probs, torch.randn(5, 4, generator=generator)], dim=1)
    return Outputs(logits, embedding, torch.zeros(0)), torch.tensor([0, 2, 1, 1, 0]), taught


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loss_is_the_distance_from_the_teacher(temperature: float) -> None:
    outputs, labels, taught = batch()
    distilling = Distilling(Distillation(weight=1, temperature=temperature), 3, 8, 4)
    loss = distilling(outputs, distilling.join(labels, taught), nn.CrossEntropyLoss())
    probs = taught[:, :3].numpy().astype(np.float64)
    wanted = softmax(np.log(probs) / temperature, axis=1)
    guessed = softmax(outputs.logits_nc.numpy() / temperature, axis=1)
    expected = entropy(wanted, guessed, axis=1).mean() * temperature**2
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_a_class_that_the_teacher_rules_out_costs_much_and_not_everything() -> None:
    """Kept in half precision, small probabilities become 0."""
    outputs, labels, taught = batch()
    taught[:, :3] = torch.tensor([1.0, 0.0, 0.0])
    distilling = Distilling(Distillation(weight=1, temperature=1), 3, 8, 4)
    loss = distilling(outputs, distilling.join(labels, taught), nn.CrossEntropyLoss())
    expected = -log_softmax(outputs.logits_nc.numpy(), axis=1)[:, 0].mean()
    assert float(loss) == pytest.approx(expected, abs=0.01)


def test_labels_have_the_rest() -> None:
    outputs, labels, taught = batch()
    distilling = Distilling(Distillation(weight=0), 3, 8, 4)
    loss = distilling(outputs, distilling.join(labels, taught), nn.CrossEntropyLoss())
    logs = log_softmax(outputs.logits_nc.numpy(), axis=1)
    assert float(loss) == pytest.approx(-logs[np.arange(5), labels].mean(), rel=1e-5)


def test_the_embedding_is_followed_through_a_linear_map() -> None:
    outputs, labels, taught = batch()
    distilling = Distilling(Distillation(weight=0, embedding=2), 3, 8, 4)
    without = Distilling(Distillation(weight=0), 3, 8, 4)
    joined = distilling.join(labels, taught)
    extra = distilling(outputs, joined, nn.CrossEntropyLoss()) - without(
        outputs, joined, nn.CrossEntropyLoss()
    )
    weight, bias = (one.detach().numpy() for one in distilling.map.parameters())
    apart = outputs.embedding_nd.numpy() @ weight.T + bias - taught[:, 3:].numpy()
    assert float(extra.detach()) == pytest.approx(2 * np.square(apart).sum(axis=1).mean(), rel=1e-4)
    assert without.map is None
