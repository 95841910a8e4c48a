"""From the square that the network sees back to the photo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from binsight.explain import Explanation
from binsight.preprocess import PreprocessSpec, shape_for_model, square_in_photo

CROP = PreprocessSpec(size=64, resize_to=72)
FIT = PreprocessSpec(size=64, resize="fit", pad_value=0)


def explanation(heat_hw: np.ndarray, size: tuple[int, int], spec: PreprocessSpec) -> Explanation:
    return Explanation(
        label="glass",
        explained="metal",
        probs={"glass": 0.75, "metal": 0.25},
        heat_hw=heat_hw.astype(np.float32),
        photo_size=size,
        square=square_in_photo(size, spec),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([CROP, FIT]),
    st.tuples(st.integers(100, 400), st.integers(100, 400)),
    st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
)
def test_what_the_network_sees_in_a_place_is_drawn_in_that_place(spec, size, where):
    """A bright spot goes through the preprocessing and comes back where it was."""
    short = min(size)  # what a crop keeps lies in the middle
    x, y = (side / 2 + (share - 0.5) * short for side, share in zip(size, where, strict=True))
    down, across = np.mgrid[: size[1], : size[0]] + 0.5
    radius = short / 12
    spot = 255 * np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * radius**2))
    photo = Image.fromarray(spot.astype(np.uint8)).convert("RGB")
    heat = np.asarray(shape_for_model(photo, spec))[..., 0] / 255
    back = explanation(heat, size, spec).heat_on_photo(size).astype(np.float64)
    assert back.shape == size[::-1]
    pixel = max(size) / 64  # of the square
    assert float((back * across).sum() / back.sum()) == pytest.approx(x, abs=pixel / 4)
    assert float((back * down).sum() / back.sum()) == pytest.approx(y, abs=pixel / 4)


def test_what_a_crop_leaves_out_was_not_seen():
    square = explanation(np.ones((64, 64)), (200, 100), CROP)
    seen = square.seen_on_photo((200, 100))
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    kept = 100 * 64 / 72  # 88.9 pixels
    assert (rows[0], rows[-1]) == (6, 93)
    assert (columns[0], columns[-1]) == (56, 143)
    assert len(rows) == len(columns) == round(kept) - 1
    heat = square.heat_on_photo((200, 100))
    assert (heat[~seen] == 0).all()
    assert np.allclose(heat[seen], 1.0)


def test_padding_lies_outside_of_the_photo():
    square = explanation(np.ones((64, 64)), (200, 100), FIT)
    assert square.square == (0.0, -50.0, 200.0, 150.0)
    assert square.seen_on_photo((200, 100)).all()
    assert np.allclose(square.heat_on_photo((200, 100)), 1.0)


def test_a_photo_may_be_shown_at_another_size():
    heat = np.zeros((64, 64))
    heat[:32, 32:] = 1.0
    small = explanation(heat, (200, 100), FIT).heat_on_photo((100, 50))
    assert small.shape == (50, 100)
    assert small[10, 80] == 1.0
    assert small[10, 20] == small[40, 80] == 0.0


def test_the_region_is_in_pixels_of_the_photo():
    heat = np.zeros((64, 64))
    heat[24:40, 40:56] = 1.0
    region = explanation(heat, (1200, 600), FIT).region
    assert region is not None
    # 16 of 64 pixels across 1200, the square beginning 300 above the photo.
    assert region.box == pytest.approx((750, 150, 1050, 450), abs=12)
    assert region.words == "right"


def test_plain_values():
    told = explanation(np.zeros((64, 64)), (30, 40), FIT)
    assert told.region is None
    assert told.confidence == 0.75
    assert told.to_dict() == {
        "label": "glass",
        "confidence": 0.75,
        "class": "metal",
        "probability": 0.25,
        "box": None,
        "where": None,
        "share": 0.0,
        "width": 30,
        "height": 40,
    }
