"""Where a network's first weights come from: torchvision, a file, a bundle, or nowhere.

A file that a user hands over is read as safetensors or with torch's ``weights_only`` loader;
nothing in it is ever executed.
"""

from __future__ import annotations

import http.client
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision import models

from binsight.errors import WeightsError
from binsight.files import replacing
from binsight.runtime import Classifier

from .bundled import network_of_bundle
from .network import Network, build, plain_model, take_apart
from .origins import IMAGENET, NONE, names_bundle

__all__ = [
    "CLASSES",
    "build_with_weights",
    "classes_of",
    "read_state",
    "read_unaveraged_state",
    "write_state",
]

CLASSES = "classes"  # key of their names, in a file of a run

# What the two readers raise on files of other kinds.
NOT_TENSORS = (
    SafetensorError,
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
)


def build_with_weights(
    name: str, weights: str, *, classes: Sequence[str], dropout: float
) -> Network:
    """Build a network and fill it.

    Args:
        name: torchvision's name of the architecture.
        weights: ``"imagenet"`` for torchvision's ``IMAGENET1K_V1`` (downloaded once, kept in
            ``TORCH_HOME``), ``"none"``, a file (torchvision's state dict with or without its
            classifier, or the weights of a binsight run), or a bundle (see `origins.names_bundle`).
        classes: of the head, which always starts anew unless the weights are of a run or a bundle
            with the same classes, in the same order.
        dropout: before the head.

    Raises:
        WeightsError: no such weights, a failed download, or weights of another network.
        BundleError: a bundle that cannot be opened.
    """
    if names_bundle(weights):
        bundle = Classifier(weights)
        return network_of_bundle(name, bundle, classes=tuple(classes), dropout=dropout)
    if weights == NONE:
        return build(name, classes=len(classes), dropout=dropout)
    stored = _Stored(_download(name)) if weights == IMAGENET else _read(Path(weights))
    if "head.weight" in stored.state:
        return _from_run(name, weights, stored, classes=tuple(classes), dropout=dropout)
    return _from_torchvision(name, weights, stored.state, classes=len(classes), dropout=dropout)


