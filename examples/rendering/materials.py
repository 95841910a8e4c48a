"""What the objects are made of, as Mitsuba material descriptions."""

from typing import Any

import mitsuba as mi
import numpy as np
from PIL import Image, ImageOps

Colour = tuple[float, float, float]
Bsdf = dict[str, Any]


def picture(image: Image.Image) -> Bsdf:
    """Use a Pillow image as a colour texture, its lower edge at v = 0."""
    return {"type": "bitmap", "bitmap": mi.Bitmap(np.array(ImageOps.flip(image.convert("RGB"))))}


def plain(colour: Colour) -> Bsdf:
    """Use one linear colour."""
    return {"type": "rgb", "value": list(colour)}


def matte(colour: Bsdf) -> Bsdf:
    """Uncoated paper and board, the same on both sides."""
    return {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": colour}}


def glossy(colour: Bsdf, roughness: float = 0.12, metallic: float = 0.0) -> Bsdf:
    """Opaque plastic, lacquer or foil, from a mirror-like to a dull shine."""
    surface = {
        "type": "principled",
        "base_color": colour,
        "roughness": roughness,
        "metallic": metallic,
        "specular": 0.5,
    }
    return {"type": "twosided", "bsdf": surface}


def metal(colour: Bsdf, roughness: float = 0.15, across: float | None = None) -> Bsdf:
    """Bare or lacquered aluminium; `across` gives it brush marks."""
    surface = {
        "type": "roughconductor",
        "material": "Al",
        "distribution": "ggx",
        "alpha_u": roughness,
        "alpha_v": across or roughness,
        "specular_reflectance": colour,
    }
    return {"type": "twosided", "bsdf": surface}


def clear(index: float, colour: Colour = (1.0, 1.0, 1.0)) -> Bsdf:
    """A see-through boundary; `colour` tints the light at every crossing."""
    return {
        "type": "dielectric",
        "int_ior": index,
        "ext_ior": 1.0,
        "specular_transmittance": plain(colour),
    }


def absorbing(per_cm: Colour) -> dict[str, Any]:
    """The inside of coloured glass: it swallows light and scatters none."""
    return {
        "type": "homogeneous",
        "albedo": plain((0.0, 0.0, 0.0)),
        "sigma_t": plain((per_cm[0] / 10, per_cm[1] / 10, per_cm[2] / 10)),
        "scale": 10.0,
    }
