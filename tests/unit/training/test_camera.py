from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from binsight.training.camera import Jpeg, Light, Motion, Noise, Pixelate  # noqa: E402

ALL = [Light(), Motion(), Noise(), Pixelate(), Jpeg(30)]


def photo(width: int = 60, height: int = 40) -> Image.Image:
    blocks = np.random.default_rng(0).integers(40, 216, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(blocks)


def grey(level: int = 128, side: int = 64) -> Image.Image:
    return Image.new("RGB", (side, side), (level, level, level))


def drawn(transform, image: Image.Image, seed: int) -> np.ndarray:
    torch.manual_seed(seed)
    result = transform(image)
    assert result.mode == "RGB"
    assert result.size == image.size
    return np.asarray(result).astype(int)


def name(transform) -> str:
    return type(transform).__name__


@pytest.mark.parametrize("transform", ALL, ids=name)
def test_the_seed_decides(transform):
    before = np.asarray(photo()).copy()
    image = photo()
    found = [drawn(transform, image, seed) for seed in range(6)]
    assert all(np.array_equal(one, drawn(transform, image, seed)) for seed, one in enumerate(found))
    assert len({one.tobytes() for one in found}) > 3
    assert np.array_equal(np.asarray(image), before)


@pytest.mark.parametrize("transform", ALL, ids=name)
@pytest.mark.parametrize("sides", [(2, 2), (7, 50), (224, 224)])
def test_any_size(transform, sides: tuple[int, int]):
    drawn(transform, photo(*sides), 0)


def test_light_changes_colour_and_brightness_but_leaves_a_picture():
    pixels = [drawn(Light(), grey(), seed) for seed in range(60)]
    means = np.array([one.mean(axis=(0, 1)) for one in pixels])
    assert (means[:, 0] > means[:, 2] + 10).any()  # warm
    assert (means[:, 2] > means[:, 0] + 10).any()  # cold
    assert means.std(axis=0).min() > 10
    assert means.min() > 15
    assert means.max() < 240


def test_half_of_the_light_is_uneven():
    uneven = [np.ptp(drawn(Light(), grey(), seed)[..., 1]) > 8 for seed in range(200)]
    assert 70 <= sum(uneven) <= 125  # 100 expected; a shadow may pass a photo by


def test_light_keeps_the_order_of_levels():
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2))
    for seed in range(20):
        torch.manual_seed(seed)
        if np.ptp(drawn(Light(), grey(side=32), seed)[..., 1]) == 0:
            assert (np.diff(drawn(Light(), ramp, seed), axis=1) >= 0).all()


def test_motion_draws_a_point_into_a_line():
    side = 101
    point = np.zeros((side, side, 3), np.uint8)
    point[50, 50] = 255
    for seed in range(12):
        line = drawn(Motion(), Image.fromarray(point), seed)[..., 0]
        places = np.argwhere(line) - 50
        assert len(places) >= 3
        assert np.abs(places).max() <= 0.035 * side + 1
        assert np.allclose(places.mean(axis=0), 0, atol=0.6)
        # All on one line, within the rounding of pixels.
        _, spread, _ = np.linalg.svd(places.astype(float))
        assert spread[1] <= 0.5 * np.sqrt(len(places))


def test_motion_leaves_what_is_even():
    assert (drawn(Motion(), grey(), 0) == 128).all()


def test_noise_is_around_the_photo():
    spreads = []
    for seed in range(20):
        pixels = drawn(Noise(), grey(side=128), seed)
        assert abs(pixels.mean() - 128) < 3
        spreads.append(pixels.std())
    assert min(spreads) > 0.8
    assert max(spreads) > 3 * min(spreads)
    assert max(spreads) < 30


def test_pixelate_takes_detail_away():
    for seed in range(10):
        steps = [
            np.abs(np.diff(one, axis=1)).mean()
            for one in (np.asarray(photo()).astype(int), drawn(Pixelate(), photo(), seed))
        ]
        assert steps[1] < 0.8 * steps[0]


def test_jpeg_is_pillows_at_qualities_from_the_lowest_to_90():
    found = {drawn(Jpeg(85), photo(), seed).tobytes() for seed in range(60)}
    expected = set()
    for quality in range(85, 91):
        buffer = io.BytesIO()
        photo().save(buffer, "jpeg", quality=quality)
        expected.add(np.asarray(Image.open(buffer)).astype(int).tobytes())
    assert found == expected
