"""The open corrugated cardboard box, with real flutes between its liners."""

import numpy as np

from rendering import materials, prints
from rendering.shapes import Array, Mesh, grid, join, noise, resample, rotation
from rendering.studio import Part, Shot

WIDTH, DEPTH, HEIGHT, FLAP = 17.0, 12.5, 9.0, 6.0
THICKNESS, PITCH = 0.4, 0.75
PIXELS_PER_CM = 60


def cardboard_box() -> Shot:
    """Stand an open box on the board, one flap pointing at the camera to show its flutes."""
    yaw = rotation("z", -24)
    parts: list[Part] = []
    for name, width, out, turn, angle in [
        ("front", WIDTH, DEPTH / 2, 0, 34), ("right", DEPTH, WIDTH / 2, 90, -14),
        ("back", WIDTH, DEPTH / 2, 180, 63), ("left", DEPTH, WIDTH / 2, 270, 9),
    ]:  # fmt: skip
        place = yaw @ rotation("z", turn - 90)
        parts += _panel(name, width, out, angle, place)
    floor = np.zeros((2, 2, 3))
    floor[..., 0], floor[..., 1] = np.meshgrid([-WIDTH / 2, WIDTH / 2], [-DEPTH / 2, DEPTH / 2])
    floor[..., 2] = 0.3
    parts.append(Part(grid(floor).moved(yaw, np.zeros(3)), _paper("floor", (1024, 1024), 9)))
    parts.append(Part(_corners().moved(yaw, np.zeros(3)), _paper("corner", (128, 512), 8)))
    return Shot(parts, target=(0.2, 0.4, 6.0), distance=66, elevation=44, view=34, seed=6)


def _panel(name: str, width: float, out: float, angle: float, place: Array) -> list[Part]:
    """Build one wall with its flap: two liners, the flutes between them, maybe tape."""
    centre = _side_view(angle)
    seed = len(name) * 7 + int(out)
    size = (int(width * PIXELS_PER_CM), int((HEIGHT + FLAP) * PIXELS_PER_CM))
    half = THICKNESS / 2
    columns = np.linspace(-width / 2 + 0.1, width / 2 - 0.1, 700)
    wave = half * 0.9 * np.sin(columns / PITCH * 2 * np.pi)

    def layer(offset: Array | float, across: Array = columns, part: slice = slice(None)) -> Mesh:
        sheet = _sheet(centre, across, offset, seed)[part]
        sheet[..., 0] += out
        return grid(sheet).moved(place, np.zeros(3))

    parts = [
        Part(layer(half), _paper(name, size, seed)),
        Part(layer(-half), _paper("inside", size, seed + 1)),
        Part(layer(wave), materials.matte(materials.plain((0.4, 0.27, 0.15)))),
    ]
    if name in ("left", "front"):
        tape = materials.glossy(materials.plain((0.23, 0.11, 0.04)), 0.16)
        strip = np.linspace(-2.3, 2.3, 120) - (3.6 if name == "front" else 0.0)
        long = slice(0, 150) if name == "left" else slice(330, 600)
        parts.append(Part(layer(half + 0.03, strip, long), tape))
        if name == "front":
            parts.append(Part(layer(-half - 0.03, strip, slice(480, 600)), tape))
    return parts


def _side_view(angle: float) -> Array:
    """Centre line of wall and flap as outward distance and height."""
    tilt = np.radians(angle)
    tip = (FLAP * np.cos(tilt), HEIGHT + FLAP * np.sin(tilt))
    return resample([(0.0, 0.02), (0.0, HEIGHT), tip], 600, rounding=0.28)


def _sheet(centre: Array, across: Array, offset: Array | float, seed: int) -> Array:
    tangent = np.gradient(centre, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    along = np.linspace(0, HEIGHT + FLAP, len(centre))
    y, s = np.meshgrid(across, along)
    warp = 0.22 * noise(np.stack([y * 0.12, s * 0.2], axis=-1), seed)
    warp += 0.02 * noise(np.stack([y * 0.9, s * 0.5], axis=-1), seed + 1, octaves=2)
    # The crease squashes the flutes; below it the corners hold the wall in place.
    crease = np.exp(-(((s - HEIGHT) / 0.3) ** 2))
    held = np.clip(s / 3, 0, 1) * np.where(s < HEIGHT, 0.35, 1.0)
    push = warp * held + offset * (1 - 0.45 * crease)
    d = centre[:, :1] + normal[:, :1] * push
    z = centre[:, 1:] + normal[:, 1:] * push
    return np.stack([d, y, z], axis=-1)


def _corners() -> Mesh:
    """Round the four upright edges, where the outer liner wraps from wall to wall."""
    angle = np.linspace(0, 2 * np.pi, 33)
    posts = []
    for x in (-WIDTH / 2, WIDTH / 2):
        for y in (-DEPTH / 2, DEPTH / 2):
            ring = np.stack([x + 0.21 * np.cos(angle), y + 0.21 * np.sin(angle)], axis=1)
            low = np.column_stack([ring, np.full(33, 0.02)])
            high = np.column_stack([ring, np.full(33, HEIGHT - 0.15)])
            posts.append(grid(np.stack([low, high])))
    return join(*posts)


def _paper(name: str, size: tuple[int, int], seed: int) -> materials.Bsdf:
    image = prints.kraft(seed, size)
    if name == "front":
        prints.stamp_fragile(image, (size[0] * 0.62, size[1] - HEIGHT * PIXELS_PER_CM * 0.31))
    return materials.matte(materials.picture(image))
