from __future__ import annotations

import numpy as np
import pytest

from binsight.explain.region import Region, hottest_region


def heat(rows: slice, columns: slice, value: float = 1.0, shape=(30, 60)) -> np.ndarray:
    result = np.zeros(shape, np.float32)
    result[rows, columns] = value
    return result


def test_the_box_is_in_pixels_of_the_photo():
    region = hottest_region(heat(slice(10, 20), slice(20, 40)), (600, 300))
    assert region == Region((200, 100, 400, 200), "centre", pytest.approx(200 / 1800))
    assert region.to_dict() == {"box": [200, 100, 400, 200], "where": "centre", "share": 0.1111}


def test_a_box_stays_within_the_photo():
    region = hottest_region(heat(slice(27, 30), slice(57, 60)), (601, 299))
    assert region is not None
    assert region.box[2:] == (601, 299)
    assert region.words == "lower right"


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [
        *((0, 0, "upper left"), (0, 1, "top"), (0, 2, "upper right"), (1, 0, "left")),
        *((1, 1, "centre"), (1, 2, "right"), (2, 0, "lower left"), (2, 1, "bottom")),
        (2, 2, "lower right"),
    ],
)
def test_every_ninth_has_its_words(row: int, column: int, words: str):
    rows, columns = slice(10 * row + 2, 10 * row + 8), slice(20 * column + 3, 20 * column + 17)
    region = hottest_region(heat(rows, columns), (60, 30))
    assert region is not None
    assert region.words == words


def test_only_the_island_of_the_hottest_place_counts():
    both = heat(slice(2, 6), slice(2, 6), 0.9) + heat(slice(20, 28), slice(40, 58))
    both += heat(slice(20, 22), slice(20, 40), 0.49)  # too cold to be a bridge
    region = hottest_region(both, (60, 30))
    assert region is not None
    assert region.box == (40, 20, 58, 28)


def test_a_region_over_half_of_the_photo_is_most_of_it():
    region = hottest_region(heat(slice(0, 30), slice(0, 31)), (60, 30))
    assert region is not None
    assert region.words == "most of the photo"


def test_no_heat_no_region():
    assert hottest_region(np.zeros((5, 5), np.float32), (50, 50)) is None
