"""The only decoder: a file, bytes, a PIL image or an array becomes one upright RGB image.

It knows limits and file formats. It does not know what a model wants (`preprocess`).
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from .errors import (
    ImageError,
    ImageMemoryError,
    ImageTooLargeError,
    UnreadableImageError,
    UsageError,
)
from .files import replacing

__all__ = [
    "DEFAULT_LIMITS",
    "HEIC",
    "HEIC_SUFFIXES",
    "PHOTO_SUFFIXES",
    "PICTURE_SUFFIXES",
    "ImageLimits",
    "ImageSource",
    "check_picture",
    "decode",
    "read_file",
    "upright_size",
    "usual_suffix",
    "write_picture",
]

ImageSource: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | Image.Image | np.ndarray"

# Decoders with a long record of use on untrusted files; others (EPS runs Ghostscript) are refused.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
SUFFIX_OF = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "AVIF": ".avif",
}
QUARTER_TURNS = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height
PHOTO_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".avif"}
    | {".tif", ".tiff"}
)


PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")  # that a picture for people may have
HEIC_SUFFIXES = frozenset({".heic", ".heif"})  # of phones; listed, so that somebody hears of it
HEIC = 'HEIC cannot be read; save it as JPEG, or set the camera to "Most Compatible"'
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1")


@dataclass(frozen=True, kw_only=True)
class ImageLimits:
    """What a single photo may cost.

    Args:
        max_bytes: largest file, in bytes.
        max_pixels: largest width times height, checked before any pixel is decoded.
    """

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 120_000_000


DEFAULT_LIMITS = ImageLimits()
NO_MEMORY = "not enough memory for it now"
ROWS = 64
# What sets a photo upright, by its EXIF orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(
    source: ImageSource,
    *,
    min_side: int | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
    name: str | None = None,
) -> Image.Image:
    """Decode one photo: first frame, EXIF orientation applied, alpha laid on white, 8-bit RGB.

    Args:
        source: path, encoded bytes, PIL image, or array: (H, W) or (H, W, 1|3|4), uint8, RGB order.
        min_side: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as long as both sides stay
            at least this many pixels. ``None`` decodes at full size.
        limits: bytes and pixels that are allowed.
        name: what messages call the photo; by default its path or what it is.

    Raises:
        UnreadableImageError: no such file, empty, truncated, not an image, unsupported array.
        ImageTooLargeError: over the limits.
        ImageMemoryError: there is not enough memory for it.
    """
    if isinstance(source, np.ndarray):
        return _from_array(name or "array", source, limits)
    if isinstance(source, Image.Image):
        return _from_image(name or "image", source, limits)
    if isinstance(source, bytes | bytearray):
        name, data = name or f"{len(source)} bytes", bytes(source)
    elif not isinstance(source, str | os.PathLike):
        raise UnreadableImageError(
            f"of type {type(source).__name__}; give a path, the bytes of a file (such as "
            "file.read()), a PIL image or a uint8 array",
            name or "photo",
        )
    else:
        name, data = name or str(source), read_file(source, limits=limits, name=name)
    _check_bytes(name, data, limits)
    return _from_bytes(name, data, min_side, limits)


def read_file(
    path: str | os.PathLike[str],
    *,
    limits: ImageLimits = DEFAULT_LIMITS,
    name: str | None = None,
) -> bytes:
    """Read an encoded photo, for who needs its bytes besides its pixels.

    Raises:
        UnreadableImageError: no such file, not a regular one, or empty.
        ImageTooLargeError: over the limits.
        ImageMemoryError: there is not enough memory for it.
    """
    name = name or str(path)
    try:
        # A pipe or device could block or never end.
        if Path(path).exists() and not Path(path).is_file():
            raise UnreadableImageError("not a regular file", name)
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, limits.max_bytes) + 1)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageMemoryError(NO_MEMORY, name) from error
    except OSError as error:
        hint = "; download it first" if "://" in name else ""
        raise UnreadableImageError(f"{error.strerror or error}{hint}", name) from error
    except ValueError as error:  # a path that no file can have
        raise UnreadableImageError(str(error), name) from error
    _check_bytes(name, data, limits)
    return data


def upright_size(
    source: ImageSource, *, limits: ImageLimits = DEFAULT_LIMITS, name: str | None = None
) -> tuple[int, int]:
    """Width and height of a photo after the EXIF turn; of an encoded one from its header alone.

    The arguments are those of `decode`.

    Raises:
        ImageError: as `decode`, as far as the header shows it.
    """
    if isinstance(source, str | os.PathLike):
        name, source = name or str(source), read_file(source, limits=limits, name=name)
    if not isinstance(source, bytes | bytearray):
        return decode(source, limits=limits, name=name).size
    name, data = name or f"{len(source)} bytes", bytes(source)
    with _opened(name, data) as image:
        # Pillow gives a TIFF's size already turned.
        turned = image.format != "TIFF" and _orientation(image) in QUARTER_TURNS
        return image.size[::-1] if turned else image.size


def usual_suffix(data: bytes) -> str:
    """Suffix for an encoded photo, such as ``.jpg``, by its content and not by any name.

    Raises:
        ImageError: as `decode`, as far as the header shows it.
    """
    with _opened(f"{len(data)} bytes", data) as image:
        return SUFFIX_OF[image.format or ""]


def check_picture(path: Path) -> None:
    """Make sure that a picture for people can have this name.

    Raises:
        UsageError: a suffix other than `PICTURE_SUFFIXES`.
    """
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise UsageError(f"{path}: write a picture as one of {', '.join(PICTURE_SUFFIXES)}")


def write_picture(path: Path, picture: Image.Image) -> None:
    """Write a picture for people whole or not at all; its suffix names the format.

    Raises:
        UsageError: a suffix other than `PICTURE_SUFFIXES`, or it cannot be written.
    """
    check_picture(path)
    try:
        with replacing(path) as temporary:
            picture.save(temporary, quality=90)
    except (OSError, ValueError) as error:  # ValueError: larger than the format may be
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: cannot be written ({reason})") from error


def _check_bytes(name: str, data: bytes, limits: ImageLimits) -> None:
    if not data:
        raise UnreadableImageError("the file is empty", name)
    if len(data) > limits.max_bytes:
        raise ImageTooLargeError(f"more than {limits.max_bytes:,} bytes; shrink the photo", name)


def _from_bytes(name: str, data: bytes, min_side: int | None, limits: ImageLimits) -> Image.Image:
    with _opened(name, data) as image:
        _check_pixels(name, image.size, limits)
        _draft(image, min_side)
        image.load()
        return _upright_rgb(name, image, ours=True)


def _from_image(name: str, image: Image.Image, limits: ImageLimits) -> Image.Image:
    _check_pixels(name, image.size, limits)
    with _refusing(name):  # a lazily opened file may turn out to be broken
        image.load()
        return _upright_rgb(name, image)


@contextmanager
def _opened(name: str, data: bytes) -> Iterator[Image.Image]:
    is_heic = data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS
    with (
        _refusing(name, is_heic=is_heic),
        Image.open(io.BytesIO(data), formats=FORMATS) as image,
    ):
        yield image


@contextmanager
def _refusing(name: str, *, is_heic: bool = False) -> Iterator[None]:
    """Turn whatever Pillow raises into an error of ours that names the photo."""
    try:
        with PILLOW_IS_QUIET:
            yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(
            "more pixels than can be opened safely; shrink the photo", name
        ) from error
    except UnidentifiedImageError as error:
        reason = HEIC if is_heic else "not an image that can be read"
        raise UnreadableImageError(reason, name) from error
    except MemoryError as error:
        raise ImageMemoryError(NO_MEMORY, name) from error
    # Pillow's decoders raise nearly anything on broken input; one photo must not end a batch.
    except Exception as error:
        raise UnreadableImageError(f"broken image ({error})", name) from error


class _Quiet:
    """Ignores Pillow's warnings: our pixel limit replaces its own, the rest is harmless tags.

    ``warnings.catch_warnings`` swaps the filters of the whole process, so threads that decode at
    the same time have to share one: the first to enter swaps, the last to leave swaps back.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.caught = warnings.catch_warnings()
                self.caught.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self.inside += 1

    def __exit__(self, *raised: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.caught.__exit__(None, None, None)


PILLOW_IS_QUIET = _Quiet()


def _check_pixels(name: str, size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise UnreadableImageError("the image has no pixels", name)
    if width * height > limits.max_pixels:
        raise ImageTooLargeError(
            f"{width} x {height} is more than {limits.max_pixels:,} pixels; shrink the photo", name
        )


def _draft(image: Image.Image, min_side: int | None) -> None:
    """Let libjpeg skip detail that a later resize would throw away."""
    if min_side is None or image.format not in {"JPEG", "MPO"}:
        return
    scale = min(image.size) // min_side
    if scale >= 2:
        image.draft(None, (image.width // scale, image.height // scale))


def _upright_rgb(name: str, image: Image.Image, *, ours: bool = False) -> Image.Image:
    """A new image; one that is ours is closed as soon as it has served, for its memory."""
    # Pillow's own exif_transpose writes the notes anew, and fails where some are garbled.
    turn = TURNS.get(_orientation(image))
    rgb = _rgb(name, image)
    if ours and rgb is not image:
        image.close()
    if turn is not None:
        rgb = rgb.transpose(turn)
    elif rgb is image:
        rgb = image.copy()
    rgb.info.clear()  # whoever decoded it once more would turn it once more
    return rgb


def _rgb(name: str, image: Image.Image) -> Image.Image:
    """The image itself if it is RGB already."""
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep(name, image).convert("RGB")
    if image.has_transparency_data:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    rgb = Image.new("RGB", image.size)
    for top in range(0, image.height, ROWS):  # at once it would need twice as much memory
        part = image.crop((0, top, image.width, min(top + ROWS, image.height))).convert("RGBA")
        white = Image.new("RGBA", part.size, "white")
        rgb.paste(Image.alpha_composite(white, part).convert("RGB"), (0, top))
    return rgb


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    # A photo whose notes are garbled is shown as it lies, as browsers do.
    except Exception:
        return 1


def _from_deep(name: str, image: Image.Image) -> Image.Image:
    """16-bit greyscale to 8 bits; Pillow's own conversion clips at 255."""
    if not image.mode.startswith("I;16"):
        raise UnreadableImageError(
            f"greyscale of mode {image.mode} has no known range; convert it to 8 or 16 bits", name
        )
    clear = image.info.get("transparency")  # of a PNG: the one grey that is not there
    deep = np.asarray(image)
    flat = np.empty(deep.shape, np.uint8)
    for top in range(0, len(deep), ROWS):  # at once it would need four times as much memory
        part = deep[top : top + ROWS].astype(np.uint32)
        flat[top : top + ROWS] = (part + 128) // 257  # rounded: no number is half-way
        if clear is not None:
            flat[top : top + ROWS][part == clear] = 255
    return Image.fromarray(flat)


def _from_array(name: str, array: np.ndarray, limits: ImageLimits) -> Image.Image:
    if array.dtype != np.uint8:
        raise UnreadableImageError(f"dtype {array.dtype}; give uint8 values from 0 to 255", name)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in {3, 4})):
        raise UnreadableImageError(
            f"shape {array.shape}; give (height, width) or (height, width, 1, 3 or 4)", name
        )
    _check_pixels(name, (array.shape[1], array.shape[0]), limits)
    return _upright_rgb(name, Image.fromarray(np.ascontiguousarray(array)))
