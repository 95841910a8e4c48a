from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

torch = pytest.importorskip("torch")

from binsight.data.dataset import (  # noqa: E402
    Views,
    evaluation_loader,
    mixed_seed,
    training_loader,
)
from binsight.data.labelled import LabelledPhotos  # noqa: E402
from binsight.preprocess import PreprocessSpec, load  # noqa: E402

Batches = list[tuple[torch.Tensor, torch.Tensor]]


class NoisyCopy:
    """A random change that shows which numbers were drawn."""

    def __call__(self, image: Image.Image) -> torch.Tensor:
        small = np.asarray(image.resize((8, 8)), np.float32)
        return torch.from_numpy(small).permute(2, 0, 1) + torch.rand(3, 8, 8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> LabelledPhotos:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    files = []
    for number in range(7):
        sides = (int(random.integers(40, 200)), int(random.integers(40, 200)), 3)
        suffix = "jpg" if number % 2 else "png"
        file = folder / f"{number}.{suffix}"
        Image.fromarray(random.integers(0, 256, sides).astype(np.uint8)).save(file)
        files.append(file)
    return LabelledPhotos(files, list(range(7)))


def batches(
    photos: LabelledPhotos,
    *,
    epochs: int = 1,
    workers: int = 0,
    seed: int = 0,
    batch: int = 3,
    shares: list[float] | None = None,
    first_epoch: int = 0,
    transform: Callable[[Image.Image], torch.Tensor] | None = None,
    views: int = 0,
) -> Batches:
    """Everything that some epochs give, with the epoch set as Lightning does."""
    loader = training_loader(
        Views(photos, transform or NoisyCopy(), size=8, seed=seed, count=views),
        batch=batch,
        workers=workers,
        shares=shares,
        first_epoch=first_epoch,
    )
    found = []
    for epoch in range(first_epoch, first_epoch + epochs):
        loader.sampler.set_epoch(epoch)
        found += list(loader)
    return found


def same(one: Batches, other: Batches) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(one, other, strict=True)
    )


def order(found: Batches) -> list[int]:
    return [int(label) for _, labels in found for label in labels]


def test_workers_change_nothing(photos: LabelledPhotos) -> None:
    alone, together = batches(photos, epochs=2), batches(photos, epochs=2, workers=2)
    assert same(alone, together)


class Collecting(NoisyCopy):
    """A change during which the garbage is collected."""

    def __call__(self, image: Image.Image) -> torch.Tensor:
        gc.collect()
        return super().__call__(image)


