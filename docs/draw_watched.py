"""Draw `docs/watched.png`: a made-up view in time, and what `binsight watch` makes of it.

python docs/draw_watched.py
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from binsight import Classifier
from binsight.files import replacing
from binsight.interfaces.watch.scene import GREY_SIZE, Scene

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
VIEW, TILE, CAPTION, GAP = (640, 480), (224, 168), 50, 6
RATE, SECONDS = 5, 15
SHOWN_S = (1.2, 3.4, 4.0, 5.4, 7.0, 8.0, 9.6, 11.0, 13.0)
COLUMNS = 5
BOARD, HAND, INK, SAID = "#e4e1da", "#b98d72", "#1b1b1b", "#0b6b3a"


def main() -> None:
    """Show the view to a scene, ask the model when it says so, and draw."""
    scene, classifier = Scene(), Classifier()
    told, tiles = "", []
    for number in range(RATE * SECONDS):
        at_s = number / RATE
        view = _view(at_s)
        grey = view.convert("L").resize(GREY_SIZE, Image.Resampling.BOX)
        if scene.look(np.asarray(grey), at_s):
            answer = classifier.classify(view)
            told = f"{answer.label}, {answer.confidence:.0%}"
        if any(abs(at_s - shown) < 0.5 / RATE for shown in SHOWN_S):
            answered = told if scene.state == "answered" else ""
            tiles.append(_tile(view, f"{at_s:.1f} s  {scene.state}", answered))
    with replacing(HERE / "watched.png") as temporary:
        _sheet(tiles).quantize(96).save(temporary, format="PNG", optimize=True)


def _view(at_s: float) -> Image.Image:
    """A hand brings a bottle, it lies there while a lamp dims; both go; a hand passes."""
    view = Image.new("RGB", VIEW, BOARD)
    bottle = Image.open(EXAMPLES / "glass.jpg").convert("RGB").resize(VIEW)
    if 4 <= at_s < 9:
        view.paste(bottle)
    for begin, end, path in HANDS:
        if begin <= at_s < end:
            _hand(view, *path((at_s - begin) / (end - begin)))
    if at_s >= 7.4:
        view = ImageEnhance.Brightness(view).enhance(0.6)
    return view


def _reach(share: float) -> tuple[int, int]:
    return 320, round(480 - 300 * (1 - abs(2 * share - 1)))


def _pass(share: float) -> tuple[int, int]:
    return round(-100 + 840 * share), 200


HANDS: tuple[tuple[float, float, Callable[[float], tuple[int, int]]], ...] = (
    (3, 5, _reach),
    (8.6, 10, _reach),
    (12, 14, _pass),
)


def _hand(view: Image.Image, left: int, top: int) -> None:
    draw = ImageDraw.Draw(view)
    draw.rounded_rectangle((left - 60, top, left + 60, VIEW[1] + 80), 55, fill=HAND)


def _tile(view: Image.Image, caption: str, answered: str) -> Image.Image:
    tile = Image.new("RGB", (TILE[0], TILE[1] + CAPTION), "white")
    tile.paste(view.resize(TILE, Image.Resampling.LANCZOS))
    draw = ImageDraw.Draw(tile)
    draw.text((4, TILE[1] + 4), caption, INK, ImageFont.load_default(16))
    draw.text((4, TILE[1] + 25), answered, SAID, ImageFont.load_default(16))
    return tile


def _sheet(tiles: list[Image.Image]) -> Image.Image:
    rows = -(-len(tiles) // COLUMNS)
    width, height = TILE[0] + GAP, TILE[1] + CAPTION + GAP
    sheet = Image.new("RGB", (COLUMNS * width - GAP, rows * height), "white")
    for number, tile in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        sheet.paste(tile, (column * width, row * height))
    return sheet


if __name__ == "__main__":
    main()
