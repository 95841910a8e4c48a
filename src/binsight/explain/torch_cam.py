"""Maps of a network of a training run, with torch: of its last features, or of any layer.

`LastFeatures` needs nothing but torch and shows what a bundle of the same run shows. `AnyLayer`
leaves the method to the library grad-cam (the extra ``explain``).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from binsight.errors import MissingExtraError, UsageError
from binsight.model.network import Network, Outputs
from binsight.preprocess import PreprocessSpec
from binsight.training.checkpoints import best_network
from binsight.training.run import open_run

from .cam import class_activation_map, principal_map, scaled
from .explainers import Look
from .grid import PIXELS, Grid

__all__ = ["METHODS", "AnyLayer", "LastFeatures"]

Floats = NDArray[np.float32]
METHODS = ("gradcam", "gradcam++", "eigencam")


class LastFeatures:
    """Explains a network by the gradient of a class on its last features, whatever comes after.

    Grad-CAM on the last features (Selvaraju et al. 2017). Needs no library besides torch.

    Args:
        network: left as it is; a copy is put in eval mode.
        classes: names, in the order of the logits.
        spec: how a photo becomes a tensor.
    """

    def __init__(self, network: Network, *, classes: tuple[str, ...], spec: PreprocessSpec) -> None:
        self.classes = classes
        self.spec = spec
        self._network = _for_hooks(network)
        self._maps = _maps_of(self._network, spec.size)

    @classmethod
    def of_run(cls, folder: Path, **options: Any) -> Self:
        """Explainer of the best checkpoint of a run folder; its probabilities are not calibrated.

        Args:
            folder: of the run.
            options: `AnyLayer`'s method and layer.

        Raises:
            RunError: not a run folder, or no epoch was finished.
        """
        run = open_run(folder)
        classes, spec = run.facts.classes, run.recipe.preprocess
        return cls(best_network(run), classes=classes, spec=spec, **options)

    def probs(self, images_nchw: Floats) -> Floats:
        """Probabilities (N, C) of prepared photos (N, 3, size, size)."""
        with torch.no_grad():
            return _probs(self._network(torch.from_numpy(images_nchw)))

    def look(self, image_chw: Floats, number: int | None) -> Look:
        """Look at one prepared photo; ``None`` asks for the map of the most probable class."""
        outputs = self._network(_watched(image_chw))
        probs_c = _probs(outputs)[0]
        asked = int(probs_c.argmax()) if number is None else number
        (gradient,) = torch.autograd.grad(outputs.logits_nc[0, asked], outputs.feature_map_nkhw)
        weight_k = gradient[0].mean(dim=(1, 2)).numpy()
        map_hw = class_activation_map(outputs.feature_map_nkhw[0].detach().numpy(), weight_k)
        return Look(probs_c, scaled(map_hw), self._maps.grid(map_hw.shape[0]))


class AnyLayer(LastFeatures):
    """Explains a network by one of its layers, through the library grad-cam.

    Args:
        network: as for `LastFeatures`; its backbone may be frozen.
        classes: names, in the order of the logits.
        spec: how a photo becomes a tensor.
        method: ``"gradcam"`` (Selvaraju et al. 2017), ``"gradcam++"`` (Chattopadhay et al. 2018),
            or ``"eigencam"`` (Muhammad and Yeasin 2020), which is the same for every class.
        layer: name of a layer of the network, such as ``"features.17"``; the last of the features
            if not given.

    Raises:
        UsageError: no such method or layer.
        MissingExtraError: the library is not installed.
    """

    def __init__(
        self,
        network: Network,
        *,
        classes: tuple[str, ...],
        spec: PreprocessSpec,
        method: str = "gradcam",
        layer: str | None = None,
    ) -> None:
        super().__init__(network, classes=classes, spec=spec)
        if method not in METHODS:
            raise UsageError(f"method {method!r}: choose one of: {', '.join(METHODS)}")
        self._method = _library_method(method)
        outer = [name for name in self._maps.side_of if name.count(".") == 1]
        self.layer = layer or outer[-1]
        if self.layer not in self._maps.side_of:
            raise UsageError(
                f"layer {layer!r} is not one that gives a map; choose one of: {', '.join(outer)}, "
                "or a layer inside of one of them"
            )

    def look(self, image_chw: Floats, number: int | None) -> Look:
        """Look at one prepared photo; ``None`` asks for the map of the most probable class."""
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        image = _watched(image_chw)
        probs_c = self.probs(image_chw[None])[0]
        asked = int(probs_c.argmax()) if number is None else number
        target_layer = self._network.get_submodule(self.layer)
        with _released(self._method(_Logits(self._network), [target_layer])) as cam:
            (map_hw,) = cam(image, [ClassifierOutputTarget(asked)])
        heat_hw = scaled(np.maximum(map_hw, 0).astype(np.float32))
        return Look(probs_c, heat_hw, self._interpolated_grid())

    def _interpolated_grid(self) -> Grid:
        """The library has resized the map to the size of the square, as if cells tiled it."""
        side = self._maps.side_of[self.layer]
        cells, shrink = self._maps.grid(side), side / self.spec.size
        return Grid(cells.first + cells.step * (shrink - 1) / 2, cells.step * shrink)


@dataclass(frozen=True)
class _Maps:
    """What a pass shows of a network's layers.

    Args:
        side_of: cells on a side of the map that a layer gives, in the order of the layers.
        shrinking: cells on a side before, to the layer that makes them fewer, and cells after.
        size: side of the input, in pixels.
    """

    side_of: Mapping[str, int]
    shrinking: Mapping[int, tuple[nn.Module, int]]
    size: int

    def grid(self, side: int) -> Grid:
        """Where the cells of a map of that side lie.

        Convolutions that keep the side are centred, so only those that shrink it count; a shortcut
        beside one is aligned with it.
        """
        grid, now = PIXELS, self.size
        while now != side:
            layer, now = self.shrinking[now]
            numbers = ((key, _first(getattr(layer, name))) for key, name in SLIDING.items())
            grid = grid.after(**dict(numbers))
        return grid


SLIDING = {"kernel": "kernel_size", "stride": "stride", "padding": "padding"}


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)


def _maps_of(network: Network, size: int) -> _Maps:
    """Layers whose output is a map, (1, K, h, w) of more than one place, and how maps shrink.

    The input is square, so a map is too; layers that keep the channels last do not pass for one.
    """
    sides: dict[str, int] = {}
    shrinking: dict[int, tuple[nn.Module, int]] = {}

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(layer: nn.Module, given: Any, output: Any) -> None:
            if not isinstance(output, Tensor) or output.ndim != 4:
                return
            height, width = output.shape[2:]
            if height == width > 1:
                sides[name] = width
            if width < given[0].shape[-1] and isinstance(layer, nn.Conv2d | nn.MaxPool2d):
                shrinking.setdefault(given[0].shape[-1], (layer, width))

        return note

    named = [(name, one) for name, one in network.named_modules() if name.startswith("features.")]
    handles = [one.register_forward_hook(hook(name)) for name, one in named]
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, size, size))
    finally:
        for handle in handles:
            handle.remove()
    ordered = {name: sides[name] for name, _ in named if name in sides}
    return _Maps(ordered, shrinking, size)


def _for_hooks(network: Network) -> Network:
    """A copy in eval mode that overwrites nothing in place.

    An activation that works in place would change what a hook on the layer before it has kept.
    """
    copied = copy.deepcopy(network).eval()
    for module in copied.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]  # torch declares no such attribute
    return copied


def _watched(image_chw: Floats) -> Tensor:
    """A batch of one that gradients reach even where no parameter learns."""
    return torch.from_numpy(image_chw[None].copy()).requires_grad_()


def _probs(outputs: Outputs) -> Floats:
    probs_nc: Floats = torch.softmax(outputs.logits_nc.detach(), dim=1).numpy()
    return probs_nc


class _Logits(nn.Module):
    """The network as the library wants it: images in, logits out."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_nchw: Tensor) -> Tensor:
        logits_nc: Tensor = self.network(images_nchw).logits_nc
        return logits_nc


@contextmanager
def _released(cam: Any) -> Iterator[Any]:
    """The library's own context manager prints an IndexError and goes on; this one does not."""
    try:
        yield cam
    finally:
        cam.activations_and_grads.release()


def _library_method(name: str) -> Any:
    try:
        from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus
    except ModuleNotFoundError as error:
        raise MissingExtraError("grad-cam", "explain") from error

    class SmallEigenCAM(EigenCAM):  # type: ignore[misc]  # the library has no types
        """Its matrix of all places by all places would take gigabytes on early layers."""

        def get_cam_image(self, *given: Any) -> NDArray[np.float32]:
            activations_nkhw = given[3]
            return np.stack([principal_map(one) for one in activations_nkhw])

    return {"gradcam": GradCAM, "gradcam++": GradCAMPlusPlus, "eigencam": SmallEigenCAM}[name]
