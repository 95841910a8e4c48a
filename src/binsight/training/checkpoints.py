"""The trained network of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from binsight.errors import RunError
from binsight.model.network import Network, build
from binsight.model.weights import read_state

from .run import Run

__all__ = ["best_network", "interpolated", "last_network"]


def best_network(run: Run) -> Network:
    """The network of a run's best epoch, in eval mode, on the CPU.

    Raises:
        RunError: no epoch was finished.
    """
    return _network(run, _state(run, run.best))


def last_network(run: Run) -> Network:
    """The network of a run's last finished epoch, in eval mode, on the CPU.

    As with the best, weights that were averaged are, and the recipe's interpolation is done.

    Raises:
        RunError: no epoch was finished.
    """
    state = _state(run, run.last)
    if run.probe.is_file():
        state = interpolated(read_state(run.probe), state, run.recipe.interpolation)
    return _network(run, state)


def interpolated(
    first: Mapping[str, Tensor], last: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Weights between two of one network, ``share`` of the way from the first to the last.

    "Robust fine-tuning of zero-shot models", Wortsman et al. 2022 (WiSE-FT).
    """
    return {name: _between(first[name], values, share) for name, values in last.items()}


def _between(first: Tensor, last: Tensor, share: float) -> Tensor:
    if not last.is_floating_point():  # BatchNorm counts its batches
        return last
    return first.lerp(last.to(first.device), share)


def _state(run: Run, file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise RunError(f"{run.folder}: no epoch was finished; train it further with --resume")
    return read_state(file)


def _network(run: Run, state: Mapping[str, Tensor]) -> Network:
    network = build(run.recipe.architecture, classes=len(run.facts.classes))
    network.load_state_dict(state)
    return network.eval()
