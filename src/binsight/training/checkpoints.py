"""The trained network of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from binsight.errors import RunError
from binsight.files import drafting, write_text
from binsight.model.network import Network, build
from binsight.model.weights import read_state, write_state

from .run import Run, create_twin

__all__ = ["best_epoch_network", "best_network", "interpolated", "last_network", "write_twin"]


def best_network(run: Run) -> Network:
    """The network of a run, in eval mode, on the CPU: see `Run.best`.

    Raises:
        RunError: no epoch was finished.
    """
    return _network(run, _state(run, run.best))


def best_epoch_network(run: Run) -> Network:
    """The network of a run's best epoch under the head that was trained with it.

    Raises:
        RunError: no epoch was finished.
    """
    return _network(run, _state(run, run.best_epoch))


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


def write_twin(
    run: Run,
    folder: Path,
    state: Mapping[str, Tensor],
    said: Mapping[str, object],
    **facts: Any,
) -> Run:
    """A new run, whole or not at all, of other weights than another, for which nothing is trained.

    Args:
        run: the other.
        folder: new or empty.
        state: the weights.
        said: what ``metrics.json`` is to hold.
        facts: how the weights were made; see `create_twin`.
    """
    with drafting(folder) as draft:
        twin = create_twin(run, draft, **facts)
        write_state(twin.best, state, classes=run.facts.classes, epoch=0)
        write_text(draft / "metrics.json", json.dumps(said, indent=2) + "\n")
    return replace(twin, folder=folder)


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
