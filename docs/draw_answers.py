"""Draw `docs/answers.jpg`: the example pictures with what the built-in model says of each.

python docs/draw_answers.py
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from binsight import Classifier, Prediction
from binsight.files import replacing

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
COLUMNS, TILE, CAPTION = 3, (320, 240), 64
INK, UNSURE, PAPER = "#1b1b1b", "#9a5b00", "#ffffff"


def main() -> None:
    """Classify and draw."""
    photos = sorted(EXAMPLES.glob("*.jpg"))
    rows = -(-len(photos) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE[0], rows * (TILE[1] + CAPTION)), PAPER)
    answers = Classifier().classify(photos)
    for number, (photo, answer) in enumerate(zip(photos, answers, strict=True)):
        row, column = divmod(number, COLUMNS)
        _tile(sheet, (column * TILE[0], row * (TILE[1] + CAPTION)), photo, answer)
    with replacing(HERE / "answers.jpg") as temporary:
        sheet.save(temporary, quality=88)


def _tile(sheet: Image.Image, corner: tuple[int, int], photo: Path, answer: Prediction) -> None:
    left, top = corner
    with Image.open(photo) as picture:
        sheet.paste(picture.resize(TILE, Image.Resampling.LANCZOS), corner)
    draw = ImageDraw.Draw(sheet)
    caption = f"{answer.label}, {answer.confidence:.0%}"
    draw.text((left + 10, top + TILE[1] + 6), caption, INK, ImageFont.load_default(24))
    if not answer.sure:
        note = (left + 10, top + TILE[1] + 36)
        draw.text(note, "not sure", UNSURE, ImageFont.load_default(18))


if __name__ == "__main__":
    main()
