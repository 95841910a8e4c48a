from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from binsight.preprocess import PreprocessSpec, apply  # noqa: E402
from binsight.training.augmentation import augmenter, batch_mixer  # noqa: E402
from binsight.training.recipe import Augmentation, load_recipe  # noqa: E402

STILL = Augmentation(horizontal_flip=0.0)
STRONG = Augmentation(
    min_scale=0.3,
    background=0.5,
    zoom_out=0.5,
    vertical_flip=0.5,
    quarter_turn=0.5,
    rotation_degrees=20,
    perspective=0.5,
    light=0.5,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
    grayscale=0.2,
    trivial=0.2,
    pixelate=0.3,
    motion=0.3,
    blur=0.5,
    noise=0.3,
    jpeg=0.5,
    jpeg_lowest=10,
    erasing=0.5,
)


def photo(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def drawn(how: Augmentation, image: Image.Image, seed: int, size: int = 32) -> torch.Tensor:
    torch.manual_seed(seed)
    return augmenter(how, size)(image)


@pytest.mark.parametrize("how", [STILL, STRONG, load_recipe("default").augmentation])
@pytest.mark.parametrize("sides", [(64, 64), (50, 90), (90, 50), (20, 30)])
def test_shape_and_type(how: Augmentation, sides: tuple[int, int]) -> None:
    tensor = drawn(how, photo(*sides), 0, size=48)
    assert tensor.shape == (3, 48, 48)
    assert tensor.dtype == torch.float32
    assert bool(tensor.isfinite().all())


def test_the_seed_decides() -> None:
    image = photo(64, 64)
    for seed in range(8):
        assert torch.equal(drawn(STRONG, image, seed), drawn(STRONG, image, seed))
    assert len({drawn(STRONG, image, seed).sum().item() for seed in range(8)}) == 8


def test_without_changes_it_is_what_the_trained_model_sees() -> None:
    image = photo(32, 32)
    expected = apply(image, PreprocessSpec(size=32, resize_to=32))
    assert np.abs(drawn(STILL, image, 0).numpy() - expected).max() < 1e-5


def test_without_the_new_changes_the_same_numbers_are_drawn() -> None:
    """A recipe that does not ask for more sees torchvision's photos, as it always did."""
    from torchvision.transforms import v2

    how = Augmentation(
        min_scale=0.5, vertical_flip=0.3, brightness=0.3, contrast=0.2, hue=0.05, erasing=0.5
    )
    expected = v2.Compose(
        [
            v2.RandomResizedCrop(32, (0.5, 1.0)),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomVerticalFlip(0.3),
            v2.RandomApply([v2.Identity()], 0),  # quarter turns
            v2.ColorJitter(0.3, 0.2, 0.0, 0.05),
            v2.RandomGrayscale(0),
            v2.RandomApply([v2.Identity()], 0),  # blur
            v2.RandomApply([v2.Identity()], 0),  # JPEG
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            v2.RandomErasing(0.5),
        ]
    )
    for seed in range(10):
        found = drawn(how, photo(70, 50), seed)
        torch.manual_seed(seed)
        assert torch.equal(found, expected(photo(70, 50)))


@pytest.mark.parametrize(
    "name", ["background", "zoom_out", "perspective", "light", "pixelate", "motion", "noise"]
)
def test_a_change_happens_as_often_as_asked(name: str) -> None:
    down, across = np.mgrid[:90, :120]
    pixels = np.full((90, 120, 3), 210, np.uint8)
    pixels[np.hypot(across - 60, down - 45) < 30] = (150, 60, 40)
    image = Image.fromarray(pixels)
    still = drawn(STILL, image, 0, size=90)
    how = Augmentation(horizontal_flip=0, **{name: 0.4})
    # Without a larger view, both take the central square: resampled in one step or in two.
    found = [drawn(how, image, seed, size=90) for seed in range(150)]
    changed = [float((one - still).abs().mean()) > 0.01 for one in found]
    assert 38 <= sum(changed) <= 82  # 60 expected, 3.6 standard deviations either way


@pytest.mark.parametrize("name", ["blur", "jpeg", "noise"])
def test_a_small_change_happens_as_often_as_asked(name: str) -> None:
    image = photo(48, 48)
    still = drawn(STILL, image, 0, size=48)
    how = Augmentation(horizontal_flip=0, **{name: 0.4})
    found = [drawn(how, image, seed, size=48) for seed in range(300)]
    changed = sum(not torch.equal(one, still) for one in found)
    assert 90 <= changed <= 150  # 120 expected, 3.5 standard deviations either way


@pytest.mark.parametrize(
    "how",
    [
        Augmentation(horizontal_flip=0, rotation_degrees=45),
        Augmentation(horizontal_flip=0, rotation_degrees=180),
        Augmentation(horizontal_flip=0, perspective=1),
    ],
)
def test_turns_leave_no_black_corner(how: Augmentation) -> None:
    light = Image.new("RGB", (50, 50), (200, 200, 200))
    still = drawn(STILL, light, 0)
    for seed in range(30):
        assert torch.allclose(drawn(how, light, seed), still, atol=0.03)


def test_the_inside_of_a_turn_is_torchvisions() -> None:
    from torchvision.transforms import v2

    image = photo(32, 32).resize((64, 64))
    for seed in range(5):
        found = drawn(Augmentation(horizontal_flip=0, rotation_degrees=30), image, seed, size=64)
        torch.manual_seed(seed)
        torch.rand(3)  # flips and quarter turn
        turned = v2.RandomRotation(30, v2.InterpolationMode.BILINEAR)(image)
        assert torch.equal(found[:, 20:44, 20:44], drawn(STILL, turned, 0, 64)[:, 20:44, 20:44])


@pytest.mark.parametrize(
    ("how", "operation"),
    [
        (Augmentation(horizontal_flip=1), Image.Transpose.FLIP_LEFT_RIGHT),
        (Augmentation(horizontal_flip=0, vertical_flip=1), Image.Transpose.FLIP_TOP_BOTTOM),
    ],
)
def test_flips_are_exact(how: Augmentation, operation: Image.Transpose) -> None:
    image = photo(32, 32)
    assert torch.equal(drawn(how, image, 0), drawn(STILL, image.transpose(operation), 0))


def test_quarter_turns_are_exact_and_all_three_happen() -> None:
    image = photo(32, 32)
    still = drawn(STILL, image, 0)
    turns = [torch.rot90(still, quarters, (1, 2)) for quarters in (1, 2, 3)]
    always = Augmentation(horizontal_flip=0, quarter_turn=1)
    seen = set()
    for seed in range(30):
        found = drawn(always, image, seed)
        seen |= {number for number, turn in enumerate(turns) if torch.equal(found, turn)}
        assert any(torch.equal(found, turn) for turn in turns)
    assert seen == {0, 1, 2}


def test_erasing_leaves_a_grey_rectangle() -> None:
    tensor = drawn(Augmentation(horizontal_flip=0, erasing=1), photo(64, 64), 0)
    gone = (tensor == 0).all(dim=0)
    rows, columns = gone.any(dim=1).nonzero(), gone.any(dim=0).nonzero()
    assert gone.sum() == len(rows) * len(columns) > 0


def test_grey_has_no_colour() -> None:
    tensor = drawn(Augmentation(grayscale=1), photo(32, 32), 0)
    mean = torch.tensor((0.485, 0.456, 0.406))[:, None, None]
    std = torch.tensor((0.229, 0.224, 0.225))[:, None, None]
    red, green, blue = tensor * std + mean
    assert torch.allclose(red, green, atol=1e-5)
    assert torch.allclose(green, blue, atol=1e-5)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 3, 16, 16, generator=generator), torch.arange(8) % 3


