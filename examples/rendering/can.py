"""The dented drinks can."""

import numpy as np

from rendering import materials, prints
from rendering.shapes import (
    Array,
    Mesh,
    facets,
    grid,
    join,
    noise,
    placed,
    resample,
    rotation,
    tube,
    turn_profile,
)
from rendering.studio import Part, Shot

BODY = [(2.95, 0.62), (3.2, 0.95), (3.3, 1.35), (3.3, 9.9), (3.05, 10.5), (2.72, 11.15)]
FOOT = [(0.0, 0.95), (1.2, 0.85), (1.95, 0.5), (2.3, 0.02), (2.5, 0.02), (2.95, 0.62)]
RIM = [
    (2.72, 11.15), (2.66, 11.28), (2.7, 11.32), (2.82, 11.34), (2.82, 11.6), (2.74, 11.66),
    (2.62, 11.62), (2.56, 11.2), (2.5, 10.98), (2.4, 10.98), (2.33, 11.2), (2.25, 11.26),
]  # fmt: skip
LID_HEIGHT = 11.26


def drinks_can() -> Shot:
    """Lay a used, dented aluminium can on the board with its opened lid to the camera."""
    body = _spun(BODY, 700, 0.08)
    bare = join(_spun(FOOT, 200, 0.06), _spun(RIM, 300, 0.03), _lid(), _tab())
    turn = rotation("z", -52) @ rotation("y", 90) @ rotation("z", -35)
    meshes = placed({"body": body, "bare": bare}, turn, (0.0, 0.0))
    printed = materials.metal(materials.picture(prints.can_print()), 0.13)
    aluminium = materials.metal(materials.plain((0.97, 0.97, 0.97)), 0.07, across=0.13)
    parts = [Part(meshes["body"], printed), Part(meshes["bare"], aluminium)]
    return Shot(parts, target=(0.0, 0.0, 3.0), distance=30, elevation=42, seed=5)


def _spun(corners: list[tuple[float, float]], count: int, rounding: float) -> Mesh:
    return grid(_crushed(turn_profile(resample(corners, count, rounding), 720)))


def _crushed(surface: Array) -> Array:
    """Squeeze the waist: facets that meet in sharp folds, as thin metal buckles."""
    x, y, z = np.moveaxis(surface, -1, 0)
    angle = np.arctan2(y, x)
    height = np.clip((z - 1.3) / 1.2, 0, 1) * np.clip((9.9 - z) / 1.2, 0, 1)
    dent = np.zeros_like(z)
    for middle, where, depth, tall, wide in [
        (6.2, 0.45, 1.9, 2.6, 0.9), (4.0, 1.95, 1.1, 1.9, 0.75), (7.6, 1.45, 0.9, 1.6, 0.6),
        (5.0, -0.9, 0.8, 1.9, 0.7), (8.0, 2.1, 0.8, 1.5, 0.6),
    ]:  # fmt: skip
        away = np.abs((angle - where + np.pi) % (2 * np.pi) - np.pi)
        diamond = np.abs(z - middle) / tall + away / wide
        dent += depth * np.log1p(np.exp((1 - diamond) * 14)) / 14
    # Small buckles between the dents; they fade out before the seam at the far side.
    folded = facets(np.stack([angle * 3.3, z], axis=-1), seed=32, cell=2.1)
    dent += 0.22 * (1 + folded) * np.clip(2.6 - np.abs(angle), 0, 1)
    ripple = 0.02 * noise(surface * 0.9, seed=31, octaves=2)
    scale = 1 - height * (dent / 3.3 - ripple)
    return np.stack([x * scale, y * scale, z], axis=-1)


def _lid() -> Mesh:
    radius = np.linspace(0.0, 2.25, 260)
    surface = turn_profile(np.stack([radius, np.full_like(radius, LID_HEIGHT)], axis=1), 900)
    x, y, _ = np.moveaxis(surface, -1, 0)
    mouth = ((x - 1.15) / 0.88) ** 2 + (y / 1.12) ** 2
    lip = 0.06 * np.exp(-(((np.sqrt(mouth) - 1.16) / 0.06) ** 2))
    bead = 0.05 * np.exp(-(((np.hypot((x + 0.2) / 1.9, y / 1.45) - 1) / 0.04) ** 2))
    surface[..., 2] += np.where(x < 0.6, bead, 0) + lip
    keep = (mouth[:-1, :-1] > 1.0) & (mouth[1:, 1:] > 1.0)
    # The rows run outwards here, so they are turned over to face up.
    return grid(surface[::-1], keep=keep[::-1])


def _stadium(length: float, width: float, middle: float, count: int = 240) -> Array:
    """Outline of the pull tab: a rounded oblong along x."""
    t = np.linspace(0, 2 * np.pi, count + 1)
    c, s = np.cos(t), np.sin(t)
    power = 0.62
    x = middle + length / 2 * np.sign(c) * np.abs(c) ** power
    y = width / 2 * np.sign(s) * np.abs(s) ** power
    return np.stack([x, y], axis=1)


def _tab() -> Mesh:
    outline = _stadium(2.5, 1.5, -0.55)
    hole = _stadium(0.85, 0.8, -1.15)
    steps = np.linspace(0, 1, 12)[:, None, None]
    plate = outline * (1 - steps) + hole * steps
    level = LID_HEIGHT + 0.2
    plate = np.concatenate([plate, np.full((*plate.shape[:2], 1), level)], axis=-1)
    edge = np.concatenate([outline * 0.97, np.full((len(outline), 1), level)], axis=1)
    inner = np.concatenate([hole, np.full((len(hole), 1), level)], axis=1)
    dome = [(0.32, LID_HEIGHT), (0.3, level + 0.08), (0.2, level + 0.13), (0.0, level + 0.14)]
    rivet = grid(turn_profile(resample(dome, 40, 0.03), 60))
    tab = join(grid(plate), tube(edge, 0.1), tube(inner, 0.05))
    # Opening the can leaves the tab slightly raised at its finger end.
    lifted = tab.points.copy()
    lifted[:, 2] += 0.16 * np.clip(-tab.points[:, 0] / 1.8, 0, 1)
    return join(Mesh(lifted, tab.faces, tab.uv), rivet)
