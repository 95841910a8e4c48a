"""Class activation maps: which places of a photo speak for a class.

It knows arrays. Where they come from is left to `explainers` and `torch_cam`, what is drawn of them
to `overlay`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["class_activation_map", "principal_map", "scaled"]

Floats = NDArray[np.float32]


def class_activation_map(feature_map_khw: Floats, weight_k: Floats) -> Floats:
    """How much each place adds to a class, where it adds anything: (h, w), 0 or more.

    A network that averages its last features over all places and puts a linear layer on top gives a
    class the score ``sum_k weight_k * mean_hw(feature_map_khw)``, to which each place adds its part
    (Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", equation 2). The
    gradient of that score is ``weight_k / (h * w)`` at every place, so this is also Grad-CAM on the
    last features, up to the factor h * w (Selvaraju et al. 2017, "Grad-CAM: Visual Explanations
    from Deep Networks via Gradient-based Localization", section 3.1). What speaks against the
    class is set to 0, as there.

    Args:
        feature_map_khw: last features before the pooling, (K, h, w).
        weight_k: of the class: its row of the linear layer, or the mean gradient of its score.
    """
    assert weight_k.shape == feature_map_khw.shape[:1]
    return np.maximum(np.tensordot(weight_k, feature_map_khw, axes=1), 0).astype(np.float32)


def principal_map(feature_map_khw: NDArray[Any]) -> Floats:
    """Features along their first principal component: (h, w), the strongest end positive.

    Muhammad and Yeasin 2020, "Eigen-CAM: Class Activation Map using Principal Components". The sign
    of a principal component is arbitrary; it is chosen so that the largest value is positive.
    """
    channels = feature_map_khw.shape[0]
    places_nk = np.asarray(feature_map_khw, np.float32).reshape(channels, -1).T
    places_nk = places_nk - places_nk.mean(axis=0)
    axes = np.linalg.svd(places_nk, full_matrices=False)[2]
    map_hw: Floats = (places_nk @ axes[0]).reshape(feature_map_khw.shape[1:])
    if -map_hw.min() > map_hw.max():
        map_hw = -map_hw
    return map_hw


def scaled(map_hw: Floats) -> Floats:
    """Divide by the largest value: 0 to 1. A map of zeros stays one."""
    assert map_hw.min() >= 0
    largest = float(map_hw.max())
    return map_hw / np.float32(largest) if largest > 0 else map_hw