def classes_of(weights: str) -> tuple[str, ...]:
    """Classes of the head that comes with first weights, in order; none if it starts anew.

    Args:
        weights: see `build_with_weights`.

    Raises:
        WeightsError: no such file, or not a file of tensors.
        BundleError: a bundle that cannot be opened.
    """
    if names_bundle(weights):
        return Classifier(weights).classes
    return () if weights in {IMAGENET, NONE} else _read(Path(weights)).classes


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from ``.safetensors``, or from a torch file of tensors alone.

    A checkpoint of a run gives the weights of its network.

    Raises:
        WeightsError: no such file, or not a file of tensors.
    """
    return _read(path).state


def read_unaveraged_state(path: Path) -> dict[str, Tensor]:
    """The network of a checkpoint as it goes on learning, where `read_state` gives its average."""
    saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return _of_network(saved.get("current_model_state", saved["state_dict"]))


def write_state(
    path: Path, state: Mapping[str, Tensor], *, classes: Sequence[str], epoch: int
) -> None:
    """Write a state dict of a run as ``.safetensors``, whole or not at all, with whose it is."""
    kept = {name: value.cpu().contiguous() for name, value in state.items()}
    with replacing(path) as temporary:
        try:
            save_file(kept, temporary, {"epoch": str(epoch), CLASSES: json.dumps(list(classes))})
        except SafetensorError as error:  # of a full disk, which is no OSError there
            raise OSError(f"{path}: cannot be written ({error})") from error


@dataclass(frozen=True)
class _Stored:
    """A state dict, and the classes of its head where the file names them."""

    state: dict[str, Tensor]
    classes: tuple[str, ...] = ()


def _read(path: Path) -> _Stored:
    if path.is_dir():
        raise WeightsError(f"{path}: a folder, and not that of a run; give a file of weights")
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file (or give imagenet or none)")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, *NOT_TENSORS) as error:
        raise WeightsError(f"{path}: not a safetensors file or a state dict of tensors") from error
    named = loaded.get(CLASSES, ()) if isinstance(loaded, Mapping) else ()
    return _Stored(_tensors(path, loaded), _names(named))


def _read_safetensors(path: Path) -> _Stored:
    with safe_open(path, framework="pt") as file:
        named = (file.metadata() or {}).get(CLASSES, "[]")
    return _Stored(dict(load_file(path)), _names(json.loads(named)))


def _names(named: object) -> tuple[str, ...]:
    return tuple(map(str, named)) if isinstance(named, list | tuple) else ()


def _tensors(path: Path, loaded: object) -> dict[str, Tensor]:
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else loaded
    if not isinstance(state, Mapping) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise WeightsError(
            f"{path}: not a state dict; save one with torch.save(model.state_dict())"
        )
    return _of_network(state) or dict(state)


def _of_network(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a checkpoint of a run holds of its network."""
    inside = "network."
    return {k.removeprefix(inside): v for k, v in state.items() if k.startswith(inside)}


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _download(name: str) -> dict[str, Tensor]:
    choices = models.get_model_weights(name) if name in models.list_models() else ()
    found = next((one for one in choices if one.name == "IMAGENET1K_V1"), None)
    if found is None:
        raise WeightsError(f"torchvision has no IMAGENET1K_V1 weights for {name!r}")
    try:
        state: Mapping[str, Tensor] = found.get_state_dict(
            progress=True, check_hash=True, weights_only=True
        )
    # URLError and timeouts are OSErrors; a wrong hash is a RuntimeError; a file that was put in
    # place by hand may hold anything.
    except (http.client.HTTPException, OSError, *NOT_TENSORS) as error:
        raise WeightsError(_how_to_get(name, found.url, error)) from error
    return dict(state)


def _how_to_get(name: str, url: str, error: Exception) -> str:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = Path(urlparse(url).path).name
    reason = _first_line(error)
    return (
        f"could not load the ImageNet weights of {name} ({reason}); get {url} on another "
        f"machine and put it at {folder / file}, or give --weights FILE, or --weights none"
    )


def _from_torchvision(
    name: str, source: str, state: Mapping[str, Tensor], *, classes: int, dropout: float
) -> Network:
    model = plain_model(name)
    head = _head_name(model)
    body = {key: value for key, value in state.items() if not key.startswith(f"{head}.")}
    _load(model, body, name, source, may_miss=f"{head}.")
    features, neck = take_apart(name, model)
    return Network(features, neck, classes=classes, dropout=dropout)


def _from_run(
    name: str, source: str, stored: _Stored, *, classes: tuple[str, ...], dropout: float
) -> Network:
    network = build(name, classes=len(classes), dropout=dropout)
    state = stored.state
    if stored.classes == classes:
        _load(network, state, name, source, may_miss=None)
        return network
    body = {key: value for key, value in state.items() if not key.startswith("head.")}
    _load(network, body, name, source, may_miss="head.")
    return network


def _head_name(model: nn.Module) -> str:
    linear: list[str] = [
        name for name, module in model.named_modules() if isinstance(module, nn.Linear)
    ]
    return linear[-1]


def _load(
    model: nn.Module, state: Mapping[str, Tensor], name: str, source: str, *, may_miss: str | None
) -> None:
    try:
        keys = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{source}: not the weights of {name} (shapes differ)") from error
    missing = [key for key in keys.missing_keys if may_miss is None or not key.startswith(may_miss)]
    if missing or keys.unexpected_keys:
        example = (missing + keys.unexpected_keys)[0]
        raise WeightsError(
            f"{source}: not the weights of {name}: {len(missing)} tensors are missing and "
            f"{len(keys.unexpected_keys)} too many, such as {example}"
        )
