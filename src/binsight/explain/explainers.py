"""Who can explain: something that gives probabilities and a map. A bundle can, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from binsight.bundle import INPUT
from binsight.errors import NotABundleError, UnexplainableError, UsageError
from binsight.images import DEFAULT_LIMITS, ImageLimits, ImageSource, upright_size
from binsight.preprocess import PreprocessSpec, load, square_in_photo
from binsight.runtime import Classifier

from .cam import class_activation_map, scaled
from .explanation import Explanation
from .grid import Grid, grid_of_graph

__all__ = ["BundleExplainer", "Explainer", "Look", "class_number", "explain", "explain_with"]

Floats = NDArray[np.float32]
INSTEAD = "explain the run that it was exported from: binsight explain PHOTO --run RUN"


class Look(NamedTuple):
    """One look at one photo.

    Args:
        probs_c: (C,).
        heat_hw: (h, w), 0 to 1, one value a cell of the feature map.
        grid: where the cells lie.
    """

    probs_c: Floats
    heat_hw: Floats
    grid: Grid


class Explainer(Protocol):
    """What `explain_with` and `sanity` need of a model."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the probabilities."""

    @property
    def spec(self) -> PreprocessSpec:
        """How a photo becomes a tensor."""

    def probs(self, images_nchw: Floats) -> Floats:
        """Probabilities (N, C) of prepared photos (N, 3, size, size)."""

    def look(self, image_chw: Floats, number: int | None) -> Look:
        """Look at one prepared photo; ``None`` asks for the map of the most probable class."""


class BundleExplainer:
    """Explains a bundle's answers by its own feature map and head, without torch.

    Args:
        classifier: of the bundle.

    Raises:
        UnexplainableError: its head is no linear layer on the mean of its feature map.
        AlteredBundleError: its file is another one than the classifier has loaded.
    """

    def __init__(self, classifier: Classifier) -> None:
        import onnx  # takes long

        from binsight.teaching.graph import read_head

        self._classifier = classifier
        data = classifier.data()
        try:
            self._head = read_head(classifier.path, data)
        except NotABundleError as error:
            raise UnexplainableError(f"{error}; {INSTEAD}") from error
        model = onnx.load_from_string(data)
        self._grid = grid_of_graph(model, given=INPUT, wanted="feature_map")
        self._check_pooling()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the probabilities."""
        return self._classifier.classes

    @property
    def spec(self) -> PreprocessSpec:
        """How a photo becomes a tensor."""
        return self._classifier.metadata.preprocess

    @property
    def weight_cd(self) -> Floats:
        """Of the head: what each feature adds to each class, (C, D)."""
        return self._head.weight_cd

    @property
    def grid(self) -> Grid:
        """Where the cells of the feature map lie."""
        return self._grid

    def probs(self, images_nchw: Floats) -> Floats:
        """Calibrated probabilities (N, C) of prepared photos (N, 3, size, size)."""
        return self._classifier.run(images_nchw).probs_nc

    def look(self, image_chw: Floats, number: int | None) -> Look:
        """Look at one prepared photo; ``None`` asks for the map of the most probable class."""
        outputs = self._classifier.run(image_chw[None])
        probs_c, feature_map_khw = outputs.probs_nc[0], outputs.feature_map_nkhw[0]
        weight_k = self._head.weight_cd[int(probs_c.argmax()) if number is None else number]
        return Look(probs_c, scaled(class_activation_map(feature_map_khw, weight_k)), self._grid)

    def _check_pooling(self) -> None:
        """Try it on noise, where a mean is unlike anything else."""
        side = self.spec.size
        noise_nchw = np.random.default_rng(0).standard_normal((1, 3, side, side), np.float32)
        outputs = self._classifier.run(noise_nchw)
        pooled_nk = outputs.feature_map_nkhw.mean(axis=(2, 3))
        same_shape = pooled_nk.shape == outputs.embedding_nd.shape
        if not same_shape or not np.allclose(pooled_nk, outputs.embedding_nd, 1e-3, 1e-4):
            raise UnexplainableError(
                f"{self._classifier.path}: more than an average lies between its feature map and "
                f"its head; {INSTEAD}"
            )


def explain(classifier: Classifier, photo: ImageSource, label: str | None = None) -> Explanation:
    """Say where a classifier looked in one photo. For many, keep a `BundleExplainer`.

    Args:
        classifier: whose answer to explain.
        photo: path, encoded bytes, PIL image, or uint8 array (H, W, 3) in RGB order.
        label: class to explain; the most probable one if not given.

    Raises:
        UsageError: no such class.
        ImageError: the photo cannot be used.
        UnexplainableError: the bundle's head is no linear layer on the mean of its feature map.
    """
    return explain_with(BundleExplainer(classifier), photo, label)


def explain_with(
    explainer: Explainer,
    photo: ImageSource,
    label: str | None = None,
    *,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> Explanation:
    """Say where a model looked in one photo; see `explain`."""
    number = None if label is None else class_number(explainer.classes, label)
    # The network gets the very pixels that classifying gives it, the map the size of the photo.
    looked = explainer.look(load(photo, explainer.spec, limits=limits), number)
    size = upright_size(photo, limits=limits)
    best = int(looked.probs_c.argmax())
    return Explanation(
        label=explainer.classes[best],
        explained=explainer.classes[best if number is None else number],
        probs=dict(zip(explainer.classes, map(float, looked.probs_c), strict=True)),
        heat_hw=looked.grid.spread(looked.heat_hw, explainer.spec.size),
        photo_size=size,
        square=square_in_photo(size, explainer.spec),
    )


def class_number(classes: Sequence[str], label: str) -> int:
    """Place of a class among the probabilities.

    Raises:
        UsageError: no such class.
    """
    if label not in classes:
        raise UsageError(
            f"class {label!r} is not one that the model knows; choose one of: {', '.join(classes)}"
        )
    return list(classes).index(label)
