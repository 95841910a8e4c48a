from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from binsight.errors import UsageError
from binsight.evaluation.corruptions import FAMILIES, SEVERITIES, corrupt

BY_NAME = {family.name: family for family in FAMILIES}
NAMES = list(BY_NAME)
RANDOM = ("gaussian noise", "shot noise", "motion blur", "dirty lens", "rotation")


def textured(width: int = 288, height: int = 224) -> Image.Image:
    """A photo-like picture: soft blobs of many sizes, brighter on top."""
    random = np.random.default_rng(5)
    layers = [
        gaussian_filter(random.standard_normal((height, width, 3)), (sigma, sigma, 0)) * sigma
        for sigma in (1, 4, 16)
    ]
    field = sum(layers) + np.linspace(1.5, -1.5, height)[:, None, None]
    values = 128 + 70 * field / np.abs(field).max()
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def grey(level: int, side: int = 224) -> Image.Image:
    return Image.new("RGB", (side, side), (level,) * 3)


def values(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float64)


def changed(name: str, severity: int, image: Image.Image, seed: int = 1) -> Image.Image:
    return corrupt(image, BY_NAME[name], severity, seed=seed)


@pytest.mark.parametrize("name", NAMES)
def test_each_strength_changes_more_than_the_one_before(name: str) -> None:
    photo = textured()
    before = photo.tobytes()
    differences = [
        np.abs(values(changed(name, severity, photo)) - values(photo)).mean()
        for severity in SEVERITIES
    ]
    assert differences[0] > 0
    assert differences == sorted(differences)
    assert len(set(differences)) == len(SEVERITIES)
    assert photo.tobytes() == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (331, 97), (512, 384)])
def test_size_and_mode_are_kept(name: str, size: tuple[int, int]) -> None:
    made = changed(name, 5, textured(*size))
    assert (made.size, made.mode) == (size, "RGB")


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_photo_again(name: str) -> None:
    photo = textured(120, 90)
    first, again, other = (changed(name, 3, photo, seed=seed).tobytes() for seed in (7, 7, 8))
    assert first == again
    assert (first != other) is (name in (*RANDOM, "off-centre crop")) or name == "rotation"


@pytest.mark.parametrize("severity", [0, 6, -1])
def test_other_severities_are_refused(severity: int) -> None:
    with pytest.raises(UsageError, match="give 1 to 5"):
        changed("jpeg", severity, grey(9))


@pytest.mark.parametrize("name", NAMES)
def test_a_large_photo_is_changed_as_a_small_one(name: str) -> None:
    """Three times as large, corrupted and shrunk again, it looks as the small one does."""
    small = textured()
    large = small.resize((small.width * 3, small.height * 3), Image.Resampling.NEAREST)
    from_large = changed(name, 4, large).resize(small.size, Image.Resampling.BOX)
    difference = np.abs(values(from_large) - values(changed(name, 4, small))).mean()
    assert difference < 0.1 * np.abs(values(changed(name, 4, small)) - values(small)).mean() + 0.6


@pytest.mark.parametrize(("stops", "level"), [("brightness", 255), ("darkness", 137)])
def test_a_stop_is_twice_or_half_the_light(stops: str, level: int) -> None:
    """188 of 255 is half of white's light in sRGB, 137 a quarter."""
    severity = BY_NAME[stops].strengths.index(1.0 if stops == "brightness" else -1.0) + 1
    made = values(changed(stops, severity, grey(188)))
    assert np.abs(made - level).max() <= 1


def test_noise_has_the_deviation_it_names() -> None:
    noise = values(changed("gaussian noise", 1, grey(128))) - 128
    assert noise.std() / 255 == pytest.approx(0.08, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=0.3)


def test_shot_noise_is_poissons() -> None:
    """Variance of a count is its mean, so that of the value is value by photons of white."""
    made = values(changed("shot noise", 1, grey(128))) / 255
    assert made.mean() == pytest.approx(128 / 255, rel=0.01)
    assert made.var() == pytest.approx(128 / 255 / 60, rel=0.04)


