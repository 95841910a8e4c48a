"""The photos of a run's parts, as its network is shown them."""

from __future__ import annotations

from binsight.data.catalog import Catalog
from binsight.data.dataset import LabelledPhotos, Views

from .augmentation import augmenter
from .run import Run

__all__ = ["labelled", "shares_of", "training_views"]


def labelled(run: Run, catalog: Catalog, part: str) -> LabelledPhotos:
    """Files and class numbers of one part of a run.

    Raises:
        SplitError: no such part.
    """
    paths = run.split.paths(part)
    number = {name: index for index, name in enumerate(run.facts.classes)}
    digest_of = {photo.path: photo.sha256 for photo in catalog.photos}
    return LabelledPhotos(
        [catalog.root / path for path in paths],
        [number[run.split.label_of[path]] for path in paths],
        [digest_of[path] for path in paths],
    )


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
