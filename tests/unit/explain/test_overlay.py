from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from binsight.errors import UsageError
from binsight.explain import Explanation
from binsight.explain.overlay import colours, overlay
from binsight.images import PICTURE_SUFFIXES, write_picture

BLUE = (20, 40, 200)


def explanation(heat_hw: np.ndarray, size: tuple[int, int] = (120, 60)) -> Explanation:
    """Of a photo of which the network saw the middle half."""
    width, height = size
    square = (width / 4, 0.0, 3 * width / 4, float(height))
    probs = {"glass": 1.0}
    return Explanation("glass", "glass", probs, heat_hw.astype(np.float32), size, square)


def test_the_colours_are_matplotlibs_viridis():
    import matplotlib as mpl

    heat = np.linspace(0, 1, 200)[None]
    expected = mpl.colormaps["viridis"](heat[0])[:, :3] * 255
    # Of 255, between the colours that are written down.
    assert np.abs(colours(heat)[0] - expected).max() < 6


def test_hotter_is_lighter_for_any_colour_vision():
    luma = colours(np.linspace(0, 1, 50)) @ (0.299, 0.587, 0.114)
    assert (np.diff(luma) > 0).all()


def test_what_was_not_seen_is_grey_and_dark():
    heat = np.zeros((32, 32))
    heat[:, 16:] = 1.0
    picture = np.asarray(overlay(Image.new("RGB", (120, 60), BLUE), explanation(heat)), int)
    assert picture.shape == (60, 120, 3)
    outside = picture[:, [0, 15, 29, 90, 104, 119]].reshape(-1, 3)
    assert np.ptp(outside, axis=1).max() == 0
    assert outside.max() < 0.5 * 53  # the luma of that blue
    cold, hot = picture[30, 40], picture[30, 76]
    assert cold[2] > cold[:2].max()  # still blue
    assert hot[:2].min() > hot[2]  # yellow


def test_the_hottest_region_has_a_frame_to_be_seen_on_anything():
    heat = np.zeros((32, 32))
    heat[8:24, 8:24] = 1.0
    told = explanation(heat, (400, 200))
    assert told.region is not None
    left, top, right, bottom = told.region.box
    for shade in (0, 255):
        picture = np.asarray(overlay(Image.new("RGB", (400, 200), (shade,) * 3), told))
        middle = (top + bottom) // 2
        edge = picture[middle, left : left + 6].astype(int)
        assert (edge == 255).all(axis=1).any()
        assert (edge == 0).all(axis=1).any()
        assert (picture[middle, left - 3] != 0).any()
        assert (picture[top, left:right] == 0).all()


def test_a_map_of_zeros_has_no_frame():
    picture = np.asarray(overlay(Image.new("RGB", (120, 60), BLUE), explanation(np.zeros((8, 8)))))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 2  # seen and not seen


def test_a_large_photo_is_shrunk():
    told = explanation(np.ones((8, 8)), (6000, 3000))
    assert overlay(Image.new("RGB", (6000, 3000)), told).size == (2048, 1024)


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
def test_a_picture_is_written_in_the_format_of_its_name(tmp_path: Path, suffix: str):
    path = tmp_path / "deep" / f"a{suffix}"
    write_picture(path, Image.new("RGB", (20, 10), BLUE))
    with Image.open(path) as image:
        assert image.size == (20, 10)
        assert {".jpg": "JPEG", ".jpeg": "JPEG"}.get(suffix, suffix[1:].upper()) == image.format
    assert list(path.parent.iterdir()) == [path]


def test_a_picture_that_cannot_be_written_says_so(tmp_path: Path):
    with pytest.raises(UsageError, match="write a picture as one of"):
        write_picture(tmp_path / "a.txt", Image.new("RGB", (2, 2)))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be written"):
        write_picture(tmp_path / "file" / "a.png", Image.new("RGB", (2, 2)))
