"""Do the maps mean anything? Three questions with a known answer for maps that mean nothing.

* Deletion: taking away what is hot first should make the probability fall soon: a small area under
  the curve. Insertion: adding what is hot first to a blurred photo should make it rise soon: a
  large area (Petsiuk et al. 2018, "RISE: Randomized Input Sampling for Explanation", section 4.2).
* Pointing game: the hottest place should lie on the object (Zhang et al. 2016, "Top-down Neural
  Attention by Excitation Backprop"). The object is found by `binsight.board`.

Each is also asked of two maps that know nothing of the network: one of random heat, of the same
grain, and one that is hot in the centre, where photographers put things. A map that means something
beats both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFilter

from binsight.board import object_mask
from binsight.images import ImageSource, decode
from binsight.preprocess import normalised, shape_for_model

from .explainers import Explainer, Look, class_number
from .grid import Grid

__all__ = ["RIVALS", "Checked", "check_photo", "order_of", "summary"]

Floats = NDArray[np.float32]
STEPS = 14
BLUR = 0.05  # radius, of the photo's side; RISE uses 5 of 224 pixels, which leaves edges
RIVALS = ("map", "random", "centre")
RESAMPLES = 2000


@dataclass(frozen=True)
class Checked:
    """What was measured on one photo, for the map and for each rival.

    Args:
        explained: the class that the map is of.
        deletion: area under the curve, 0 to 1; small is good.
        insertion: the same; large is good.
        pointing: whether the hottest place lies on the object; ``None`` without a plain board.
        on_object: share of the heat on the object; ``None`` without a plain board.
        object_share: of the photo; what a random place would hit.
    """

    explained: str
    deletion: Mapping[str, float]
    insertion: Mapping[str, float]
    pointing: Mapping[str, bool] | None
    on_object: Mapping[str, float] | None
    object_share: float | None

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        return {
            "class": self.explained,
            "deletion": _rounded(self.deletion),
            "insertion": _rounded(self.insertion),
            "pointing": dict(self.pointing) if self.pointing else None,
            "on_object": _rounded(self.on_object) if self.on_object else None,
            "object_share": None if self.object_share is None else round(self.object_share, 4),
        }


def check_photo(
    explainer: Explainer,
    photo: ImageSource,
    random: np.random.Generator,
    label: str | None = None,
) -> Checked:
    """Ask the three questions of one photo.

    Args:
        explainer: whose maps to check.
        photo: as for `explain`.
        random: of the random rival, and of the order of places that are equally hot.
        label: class to explain; the most probable one if not given.

    Raises:
        UsageError: no such class.
        ImageError: the photo cannot be used.
    """
    spec = explainer.spec
    square = shape_for_model(decode(photo, min_side=spec.min_side), spec)
    image_chw = normalised(square, spec)
    asked = None if label is None else class_number(explainer.classes, label)
    looked = explainer.look(image_chw, asked)
    number = int(looked.probs_c.argmax()) if asked is None else asked
    heats = _rivals(looked, spec.size, random)
    blurred_chw = normalised(square.filter(ImageFilter.GaussianBlur(BLUR * spec.size)), spec)
    deletion, insertion = {}, {}
    for name, heat_hw in heats.items():
        order_n = order_of(heat_hw, random)
        # The mean colour of the training data is 0 after normalisation.
        deletion[name] = _area(explainer, number, image_chw, np.zeros_like(image_chw), order_n)
        insertion[name] = _area(explainer, number, blurred_chw, image_chw, order_n)
    mask_hw = object_mask(np.asarray(square))
    return Checked(
        explainer.classes[number],
        deletion,
        insertion,
        None if mask_hw is None else {name: _hits(one, mask_hw) for name, one in heats.items()},
        None if mask_hw is None else {name: _on(one, mask_hw) for name, one in heats.items()},
        None if mask_hw is None else float(mask_hw.mean()),
    )


def _rivals(looked: Look, size: int, random: np.random.Generator) -> dict[str, Floats]:
    """The map and two that know nothing of the network, each (size, size)."""
    across = (np.arange(size) + 0.5) / size - 0.5
    centre_hw = 1 - np.hypot(across[:, None], across[None]) / np.hypot(0.5, 0.5)
    # A map that a library has interpolated, or of an early layer, has more cells than grains.
    grains = looked.heat_hw.shape[0] if looked.heat_hw.shape[0] <= 16 else 7
    noise_hw = random.random((grains, grains), np.float32)
    cell = size / grains
    return {
        "map": looked.grid.spread(looked.heat_hw, size),
        "random": Grid(cell / 2, cell).spread(noise_hw, size),
        "centre": centre_hw.astype(np.float32),
    }


def order_of(heat_hw: Floats, random: np.random.Generator) -> NDArray[np.int64]:
    """Flat indices of all places, the hottest first; equally hot ones in random order."""
    flat_n = heat_hw.ravel()
    return np.lexsort((random.random(flat_n.size), -flat_n)).astype(np.int64)


def _area(
    explainer: Explainer, number: int, start_chw: Floats, end_chw: Floats, order_n: NDArray[Any]
) -> float:
    """Area under the probability of a class while places turn from start to end, in order."""
    reached = np.linspace(0, order_n.size, STEPS + 1).round().astype(int)
    frames = []
    for count in reached:
        frame_cn = start_chw.reshape(3, -1).copy()
        frame_cn[:, order_n[:count]] = end_chw.reshape(3, -1)[:, order_n[:count]]
        frames.append(frame_cn.reshape(start_chw.shape))
    probs_n = explainer.probs(np.stack(frames))[:, number].astype(np.float64)
    return float(((probs_n[1:] + probs_n[:-1]) / 2).mean())


def _hits(heat_hw: Floats, mask_hw: NDArray[np.bool_]) -> bool:
    return bool(mask_hw.ravel()[heat_hw.argmax()])


def _on(heat_hw: Floats, mask_hw: NDArray[np.bool_]) -> float:
    total = float(heat_hw.sum(dtype=np.float64))
    return float(heat_hw[mask_hw].sum(dtype=np.float64)) / total if total > 0 else 0.0


def summary(checked: Sequence[Checked], seed: int = 0) -> dict[str, Any]:
    """Means of each question for the map and its rivals, and by how much the map is better.

    ``better_than_random`` and ``better_than_centre`` are mean differences, turned so that above 0
    is good, with 95 % percentile bootstrap intervals over photos.
    """
    random = np.random.default_rng(seed)
    found: dict[str, Any] = {"photos": len(checked)}
    for name in ("deletion", "insertion", "pointing", "on_object"):
        rows = [dict(one) for photo in checked if (one := getattr(photo, name)) is not None]
        found[name] = _compared(rows, -1.0 if name == "deletion" else 1.0, random)
    shares = [one.object_share for one in checked if one.object_share is not None]
    found["object_share"] = round(float(np.mean(shares)), 4) if shares else None
    return found


def _compared(
    rows: Sequence[Mapping[str, float]], good: float, random: np.random.Generator
) -> dict[str, Any] | None:
    if not rows:
        return None
    values = {name: np.array([row[name] for row in rows], np.float64) for name in RIVALS}
    result: dict[str, Any] = {"photos": len(rows)}
    result |= {name: round(float(some.mean()), 4) for name, some in values.items()}
    chosen = random.integers(0, len(rows), (RESAMPLES, len(rows)))
    for rival in RIVALS[1:]:
        gain_n = good * (values["map"] - values[rival])
        low, high = np.percentile(gain_n[chosen].mean(axis=1), [2.5, 97.5])
        result[f"better_than_{rival}"] = {
            "mean": round(float(gain_n.mean()), 4),
            "low": round(float(low), 4),
            "high": round(float(high), 4),
        }
    return result


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
