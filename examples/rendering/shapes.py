"""Triangle meshes made with numpy: grids, surfaces of revolution, noise, poses, PLY files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Mesh:
    """Triangles with one texture coordinate for every vertex, in centimetres."""

    points: Array
    faces: NDArray[np.int32]
    uv: Array

    def moved(self, matrix: Array, offset: Array) -> "Mesh":
        """Return the mesh turned by `matrix`, then shifted by `offset`."""
        return Mesh(self.points @ matrix.T + offset, self.faces, self.uv)

    def write_ply(self, path: Path) -> None:
        """Write a binary PLY file; the renderer computes smooth normals itself."""
        header = (
            "ply\nformat binary_little_endian 1.0\n"
            f"element vertex {len(self.points)}\n"
            "property float x\nproperty float y\nproperty float z\n"
            "property float u\nproperty float v\n"
            f"element face {len(self.faces)}\n"
            "property list uchar int vertex_indices\nend_header\n"
        )
        rows = np.zeros(len(self.faces), dtype=[("count", "u1"), ("index", "<i4", 3)])
        rows["count"], rows["index"] = 3, self.faces
        vertices = np.hstack([self.points, self.uv]).astype("<f4")
        path.write_bytes(header.encode() + vertices.tobytes() + rows.tobytes())


def grid(points: Array, uv: Array | None = None, keep: NDArray[np.bool_] | None = None) -> Mesh:
    """Join a (rows, columns, 3) field of points; `keep` masks the cells that stay."""
    rows, columns = points.shape[:2]
    if uv is None:
        u, v = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
        uv = np.stack([u, v], axis=-1)
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    cells = np.stack([a, b, c, a, c, d], axis=-1)
    cells = cells[keep] if keep is not None else cells
    return Mesh(points.reshape(-1, 3), cells.reshape(-1, 3).astype(np.int32), uv.reshape(-1, 2))


def join(*meshes: Mesh) -> Mesh:
    """Put several meshes into one."""
    starts = np.cumsum([0] + [len(mesh.points) for mesh in meshes[:-1]])
    return Mesh(
        np.concatenate([mesh.points for mesh in meshes]),
        np.concatenate([m.faces + s for m, s in zip(meshes, starts, strict=True)]).astype(np.int32),
        np.concatenate([mesh.uv for mesh in meshes]),
    )


def resample(corners: list[tuple[float, ...]] | Array, count: int, rounding: float = 0.0) -> Array:
    """Walk a polyline in `count` even steps and round its corners over `rounding` cm."""
    line = np.asarray(corners, dtype=float)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    steps = np.linspace(0.0, along[-1], count)
    walked = np.stack([np.interp(steps, along, axis) for axis in line.T], axis=1)
    if rounding <= 0:
        return walked
    sigma = rounding / (along[-1] / (count - 1))
    reach = int(3 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    # Mirroring through the end points keeps both ends of the line where they are.
    head = 2 * walked[0] - walked[reach:0:-1]
    tail = 2 * walked[-1] - walked[-2 : -reach - 2 : -1]
    padded = np.concatenate([head, walked, tail])
    kernel /= kernel.sum()
    return np.stack([np.convolve(axis, kernel, "valid") for axis in padded.T], axis=1)


def turn_profile(profile: Array, segments: int = 360) -> Array:
    """Spin an (n, 2) profile of radius and height round the z axis: (n, segments + 1, 3)."""
    angle = np.linspace(0.0, 2 * np.pi, segments + 1)
    angle[-1] = 0.0  # the seam must close exactly, or glass leaks light
    radius, height = profile[:, :1], profile[:, 1:]
    return np.stack(
        [radius * np.cos(angle), radius * np.sin(angle), np.broadcast_to(height, radius.shape)
         + 0 * angle],
        axis=-1,
    )  # fmt: skip


def offset_profile(profile: Array, thickness: float | Array) -> Array:
    """Move an outer profile inwards by the wall thickness, to make the inner wall."""
    tangent = np.gradient(profile, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-12
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    inner = profile + normal * np.reshape(thickness, (-1, 1))
    inner[:, 0] = np.maximum(inner[:, 0], 0.0)
    return inner


def tube(path: Array, radius: float, segments: int = 16) -> Mesh:
    """Sweep a circle along a closed or open (n, 3) path."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.cross(tangent, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    up = np.cross(side, tangent)
    angle = np.linspace(0, 2 * np.pi, segments + 1)[None, :, None]
    ring = np.cos(angle) * side[:, None] + np.sin(angle) * up[:, None]
    return grid(path[:, None] + radius * ring)


