from __future__ import annotations

import numpy as np
from PIL import Image

from binsight.explain import Explanation
from binsight.explain.gallery import CAPTION_PX, COLUMNS, GAP_PX, TILE_PX, TITLE_PX, Gallery


def told(confidence: float) -> Explanation:
    probs = {"glass": confidence, "metal": 1 - confidence}
    heat = np.zeros((4, 4), np.float32)
    return Explanation("glass", "glass", probs, heat, (40, 30), (0.0, 0.0, 40.0, 30.0))


def add(gallery: Gallery, confidence: float, shade: int, true: str | None) -> None:
    picture = Image.new("RGB", (40, 40), (shade,) * 3)
    gallery.add(picture, told(confidence), f"{shade}.jpg", true=true)


def shades(gallery: Gallery, count: int) -> list[int]:
    """Colours in the middle of the tiles, in reading order."""
    sheet = gallery.draw()
    found = []
    for number in range(count):
        row, column = divmod(number, COLUMNS)
        x = GAP_PX + column * (TILE_PX + GAP_PX) + TILE_PX // 2
        y = TITLE_PX + row * (TILE_PX + CAPTION_PX + GAP_PX) + TILE_PX // 2
        found.append(sheet.getpixel((x, y))[0])
    return found


def test_right_answers_come_in_order():
    gallery = Gallery("glass: right answers")
    for shade, confidence in ((10, 0.6), (20, 0.9), (30, 0.7)):
        add(gallery, confidence, shade, "glass")
    assert shades(gallery, 3) == [10, 20, 30]


def test_wrong_answers_come_most_confident_first():
    gallery = Gallery("metal: wrong answers")
    for shade, confidence in ((10, 0.6), (20, 0.9), (30, 0.7)):
        add(gallery, confidence, shade, "metal")
    assert shades(gallery, 3) == [20, 30, 10]


def test_a_sheet_holds_sixty_and_counts_the_others():
    gallery = Gallery("metal: wrong answers")
    for number in range(70):
        add(gallery, 0.5 + number / 200, number, "metal")
    assert gallery.count == 70
    assert shades(gallery, 60) == list(range(69, 9, -1))
    assert gallery.draw().height == TITLE_PX + 10 * (TILE_PX + CAPTION_PX + GAP_PX)


def test_a_long_name_stays_below_its_tile():
    gallery = Gallery("a")
    picture = Image.new("RGB", (40, 40))
    gallery.add(picture, told(0.9), "long\n" * 40, true=None)
    sheet = np.asarray(gallery.draw())
    assert (sheet[TITLE_PX:, GAP_PX + TILE_PX :] == 255).all()
