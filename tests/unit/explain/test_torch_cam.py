"""Maps of a network: against the library, against hooks of our own, and where nothing learns."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pytorch_grad_cam")

from binsight.errors import UsageError  # noqa: E402
from binsight.explain.grid import Grid  # noqa: E402
from binsight.explain.torch_cam import METHODS, AnyLayer, LastFeatures  # noqa: E402
from binsight.model.network import Network, build  # noqa: E402
from binsight.preprocess import PreprocessSpec  # noqa: E402

SPEC = PreprocessSpec(size=128, resize_to=128)
CLASSES = ("glass", "metal", "paper")


def lively(name: str = "mobilenet_v2") -> Network:
    """A network whose random layers let something through: each BatchNorm knows what it sees."""
    torch.manual_seed(0)
    network = build(name, classes=3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(8, 3, 1, 1) * 2 + torch.randn(8, 3, 128, 128))
    return network.eval()


@pytest.fixture(scope="module")
def network() -> Network:
    return lively()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    random = np.random.default_rng(0)
    coarse = random.standard_normal((3, 8, 8)).repeat(16, 1).repeat(16, 2)
    return coarse.astype(np.float32)


def of_layer(network: Network, **options: str) -> AnyLayer:
    return AnyLayer(network, classes=CLASSES, spec=SPEC, **options)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_last_features_are_the_librarys_grad_cam(
    network: Network, image: np.ndarray, number: int
):
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    class Logits(torch.nn.Module):
        def forward(self, images):
            return network(images).logits_nc

    ours = LastFeatures(network, classes=CLASSES, spec=SPEC).look(image, number)
    model = Logits()
    model.network = network
    with GradCAM(model, [network.features[-1]]) as cam:
        (theirs,) = cam(torch.from_numpy(image[None]), [ClassifierOutputTarget(number)])
    tiled = Grid(16, 32).spread(ours.heat_hw, 128)  # as the library places cells
    assert correlation(tiled, theirs) > 0.999
    through_us = of_layer(network).look(image, number)
    assert correlation(through_us.heat_hw, theirs) > 0.999
    assert np.allclose(through_us.probs_c, ours.probs_c)
    placed = [one.grid.spread(one.heat_hw, 128)[16:112, 16:112] for one in (ours, through_us)]
    assert correlation(*placed) > 0.999


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layer", ["features.17", "features.3.conv.0.0"])
def test_every_method_explains_a_frozen_network(
    network: Network, image: np.ndarray, method: str, layer: str
):
    warm = of_layer(network, method=method, layer=layer).look(image, 1)
    network.freeze_backbone(True)
    for parameter in network.head.parameters():
        parameter.requires_grad_(False)
    cold = of_layer(network, method=method, layer=layer).look(image, 1)
    network.requires_grad_(True)
    assert warm.heat_hw.shape == (128, 128)
    assert warm.heat_hw.max() == 1.0
    assert warm.heat_hw.std() > 0.01
    assert np.allclose(warm.heat_hw, cold.heat_hw, atol=1e-5)


def test_eigen_cam_is_the_librarys_up_to_its_sign(network: Network, image: np.ndarray):
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    from binsight.explain.cam import principal_map

    with torch.no_grad():
        activations = network.features[:15](torch.from_numpy(image[None])).numpy()
    theirs = get_2d_projection(activations)[0]
    assert abs(correlation(principal_map(activations[0]), theirs)) > 0.9999


def test_a_layer_is_seen_before_what_works_in_place(network: Network, image: np.ndarray):
    """ReLU6 after this BatchNorm would cut its negative values off."""
    watched = of_layer(network, layer="features.0.1")
    seen = []
    layer = watched._network.get_submodule("features.0.1")
    handle = layer.register_forward_hook(lambda *given: seen.append(given[2].detach()))
    watched.look(image, 0)
    handle.remove()
    assert min(float(one.min()) for one in seen) < 0
    assert network.features[0][2].inplace  # the network itself is as it was


def test_hooks_are_gone_afterwards(network: Network, image: np.ndarray):
    watched = of_layer(network)
    watched.look(image, 0)
    assert not any(one._forward_hooks for one in watched._network.modules())
    assert not any(one._forward_hooks for one in network.modules())


def test_the_most_probable_class_is_explained_by_itself(network: Network, image: np.ndarray):
    for explainer in (LastFeatures(network, classes=CLASSES, spec=SPEC), of_layer(network)):
        best = int(explainer.probs(image[None])[0].argmax())
        assert np.array_equal(
            explainer.look(image, None).heat_hw, explainer.look(image, best).heat_hw
        )


@pytest.mark.parametrize(
    ("name", "grid", "last"),
    [
        ("mobilenet_v2", Grid(0.5, 32), "features.18"),
        ("resnet18", Grid(0.5, 32), "features.7"),
        ("mobilenet_v3_small", Grid(0.5, 32), "features.12"),
        ("regnet_y_400mf", Grid(0.5, 32), "features.1"),
        ("convnext_tiny", Grid(16, 32), "features.7"),
    ],
)
def test_other_architectures(image: np.ndarray, name: str, grid: Grid, last: str):
    network = lively(name)
    plain = LastFeatures(network, classes=CLASSES, spec=SPEC).look(image, 2)
    assert plain.grid == grid
    assert plain.heat_hw.shape == (4, 4)
    library = of_layer(network)
    assert library.layer == last
    tiled = Grid(16, 32).spread(plain.heat_hw, 128)
    assert correlation(library.look(image, 2).heat_hw, tiled) > 0.999


@pytest.mark.parametrize("layer", ["features.99", "head", "neck.0", "features", "nonsense"])
def test_a_layer_that_gives_no_map(network: Network, layer: str):
    with pytest.raises(UsageError, match=r"choose one of: features\.0, features\.1, .*18, or a"):
        of_layer(network, layer=layer)


def test_an_unknown_method(network: Network):
    with pytest.raises(UsageError, match=r"'magic': choose one of: gradcam, gradcam\+\+, eigencam"):
        of_layer(network, method="magic")
