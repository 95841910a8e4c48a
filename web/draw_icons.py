"""Draw the page's icons: a bin that looks at you.

python web/draw_icons.py
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

PUBLIC = Path(__file__).parent / "public"
GROUND, BIN, PUPIL = "#17693f", "#f4f6f3", "#131714"
GRID = 48  # the drawing's own units; what matters lies in the circle that masks leave
FINE = 4  # drawn larger and shrunk, for smooth edges


def icon(side: int) -> Image.Image:
    """Draw one icon without transparency: phones cut its corners themselves."""
    drawn = Image.new("RGB", (side * FINE, side * FINE), GROUND)
    draw = ImageDraw.Draw(drawn)
    unit = side * FINE / GRID

    def scaled(*values: float) -> list[float]:
        return [value * unit for value in values]

    draw.rounded_rectangle(scaled(20.5, 9, 27.5, 14), 1.5 * unit, BIN)
    draw.rounded_rectangle(scaled(11, 12, 37, 16), 2 * unit, BIN)
    draw.polygon(scaled(13.5, 18, 34.5, 18, 32.5, 39, 15.5, 39), BIN)
    draw.ellipse(scaled(17, 21.5, 31, 35.5), GROUND)
    draw.ellipse(scaled(19, 23.5, 29, 33.5), BIN)
    draw.ellipse(scaled(21.5, 26, 26.5, 31), PUPIL)
    return drawn.resize((side, side), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    for side in (192, 512):
        icon(side).save(PUBLIC / f"icon-{side}.png", optimize=True)
