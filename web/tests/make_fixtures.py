"""Write what Pillow, and binsight's own Python, make of made-up pictures: fixtures.json.

python web/tests/make_fixtures.py
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from binsight.bins import Bins, load_bins
from binsight.explain.cam import class_activation_map, scaled
from binsight.explain.explanation import Explanation
from binsight.explain.grid import Grid
from binsight.preprocess import PreprocessSpec, apply, shape_for_model, square_in_photo

HERE = Path(__file__).parent
CLASSES = ("cardboard", "glass", "metal", "paper", "plastic", "trash")
SIZES = [(61, 47), (40, 97), (20, 13), (33, 32), (300, 33), (131, 600)]
SPECS: list[dict[str, Any]] = [
    *({"interpolation": name} for name in ("bilinear", "bicubic", "lanczos")),
    *({"interpolation": name, "resize_to": 37} for name in ("bilinear", "bicubic")),
    *({"interpolation": name, "resize": "fit"} for name in ("bilinear", "lanczos")),
]


def made_up(size: tuple[int, int]) -> Image.Image:
    """Noise that any language can make: the upper bytes of a congruential generator."""
    state, values = size[0] * 1000 + size[1], bytearray()
    for _ in range(size[0] * size[1] * 3):
        state = (state * 1664525 + 1013904223) % 2**32
        values.append(state >> 24)
    return Image.frombytes("RGB", size, bytes(values))


def squares() -> list[dict[str, Any]]:
    """What the network sees of each picture, and where that lies."""
    found = []
    for size in SIZES:
        for changes in SPECS:
            spec = PreprocessSpec(size=32, **({"resize_to": 32, "pad_value": 200} | changes))
            square = shape_for_model(made_up(size), spec).tobytes()
            found.append(
                {
                    "size": size,
                    "spec": spec.model_dump(mode="json"),
                    "square_rgb": base64.b64encode(square).decode(),
                    "box": square_in_photo(size, spec),
                }
            )
    return found


def tensor() -> dict[str, Any]:
    spec = PreprocessSpec(size=32, resize_to=32)
    values = apply(made_up((61, 47)), spec)
    return {"spec": spec.model_dump(mode="json"), "sha256": hashlib.sha256(values).hexdigest()}


def heat() -> dict[str, Any]:
    """A map over a photo, by the way that Python draws it."""
    random = np.random.default_rng(0)
    features = random.random((5, 4, 4), np.float32)
    weights = random.standard_normal(5).astype(np.float32)
    map_hw = scaled(class_activation_map(features, weights))
    grid, photo, spec = Grid(0.5, 64.0), (400, 300), PreprocessSpec(size=224, resize_to=256)
    square = square_in_photo(photo, spec)
    drawn = Explanation(
        label="a",
        explained="a",
        probs={"a": 1.0},
        heat_hw=grid.spread(map_hw, 224),
        photo_size=photo,
        square=square,
    )
    shown = (40, 30)
    return {
        "features": features.ravel().tolist(),
        "weights": weights.tolist(),
        "map": map_hw.ravel().tolist(),
        "photo": photo,
        "shown": shown,
        "square": square,
        "side": 224,
        "first": grid.first,
        "step": grid.step,
        "heat": drawn.heat_on_photo(shown).ravel().tolist(),
        "seen": drawn.seen_on_photo(shown).ravel().tolist(),
    }


def decisions() -> dict[str, Any]:
    """What the bins of Berlin, with a cost of its own, take of random probabilities."""
    values = load_bins("berlin").model_dump()
    values["costs"] = {"glass": {"Papiertonne": 5.0}}
    rules = Bins.model_validate(values)
    random = np.random.default_rng(1)
    cases = []
    for number in range(60):
        shares = random.dirichlet(np.full(6, 0.25)).tolist()
        probs = dict(zip(CLASSES, shares, strict=True))
        strange = number % 10 == 0
        choice = rules.decide(probs, threshold=0.8, strange=strange)
        name = choice.bin.name if choice.bin else None
        cases.append({"probs": probs, "strange": strange, "bin": name})
    return {"bins": rules.model_dump(mode="json"), "threshold": 0.8, "cases": cases}


if __name__ == "__main__":
    made = {"squares": squares(), "tensor": tensor(), "heat": heat(), "decisions": decisions()}
    text = json.dumps(made, separators=(",", ":"))
    (HERE / "fixtures.json").write_text(text + "\n", encoding="utf-8")