def test_jpeg_is_pillows() -> None:
    photo, buffer = textured(), io.BytesIO()
    photo.save(buffer, "JPEG", quality=10)
    assert np.abs(values(changed("jpeg", 4, photo)) - values(Image.open(buffer))).max() <= 1


def test_pixels_are_as_few_as_it_names() -> None:
    made = values(changed("pixelate", 5, textured(224, 224)))
    blocks = made.reshape(56, 4, 56, 4, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()


def test_contrast_keeps_the_mean_colour_and_shrinks_the_rest() -> None:
    photo = textured()
    made = values(changed("contrast", 2, photo))
    assert made.mean(axis=(0, 1)) == pytest.approx(values(photo).mean(axis=(0, 1)), abs=0.5)
    assert made.std(axis=(0, 1)) == pytest.approx(0.3 * values(photo).std(axis=(0, 1)), rel=0.03)


def spot(side: int = 224) -> Image.Image:
    """Black but for one white square of 9 pixels in the middle."""
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[side // 2 - 4 : side // 2 + 5, side // 2 - 4 : side // 2 + 5] = 255
    return Image.fromarray(pixels)


def reach_of(image: Image.Image) -> np.ndarray:
    """Largest distance of light from the middle, across and down."""
    down, right, _ = np.nonzero(values(image) > 2)
    return np.array([np.abs(right - 112).max(), np.abs(down - 112).max()])


def test_defocus_spreads_light_into_a_disk_and_loses_none() -> None:
    made = changed("defocus blur", 5, spot())
    assert values(made).sum() == pytest.approx(values(spot()).sum(), rel=0.02)
    assert reach_of(made) == pytest.approx([14, 14], abs=1)  # 4 of the square, 10 of the disk


def test_motion_spreads_light_along_one_direction() -> None:
    made = values(changed("motion blur", 5, spot()))[..., 0]
    assert made.sum() == pytest.approx(values(spot())[..., 0].sum(), rel=0.02)
    down, right = np.indices(made.shape) - 112.0
    second = np.cov(np.stack([right.ravel(), down.ravel()]), aweights=made.ravel())
    across, along = np.sqrt(np.linalg.eigvalsh(second))
    assert across == pytest.approx(9 / np.sqrt(12), abs=0.4)  # as wide as it was
    assert along == pytest.approx(np.hypot(9, 0.18 * 224) / np.sqrt(12), rel=0.06)


def test_a_quarter_turn_is_pillows() -> None:
    photo = textured(224, 224)
    turns = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)
    wanted = [values(photo.transpose(turn)) for turn in turns]
    found = {
        min((0, 1), key=lambda place: np.abs(wanted[place] - made).mean()): made
        for made in (values(changed("rotation", 5, photo, seed=seed)) for seed in range(12))
    }
    assert found.keys() == {0, 1}  # either way
    for place, made in found.items():
        assert np.abs(wanted[place] - made).mean() < 1


def test_a_crop_shows_its_part_of_the_photo_and_touches_an_edge() -> None:
    ramp = np.zeros((200, 200, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(200), np.arange(200)[:, None]
    for seed in range(8):
        made = values(changed("off-centre crop", 5, Image.fromarray(ramp), seed=seed))
        left, right = made[..., 0].min(), made[..., 0].max()
        top, bottom = made[..., 1].min(), made[..., 1].max()
        assert right - left == pytest.approx(100, abs=2)
        assert bottom - top == pytest.approx(100, abs=2)
        assert min(left, top, 199 - right, 199 - bottom) <= 1


@pytest.mark.parametrize("severity", SEVERITIES)
def test_dirt_covers_what_it_names_and_only_grows(severity: int) -> None:
    light = grey(230)
    dark = values(changed("dirty lens", severity, light))[..., 0]
    middle = (230 + dark.min()) / 2
    assert (dark < middle).mean() == pytest.approx(0.1 * severity, abs=0.03)
    if severity > 1:
        assert (dark <= values(changed("dirty lens", severity - 1, light))[..., 0] + 1).all()