class Mourned:
    """Leaves a file of its process when it goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.me = self  # goes only when garbage is collected

    def __del__(self) -> None:
        (self.folder / str(os.getpid())).touch()


def test_workers_leave_inherited_garbage_alone(photos: LabelledPhotos, tmp_path: Path) -> None:
    gc.collect()
    gc.disable()
    try:
        Mourned(tmp_path)
        batches(photos, workers=2, transform=Collecting())
        assert not list(tmp_path.iterdir())
    finally:
        gc.enable()
    gc.collect()
    assert [file.name for file in tmp_path.iterdir()] == [str(os.getpid())]


def test_nor_does_what_was_drawn_before(photos: LabelledPhotos) -> None:
    torch.manual_seed(1)
    first = batches(photos)
    torch.manual_seed(2)
    torch.rand(100)
    assert same(first, batches(photos))


def test_nor_does_loading_touch_the_caller_s_numbers(photos: LabelledPhotos) -> None:
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    batches(photos)
    assert torch.equal(torch.rand(5), expected)


def test_a_later_epoch_needs_no_earlier_one(photos: LabelledPhotos) -> None:
    whole = batches(photos, epochs=3)
    assert same(whole[-2:], batches(photos, first_epoch=2))


def test_of_a_share_each_epoch_draws_others(photos: LabelledPhotos) -> None:
    shares = [1.0, 0.5, 1.0, 0.5, 0.5, 0.5, 1.0]  # photos 0, 2, 6 always; two of the other four
    epochs = [
        order(batches(photos, shares=shares, first_epoch=epoch, batch=1)) for epoch in range(12)
    ]
    assert all(len(set(epoch)) == len(epoch) == 5 for epoch in epochs)
    assert all({0, 2, 6} <= set(epoch) for epoch in epochs)
    assert set().union(*epochs) == set(range(7))
    assert len({frozenset(epoch) for epoch in epochs}) > 2


def test_a_share_of_few_photos_draws_at_least_one(photos: LabelledPhotos) -> None:
    assert len(order(batches(photos, shares=[0.01] * 7, batch=1))) == 1


def test_shares_are_drawn_alike_by_workers_and_on_resuming(photos: LabelledPhotos) -> None:
    shares = [1.0, 0.5, 1.0, 0.5, 0.5, 0.5, 1.0]
    whole = batches(photos, epochs=3, shares=shares, batch=1, workers=2)
    assert same(whole[-5:], batches(photos, shares=shares, batch=1, first_epoch=2))


def test_order_and_changes_differ_by_epoch_and_seed(photos: LabelledPhotos) -> None:
    whole = batches(photos, epochs=2, batch=7)
    other = batches(photos, seed=1, batch=7)
    orders = [order(whole[:1]), order(whole[1:]), order(other)]
    assert all(sorted(one) == list(range(7)) for one in orders)
    assert len({tuple(one) for one in orders}) == 3
    pictures = [
        images[int((labels == 4).nonzero())] for images, labels in (whole[0], whole[1], other[0])
    ]
    assert not torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])


def test_the_last_small_batch_is_left_out_unless_it_is_the_only_one(
    photos: LabelledPhotos,
) -> None:
    assert [len(labels) for _, labels in batches(photos, batch=3)] == [3, 3]
    assert [len(labels) for _, labels in batches(photos, batch=7)] == [7]
    assert [len(labels) for _, labels in batches(photos, batch=50)] == [7]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("spec", [PreprocessSpec(size=32, resize_to=40), PreprocessSpec(size=64)])
def test_evaluation_sees_what_the_runtime_sees(
    photos: LabelledPhotos, spec: PreprocessSpec, workers: int
) -> None:
    found = list(evaluation_loader(photos, spec, batch=3, workers=workers))
    assert [len(labels) for _, labels in found] == [3, 3, 1]
    assert order(found) == list(range(7))
    images = torch.cat([images for images, _ in found]).numpy()
    expected = np.stack([load(file, spec) for file in photos.files])
    assert images.tobytes() == expected.tobytes()


def test_evaluation_leaves_the_caller_s_numbers_alone(photos: LabelledPhotos) -> None:
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    list(evaluation_loader(photos, PreprocessSpec(size=32), batch=3, workers=0))
    assert torch.equal(torch.rand(5), expected)


NUMBERS = st.integers(0, 2**32 - 1)


@given(st.lists(NUMBERS, min_size=3, max_size=3), st.integers(0, 2), NUMBERS)
def test_every_number_matters_to_a_seed(numbers: list[int], place: int, other: int) -> None:
    changed = [*numbers]
    changed[place] = other
    seed = mixed_seed(*numbers)
    assert 0 <= seed < 2**63
    assert (seed == mixed_seed(*changed)) == (numbers == changed)


def with_digests(photos: LabelledPhotos) -> LabelledPhotos:
    digests = [f"{number + 1:064x}"[::-1] for number in range(len(photos.files))]
    return LabelledPhotos(photos.files, photos.labels, digests)


def pictures(found: Batches) -> dict[int, torch.Tensor]:
    return {
        int(label): image
        for images, labels in found
        for image, label in zip(images, labels, strict=True)
    }


def test_views_come_round_again(photos: LabelledPhotos) -> None:
    epochs = [
        pictures(batches(with_digests(photos), batch=7, first_epoch=epoch, views=2))
        for epoch in range(4)
    ]
    for label in range(7):
        assert torch.equal(epochs[0][label], epochs[2][label])
        assert torch.equal(epochs[1][label], epochs[3][label])
        assert not torch.equal(epochs[0][label], epochs[1][label])


def test_views_go_with_the_photo_whatever_its_place(photos: LabelledPhotos) -> None:
    whole = with_digests(photos)
    half = whole.at(range(3, 7))
    of_whole = pictures(batches(whole, batch=7, views=2))
    of_half = pictures(batches(half, batch=4, views=2))
    assert all(torch.equal(of_whole[label], of_half[label]) for label in range(3, 7))


def test_what_is_kept_takes_the_image_s_place(photos: LabelledPhotos) -> None:
    known = with_digests(photos)
    place_of = {digest: place for place, digest in enumerate(known.digests)}

    def stages(digest: str, view: int) -> torch.Tensor:
        return torch.tensor([place_of[digest], view])

    def teacher(digest: str, view: int) -> torch.Tensor:
        return torch.tensor([10 * place_of[digest] + view])

    loader = training_loader(
        Views(known, NoisyCopy(), size=8, seed=0, count=3),
        batch=7,
        workers=0,
        first_epoch=4,
        stages=stages,
        teacher=teacher,
    )
    [(images, labels, taught)] = list(loader)
    assert images.tolist() == [[label, 1] for label in labels]
    assert taught.tolist() == [[10 * label + 1] for label in labels]
    with_names = training_loader(
        Views(known, NoisyCopy(), size=8, seed=0), batch=7, workers=0, named=True
    )
    [(_, labels, names)] = list(with_names)
    assert [place_of[name] for name in names] == labels.tolist() != list(range(7))
    [(shown, _)] = list(
        evaluation_loader(known, PreprocessSpec(size=32), batch=7, workers=0, stages=stages)
    )
    assert shown.tolist() == [[place, 0] for place in range(7)]
