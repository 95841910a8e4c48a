from __future__ import annotations

import numpy as np
import pytest

from binsight.board import connected, object_mask, object_without_shadow

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


@pytest.mark.parametrize("seed", range(5))
def test_connected_is_scipys_label(seed: int):
    from scipy.ndimage import label

    allowed = np.random.default_rng(seed).random((40, 50)) < 0.6
    start = tuple(np.argwhere(allowed)[7])
    seeds = np.zeros_like(allowed)
    seeds[start] = True
    labels, _ = label(allowed)
    assert np.array_equal(connected(seeds, allowed), labels == labels[start])
    assert not connected(~allowed & seeds, allowed).any()


def small_photo(where: np.ndarray, colour=(150, 60, 30), *, shadow=None) -> np.ndarray:
    """A photo as `object_without_shadow` takes it, 72 x 96."""
    light = 1 if shadow is None else 1 - 0.45 * shadow[..., None]
    pixels = board()[:72, :96] * light
    pixels[where] = colour
    return pixels.clip(0, 255).astype(np.uint8)


def small_disc(x: float, y: float, radius: float) -> np.ndarray:
    return disc(x, y, radius)[:72, :96]


def test_a_soft_shadow_belongs_to_the_board():
    where = small_disc(40, 36, 15)
    down, across = np.mgrid[:72, :96] + 0.5
    shadow = np.exp(-(np.hypot(across - 55, down - 40) ** 2) / (2 * 9**2))
    photo = small_photo(where, shadow=shadow)
    with_shadow = object_mask(photo)
    found = object_without_shadow(photo)
    assert with_shadow is not None
    assert found is not None
    assert overlap(with_shadow, where) < 0.85
    assert overlap(found[0], where) > 0.9


def test_the_mean_colour_of_the_board_comes_along():
    found = object_without_shadow(small_photo(small_disc(40, 36, 15)))
    assert found is not None
    assert np.allclose(found[1], board()[:72, :96].mean(axis=(0, 1)), atol=2)


@pytest.mark.parametrize("radius", [5, 8, 15, 30])
def test_an_object_of_any_size(radius: float):
    where = small_disc(48, 36, radius)
    found = object_without_shadow(small_photo(where))
    assert found is not None
    assert overlap(found[0], where) > 0.8


def test_a_label_that_reaches_the_edge_belongs_to_its_object():
    where, label = small_disc(48, 36, 25), np.zeros((72, 96), np.bool_)
    label[34:38, 60:] = True
    found = object_without_shadow(small_photo(where & ~label))
    assert found is not None
    assert overlap(found[0], where) > 0.93


def test_pieces_of_equal_size_are_no_object():
    both = small_disc(25, 36, 12) | small_disc(70, 36, 12)
    assert object_mask(small_photo(both)) is not None
    assert object_without_shadow(small_photo(both)) is None


def test_a_thin_rest_of_white_paper_is_no_object():
    ring = small_disc(48, 36, 28) & ~small_disc(44, 32, 28)
    assert object_mask(small_photo(ring)) is not None
    assert object_without_shadow(small_photo(ring)) is None


def test_an_empty_board_has_no_object():
    assert object_without_shadow(small_photo(np.zeros((72, 96), np.bool_))) is None
