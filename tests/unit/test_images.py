from __future__ import annotations

import io
import os
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from binsight import images
from binsight.errors import (
    ImageError,
    ImageMemoryError,
    ImageTooLargeError,
    UnreadableImageError,
)
from binsight.images import ImageLimits, decode, read_file, upright_size

ORIENTATION = 0x0112
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corners(width=64, height=48) -> Image.Image:
    """Red, green, blue and white quarters, clockwise from the upper left."""
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(WHITE, (0, height // 2, width // 2, height))
    return image


def textured(width=96, height=64, seed=0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def quarters(image: Image.Image) -> list[str]:
    """Colours in the middle of the four quarters, clockwise from the upper left."""
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    width, height = image.size
    places = [(1, 1), (3, 1), (3, 3), (1, 3)]
    pixels = [image.getpixel((width * x // 4, height * y // 4)) for x, y in places]
    return [names[tuple(int(value > 127) for value in pixel)] for pixel in pixels]


# What the eight values of EXIF 2.3, tag Orientation, do to a picture stored as `corners`.
UPRIGHT = {
    1: ["red", "green", "blue", "white"],
    2: ["green", "red", "white", "blue"],
    3: ["blue", "white", "red", "green"],
    4: ["white", "blue", "green", "red"],
    5: ["red", "white", "blue", "green"],
    6: ["white", "red", "green", "blue"],
    7: ["blue", "green", "red", "white"],
    8: ["green", "blue", "white", "red"],
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "MPO"])
@pytest.mark.parametrize("value", range(1, 9))
def test_exif_orientation_is_applied(kind, value):
    exif = Image.Exif()
    exif[ORIENTATION] = value
    data = encoded(corners(), kind, exif=exif)
    image = decode(data)
    assert quarters(image) == UPRIGHT[value]
    assert image.size == ((64, 48) if value < 5 else (48, 64))
    assert upright_size(data) == image.size
    again = decode(image)
    assert again.tobytes() == image.tobytes()
    assert again.size == image.size


def test_orientation_of_a_pil_image_is_applied_to_a_copy():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    with Image.open(io.BytesIO(encoded(corners(), "PNG", exif=exif))) as image:
        image.load()
        before, notes = image.tobytes(), image.info["exif"]
        assert quarters(decode(image)) == UPRIGHT[6]
        assert (image.size, image.mode) == ((64, 48), "RGB")
        assert image.tobytes() == before
        assert image.info["exif"] == notes


@pytest.mark.parametrize("value", [0, 9, 77])
def test_orientation_that_does_not_exist_is_ignored(value):
    exif = Image.Exif()
    exif[ORIENTATION] = value
    assert quarters(decode(encoded(corners(), "JPEG", exif=exif))) == UPRIGHT[1]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_garbled_exif_does_not_cost_the_photo(kind):
    data = encoded(corners(), kind, exif=b"Exif\0\0no notes at all")
    assert quarters(decode(data)) == UPRIGHT[1]
    assert upright_size(data) == (64, 48)


@pytest.mark.parametrize("value", [0, 1, 2, 4, 7])
@pytest.mark.parametrize("place", [17, 41, 55])
def test_a_turned_photo_with_a_garbled_note_is_turned(place, value):
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x010F], exif[0x011A], exif[0x0128] = 6, "maker", 72.0, 2
    notes = exif.tobytes()
    garbled = notes[:place] + bytes([value]) + notes[place + 1 :]  # an entry's type, or its count
    assert quarters(decode(encoded(corners(), "JPEG", exif=garbled))) == UPRIGHT[6]


def assert_all(image: Image.Image, colour, within=0) -> None:
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image, int) - np.asarray(colour)).max() <= within


def test_palette_becomes_its_colours():
    image = Image.new("RGB", (8, 8), (10, 200, 30)).quantize(4)
    assert_all(decode(encoded(image, "PNG")), (10, 200, 30))


def test_transparent_palette_entry_is_white():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([9, 9, 9, 200, 0, 0])
    assert_all(decode(encoded(image, "PNG", transparency=1)), WHITE)
    assert_all(decode(encoded(image, "PNG", transparency=0)), (200, 0, 0))


@pytest.mark.parametrize(
    ("mode", "pixel", "shown"),
    [
        ("RGBA", (200, 100, 50, 0), (255, 255, 255)),
        ("RGBA", (200, 100, 50, 255), (200, 100, 50)),
        ("RGBA", (200, 100, 0, 51), (244, 224, 204)),  # a fifth of the colour, the rest white
        ("LA", (100, 0), (255, 255, 255)),
        ("LA", (100, 255), (100, 100, 100)),
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("1", 0, (0, 0, 0)),
    ],
)
def test_modes_of_png_become_rgb_on_white(mode, pixel, shown):
    image = Image.new(mode, (8, 8), pixel)
    assert_all(decode(encoded(image, "PNG")), shown)
    assert_all(decode(image), shown)


def test_transparent_rgb_of_png_is_white():
    data = encoded(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
    assert_all(decode(data), WHITE)


def test_transparent_grey_of_a_deep_png_is_white():
    deep = np.full((96, 8), 12000, np.uint16)
    deep[:, 4:] = 300
    data = encoded(Image.fromarray(deep), "PNG", transparency=12000)
    image = np.asarray(decode(data))
    assert (image[:, :4] == 255).all()
    assert (image[:, 4:] == 1).all()


def test_cmyk_jpeg_becomes_rgb():
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert_all(decode(data), RED, within=4)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("deep", "shown"), [(0, 0), (65535, 255), (257 * 100, 100), (257 * 100 + 128, 100), (128, 0)]
)
def test_16_bit_grey_is_scaled_not_clipped(kind, deep, shown):
    image = Image.fromarray(np.full((8, 8), deep, np.uint16))
    assert_all(decode(encoded(image, kind)), (shown,) * 3)


def test_every_value_of_16_bits_is_rounded():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    shown = np.asarray(decode(encoded(Image.fromarray(values), "PNG")))[:, :, 0]
    assert (shown == np.round(values / 257)).all()


@pytest.mark.parametrize("mode", ["I", "F"])
def test_grey_without_a_known_range_is_refused(mode):
    with pytest.raises(UnreadableImageError, match=r"deep\.tif: greyscale of mode . has no known"):
        decode(encoded(Image.new(mode, (8, 8)), "TIFF"), name="deep.tif")


def test_animation_shows_its_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert_all(decode(data), RED, within=1)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_lossless_formats_give_the_pixels(kind):
    assert ImageChops.difference(decode(encoded(corners(), kind)), corners()).getbbox() is None


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_are_read(kind):
    assert quarters(decode(encoded(corners(), kind))) == UPRIGHT[1]


@pytest.mark.parametrize("kind", ["EPS", "PDF", "PPM", "ICO", "TGA"])
def test_other_formats_are_refused(kind):
    with pytest.raises(UnreadableImageError, match="not an image that can be read"):
        decode(encoded(corners(), kind))


@given(
    st.integers(1, 400),
    st.integers(1, 400),
    st.integers(1, 120),
)
@settings(max_examples=40, deadline=None)
def test_reduced_decode_stays_above_the_smallest_side(width, height, min_side):
    data = encoded(Image.new("RGB", (width, height)), "JPEG")
    reduced = decode(data, min_side=min_side)
    assert min(reduced.size) >= min(min_side, width, height)
    assert reduced.width <= width
    assert upright_size(data) == (width, height)


def test_reduced_decode_really_reduces():
    data = encoded(textured(800, 600), "JPEG")
    assert decode(data, min_side=75).size == (100, 75)
    assert decode(data, min_side=76).size == (200, 150)
    assert decode(data, min_side=301).size == (800, 600)
    assert decode(data).size == (800, 600)
    small = np.asarray(decode(data, min_side=150), int)
    wanted = np.asarray(decode(data).reduce(4), int)
    assert np.abs(small - wanted).mean() < 4


def test_only_jpeg_is_reduced():
    assert decode(encoded(textured(800, 600), "PNG"), min_side=10).size == (800, 600)


def test_limit_of_bytes(tmp_path):
    data = encoded(corners(), "PNG")
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    fits, tight = ImageLimits(max_bytes=len(data)), ImageLimits(max_bytes=len(data) - 1)
    for source in (data, path):
        assert decode(source, limits=fits).size == (64, 48)
        with pytest.raises(ImageTooLargeError, match="shrink the photo"):
            decode(source, limits=tight)


def test_limit_of_pixels_holds_for_every_source():
    fits, tight = ImageLimits(max_pixels=64 * 48), ImageLimits(max_pixels=64 * 48 - 1)
    for source in (encoded(corners(), "JPEG"), corners(), np.asarray(corners())):
        assert decode(source, limits=fits).size == (64, 48)
        with pytest.raises(ImageTooLargeError, match="64 x 48 is more than 3,071 pixels"):
            decode(source, limits=tight)


def test_bomb_is_refused_from_its_header_alone():
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    start = encoded(corners(), "PNG")[:8] + (13).to_bytes(4, "big")
    bomb = start + header + zlib.crc32(header).to_bytes(4, "big") + b"\0\0\0\0IDAT\x35\xaf\x06\x1e"
    with pytest.raises(ImageTooLargeError, match="shrink the photo"):
        decode(bomb)


def test_pixels_beyond_pillows_warning_are_ours_to_judge(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # Pillow warns above, fails above double
    data = encoded(corners(), "PNG")
    assert decode(data).size == (64, 48)
    assert upright_size(data) == (64, 48)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageTooLargeError, match="shrink the photo"):
        decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_truncated_is_refused(kind):
    data = encoded(textured(), kind)
    with pytest.raises(UnreadableImageError):
        decode(data[: len(data) * 2 // 3])


def test_empty_is_refused(tmp_path):
    path = tmp_path / "photo.jpg"
    path.touch()
    for source in (b"", path):
        with pytest.raises(UnreadableImageError, match="empty"):
            decode(source)


def test_text_named_jpg_is_refused_by_its_path(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_text("not a photo")
    with pytest.raises(UnreadableImageError, match=r"photo\.jpg: not an image"):
        decode(path)
    with pytest.raises(UnreadableImageError, match=r"^upload: not an image"):
        decode(path.read_bytes(), name="upload")


def test_wrong_suffix_does_not_matter(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(corners(), "PNG"))
    assert quarters(decode(path)) == UPRIGHT[1]
    assert quarters(decode(str(path))) == UPRIGHT[1]


def test_directory_missing_file_and_impossible_name_are_refused(tmp_path):
    with pytest.raises(UnreadableImageError, match=r"^mine: not a regular file"):
        decode(tmp_path, name="mine")
    with pytest.raises(UnreadableImageError, match="No such file"):
        decode(tmp_path / "gone.jpg")
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(UnreadableImageError):
            decode(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadableImageError, match="not a regular file"):
        decode(tmp_path / "pipe.jpg")


def test_read_file_gives_the_bytes(tmp_path):
    (tmp_path / "photo").write_bytes(b"abc")
    assert read_file(tmp_path / "photo") == b"abc"
    with pytest.raises(ImageTooLargeError, match=r"^mine: "):
        read_file(tmp_path / "photo", limits=ImageLimits(max_bytes=2), name="mine")


def test_arrays_become_pictures():
    rgb = np.asarray(corners())
    grey = rgb[:, :, 0]
    assert quarters(decode(rgb)) == UPRIGHT[1]
    assert quarters(decode(rgb[:, ::-1])) == UPRIGHT[2]  # not contiguous
    assert np.array_equal(np.asarray(decode(grey)), np.dstack([grey] * 3))
    assert np.array_equal(np.asarray(decode(grey[:, :, None])), np.dstack([grey] * 3))
    see_through = np.dstack([rgb, np.zeros_like(grey)])
    assert_all(decode(see_through), WHITE)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((8, 8, 3), np.float32), "dtype float32"),
        (np.zeros((8, 8, 3), np.int64), "dtype int64"),
        (np.zeros((8, 8, 3), bool), "dtype bool"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\)"),
        (np.zeros((8, 8, 2), np.uint8), r"shape \(8, 8, 2\)"),
        (np.zeros((1, 8, 8, 3), np.uint8), r"shape \(1, 8, 8, 3\)"),
        (np.zeros(8, np.uint8), r"shape \(8,\)"),
        (np.zeros((0, 8, 3), np.uint8), "no pixels"),
    ],
)
def test_other_arrays_are_refused(array, words):
    with pytest.raises(UnreadableImageError, match=words):
        decode(array)


def test_pil_image_is_left_as_it_was():
    image = Image.new("RGBA", (8, 8), (1, 2, 3, 4))
    before = image.tobytes()
    decoded = decode(image)
    decoded.paste(RED, (0, 0, 8, 8))
    assert (image.mode, image.tobytes()) == ("RGBA", before)
    rgb = corners()
    decode(rgb).paste(BLUE, (0, 0, 64, 48))
    assert quarters(rgb) == UPRIGHT[1]


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_random_bytes_only_ever_raise_image_errors(data):
    with pytest.raises(ImageError):
        decode(data)


WHOLE = {kind: encoded(textured(48, 32), kind) for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP")}


@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
    st.floats(0.1, 1),
)
@settings(max_examples=100, deadline=None)
def test_corrupted_photos_are_decoded_or_raise_image_errors(kind, changes, kept):
    data = bytearray(WHOLE[kind])
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    try:
        image = decode(bytes(data[: int(kept * len(data))]), limits=ImageLimits(max_pixels=10**6))
    except ImageError:
        return
    assert image.mode == "RGB"


def test_overlapping_threads_leave_the_warning_filters_alone(monkeypatch):
    """The one that enters first leaves first, which plain ``catch_warnings`` does not survive."""
    before = list(warnings.filters)
    inside, first_is_done = [threading.Event(), threading.Event()], threading.Event()

    def wait_inside(image, min_side):
        inside[min_side].set()
        (first_is_done if min_side else inside[1]).wait(30)

    monkeypatch.setattr(images, "_draft", wait_inside)
    data = encoded(corners(), "JPEG")
    threads = [threading.Thread(target=decode, args=[data], kwargs={"min_side": n}) for n in (0, 1)]
    threads[0].start()
    inside[0].wait(30)
    threads[1].start()
    threads[0].join()
    first_is_done.set()
    threads[1].join()
    assert warnings.filters == before


@pytest.mark.parametrize("call", ["PIL.Image.open", "pathlib.Path.open"])
def test_a_photo_that_finds_no_memory_is_not_called_broken(tmp_path, monkeypatch, call):
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(textured(48, 32), "PNG"))

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(call, full)
    with pytest.raises(ImageMemoryError, match=r"photo\.png: not enough memory for it now") as told:
        decode(path)
    assert isinstance(told.value, MemoryError)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_decoded_photo_has_nothing_of_its_file(kind):
    turned = Image.Exif()
    turned[0x112] = 6
    for notes in (None, turned):
        plain = decode(encoded(textured(48, 32), kind, **({"exif": notes} if notes else {})))
        assert (type(plain), plain.info, dict(plain.getexif())) == (Image.Image, {}, {})


def test_the_heic_of_a_phone_is_told_of_by_its_name():
    data = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"
    with pytest.raises(UnreadableImageError, match="HEIC cannot be read; save it as JPEG"):
        decode(data)
