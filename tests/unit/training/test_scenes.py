from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from binsight.training.scenes import Scene  # noqa: E402

SIDE = 64
RED = (180, 40, 30)
BOARD = (215, 212, 205)


def photo(x: float = 200, y: float = 150, radius: float = 80, *, board=BOARD) -> Image.Image:
    """A red ball on a board, 400 x 300."""
    down, across = np.mgrid[:300, :400] + 0.5
    pixels = np.random.default_rng(0).normal(0, 2, (300, 400, 3)) + board
    pixels[np.hypot(across - x, down - y) < radius] = RED
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def no_board() -> Image.Image:
    blocks = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(blocks.repeat(50, 0).repeat(50, 1))


def drawn(scene: Scene, image: Image.Image, seed: int) -> np.ndarray:
    torch.manual_seed(seed)
    result = scene(image)
    assert result.size == (SIDE, SIDE)
    assert result.mode == "RGB"
    return np.asarray(result).astype(int)


def like(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(pixels - colour).max(axis=2) < 16


def test_another_surface_and_the_same_object():
    scene = Scene(SIDE, 1.0, 1.0, 0.0)
    plain = drawn(Scene(SIDE, 1.0, 0.0, 0.0), photo(), 0)
    ball, board = like(plain, RED), like(plain, BOARD)
    surfaces = []
    for seed in range(10):
        pixels = drawn(scene, photo(), seed)
        assert like(pixels, RED)[ball].mean() > 0.95
        assert like(pixels, BOARD)[board].mean() < 0.5
        surfaces.append(pixels[board].mean(axis=0))
    assert (np.std(surfaces, axis=0) > 20).all()


def test_no_white_seam_is_left():
    """On a dark surface, nothing near a dark object is as light as half of the board was."""
    scene, image = Scene(SIDE, 1.0, 1.0, 0.0), photo()
    image.paste((20, 30, 20), mask=Image.fromarray(like(np.asarray(image).astype(int), RED)))
    darkest = min((drawn(scene, image, seed) for seed in range(40)), key=lambda one: one.max())
    assert darkest.max() < 100


def test_a_shadow_falls_on_the_new_surface():
    pixels = np.array(photo(), np.float32)
    down, across = np.mgrid[:300, :400]
    shadow = 1 - 0.5 * np.exp(-(np.hypot(across - 290, down - 200) ** 2) / (2 * 30**2))
    shaded = pixels * np.where((np.abs(pixels - RED).max(axis=2) < 1), 1, shadow)[..., None]
    scene = Scene(SIDE, 1.0, 1.0, 0.0)
    for seed in range(5):
        without = drawn(scene, photo(), seed)
        with_it = drawn(scene, Image.fromarray(shaded.astype(np.uint8)), seed)
        column, row = (round(one * SIDE / 300) for one in (300 - 50, 210))
        assert with_it[row, column].sum() < 0.85 * without[row, column].sum()


@pytest.mark.parametrize("image", [no_board(), photo(radius=0), photo(board=(150, 100, 50))])
def test_a_photo_without_a_plain_board_or_an_object_stays(image: Image.Image):
    for seed in range(4):
        torch.manual_seed(seed)
        expected = Scene(SIDE, 0.5, 0.0, 0.0)(image)
        torch.manual_seed(seed)
        assert Scene(SIDE, 0.5, 1.0, 0.0)(image).tobytes() == expected.tobytes()


@pytest.mark.parametrize("image", [photo(), no_board()])
def test_the_seed_decides(image: Image.Image):
    scene = Scene(SIDE, 0.5, 0.7, 0.7)
    for seed in range(6):
        assert np.array_equal(drawn(scene, image, seed), drawn(scene, image, seed))
    assert len({drawn(scene, image, seed).tobytes() for seed in range(6)}) == 6


def test_each_happens_as_often_as_asked():
    plain = drawn(Scene(SIDE, 1.0, 0.0, 0.0), photo(), 0)
    replaced = [
        not np.array_equal(drawn(Scene(SIDE, 1.0, 0.3, 0.0), photo(), seed), plain)
        for seed in range(200)
    ]
    assert 38 <= sum(replaced) <= 82  # 60 expected, 3.5 standard deviations either way


def test_a_larger_view_shows_the_whole_object_smaller_and_off_centre():
    scene = Scene(SIDE, 0.5, 1.0, 1.0)
    areas, places = [], []
    for seed in range(30):
        ball = like(drawn(scene, photo(radius=40), seed), RED)
        areas.append(ball.sum())
        places.append(np.argwhere(ball).mean(axis=0) / SIDE)
        assert places[-1].min() > 0.2
        assert places[-1].max() < 0.8
    whole = np.pi * 40**2 / (400 * 300) * SIDE**2
    assert max(areas) < 1.1 * whole
    assert min(areas) < 0.3 * whole
    assert (np.std(places, axis=0) > 0.1).all()


def test_a_photo_without_a_board_lies_on_a_surface_as_a_sheet():
    colour, beyond = (90, 120, 150), []
    for seed in range(20):
        pixels = drawn(Scene(SIDE, 0.5, 1.0, 1.0), Image.new("RGB", (300, 300), colour), seed)
        sheet = np.abs(pixels - colour).max(axis=2) <= 1
        assert 0.4 < sheet.mean() < 1.01
        beyond.append(pixels[~sheet].mean(axis=0) if (~sheet).any() else colour)
    assert (np.std(beyond, axis=0) > 20).all()


@pytest.mark.parametrize(("x", "y"), [(0, 150), (400, 150), (200, 0), (200, 300)])
def test_what_the_photo_cuts_off_stays_at_the_edge(x: float, y: float):
    for seed in range(8):
        ball = like(drawn(Scene(SIDE, 0.5, 1.0, 1.0), photo(x, y), seed), RED)
        edges = {(0, 150): ball[:, 0], (400, 150): ball[:, -1], (200, 0): ball[0]}
        assert edges.get((x, y), ball[-1]).any()


@pytest.mark.parametrize("size", [(400, 300), (120, 500), (600, 40)])
def test_a_larger_view_of_any_photo_has_no_black_frame(size: tuple[int, int]):
    image = Image.new("RGB", size, (90, 120, 150))
    for seed in range(20):
        pixels = drawn(Scene(SIDE, 0.5, 0.0, 1.0), image, seed)
        assert np.abs(pixels - (90, 120, 150)).max() <= 8  # a dark frame has 0


def test_without_either_it_is_torchvisions_crop():
    from torchvision.transforms import v2

    for seed in range(5):
        torch.manual_seed(seed)
        torch.rand(3, dtype=torch.float64)
        expected = v2.RandomResizedCrop(SIDE, (0.5, 1))(no_board())
        found = drawn(Scene(SIDE, 0.5, 0.0, 0.0), no_board(), seed)
        assert np.abs(found - np.asarray(expected).astype(int)).max() <= 30
        assert np.abs(found - np.asarray(expected).astype(int)).mean() < 1
