"""The photo set: white board, window light, dim room, phone camera, and how a phone develops."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mitsuba as mi
import numpy as np
from PIL import Image

from rendering.denoise import denoise
from rendering.shapes import Array, Mesh, noise

PASS_SAMPLES = 16
BRIGHTEST = 3.0


@dataclass(frozen=True)
class Part:
    """One piece of an object: its surface, what it is made of, what it is filled with."""

    mesh: Mesh
    bsdf: dict[str, Any]
    inside: dict[str, Any] | None = None
    flat: bool = False


@dataclass(frozen=True)
class Shot:
    """An object on the board and how the camera looks at it (lengths in cm)."""

    parts: list[Part]
    target: tuple[float, float, float] = (0.0, 0.0, 3.0)
    elevation: float = 48.0
    distance: float = 60.0
    view: float = 32.0
    exposure: float = 0.84
    tint: tuple[float, float, float] = (1.0, 0.985, 0.955)
    seed: int = 1
    extra: dict[str, Any] = field(default_factory=dict)


def photograph(shot: Shot, size: tuple[int, int], samples: int) -> Image.Image:
    """Render the shot and develop it."""
    with TemporaryDirectory() as folder:
        scene = mi.load_dict(_scene(shot, size, Path(folder)))
    passes = []
    for index in range(max(1, samples // PASS_SAMPLES)):
        light = mi.render(scene, spp=min(samples, PASS_SAMPLES), seed=index + 1)
        # Clamping each pass keeps single stray samples from leaving white dots.
        passes.append(np.clip(np.nan_to_num(np.array(light, dtype=float)), 0.0, BRIGHTEST))
    return _develop(denoise(passes), shot)


def _scene(shot: Shot, size: tuple[int, int], folder: Path) -> dict[str, Any]:
    scene: dict[str, Any] = {
        "type": "scene",
        "integrator": {"type": "volpath" if _has_medium(shot) else "path", "max_depth": 24},
        "sensor": _camera(shot, size),
        "room": _room(),
        "window": _window(),
        "lamp": _lamp(),
        "board": _board(shot.seed),
    }
    for index, part in enumerate(shot.parts):
        path = folder / f"part{index}.ply"
        part.mesh.write_ply(path)
        shape = {"type": "ply", "filename": str(path), "bsdf": part.bsdf}
        shape["face_normals"] = part.flat
        if part.inside:
            shape["interior"] = part.inside
        scene[f"part{index}"] = shape
    return scene | shot.extra


def _has_medium(shot: Shot) -> bool:
    return any(part.inside for part in shot.parts)


def _camera(shot: Shot, size: tuple[int, int]) -> dict[str, Any]:
    angle = np.radians(shot.elevation)
    target = np.array(shot.target)
    origin = target + shot.distance * np.array([0.0, -np.cos(angle), np.sin(angle)])
    look = mi.ScalarTransform4f().look_at(origin.tolist(), target.tolist(), [0, 0, 1])
    return {
        "type": "thinlens",
        "fov": shot.view,
        "aperture_radius": 0.18,
        "focus_distance": shot.distance - 1.5,
        "to_world": look,
        "film": {
            "type": "hdrfilm",
            "width": size[0],
            "height": size[1],
            "rfilter": {"type": "gaussian"},
        },
        "sampler": {"type": "multijitter", "sample_count": PASS_SAMPLES},
    }


def _window() -> dict[str, Any]:
    """Make a tall window at the left, a little behind the object, with a cross of frame bars."""
    panes = np.full((120, 90, 3), (7.4, 7.9, 8.5))
    panes[57:63] *= 0.05
    panes[:, 42:48] *= 0.05
    place = mi.ScalarTransform4f().look_at([-100, 14, 76], [0, 0, 4], [0, 0, 1])
    return {
        "type": "rectangle",
        "to_world": place @ mi.ScalarTransform4f().scale([50, 50, 1]),
        "emitter": {
            "type": "area",
            "radiance": {"type": "bitmap", "bitmap": mi.Bitmap(panes.astype("f4")), "raw": True},
        },
    }


def _lamp() -> dict[str, Any]:
    """Hang a long, weak lamp behind the object: it draws the highlights on round things."""
    place = mi.ScalarTransform4f().look_at([15, 105, 88], [0, 0, 2], [0, 0, 1])
    return {
        "type": "rectangle",
        "to_world": place @ mi.ScalarTransform4f().scale([48, 11, 1]),
        "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [5.0, 4.9, 4.6]}},
    }


def _room() -> dict[str, Any]:
    """Paint a dim room for mirror-like things to reflect: ceiling, walls, a few dark shapes."""
    rows, columns = np.mgrid[0:64, 0:128]
    height = 1 - rows / 63
    level = np.where(height > 0.72, 0.4, np.where(height > 0.5, 0.2, 0.06))
    angle = columns / 128 * 2 * np.pi
    ring = np.stack([2 * np.cos(angle), 2 * np.sin(angle), 5 * height], axis=-1)
    level = level * (1 + 0.55 * noise(ring, seed=5, octaves=2))
    dark = (np.abs(columns - 40) < 7) | (np.abs(columns - 97) < 9)
    level = np.where(dark & (height < 0.68), level * 0.2, level)
    colour = np.clip(level, 0.02, None)[..., None] * np.array([1.0, 0.95, 0.88])
    return {
        "type": "envmap",
        "bitmap": mi.Bitmap(colour.astype("f4")),
        "to_world": mi.ScalarTransform4f().rotate([1, 0, 0], 90),
    }


def _board(seed: int) -> dict[str, Any]:
    """Lay the matte, off-white board, not perfectly even."""
    y, x = np.mgrid[0:512, 0:512] / 512
    cloud = noise(np.stack([x * 14, y * 14], axis=-1), seed, octaves=4)
    grain = np.random.default_rng(seed).normal(0, 1, (512, 512))
    level = 0.74 + 0.012 * cloud + 0.006 * grain
    colour = level[..., None] * np.array([1.0, 0.985, 0.965])
    return {
        "type": "rectangle",
        "to_world": mi.ScalarTransform4f().scale([130, 130, 1]),
        "bsdf": {
            "type": "diffuse",
            "reflectance": {"type": "bitmap", "bitmap": mi.Bitmap(colour.astype("f4"))},
        },
    }


def _develop(light: Array, shot: Shot) -> Image.Image:
    """Turn light into a phone's JPEG look: exposure, tone curve, fall-off, noise."""
    rows, columns = light.shape[:2]
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    falloff = 1 - 0.16 * (x**2 + y**2) / 2
    exposed = light * shot.exposure * falloff[..., None] * np.array(shot.tint)
    # A filmic shoulder: highlights roll off instead of clipping.
    curve = exposed * (2.51 * exposed + 0.03) / (exposed * (2.43 * exposed + 0.59) + 0.14)
    value = np.clip(curve, 0, 1) ** (1 / 2.2)
    random = np.random.default_rng(shot.seed)
    value += random.normal(0, 0.007, value.shape[:2])[..., None]
    value += random.normal(0, 0.004, value.shape)
    return Image.fromarray((np.clip(value, 0, 1) * 255 + 0.5).astype(np.uint8), "RGB")
