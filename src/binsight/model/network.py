"""One shape for every classifier: features, neck, head.

A torchvision model is taken apart into the stages that every later step needs by name: the last
feature map (explanation), the embedding (few-shot teaching) and the logits. It does not know where
weights come from (`weights`) or how it is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision import models

from binsight.errors import TrainingError

__all__ = [
    "Network",
    "Outputs",
    "architectures",
    "build",
    "followed_by_norm",
    "plain_model",
    "take_apart",
]


class Outputs(NamedTuple):
    """What one forward pass gives.

    Args:
        logits_nc: (N, classes), unbounded.
        embedding_nd: (N, D), input of the head.
        feature_map_nkhw: (N, K, h, w), last spatial features, before pooling.
    """

    logits_nc: Tensor
    embedding_nd: Tensor
    feature_map_nkhw: Tensor


class Network(nn.Module):
    """A backbone and a linear head.

    Args:
        features: (N, 3, H, W) to (N, K, h, w), stage after stage.
        neck: pooling and whatever stands before the head: (N, K, h, w) to (N, D).
        classes: number of classes of the new head.
        dropout: probability, on the embedding, in training only.
    """

    def __init__(
        self, features: nn.Sequential, neck: nn.Module, *, classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.features = features
        self.neck = neck
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(_embedding_size(features, neck), classes)

    def forward(self, images_nchw: Tensor, first_stage: int = 0) -> Outputs:
        """Normalised images (N, 3, H, W) to `Outputs`.

        Args:
            images_nchw: images, or what the stages before ``first_stage`` made of them.
            first_stage: of the backbone, to begin with.
        """
        feature_map = self.features[first_stage:](images_nchw)
        embedding = self.neck(feature_map)
        return Outputs(self.head(self.dropout(embedding)), embedding, feature_map)

    def backbone_parameters(self) -> list[nn.Parameter]:
        """All parameters but the head's."""
        return [*self.features.parameters(), *self.neck.parameters()]

    def stages(self) -> list[list[nn.Parameter]]:
        """The backbone's parameters, stage by stage; the neck's belong to the last."""
        found = [list(stage.parameters()) for stage in self.features]
        found[-1] += self.neck.parameters()
        return [parameters for parameters in found if parameters]

    def freeze_backbone(self, frozen: bool, *, stages: int = 0) -> None:
        """Stop or resume learning in all but the head.

        What is frozen keeps its BatchNorm statistics: it is put in eval mode, and back in train
        mode when it thaws.

        Args:
            frozen: the whole backbone.
            stages: so many of the first stages are frozen in any case.
        """
        for parameter in self.backbone_parameters():
            parameter.requires_grad_(not frozen)
        self.features.train(not frozen)
        self.neck.train(not frozen)
        self.features[:stages].requires_grad_(False).eval()

    def freeze_statistics(self) -> None:
        """Keep the running means and variances of every BatchNorm, and normalise by them.

        It holds until `freeze_backbone` puts the backbone in train mode again.
        """
        for module in self.features.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def build(name: str, *, classes: int, dropout: float = 0.2) -> Network:
    """Build a network without trained weights.

    Args:
        name: torchvision's name, such as ``"efficientnet_v2_s"``.
        classes: outputs of the head.
        dropout: before the head.

    Raises:
        TrainingError: the name is unknown or not of a supported family.
    """
    model = plain_model(name)
    features, neck = take_apart(name, model)
    return Network(features, neck, classes=classes, dropout=dropout)


def plain_model(name: str) -> nn.Module:
    """torchvision's own model with random weights and its ImageNet head.

    Raises:
        TrainingError: the name is unknown or not of a supported family.
    """
    if name not in architectures():
        raise TrainingError(
            f"architecture {name!r} is not supported; choose one of: {', '.join(architectures())}"
        )
    model: nn.Module = models.get_model(name, weights=None)
    return model


def architectures() -> tuple[str, ...]:
    """Names of all supported torchvision classifiers."""
    names = models.list_models(module=models)
    return tuple(name for name in names if name.startswith(tuple(_FAMILIES)))


def take_apart(name: str, model: nn.Module) -> tuple[nn.Sequential, nn.Module]:
    """Features and neck of a torchvision model, sharing its parameters."""
    family = next(prefix for prefix in _FAMILIES if name.startswith(prefix))
    return _FAMILIES[family](model)


def _with_classifier(model: Any) -> tuple[nn.Sequential, nn.Module]:
    """EfficientNet, MobileNet, ConvNeXt: ``features``, pooling, ``classifier``."""
    before_head = [layer for layer in model.classifier[:-1] if not isinstance(layer, nn.Dropout)]
    pool = getattr(model, "avgpool", nn.AdaptiveAvgPool2d(1))
    flatten = [] if any(isinstance(layer, nn.Flatten) for layer in before_head) else [nn.Flatten(1)]
    return model.features, nn.Sequential(pool, *flatten, *before_head)


def _resnet(model: Any) -> tuple[nn.Sequential, nn.Module]:
    stem = (model.conv1, model.bn1, model.relu, model.maxpool)
    features = nn.Sequential(*stem, model.layer1, model.layer2, model.layer3, model.layer4)
    return features, nn.Sequential(model.avgpool, nn.Flatten(1))


def _regnet(model: Any) -> tuple[nn.Sequential, nn.Module]:
    features = nn.Sequential(model.stem, model.trunk_output)
    return features, nn.Sequential(model.avgpool, nn.Flatten(1))


_FAMILIES: dict[str, Callable[[Any], tuple[nn.Sequential, nn.Module]]] = {
    "convnext_": _with_classifier,
    "efficientnet_": _with_classifier,
    "mobilenet_v": _with_classifier,
    "regnet_": _regnet,
    "resnet": _resnet,
    "resnext": _resnet,
    "wide_resnet": _resnet,
}


def _embedding_size(features: nn.Module, neck: nn.Module) -> int:
    """Width of the embedding, found by a pass over one small black image."""
    modes = [(module, module.training) for module in (*features.modules(), *neck.modules())]
    features.eval()
    neck.eval()
    with torch.no_grad():
        width: int = neck(features(torch.zeros(1, 3, 64, 64))).shape[1]
    for module, training in modes:
        module.training = training
    return width


def followed_by_norm(network: Network) -> list[tuple[str, str]]:
    """Names of convolutions and of the BatchNorms that take what they give, found by a pass."""
    given: list[tuple[Tensor, str]] = []
    pairs: list[tuple[str, str]] = []

    def note(name: str, module: nn.Module, taken: Tensor, made: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            given.append((made, name))
        else:
            pairs.extend((conv, name) for one, conv in given if one is taken)

    watched = [
        module.register_forward_hook(
            lambda module, taken, made, name=name: note(name, module, taken[0], made)
        )
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
    ]
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    for hook in watched:
        hook.remove()
    return pairs
