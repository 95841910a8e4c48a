"""What is printed on the objects, drawn with Pillow: labels, text, kraft paper."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rendering.shapes import noise

Ink = tuple[int, int, int]


def write(
    image: Image.Image, at: tuple[float, float], text: str, ink: Ink, *, size: float, bold: int
) -> None:
    """Write one centred line of text; `bold` thickens every stroke by so many pixels."""
    font = ImageFont.load_default(size)
    ImageDraw.Draw(image).text(
        at, text, fill=ink, font=font, anchor="mm", stroke_width=bold, stroke_fill=ink
    )


def can_print() -> Image.Image:
    """Wrap of the drinks can: red lacquer, with bare aluminium left free above and below."""
    width, height = 2048, 1060
    silver, red = (240, 240, 243), (190, 16, 24)
    image = Image.new("RGB", (width, height), silver)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 205, width, 790), fill=red)
    draw.rectangle((0, 172, width, 188), fill=red)
    for turn in range(2):
        left = turn * width // 2
        _wave(draw, left, width // 2, 690, silver)
        write(image, (left + 512, 440), "KOLA", silver, size=290, bold=10)
        write(image, (left + 512, 900), "sparkling drink  330 ml", red, size=62, bold=2)
    return image


def _wave(draw: ImageDraw.ImageDraw, left: int, width: int, level: int, ink: Ink) -> None:
    x = np.arange(width + 1)
    curve = 55 * np.sin(x / width * 2 * np.pi)
    upper = list(zip(left + x, level + curve, strict=True))
    lower = list(zip(left + x[::-1], (level + 62 + curve * 0.7)[::-1], strict=True))
    draw.polygon(upper + lower, fill=ink)


def water_label() -> Image.Image:
    """Wrap of the plastic bottle."""
    width, height = 2048, 430
    image = Image.new("RGB", (width, height), (20, 92, 190))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width, 34), fill=(235, 240, 248))
    draw.rectangle((0, height - 34, width, height), fill=(235, 240, 248))
    for left in range(0, width, 683):
        _wave(draw, left, 683, 285, (90, 170, 235))
        write(image, (left + 341, 160), "AQUA", (250, 252, 255), size=170, bold=6)
        write(
            image,
            (left + 341, 355),
            "still mineral water   500 ml",
            (235, 242, 250),
            size=38,
            bold=1,
        )
    return image


def kraft(seed: int, size: tuple[int, int] = (1024, 1024)) -> Image.Image:
    """Brown unbleached paper: clouds, fibres and the shadow of the flutes below."""
    columns, rows = size
    y, x = np.mgrid[0:rows, 0:columns] / 1024
    cloud = noise(np.stack([x * 6, y * 6], axis=-1), seed, octaves=4)
    fibre = noise(np.stack([x * 60, y * 420], axis=-1), seed + 1, octaves=2)
    fibre += noise(np.stack([x * 420, y * 60], axis=-1), seed + 2, octaves=2)
    speck = np.random.default_rng(seed).normal(0, 1, (rows, columns))
    level = 1 + 0.05 * cloud + 0.035 * fibre + 0.02 * speck
    colour = level[..., None] * np.array([183.0, 147.0, 107.0])
    return Image.fromarray(np.clip(colour, 0, 255).astype(np.uint8), "RGB")


def stamp_fragile(image: Image.Image, middle: tuple[float, float]) -> None:
    """Stamp a warning and two upward arrows on a cardboard wall."""
    x, y = middle
    ink = (66, 45, 32)
    draw = ImageDraw.Draw(image)
    write(image, (x - 60, y), "FRAGILE", ink, size=92, bold=3)
    for left in (x + 175, x + 260):
        draw.rectangle((left - 13, y - 20, left + 13, y + 60), fill=ink)
        draw.polygon([(left - 36, y - 15), (left + 36, y - 15), (left, y - 75)], fill=ink)
    draw.rectangle((x + 130, y + 72, x + 305, y + 82), fill=ink)


SENTENCE = (
    "Please sort what you no longer need before the weekly round. Clean paper goes into the blue "
    "bin, glass to the bank at the corner, cans and bottles into the yellow bag. What is soiled "
    "or mixed stays with the rest. The list below says what was collected in each street. "
)


def page() -> Image.Image:
    """Print a letter with a heading, two paragraphs, a table and more text."""
    width, height = 1260, 1782
    image = Image.new("RGB", (width, height), (243, 243, 240))
    draw = ImageDraw.Draw(image)
    ink = (38, 38, 44)
    draw.text((130, 120), "Collection report", fill=ink, font=ImageFont.load_default(84))
    draw.line((130, 235, width - 130, 235), fill=ink, width=5)
    below = _paragraph(draw, 275, SENTENCE * 2)
    below = _table(draw, below + 40)
    below = _paragraph(draw, below + 50, SENTENCE * 2)
    _paragraph(draw, below + 30, SENTENCE)
    return image


def _paragraph(draw: ImageDraw.ImageDraw, top: int, text: str) -> int:
    font = ImageFont.load_default(35)
    line = ""
    for word in text.split():
        if draw.textlength(f"{line} {word}", font=font) > 1000:
            draw.text((130, top), line, fill=(45, 45, 50), font=font)
            line, top = word, top + 48
        else:
            line = f"{line} {word}".strip()
    draw.text((130, top), line, fill=(45, 45, 50), font=font)
    return top + 48


def _table(draw: ImageDraw.ImageDraw, top: int) -> int:
    rows = ["street|paper|glass|metal", "Mill Lane|412|230|75", "High Street|388|305|91"]
    rows += ["Harbour Road|240|118|64", "Station Square|530|276|102"]
    font = ImageFont.load_default(35)
    for index, row in enumerate(rows):
        level = top + index * 58
        shade = (196, 208, 222) if index == 0 else (243, 243, 240)
        draw.rectangle((130, level, 1130, level + 58), fill=shade, outline=(70, 70, 80), width=3)
        for left, word in zip((150, 560, 760, 960), row.split("|"), strict=True):
            draw.text((left, level + 8), word, fill=(38, 38, 44), font=font)
    return top + len(rows) * 58


def crisps_print() -> Image.Image:
    """Front of the crisps bag; the wrap starts and ends underneath."""
    width, height = 2048, 1330
    image = Image.new("RGB", (width, height), (232, 168, 12))
    draw = ImageDraw.Draw(image)
    red, cream = (190, 24, 22), (255, 244, 214)
    draw.rectangle((0, height - 90, width, height), fill=red)
    draw.rectangle((0, 0, width, 110), fill=red)
    draw.ellipse((620, 250, 1430, 720), fill=red, outline=cream, width=14)
    write(image, (1024, 440), "CRISPS", cream, size=190, bold=8)
    write(image, (1024, 600), "ready salted", (250, 205, 60), size=82, bold=2)
    for x, y, turn in [(860, 900, 20), (1060, 960, -15), (1230, 880, 35), (960, 1060, 60)]:
        _printed_crisp(image, x, y, turn)
    write(image, (1024, 190), "crunchy potato", red, size=64, bold=2)
    return image


def _printed_crisp(image: Image.Image, x: int, y: int, turn: float) -> None:
    crisp = Image.new("RGBA", (260, 260), (0, 0, 0, 0))
    draw = ImageDraw.Draw(crisp)
    draw.ellipse(
        (10, 50, 250, 210), fill=(246, 214, 110, 255), outline=(176, 104, 20, 255), width=6
    )
    draw.arc((40, 80, 220, 190), 20, 160, fill=(214, 160, 60, 255), width=6)
    crisp = crisp.rotate(turn, resample=Image.Resampling.BICUBIC)
    image.paste(crisp, (x - 130, y - 130), crisp)
