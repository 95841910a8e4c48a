"""The photos of a run's parts, as its network is shown them."""

from __future__ import annotations

from binsight.data.catalog import Catalog
from binsight.data.dataset import Views
from binsight.data.labelled import LabelledPhotos, labelled_part

from .augmentation import augmenter
from .run import Run

__all__ = ["labelled", "shares_of", "training_views"]


def labelled(run: Run, catalog: Catalog, part: str) -> LabelledPhotos:
    """Files and class numbers of one part of a run.

    Raises:
        SplitError: no such part.
    """
    return labelled_part(catalog, run.split, part, run.facts.classes)[1]


def training_views(run: Run, catalog: Catalog) -> Views:
    """Training photos of a run as its network is shown them."""
    recipe = run.recipe
    return Views(
        labelled(run, catalog, "train"),
        augmenter(recipe.augmentation, recipe.size),
        size=recipe.size,
        seed=recipe.seed,
        count=recipe.views,
    )


def shares_of(run: Run) -> list[float]:
    """Of each training photo: which part of those like it an epoch draws."""
    return [run.facts.share_of(path) for path in run.split.paths("train")]
