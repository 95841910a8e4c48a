from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from binsight.data.dataset import Views  # noqa: E402
from binsight.data.labelled import LabelledPhotos  # noqa: E402
from binsight.errors import RunError  # noqa: E402
from binsight.training.kept import Keeper, fill, weights_digest  # noqa: E402


def noisy(image: Image.Image) -> torch.Tensor:
    small = np.asarray(image.resize((4, 4)), np.float32) / 255
    return torch.from_numpy(small).permute(2, 0, 1) + torch.rand(3, 4, 4)


@pytest.fixture
def views(tmp_path: Path) -> Views:
    files = []
    for number in range(5):
        files.append(tmp_path / f"{number}.png")
        Image.new("RGB", (8, 8), (50 * number, 0, 0)).save(files[-1])
    digests = [f"{number:064x}" for number in range(5)]
    return Views(LabelledPhotos(files, [0] * 5, digests), noisy, size=4, seed=3, count=3)


class Halves:
    """Halves images, and notes of which photos they are."""

    def __init__(self) -> None:
        self.digests: list[str] = []

    @property
    def images(self) -> int:
        return len(self.digests)

    def __call__(self, images: torch.Tensor, digests: Sequence[str]) -> torch.Tensor:
        assert len(images) == len(digests)
        self.digests += digests
        return images / 2


def test_no_random_number_is_drawn_for_what_is_kept(views: Views, tmp_path: Path) -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    fill([(Keeper(tmp_path / "kept", ["half"]), Halves())], views, workers=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_keeps_what_the_network_makes_of_each_view(views: Views, tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "kept", ["half"])
    halves = Halves()
    fill([(keeper, halves)], views, workers=0)
    assert halves.digests == [digest for digest in views.photos.digests for _ in range(3)]
    for place, digest in enumerate(views.photos.digests):
        for view in range(3):
            found = keeper(digest, view)
            assert found.dtype == torch.float32
            assert torch.allclose(found, views.tensor(place, view) / 2, atol=1e-3)


def test_goes_on_where_it_was(views: Views, tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "kept", ["half"])
    fill([(keeper, Halves())], views, workers=0)
    files = sorted(keeper.folder.iterdir())
    files[1].unlink()
    again = Halves()
    reports: list[tuple[int, int | None]] = []
    fill([(keeper, again)], views, workers=0, report=lambda *counts: reports.append(counts))
    assert again.digests == 3 * [files[1].stem]
    assert reports == [(1, 1)]
    assert sorted(keeper.folder.iterdir()) == files
    fill([(keeper, again)], views, workers=0)
    assert again.images == 3


def test_keepers_share_the_views_and_make_only_what_they_lack(views: Views, tmp_path: Path) -> None:
    first, second = Halves(), Halves()
    one, other = Keeper(tmp_path, ["one"]), Keeper(tmp_path, ["other"])
    fill([(one, first)], views, workers=0)
    (other_files := sorted(one.folder.iterdir()))[2].unlink()
    fill([(one, first), (other, second)], views, workers=0)
    assert (first.images, second.images) == (15 + 3, 15)
    assert [file.name for file in sorted(other.folder.iterdir())] == [f.name for f in other_files]
    digest = views.photos.digests[2]
    assert torch.equal(one(digest, 1), other(digest, 1))


def test_what_decides_the_content_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = {Keeper(tmp_path, made_by).folder for made_by in (["a"], ["b"], [{"a": 1}])}
    assert len(folders) == 3
    assert Keeper(tmp_path, ["a"]).folder in folders


def test_a_lost_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="--resume"):
        Keeper(tmp_path, [])("0" * 64, 0)


@pytest.mark.parametrize("left", [0, 100])
def test_a_damaged_file_is_removed_so_that_it_is_made_anew(tmp_path: Path, left: int) -> None:
    keeper = Keeper(tmp_path, [])
    keeper.make(lambda images, _: images, ["0" * 64], torch.ones(1, 2, 3, 4, 4))
    assert not keeper.lacks("0" * 64)
    (file,) = keeper.folder.iterdir()
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(RunError, match="--resume"):
        keeper("0" * 64, 0)
    assert keeper.lacks("0" * 64)


def test_weights_and_statistics_decide_the_digest() -> None:
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))
    before = weights_digest(layers)
    assert weights_digest(layers) == before
    layers[1].running_mean += 1
    assert weights_digest(layers) != before