def test_no_mixing() -> None:
    assert batch_mixer(Augmentation(mix=0), 3) is None


def test_mixed_labels_are_probabilities() -> None:
    mixer = batch_mixer(Augmentation(mix=1), 3)
    assert mixer is not None
    images, labels = batch()
    for seed in range(20):
        torch.manual_seed(seed)
        mixed, probs = mixer(images, labels)
        assert mixed.shape == images.shape
        assert probs.shape == (8, 3)
        assert bool((probs >= 0).all())
        assert torch.allclose(probs.sum(dim=1), torch.ones(8))
        # Half of the pairs are of two classes, and keep a share of their own label.
        assert bool((probs[torch.arange(8), labels] >= 0).all())


def test_both_ways_of_mixing_happen() -> None:
    mixer = batch_mixer(Augmentation(mix=1, mixup_alpha=1.0), 3)
    assert mixer is not None
    images, labels = batch()
    kinds = set()
    for seed in range(20):
        torch.manual_seed(seed)
        mixed, _ = mixer(images, labels)
        from_one = torch.isin(mixed, images).all()
        kinds.add("CutMix" if from_one else "MixUp")
    assert kinds == {"CutMix", "MixUp"}


def test_alpha_decides_how_evenly_two_photos_are_mixed() -> None:
    images, labels = batch()

    def share(alpha: float) -> float:
        """Of the larger part, on average over MixUps."""
        mixer = batch_mixer(Augmentation(mix=1, mixup_alpha=alpha), 3)
        assert mixer is not None
        torch.manual_seed(0)
        mixed = [mixer(images, labels) for _ in range(60)]
        return float(
            np.mean(
                [
                    probs.max(dim=1).values.min()
                    for found, probs in mixed
                    if not torch.isin(found, images).all()
                ]
            )
        )

    assert share(100.0) < 0.6 < share(1.0) < 0.9 < share(0.02)


def test_mixing_happens_as_often_as_asked() -> None:
    mixer = batch_mixer(Augmentation(mix=0.25), 3)
    assert mixer is not None
    images, labels = batch()
    torch.manual_seed(0)
    results = [mixer(images, labels) for _ in range(400)]
    mixed = [one for one in results if one[1].ndim == 2]
    assert 70 <= len(mixed) <= 130  # 100 expected, 3.5 standard deviations either way
    assert all(one[0] is images and one[1] is labels for one in results if one[1].ndim == 1)
