"""Draw serve.jpg: a request to the service, and what it answered: python docs/draw_serve.py."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from binsight.interfaces.service.application import create_app
from binsight.interfaces.service.settings import Settings

DOCS = Path(__file__).resolve().parent
PHOTO = DOCS.parent / "examples" / "cardboard.jpg"
PATH = "/v1/classify?heatmap=true"
SIZE, MARGIN, LETTER, LINE = (1280, 640), 32, 18, 24
GROUND, TEXT, PROMPT = "#101418", "#d8dee4", "#7ee787"
ADVICE = 40  # letters that are shown


def answer() -> dict[str, Any]:
    """What the service says of the photo."""
    with TestClient(create_app(Settings(model="small", bins="berlin"))) as client:
        response = client.post(PATH, files={"photos": (PHOTO.name, PHOTO.read_bytes())})
    response.raise_for_status()
    found: dict[str, Any] = response.json()
    return found


def shortened(told: dict[str, Any]) -> str:
    """The answer as text, without what takes too much room."""
    (photo,) = told["photos"]
    photo["heatmap"] |= {"base64": photo["heatmap"]["base64"][:12] + "…"}
    photo["bin"] = {name: photo["bin"][name] for name in ("name", "advice")}
    if len(photo["bin"]["advice"]) > ADVICE:
        photo["bin"]["advice"] = photo["bin"]["advice"][:ADVICE] + "…"
    told["model"] = told["model"][:12] + "…"
    photo["probs"] = {name: round(value, 3) for name, value in photo["probs"].items()}
    text = json.dumps(told, indent=2, ensure_ascii=False)
    return re.sub(r"\[[\d\s,]+\]", lambda found: " ".join(found[0].split()), text)


def draw(told: dict[str, Any]) -> Image.Image:
    """The terminal, and the heat map beside it."""
    encoded = told["photos"][0]["heatmap"]["base64"]
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans Mono"), LETTER)
    text = shortened(told)
    height = 2 * MARGIN + LINE * (2 + len(text.splitlines()))
    picture = Image.new("RGB", (SIZE[0], max(SIZE[1], height)), GROUND)
    pen = ImageDraw.Draw(picture)
    command = f"$ curl -F photos=@{PHOTO.name} 'http://127.0.0.1:8000{PATH}' | jq"
    pen.text((MARGIN, MARGIN), command, PROMPT, font)
    for number, line in enumerate(text.splitlines()):
        pen.text((MARGIN, MARGIN + LINE * (number + 2)), line, TEXT, font)
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as heat:
        heat.thumbnail((480, 560))
        picture.paste(heat, (SIZE[0] - MARGIN - heat.width, MARGIN + 2 * LINE))
    return picture


if __name__ == "__main__":
    draw(answer()).save(DOCS / "serve.jpg", quality=88)
