from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torchvision import models  # noqa: E402

from binsight.errors import TrainingError  # noqa: E402
from binsight.model.network import (  # noqa: E402
    Network,
    architectures,
    build,
    plain_model,
    take_apart,
)

# One of each family: its name, and where torchvision keeps the last linear layer.
FAMILIES = {
    "mobilenet_v2": "classifier.1",
    "mobilenet_v3_small": "classifier.3",
    "efficientnet_b0": "classifier.1",
    "convnext_tiny": "classifier.2",
    "resnet18": "fc",
    "regnet_y_400mf": "fc",
}


def with_lively_statistics(model: nn.Module) -> nn.Module:
    """Untrained BatchNorm is nearly the identity; make a swapped layer show."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model


@pytest.mark.parametrize("name", list(FAMILIES))
def test_it_answers_as_torchvision_s_own_model(name: str) -> None:
    torch.manual_seed(0)
    model = with_lively_statistics(plain_model(name))
    network = Network(*take_apart(name, model), classes=4, dropout=0.3).eval()
    model.set_submodule(FAMILIES[name], network.head)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = model.eval()(images)
        logits, embedding, feature_map = network(images)
        assert torch.equal(network.head(embedding), logits)
    assert logits.shape == (2, 4)
    assert torch.allclose(logits, expected, atol=1e-6)
    assert float(expected.std()) > 1e-3
    assert embedding.shape == (2, network.head.in_features)
    assert feature_map.ndim == 4
    assert feature_map.shape[0] == 2
    assert feature_map.shape[2:] == (2, 3)


def test_all_families_are_on_offer() -> None:
    names = architectures()
    assert set(FAMILIES) <= set(names)
    assert "efficientnet_v2_s" in names
    assert len(set(names)) == len(names)
    assert all(callable(models.get_model_builder(name)) for name in names)


@pytest.mark.parametrize("name", ["vgg11", "resnet", "ResNet18x", "", "fcn_resnet50"])
def test_other_networks_are_refused(name: str) -> None:
    with pytest.raises(TrainingError, match=r"is not supported; choose one of: .*resnet18"):
        build(name, classes=2)


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return build("mobilenet_v2", classes=3, dropout=0.5)


def statistics(network: Network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.named_buffers()}


def changed(before: dict[str, torch.Tensor], network: Network) -> bool:
    return any(not torch.equal(before[name], value) for name, value in network.named_buffers())


def test_building_leaves_the_statistics_alone(network: Network) -> None:
    fresh = models.mobilenet_v2(weights=None)
    assert network.training
    assert all(module.training for module in network.modules())
    expected = dict(fresh.named_buffers())
    for name, value in network.features.named_buffers():
        assert torch.equal(value, expected[f"features.{name}"])


def test_a_frozen_backbone_keeps_its_statistics(network: Network) -> None:
    network.train()
    network.freeze_backbone(True)
    before = statistics(network)
    network(torch.randn(4, 3, 32, 32)).logits_nc.sum().backward()
    assert not changed(before, network)
    assert all(parameter.grad is None for parameter in network.backbone_parameters())
    assert network.head.weight.grad is not None
    assert network.dropout.training


def test_a_thawed_backbone_learns_again(network: Network) -> None:
    network.freeze_backbone(True)
    network.freeze_backbone(False)
    before = statistics(network)
    network(torch.randn(4, 3, 32, 32)).logits_nc.sum().backward()
    assert changed(before, network)
    assert all(module.training for module in network.modules())
    assert all(parameter.grad is not None for parameter in network.backbone_parameters())


def test_backbone_and_head_are_all_there_is(network: Network) -> None:
    parts = [*network.backbone_parameters(), *network.head.parameters()]
    assert {id(one) for one in parts} == {id(one) for one in network.parameters()}


def test_frozen_statistics_still_let_the_weights_learn(network: Network) -> None:
    network.freeze_backbone(False)
    network.freeze_statistics()
    before = statistics(network)
    network(torch.randn(4, 3, 32, 32)).logits_nc.sum().backward()
    assert not changed(before, network)
    assert all(parameter.grad is not None for parameter in network.backbone_parameters())
    assert network.features.training


def test_what_first_stages_made_goes_on_from_there(network: Network) -> None:
    network.eval()
    images = torch.randn(2, 3, 32, 32)
    whole = network(images)
    halfway = network.features[:1](images)
    for one, other in zip(whole, network(halfway, 1), strict=True):
        assert torch.equal(one, other)


def test_stages_are_the_backbone_in_order(network: Network) -> None:
    found = [id(parameter) for stage in network.stages() for parameter in stage]
    assert found == [id(parameter) for parameter in network.backbone_parameters()]
    assert all(network.stages())


def test_frozen_stages_stay_when_the_rest_thaws(network: Network) -> None:
    network.freeze_backbone(False, stages=1)
    network(torch.randn(4, 3, 32, 32)).logits_nc.sum().backward()
    assert all(parameter.grad is None for parameter in network.features[0].parameters())
    assert not network.features[0].training
    assert network.features.training
    rest = [*network.features[1:].parameters(), *network.neck.parameters()]
    assert all(parameter.grad is not None for parameter in rest)
