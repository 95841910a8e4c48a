"""Contact sheets of explained photos, right and wrong answers apart."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFont, ImageOps

from .explanation import Explanation

__all__ = ["Gallery", "Tile"]

TILE_PX, CAPTION_PX, TITLE_PX, GAP_PX = 240, 46, 44, 8
COLUMNS = 6
MOST = 60
INK, SOFT, PAPER, MOUNT = "#1b1b1b", "#59625d", "#ffffff", "#f0f0f0"


@dataclass(order=True)
class Tile:
    """One photo of a sheet.

    Args:
        rank: the sheet keeps the tiles of lowest rank, and shows them in this order.
        number: in the order of the photos; decides between equal ranks.
        picture: the overlay, as small as it will be shown.
        first_line: beside the picture, such as the file's name.
        second_line: such as the answer.
    """

    rank: float
    number: int
    picture: Image.Image = field(compare=False)
    first_line: str = field(compare=False)
    second_line: str = field(compare=False)


class Gallery:
    """A sheet of at most 60 tiles that says how many there were; any number may be added.

    Args:
        title: what they have in common.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._tiles: list[Tile] = []
        self.count = 0

    def add(
        self,
        overlay: Image.Image,
        explanation: Explanation,
        name: str,
        *,
        true: str | None = None,
    ) -> None:
        """Add one photo; wrong answers show the most confident first, others as they come."""
        wrong = true is not None and true != explanation.label
        answer = f"{explanation.label}, {explanation.confidence:.0%}"
        said = f"{true}, said {answer}" if wrong else answer
        small = ImageOps.pad(overlay, (TILE_PX, TILE_PX), color=MOUNT)
        rank = -explanation.confidence if wrong else 0.0
        insort(self._tiles, Tile(rank, self.count, small, name, said))
        del self._tiles[MOST:]
        self.count += 1

    def draw(self) -> Image.Image:
        """The sheet, RGB."""
        rows = -(-len(self._tiles) // COLUMNS)
        columns = min(COLUMNS, max(2, len(self._tiles)))
        size = (
            GAP_PX + columns * (TILE_PX + GAP_PX),
            TITLE_PX + rows * (TILE_PX + CAPTION_PX + GAP_PX),
        )
        sheet = Image.new("RGB", size, PAPER)
        draw = ImageDraw.Draw(sheet)
        draw.text((GAP_PX, 9), self._heading(), INK, ImageFont.load_default(20))
        for number, tile in enumerate(self._tiles):
            row, column = divmod(number, COLUMNS)
            left = GAP_PX + column * (TILE_PX + GAP_PX)
            top = TITLE_PX + row * (TILE_PX + CAPTION_PX + GAP_PX)
            sheet.paste(tile.picture, (left, top))
            _write(draw, (left, top + TILE_PX + 3), tile.second_line, INK, 17)
            _write(draw, (left, top + TILE_PX + 24), tile.first_line, SOFT, 14)
        return sheet

    def _heading(self) -> str:
        shown = len(self._tiles)
        of_all = f"{shown} of {self.count:,}" if shown < self.count else f"{self.count}"
        return f"{self._title} ({of_all})"


def _write(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, colour: str, height: int
) -> None:
    """Write as much of a line as the tile has room for."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    font = ImageFont.load_default(height)
    while draw.textlength(plain, font) > TILE_PX and len(plain) > 1:
        plain = f"{plain.removesuffix('…')[:-1]}…"
    draw.text(corner, plain, colour, font)
