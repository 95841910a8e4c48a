"""The crumpled page and the torn crisps bag: thin sheets full of folds."""

import numpy as np

from rendering import materials, prints
from rendering.shapes import Array, Mesh, creases, facets, grid, noise, placed, rotation
from rendering.studio import Part, Shot


def crumpled_page() -> Shot:
    """Lay a printed page, crumpled up and opened again, on the board."""
    x, y = np.meshgrid(np.linspace(-10.5, 10.5, 420), np.linspace(-14.85, 14.85, 594))
    flat = np.stack([x, y], axis=-1)
    crumple = [
        1.15 * facets(flat, seed + 1, 5.2)
        + 0.5 * facets(flat, seed + 2, 2.3)
        + 0.16 * facets(flat, seed + 3, 1.1)
        for seed in (410, 420, 430)
    ]
    curl = (np.abs(x) / 10.5) ** 3 * (np.abs(y) / 14.85) ** 2
    height = crumple[0] + 2.6 * curl * (0.5 + 0.8 * noise(flat * 0.08, seed=43))
    sheet = np.stack([x * 0.9 + 0.45 * crumple[1], y * 0.9 + 0.45 * crumple[2], height], axis=-1)
    meshes = placed({"page": grid(sheet)}, rotation("z", 11), (0.0, 0.0))
    paper = materials.matte(materials.picture(prints.page()))
    return Shot(
        [Part(meshes["page"], paper)], target=(0.0, 0.2, 0.8), distance=62, elevation=55, seed=7
    )


def crisps_bag() -> Shot:
    """Lay an empty, torn crisps bag with a few crumbs on the board."""
    outer, inner = _bag(0.0), _bag(-0.03)
    turn = rotation("z", 55)
    meshes = placed({"outer": outer, "inner": inner}, turn, (0.6, 0.0))
    foil = materials.metal(materials.plain((0.72, 0.72, 0.74)), 0.12)
    printed = materials.glossy(materials.picture(prints.crisps_print()), 0.2, metallic=0.25)
    parts = [Part(meshes["outer"], printed), Part(meshes["inner"], foil)]
    gold = materials.matte(materials.plain((0.78, 0.5, 0.14)))
    for index, (where, size) in enumerate(
        [((-11.5, -3.6), 1.9), ((-9.2, -5.6), 0.9), ((-12.6, -0.6), 0.5), ((-7.6, -7.0), 0.35)]
    ):
        crisp = {"crisp": _crisp(size, seed=60 + index)}
        parts.append(Part(placed(crisp, rotation("z", 50 * index), where)["crisp"], gold))
    return Shot(parts, target=(-0.6, -0.4, 1.0), distance=50, elevation=50, seed=8)


def _bag(offset: float) -> Mesh:
    """Make a flattened tube, sealed at its low end and torn open at its high end."""
    around, along = np.meshgrid(np.linspace(0, 1, 700), np.linspace(0, 1, 620))
    angle = np.pi * (2 * around - 0.5)
    s = along * 19.5
    seal = np.clip((s - 1.0) / 5.5, 0, 1) ** 0.55
    lift = 0.035 + 1.75 * seal * (1 - 0.32 * along)
    width = 7.4 - 0.55 * seal + 0.25 * np.sin(3 * along)
    c, d = np.cos(angle), np.sin(angle)
    x = -width * np.sign(c) * np.abs(c) ** 0.8
    z = lift * np.sign(d) * np.abs(d) ** 0.9
    folds = np.stack([around * 30, s], axis=-1)
    push = 0.36 * creases(folds, seed=51, count=120, reach=2.6)
    push += 0.30 * facets(folds, seed=52, cell=2.4) + 0.10 * facets(folds, seed=55, cell=1.0)
    # The tube must close, so folds fade out at the seam below and at the flat seal.
    push *= np.clip(np.minimum(around, 1 - around) * 12, 0, 1) * np.clip((s - 1.1) / 2.0, 0.0, 1)
    crimp = 0.05 * np.sin(s * 2 * np.pi / 0.22) * (s < 1.25)
    zigzag = np.where(s < 0.3, 0.12 * np.abs((x / 0.4) % 2 - 1), 0)
    torn = along**8 * (1.6 * noise(folds * np.array([0.35, 0.0]), seed=53, octaves=3))
    # The upper side is ripped further down, so that the silver inside shows.
    ripped = 3.4 * along**5 * np.clip(d, 0, 1) * np.exp(-(((x + 1.2) / 4.2) ** 2))
    y = s + zigzag + torn - ripped
    z = z + crimp + (push + offset) * np.where(d >= 0, 1, -0.25)
    x = x - (0.5 * push + offset) * c
    # A gentle bend keeps the bag from looking stamped out.
    z = z + 0.9 * along**3 * noise(np.stack([x * 0.12, y * 0.1], axis=-1), seed=54)
    return grid(np.stack([x, y, z], axis=-1))


def _crisp(size: float, seed: int) -> Mesh:
    radius, angle = np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 2 * np.pi, 90))
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    edge = 1 + 0.14 * noise(ring * 0.9, seed, octaves=2)
    flat = ring * (radius * size * edge)[..., None]
    height = 0.22 * flat[..., 0] ** 2 - 0.12 * flat[..., 1] ** 2
    height += 0.05 * noise(flat * 2.0, seed + 1, octaves=3)
    points: Array = np.concatenate([flat, height[..., None]], axis=-1)
    return grid(points)
