"""The trained network of a run."""

from __future__ import annotations

from binsight.errors import RunError
from binsight.model.network import Network, build
from binsight.model.weights import read_state

from .run import Run

__all__ = ["best_network"]


def best_network(run: Run) -> Network:
    """The network of a run's best epoch, in eval mode, on the CPU.

    Raises:
        RunError: no epoch was finished.
    """
    if not run.best.is_file():
        raise RunError(f"{run.folder}: no epoch was finished; train it further with --resume")
    network = build(run.recipe.architecture, classes=len(run.facts.classes))
    network.load_state_dict(read_state(run.best))
    return network.eval()
