"""The network that a training begins with."""

from __future__ import annotations

from binsight.errors import UsageError
from binsight.model.network import Network
from binsight.model.weights import build_with_weights, classes_of

from .recipe import Recipe

__all__ = ["first_network"]


def first_network(recipe: Recipe, weights: str, classes: tuple[str, ...]) -> Network:
    """Build the network of a recipe with its first weights.

    Args:
        recipe: how it is to be trained.
        weights: see `build_with_weights`.
        classes: of its head.

    Raises:
        UsageError: more stages are frozen than there are, or the result is to lie between the
            trained network and a head that knows nothing.
        WeightsError: no such weights, a failed download, or weights of another network.
        BundleError: a bundle that cannot be opened.
    """
    network = build_with_weights(
        recipe.architecture, weights, classes=classes, dropout=recipe.dropout
    )
    _check_frozen_stages(recipe, len(network.features))
    _check_interpolation(recipe, weights, classes)
    return network


def _check_frozen_stages(recipe: Recipe, stages: int) -> None:
    if recipe.frozen_stages > stages:
        raise UsageError(
            f"frozen_stages is {recipe.frozen_stages}, {recipe.architecture} has {stages} stages; "
            "with all of them frozen the head alone learns"
        )


def _check_interpolation(recipe: Recipe, weights: str, classes: tuple[str, ...]) -> None:
    if recipe.interpolation == 1 or recipe.warmup_epochs:
        return
    if classes_of(weights) != classes:
        raise UsageError(
            f"interpolation goes back to a network that knows the classes, and --weights {weights} "
            "does not; set warmup_epochs above 0, or give a bundle or a run of the same classes"
        )
