from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from binsight.training.backdrops import PATTERNS, _turned, backdrop


@pytest.mark.parametrize("size", [(224, 224), (32, 32), (500, 400), (90, 160)])
def test_size_and_mode(size: tuple[int, int]):
    for seed in range(30):
        drawn = backdrop(size, np.random.default_rng(seed))
        assert drawn.size == size
        assert drawn.mode == "RGB"


def test_the_seed_decides():
    drawn = [backdrop((64, 64), np.random.default_rng(seed)).tobytes() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_is_neither_flat_nor_out_of_range(pattern):
    for seed in range(10):
        values_hw = pattern(120, 90, np.random.default_rng(seed))
        assert values_hw.shape == (90, 120)
        assert 0.1 < values_hw.std() < 3
        assert np.isfinite(values_hw).all()


def test_backdrops_differ_in_colour_and_roughness():
    means, scatters = [], []
    for seed in range(40):
        pixels = np.asarray(backdrop((64, 64), np.random.default_rng(seed)), np.float32)
        means.append(pixels.mean(axis=(0, 1)))
        scatters.append(pixels.std(axis=(0, 1)).mean())
    assert (np.std(means, axis=0) > 20).all()
    assert max(scatters) > 4 * min(scatters)


def test_a_turned_drawing_has_no_empty_corner():
    white = Image.new("L", (64, 48), 255)
    for seed in range(100):
        assert np.asarray(_turned(white, np.random.default_rng(seed))).min() == 255
