from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pydantic import ValidationError

from binsight.preprocess import PreprocessSpec, apply, load, shape_for_model

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def gradient(width: int, height: int) -> Image.Image:
    """Red grows to the right, green downwards, blue is a coarse chessboard."""
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    board = ((across // 16 + down // 16) % 2) * 255
    layers = (across * 255 // width, down * 255 // height, board)
    return Image.fromarray(np.dstack(layers).astype(np.uint8))


def fine_pattern(width: int, height: int) -> Image.Image:
    """A picture in which every filter finds another answer."""
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    board = ((across // 5 + down // 7) % 2) * 255
    layers = (across * 255 // width, board, (across * 7 + down * 13) % 256)
    return Image.fromarray(np.dstack(layers).astype(np.uint8))


def test_shape_type_and_layout():
    spec = PreprocessSpec(size=64, resize_to=72)
    tensor = apply(Image.new("RGB", (100, 80), (255, 0, 0)), spec)
    assert tensor.shape == (3, 64, 64)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    red, green, blue = tensor
    assert np.allclose(red, (1 - 0.485) / 0.229, atol=1e-6)
    assert np.allclose(green, -0.456 / 0.224, atol=1e-6)
    assert np.allclose(blue, -0.406 / 0.225, atol=1e-6)


# Written down once. A change here changes the answer of every model that is out there.
GOLDEN = {
    ("shorter", "bilinear"): (-1.2274, 1.3256, -0.2184, 1.3242, -0.3578, 1.7633),
    ("shorter", "bicubic"): (-1.2274, 1.6933, -0.3927, 1.3242, -0.3578, 2.271),
    ("shorter", "lanczos"): (-1.2274, 1.9384, -0.445, 1.3242, -0.3055, 2.4286),
    ("fit", "bilinear"): (2.2489, 2.4286, -0.2881, 2.2489, 1.5071, 0.2752),
}
MEANS = {
    ("shorter", "bilinear"): 0.2215,
    ("shorter", "bicubic"): 0.2216,
    ("shorter", "lanczos"): 0.2217,
    ("fit", "bilinear"): 0.949,
}
PLACES = [(0, 0, 0), (1, 7, 30), (2, 31, 31), (0, 63, 63), (2, 40, 5), (1, 20, 50)]


@pytest.mark.parametrize(("resize", "interpolation"), list(GOLDEN))
def test_golden_values(resize, interpolation):
    spec = PreprocessSpec(size=64, resize_to=72, resize=resize, interpolation=interpolation)
    tensor = apply(fine_pattern(300, 200), spec)
    found = [float(tensor[place]) for place in PLACES]
    # Half a grey level: other builds of Pillow may round a tie differently.
    assert found == pytest.approx(GOLDEN[resize, interpolation], abs=0.5 / 255 / 0.224)
    assert float(tensor.astype(np.float64).mean()) == pytest.approx(
        MEANS[resize, interpolation], abs=2e-3
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize(
    ("photo", "resize_to", "size"),
    [((300, 200), 100, 80), ((200, 300), 100, 80), ((256, 256), 64, 64), ((40, 60), 80, 80)],
)
def test_agrees_with_torchvision(photo, resize_to, size, interpolation):
    torch = pytest.importorskip("torch")
    v2 = pytest.importorskip("torchvision.transforms.v2")
    spec = PreprocessSpec(size=size, resize_to=resize_to, interpolation=interpolation)
    reference = v2.Compose(
        [
            v2.Resize(resize_to, interpolation=v2.InterpolationMode(interpolation)),
            v2.CenterCrop(size),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean=spec.mean, std=spec.std),
        ]
    )
    image = gradient(*photo)
    difference = np.abs(apply(image, spec) - reference(image).numpy())
    assert difference.max() < 1.01 / 255 / 0.224  # one grey level


@pytest.mark.parametrize("resize", ["shorter", "fit"])
@pytest.mark.parametrize("photo", [(400, 200), (200, 400), (300, 300)])
def test_circle_stays_a_circle(resize, photo):
    image = Image.new("RGB", photo, "white")
    x, y = photo[0] / 2, photo[1] / 2
    ImageDraw.Draw(image).ellipse((x - 60, y - 60, x + 60, y + 60), fill="black")
    spec = PreprocessSpec(size=128, resize_to=140, resize=resize)
    dark = np.asarray(shape_for_model(image, spec).convert("L")) < 128
    height, width = dark.any(axis=1).sum(), dark.any(axis=0).sum()
    assert abs(int(height) - int(width)) <= 1
    scale = 140 / min(photo) if resize == "shorter" else 128 / max(photo)
    assert width == pytest.approx(120 * scale, abs=2)
    middle = np.argwhere(dark).mean(axis=0)
    assert middle == pytest.approx([63.5, 63.5], abs=0.7)


@pytest.mark.parametrize("photo", [(1, 5000), (5000, 1), (1, 1), (3, 2)])
@pytest.mark.parametrize("resize", ["shorter", "fit"])
def test_extreme_photos_pass(photo, resize):
    spec = PreprocessSpec(size=64, resize_to=64, resize=resize, **PLAIN)
    tensor = apply(Image.new("RGB", photo, (51, 102, 204)), spec)
    assert tensor.shape == (3, 64, 64)
    assert tensor[:, 31, 31] == pytest.approx([0.2, 0.4, 0.8], abs=0.01)


def test_fit_pads_to_a_square():
    spec = PreprocessSpec(size=64, resize="fit", pad_value=10, **PLAIN)
    square = np.asarray(shape_for_model(Image.new("RGB", (200, 100), (255, 0, 0)), spec))
    assert (square[16:48] == (255, 0, 0)).all()
    assert (square[:16] == 10).all()
    assert (square[48:] == 10).all()


def test_shorter_keeps_the_middle():
    image = Image.new("RGB", (300, 100), "red")
    image.paste("blue", (100, 0, 200, 100))
    spec = PreprocessSpec(size=64, resize_to=64)
    square = np.asarray(shape_for_model(image, spec))
    assert (square[:, 1:-1] == (0, 0, 255)).all()


def test_photo_is_left_as_it_was():
    image = gradient(90, 70)
    before = image.tobytes()
    for resize in ("shorter", "fit"):
        apply(image, PreprocessSpec(size=32, resize_to=32, resize=resize))
    assert image.tobytes() == before


def test_reduced_jpeg_changes_the_tensor_little():
    buffer = io.BytesIO()
    gradient(1600, 1200).save(buffer, "JPEG", quality=90)
    spec = PreprocessSpec(size=128, resize_to=144, **PLAIN)
    whole = apply(Image.open(buffer).convert("RGB"), spec)
    reduced = load(buffer.getvalue(), spec)
    assert np.abs(reduced - whole).max() < 0.06
    assert np.abs(reduced - whole).mean() < 0.01


def test_min_side_is_twice_what_is_needed():
    assert PreprocessSpec(size=224, resize_to=256).min_side == 512
    assert PreprocessSpec(size=224, resize="fit", resize_to=32).min_side == 448


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"size": 31}, "size"),
        ({"size": 2049}, "size"),
        ({"size": 224.5}, "size"),
        ({"size": 256, "resize_to": 224}, "resize_to 224 is smaller than size 256"),
        ({"resize": "squash"}, "resize"),
        ({"interpolation": "nearest"}, "interpolation"),
        ({"pad_value": 256}, "pad_value"),
        ({"std": (0.1, 0.0, 0.1)}, "std must be above 0"),
        ({"std": (0.1, math.nan, 0.1)}, "finite"),
        ({"mean": (0.1, math.inf, 0.1)}, "finite"),
        ({"mean": (0.1, 0.1)}, "mean"),
        ({"colour": "bgr"}, "colour"),
    ],
)
def test_spec_that_makes_no_sense_is_refused(values, words):
    with pytest.raises(ValidationError, match=words):
        PreprocessSpec(**values)


def test_spec_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        PreprocessSpec().size = 32


def test_spec_goes_through_json_unchanged():
    spec = PreprocessSpec(
        size=96, resize_to=101, interpolation="bicubic", mean=(0.1, 0.2, 1 / 3), std=(0.4, 0.5, 0.6)
    )
    assert PreprocessSpec.model_validate_json(spec.model_dump_json()) == spec
    unknown = spec.model_dump_json()[:-1] + ',"gamma":2.2}'
    with pytest.raises(ValidationError, match="gamma"):
        PreprocessSpec.model_validate_json(unknown)
