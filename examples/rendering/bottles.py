"""The glass bottle and the plastic bottle."""

import numpy as np

from rendering import materials, prints
from rendering.shapes import (
    Array,
    Mesh,
    grid,
    join,
    noise,
    offset_profile,
    placed,
    resample,
    rotation,
    turn_profile,
)
from rendering.studio import Part, Shot

GLASS_OUTSIDE = [
    (0.0, 0.75), (1.6, 0.45), (2.3, 0.05), (2.75, 0.0), (3.05, 0.35), (3.08, 1.0), (3.08, 12.6),
    (2.95, 13.8), (2.5, 15.2), (1.9, 16.6), (1.5, 18.2), (1.36, 19.5), (1.3, 21.2), (1.32, 21.35),
    (1.55, 21.4), (1.55, 21.85), (1.34, 21.95), (1.34, 22.25), (1.42, 22.4), (1.42, 22.75),
    (1.3, 23.0),
]  # fmt: skip
GLASS_INSIDE = [
    (1.05, 23.0), (0.95, 22.6), (0.93, 19.5), (1.1, 18.2), (1.5, 16.5), (2.1, 15.1), (2.58, 13.7),
    (2.72, 12.6), (2.74, 1.5), (2.5, 0.95), (1.6, 1.0), (0.0, 1.3),
]  # fmt: skip


def glass_bottle() -> Shot:
    """Lay an empty brown bottle on the board."""
    profile = resample(GLASS_OUTSIDE + GLASS_INSIDE, 900, rounding=0.09)
    profile[[0, -1], 0] = 0.0
    surface = turn_profile(profile)
    surface[..., :2] *= 1 + 0.004 * noise(surface * 0.45, seed=11)[..., None]
    turn = rotation("z", 24) @ rotation("y", 90) @ rotation("z", 200)
    meshes = placed({"glass": grid(surface)}, turn, (0.0, 0.0))
    amber = materials.absorbing((0.6, 1.5, 4.0))
    part = Part(meshes["glass"], materials.clear(1.52), inside=amber)
    return Shot([part], target=(0.0, 0.0, 2.8), distance=43, elevation=50, seed=3)


def plastic_bottle() -> Shot:
    """Lay a clear drinks bottle with ribs, a label and a blue cap on the board."""
    outside = _ribbed_profile()
    inside = offset_profile(outside, 0.045)
    shell = join(_dented(outside, outward=True), _dented(inside, outward=False))
    meshes = {"shell": shell, "label": _label(outside), "cap": _cap()}
    turn = rotation("z", -28) @ rotation("y", 90) @ rotation("z", 165)
    meshes = placed(meshes, turn, (0.0, 0.0))
    parts = [
        Part(meshes["shell"], materials.clear(1.52, (0.93, 0.975, 0.985))),
        Part(meshes["label"], materials.glossy(materials.picture(prints.water_label()), 0.25)),
        Part(meshes["cap"], materials.glossy(materials.plain((0.02, 0.12, 0.55)), 0.3)),
    ]
    return Shot(parts, target=(0.0, 0.0, 2.8), distance=43, elevation=48, seed=4)


def _ribbed_profile() -> Array:
    body = [
        (0.0, 0.9), (1.2, 0.6), (2.2, 0.05), (2.8, 0.1), (3.15, 0.8), (3.25, 1.6), (3.25, 14.2),
        (3.0, 15.6), (2.4, 17.2), (1.7, 18.5), (1.32, 19.2), (1.28, 19.6), (1.65, 19.65),
        (1.65, 19.85), (1.28, 19.9), (1.26, 21.6),
    ]  # fmt: skip
    profile = resample(body, 1100, rounding=0.1)
    profile[0, 0] = 0.0
    radius, height = profile.T
    low = (height > 1.7) & (height < 6.6)
    high = (height > 11.6) & (height < 14.1)
    ribs = np.where(low | high, 0.17 * np.cos((height - 1.7) / 0.98 * 2 * np.pi) - 0.17, 0.0)
    waist = -0.12 * ((height > 6.7) & (height < 11.5))
    profile[:, 0] = np.where(radius > 2.9, radius + ribs * 0.9 + waist, radius)
    return resample(profile, 1100, rounding=0.05)


def _deform(surface: Array) -> Array:
    """Push in the petals of the foot and some dents of use, the same for both walls."""
    x, y, z = np.moveaxis(surface, -1, 0)
    angle = np.arctan2(y, x)
    radius = np.hypot(x, y)
    foot = np.clip(1 - z / 2.2, 0, 1) ** 1.5 * np.clip(radius / 3, 0, 1)
    scale = 1 - 0.10 * foot * (1 + np.cos(5 * angle))
    body = np.clip((z - 1.5) / 2, 0, 1) * np.clip((16.5 - z) / 2, 0, 1)
    wobble = 0.05 * noise(np.stack([x, y, z], axis=-1) * 0.28, seed=21)
    ding = 0.16 * np.exp(-(((z - 9.6) / 2.6) ** 2) - ((np.abs(angle) - 2.2) / 0.55) ** 2)
    scale = scale + body * (wobble - ding * 0.6)
    return np.stack([x * scale, y * scale, z + 0.35 * foot * (1 + np.cos(5 * angle)) / 2], axis=-1)


def _dented(profile: Array, outward: bool) -> Mesh:
    surface = _deform(turn_profile(profile))
    return grid(surface if outward else surface[::-1])


def _label(outside: Array) -> Mesh:
    band = outside[(outside[:, 1] > 7.0) & (outside[:, 1] < 11.2)].copy()
    band[:, 0] += 0.025
    return grid(_deform(turn_profile(band)))


def _cap() -> Mesh:
    corners = [(1.48, 20.05), (1.5, 20.1), (1.52, 20.5), (1.52, 21.6), (1.4, 21.85), (0.0, 21.9)]
    profile = resample(corners, 160, rounding=0.06)
    surface = turn_profile(profile, 1200)
    angle = np.arctan2(surface[..., 1], surface[..., 0])
    ridged = np.clip((surface[..., 2] - 20.5) / 0.1, 0, 1) * np.clip(
        (21.75 - surface[..., 2]) / 0.1, 0, 1
    )
    scale = 1 + 0.028 * ridged * np.clip(np.cos(angle * 60) * 1.6, -1, 1)
    surface[..., :2] *= scale[..., None]
    return grid(surface)
