from __future__ import annotations

import numpy as np
import pytest

from binsight.explain.cam import class_activation_map, principal_map, scaled


def features(channels: int = 5, side: int = 4, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.standard_normal((channels, side, side)).astype(np.float32)


def test_each_place_adds_its_weighted_features():
    feature_map = np.zeros((2, 2, 3), np.float32)
    feature_map[0, 0, 1], feature_map[1, 0, 1], feature_map[1, 1, 2] = 2.0, 1.0, 4.0
    found = class_activation_map(feature_map, np.array([3.0, -0.5], np.float32))
    assert found.tolist() == [[0.0, 5.5, 0.0], [0.0, 0.0, 0.0]]  # what speaks against is 0


def test_where_nothing_speaks_against_the_places_add_up_to_the_score():
    feature_map, weight = np.abs(features()), np.arange(5, dtype=np.float32)
    score = feature_map.mean(axis=(1, 2)) @ weight
    assert class_activation_map(feature_map, weight).mean() == pytest.approx(score, rel=1e-5)


def test_scaling_keeps_zero_and_makes_the_largest_one():
    assert scaled(np.array([[0.0, 2.0], [4.0, 1.0]], np.float32)).tolist() == [[0, 0.5], [1, 0.25]]
    assert scaled(np.zeros((2, 2), np.float32)).tolist() == [[0, 0], [0, 0]]


def test_the_principal_map_is_scikit_learns_component_with_its_strong_end_up():
    from sklearn.decomposition import PCA

    feature_map = features(channels=8, side=6, seed=3)
    projected = PCA(1).fit_transform(feature_map.reshape(8, -1).T)[:, 0].reshape(6, 6)
    found = principal_map(feature_map)
    assert np.allclose(np.abs(found), np.abs(projected), atol=1e-4)
    assert abs(np.corrcoef(found.ravel(), projected.ravel())[0, 1]) > 0.9999
    assert found.max() >= -found.min()


def test_an_early_layers_principal_map_fits_into_memory():
    """A full decomposition of 112 x 112 places would hold 12,544 x 12,544 values."""
    pattern = np.zeros((112, 112), np.float32)
    pattern[10:20, 30:50] = 1.0
    found = principal_map(np.stack([pattern * weight for weight in (3.0, -1.0, 0.5)]))
    assert found[15, 40] == found.max() > 0
    assert np.unique(np.sign(found)).tolist() == [-1.0, 1.0]
