from __future__ import annotations

import numpy as np
import pytest

from binsight.explain.board import object_mask

SIDE = 224


def board(seed: int = 0, *, colour=(214, 205, 200), slope: float = 25.0) -> np.ndarray:
    """A board with noise, and light that falls off to the lower right."""
    down, across = np.mgrid[:SIDE, :SIDE] / SIDE
    light = -slope * (down + across)[..., None]
    noise = np.random.default_rng(seed).normal(0, 2.5, (SIDE, SIDE, 3))
    return np.array(colour) + light + noise


def disc(x: float, y: float, radius: float) -> np.ndarray:
    down, across = np.mgrid[:SIDE, :SIDE] + 0.5
    return np.hypot(across - x, down - y) < radius


def photo(objects: dict[tuple[int, int, int], np.ndarray], **changes) -> np.ndarray:
    pixels = board(**changes)
    for colour, where in objects.items():
        pixels[where] = colour
    return pixels.clip(0, 255).astype(np.uint8)


def overlap(found: np.ndarray, expected: np.ndarray) -> float:
    return float((found & expected).sum() / (found | expected).sum())


@pytest.mark.parametrize(("x", "y", "radius"), [(112, 112, 60), (60, 150, 25), (190, 30, 20)])
def test_the_object_is_found(x: float, y: float, radius: float):
    where = disc(x, y, radius)
    found = object_mask(photo({(40, 90, 60): where}))
    assert found is not None
    assert overlap(found, where) > 0.95


def test_an_object_that_reaches_over_the_border():
    where = disc(112, 230, 90)
    found = object_mask(photo({(150, 60, 30): where}))
    assert found is not None
    assert overlap(found, where) > 0.93


def test_a_white_label_belongs_to_its_bottle():
    bottle, label = disc(112, 112, 70), disc(112, 112, 30)
    pixels = board()
    pixels[bottle & ~label] = (30, 60, 30)
    found = object_mask(pixels.clip(0, 255).astype(np.uint8))
    assert found is not None
    assert overlap(found, bottle) > 0.95


def test_dust_is_no_object():
    dust = np.random.default_rng(1).random((SIDE, SIDE)) < 0.01
    assert object_mask(photo({(20, 20, 20): dust})) is None


def test_an_empty_board():
    assert object_mask(photo({})) is None


def test_an_object_that_fills_the_photo():
    for radius in (130, 140, 170):
        assert object_mask(photo({(30, 30, 30): disc(112, 112, radius)})) is None


def test_a_box_that_fills_the_photo_is_no_board():
    pixels = photo({(240, 240, 240): disc(112, 112, 40)}, colour=(176, 130, 85))
    assert object_mask(pixels) is None


def test_a_cluttered_table_is_no_board():
    pixels = np.random.default_rng(0).integers(0, 255, (14, 14, 3)).repeat(16, 0).repeat(16, 1)
    assert object_mask(pixels.astype(np.uint8)) is None