def noise(points: Array, seed: int, octaves: int = 1) -> Array:
    """Smooth random values of about -1..1 at (..., 2 or 3) points, one bump per unit."""
    lattice = np.random.default_rng(seed).uniform(-1, 1, (32, 32, 32))
    full = np.zeros((*points.shape[:-1], 3))
    full[..., : points.shape[-1]] = points
    total = np.zeros(points.shape[:-1])
    for octave in range(octaves):
        total += 0.5**octave * _lattice_noise(lattice, full * 2.0**octave + 7.3 * octave)
    return total


def _lattice_noise(lattice: Array, points: Array) -> Array:
    cell = np.floor(points).astype(int)
    part = points - cell
    part = part * part * part * (part * (part * 6 - 15) + 10)
    total = np.zeros(points.shape[:-1])
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner) == 1, part, 1 - part), axis=-1)
        x, y, z = np.moveaxis((cell + corner) % 32, -1, 0)
        total += weight * lattice[x, y, z]
    return total


def creases(points: Array, seed: int, count: int, reach: float) -> Array:
    """Height of random straight folds, each fading out `reach` cm from its own middle."""
    random = np.random.default_rng(seed)
    low, high = points.reshape(-1, 2).min(axis=0), points.reshape(-1, 2).max(axis=0)
    height = np.zeros(points.shape[:-1])
    for _ in range(count):
        middle, angle = random.uniform(low, high), random.uniform(0, np.pi)
        size = reach * random.uniform(0.4, 1.3)
        shift = points - middle
        across = shift @ np.array([np.cos(angle), np.sin(angle)])
        fade = np.exp(-(shift**2).sum(axis=-1) / (2 * size**2))
        height += random.choice([-1, 1]) * random.uniform(0.3, 1.0) * np.abs(across) * fade
    return height


def facets(points: Array, seed: int, cell: float) -> Array:
    """Flat random triangles of about `cell` cm that meet in sharp folds, at (..., 2) points."""
    random = np.random.default_rng(seed)
    heights = random.uniform(-1, 1, (64, 64))
    diagonal = random.random((64, 64)) < 0.5
    bent = points / cell + 0.55 * np.stack(
        [noise(points / (1.7 * cell), seed + 1), noise(points / (1.7 * cell), seed + 2)], axis=-1
    )
    bent = bent @ rotation("z", random.uniform(0, 90))[:2, :2].T
    x, y = np.moveaxis(np.floor(bent).astype(int), -1, 0)
    u, v = np.moveaxis(bent - np.floor(bent), -1, 0)
    h00, h10 = heights[x % 64, y % 64], heights[(x + 1) % 64, y % 64]
    h01, h11 = heights[x % 64, (y + 1) % 64], heights[(x + 1) % 64, (y + 1) % 64]
    rising = np.where(
        u > v, h00 + (h10 - h00) * u + (h11 - h10) * v, h00 + (h11 - h01) * u + (h01 - h00) * v
    )
    falling = np.where(
        u + v < 1,
        h00 + (h10 - h00) * u + (h01 - h00) * v,
        h11 + (h01 - h11) * (1 - u) + (h10 - h11) * (1 - v),
    )
    return np.where(diagonal[x % 64, y % 64], rising, falling)


def rotation(axis: str, degrees: float) -> Array:
    """Return the matrix that turns about one coordinate axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = c
    matrix[first, second], matrix[second, first] = -s, s
    return matrix


def placed(meshes: dict[str, Mesh], turn: Array, middle: tuple[float, float]) -> dict[str, Mesh]:
    """Turn all parts of an object together, rest it on the board, centre it at `middle`."""
    cloud = np.concatenate([mesh.points for mesh in meshes.values()]) @ turn.T
    low, high = cloud.min(axis=0), cloud.max(axis=0)
    centre = (low + high) / 2
    offset = np.array([middle[0] - centre[0], middle[1] - centre[1], 0.01 - low[2]])
    return {name: mesh.moved(turn, offset) for name, mesh in meshes.items()}
