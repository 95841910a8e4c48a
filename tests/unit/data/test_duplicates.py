from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy.fft import idctn

from binsight.data import duplicates
from binsight.data.duplicates import (
    group_by_content,
    group_near,
    same_picture,
    thumbnail,
)


def textured(seed: int, size=(320, 240)) -> Image.Image:
    """Coarse and fine patches, as a photo has."""
    generator = np.random.default_rng(seed)
    image = Image.new("RGB", size)
    for cells, weight in ((3, 1.0), (7, 0.5), (24, 0.25)):
        noise = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), np.uint8))
        image = Image.blend(image, noise.resize(size, Image.Resampling.BICUBIC), weight)
    return image


def groups(*images: Image.Image) -> list[int]:
    return group_near([str(number) for number in range(len(images))], [*map(thumbnail, images)])


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize("seed", range(5))
def test_all_forms_of_one_picture_are_one_group(seed):
    image = textured(seed)
    forms = [image, recompressed(image, 40), image.resize((97, 73)), image.resize((1000, 750))]
    forms += [image.transpose(turn) for turn in Image.Transpose]
    forms += [ImageEnhance.Brightness(image).enhance(1.1)]
    forms += [recompressed(image.rotate(90, expand=True).resize((120, 160)), 40)]
    assert groups(*forms) == [0] * len(forms)


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_each_orientation_is_found_by_itself(turn):
    image = textured(17)
    assert same_picture(thumbnail(image), thumbnail(image.transpose(turn)))
    assert same_picture(thumbnail(image.transpose(turn)), thumbnail(image))


def test_different_pictures_are_different_groups():
    assert groups(*(textured(seed) for seed in range(60))) == list(range(60))
    assert not same_picture(thumbnail(textured(1)), thumbnail(textured(2)))


def waves(coarse_seed: int, fine_seed: int) -> Image.Image:
    """A thumbnail whose 8 x 8 slowest waves depend on one seed, the next ones on another."""
    waves_kk = np.zeros((32, 32))
    waves_kk[:16, :16] = np.random.default_rng(fine_seed).normal(0, 40, (16, 16))
    waves_kk[:8, :8] = np.random.default_rng(coarse_seed).normal(0, 40, (8, 8))
    waves_kk[0, 0] = 32 * 128  # the mean
    pixels = idctn(waves_kk, norm="ortho")
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def test_equal_shapes_with_other_detail_are_different_pictures():
    assert same_picture(waves(1, 1), waves(1, 1))
    for seed in range(2, 12):
        assert not same_picture(waves(1, 1), waves(1, seed))


def test_groups_are_numbered_by_first_appearance():
    first, second, third = textured(1), textured(2), textured(3)
    assert groups(first, second, first, third, second) == [0, 1, 0, 2, 1]


def test_membership_is_transitive():
    chain = [textured(3)]
    while groups(chain[0], chain[-1]) == [0, 0]:  # ever more of another picture
        chain.append(Image.blend(textured(3), textured(4), 0.04 * len(chain)))
    assert groups(chain[-2], chain[-1]) == [0, 0]
    assert groups(chain[0], chain[-1]) == [0, 1]
    assert groups(*chain) == [0] * len(chain)


def test_many_alike_are_compared_with_one_of_them(monkeypatch):
    """Frames of a still camera: all pairs are near."""
    compared = []
    distances = duplicates._distances

    def counting(orientations, others):
        compared.append(others.shape)
        return distances(orientations, others)

    monkeypatch.setattr(duplicates, "_distances", counting)
    frames = [ImageEnhance.Brightness(textured(1)).enhance(1 + n / 500) for n in range(40)]
    assert groups(*frames, textured(2)) == [*[0] * 40, 1]
    assert sum(len(shape) == 2 and shape[1] == 4 for shape in compared) == 39


def test_equal_bytes_are_one_group_whatever_they_look_like():
    thumbnails = [thumbnail(textured(seed)) for seed in range(3)]
    assert group_near(["a", "b", "a"], thumbnails) == [0, 1, 0]


def test_single_photo_is_a_group():
    assert groups(textured(0)) == [0]


def test_group_by_content():
    assert group_by_content(["b", "a", "b", "c", "a"]) == [0, 1, 0, 2, 1]
    assert group_by_content([]) == []
