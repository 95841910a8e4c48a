"""A network whose reasons are known: maps that show them pass, maps that do not fail."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from binsight.explain.explainers import Look
from binsight.explain.grid import Grid
from binsight.explain.sanity import RIVALS, Checked, check_photo, order_of, summary
from binsight.preprocess import PreprocessSpec, apply

SPEC = PreprocessSpec(size=64, resize_to=64)
PATCH = np.s_[8:24, 40:56]  # rows, columns: what the network goes by
CELLS = np.s_[1:3, 5:7]  # the same in cells of 8 x 8 pixels


class PatchNetwork:
    """Says glass if its patch is dark, and shows a map that is handed in."""

    classes = ("glass", "metal")
    spec = SPEC

    def __init__(self, heat_hw: np.ndarray) -> None:
        self.heat_hw = heat_hw.astype(np.float32)

    def probs(self, images_nchw: np.ndarray) -> np.ndarray:
        dark_n = np.clip(-images_nchw[:, :, *PATCH].mean(axis=(1, 2, 3)) / 2, 0, 1)
        return np.stack([dark_n, 1 - dark_n], axis=1).astype(np.float32)

    def look(self, image_chw: np.ndarray, number: int | None) -> Look:
        return Look(self.probs(image_chw[None])[0], self.heat_hw, Grid(4, 8))


def photo() -> Image.Image:
    """A dark object on a white board, where the network looks."""
    pixels = np.full((64, 64, 3), 230, np.uint8)
    pixels[PATCH] = 10
    return Image.fromarray(pixels)


def true_map() -> np.ndarray:
    heat = np.zeros((8, 8))
    heat[CELLS] = 1.0
    return heat


def checked(heat_hw: np.ndarray, label: str | None = None) -> Checked:
    return check_photo(PatchNetwork(heat_hw), photo(), np.random.default_rng(0), label)


def test_a_true_map_beats_both_rivals():
    found = checked(true_map())
    assert found.explained == "glass"
    for rival in RIVALS[1:]:
        assert found.deletion["map"] < found.deletion[rival] - 0.2
        assert found.insertion["map"] > found.insertion[rival] + 0.1
    assert found.pointing is not None
    assert found.on_object is not None
    assert found.pointing["map"] is True
    assert found.pointing["centre"] is False
    assert found.on_object["map"] > 0.4 > found.on_object["centre"]
    assert found.object_share == pytest.approx(256 / 4096, abs=0.01)


def test_a_false_map_loses():
    found = checked(np.roll(true_map(), (4, -4), axis=(0, 1)))
    assert found.pointing is not None
    assert found.pointing["map"] is False
    assert found.deletion["map"] > found.deletion["random"]
    assert found.insertion["map"] < found.insertion["random"]


def test_the_asked_class_is_the_one_that_is_measured():
    asked, best = checked(true_map(), "metal"), checked(true_map(), "glass")
    assert asked.explained == "metal"
    # Of two classes, one loses what the other gains.
    assert asked.deletion["map"] == pytest.approx(1 - best.deletion["map"], abs=1e-5)


def test_a_photo_without_a_board_is_not_pointed_at():
    noise = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).repeat(8, 0).repeat(8, 1)
    found = check_photo(PatchNetwork(true_map()), noise.astype(np.uint8), np.random.default_rng(0))
    assert found.pointing is found.on_object is found.object_share is None


def test_the_network_is_asked_about_the_picture_that_it_is_asked_about_elsewhere():
    seen: list[np.ndarray] = []

    class Watching(PatchNetwork):
        spec = PreprocessSpec(size=64, resize_to=80)

        def look(self, image_chw: np.ndarray, number: int | None) -> Look:
            seen.append(image_chw)
            return super().look(image_chw, number)

    large = photo().resize((200, 160))
    check_photo(Watching(true_map()), large, np.random.default_rng(0))
    assert np.array_equal(seen[0], apply(large, Watching.spec))


def test_the_hottest_come_first_and_equals_in_random_order():
    heat = np.zeros((10, 10), np.float32)
    heat[3, 4], heat[7, 7] = 0.5, 1.0
    order = order_of(heat, np.random.default_rng(0))
    assert sorted(order) == list(range(100))
    assert order[:2].tolist() == [77, 34]
    assert order[2:].tolist() != sorted(order[2:])
    assert not np.array_equal(order, order_of(heat, np.random.default_rng(1)))


def test_a_summary_tells_by_how_much_the_map_is_better():
    some = [checked(true_map()) for _ in range(3)]
    told = summary(some)
    assert told["photos"] == told["pointing"]["photos"] == 3
    better = told["deletion"]["better_than_centre"]
    expected = some[0].deletion["centre"] - some[0].deletion["map"]
    assert better["low"] <= better["mean"] <= better["high"]
    assert better["mean"] == pytest.approx(expected, abs=1e-3)
    assert expected > 0
    assert told["pointing"]["better_than_centre"]["mean"] == 1.0
    assert json.loads(json.dumps([told, some[0].to_dict()]))


def test_a_summary_without_boards_has_no_pointing():
    (one,) = [checked(true_map())]
    bare = Checked(one.explained, one.deletion, one.insertion, None, None, None)
    told = summary([bare])
    assert told["pointing"] is told["on_object"] is told["object_share"] is None
    assert told["deletion"]["photos"] == 1
