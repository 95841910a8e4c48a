from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from tiny_training import draw_photos, pretend

from binsight.data.catalog import Catalog, scan
from binsight.data.split import Split, split_by_ratios, split_into_folds
from binsight.errors import RunError, SplitError, UsageError
from binsight.training import folds as module
from binsight.training.folds import (
    Folds,
    add_ungrouped,
    create_folds,
    epochs_of,
    finished,
    open_folds,
    train_folds,
)
from binsight.training.recipe import load_recipe
from binsight.training.run import Run, learned_from, open_run

EPOCHS = 3


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = draw_photos(tmp_path_factory.mktemp("drawn") / "photos", each=9)
    shutil.copy(folder / "glass" / "0.png", folder / "glass" / "copy.png")
    return folder


@pytest.fixture(scope="module")
def catalog(photos: Path) -> Catalog:
    return scan([photos], duplicates=False)


def options(photos: Path) -> dict[str, Any]:
    recipe = load_recipe("seed", [f"epochs={EPOCHS}"])
    return {"recipe": recipe, "sources": (photos,), "weights": "none"}


@pytest.fixture
def folds(tmp_path: Path, photos: Path, catalog: Catalog) -> Folds:
    return create_folds(
        tmp_path / "cv",
        split_into_folds(catalog, 3, seed=0),
        **options(photos),
        shares={"metal": 0.5},
    )


def test_each_fold_is_an_ordinary_run(folds: Folds, catalog: Catalog) -> None:
    assert open_folds(folds.folder) == folds
    held: list[str] = []
    for number in range(3):
        run = open_run(folds.folder / f"fold{number}")
        assert run == folds.runs[number]
        val, train = run.split.paths("val"), run.split.paths("train")
        assert set(val) == set(folds.split.paths(f"fold{number}"))
        assert len(val) + len(train) == len(catalog.photos)
        held += val
    assert sorted(held) == [photo.path for photo in catalog.photos]
    assert [path.name for path in folds.folder.parent.iterdir()] == ["cv"]


def test_random_folds_differ_in_their_split_alone(folds: Folds) -> None:
    random = add_ungrouped(folds)
    assert open_folds(folds.folder / "ungrouped") == random
    assert random.split.part_of != folds.split.part_of
    for one, other in zip(folds.runs, random.runs, strict=True):
        assert (one.recipe, one.facts) == (other.recipe, other.facts)
    with pytest.raises(UsageError, match="not empty"):
        add_ungrouped(folds)


def test_each_fold_goes_on_from_its_own_network(
    folds: Folds, photos: Path, catalog: Catalog, tmp_path: Path
) -> None:
    on = options(photos) | {"weights": str(folds.folder)}
    work = create_folds(tmp_path / "on", folds.split, **on)
    begun = [run.facts.weights for run in work.runs]
    assert begun == [str(run.best) for run in folds.runs]
    with pytest.raises(UsageError, match="learned photos of any random fold"):
        add_ungrouped(work)
    others = split_into_folds(catalog, 3, seed=1)
    with pytest.raises(UsageError, match=r"its folds are others.* --split .*cv/folds\.csv"):
        create_folds(tmp_path / "others", others, **on)
    assert not (tmp_path / "others").exists()


def test_folds_have_learned_what_any_of_them_has(folds: Folds, catalog: Catalog) -> None:
    assert not learned_from(str(folds.folder))
    for run in folds.runs[1:]:
        run.note_learned(catalog)
    in_fold = folds.split.part_of
    shown = [one for one in catalog.photos if in_fold[one.path].startswith("fold")]
    assert all(one.sha256 in learned_from(str(folds.folder)) for one in shown)
    shutil.rmtree(folds.folder / "fold1")
    known = learned_from(str(folds.folder))
    assert {in_fold[one.path] for one in shown if one.sha256 in known} == {"fold0", "fold1"}


def test_other_parts_stay_out(tmp_path: Path, photos: Path, catalog: Catalog) -> None:
    dealt = split_into_folds(catalog, 2, seed=0)
    parts = dict(dealt.part_of) | {"glass/1.png": "test", "metal/1.png": "unused"}
    split = Split(
        part_of=parts,
        label_of=dealt.label_of,
        group_of=dealt.group_of,
        seed=0,
        catalog_digest=dealt.catalog_digest,
    )
    for run in create_folds(tmp_path / "cv", split, **options(photos)).runs:
        used = {*run.split.paths("train"), *run.split.paths("val")}
        assert used == set(parts) - {"glass/1.png", "metal/1.png"}


def test_what_cannot_be_learned_is_refused_before_a_folder_is_made(
    tmp_path: Path, photos: Path, catalog: Catalog
) -> None:
    dealt = split_into_folds(catalog, 2, seed=0)
    in_one = {p: "fold0" if p.startswith("paper/") else its for p, its in dealt.part_of.items()}
    split = Split(
        part_of=in_one,
        label_of=dealt.label_of,
        group_of=dealt.group_of,
        seed=0,
        catalog_digest=dealt.catalog_digest,
    )
    with pytest.raises(SplitError, match="fold0: no training photo of paper"):
        create_folds(tmp_path / "cv", split, **options(photos))
    plain = split_by_ratios(catalog, {"train": 0.5, "val": 0.5}, seed=0)
    with pytest.raises(SplitError, match="needs two folds"):
        create_folds(tmp_path / "cv", plain, **options(photos))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_left_alone(folds: Folds, photos: Path) -> None:
    with pytest.raises(UsageError, match="--resume"):
        create_folds(folds.folder, folds.split, **options(photos))
    assert open_folds(folds.folder) == folds


def test_a_draft_that_was_cut_off_is_no_obstacle(
    tmp_path: Path, photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = split_into_folds(catalog, 2, seed=0)
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_split", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            create_folds(tmp_path / "cv", split, **options(photos))
    assert not (tmp_path / "cv").exists()
    assert len(create_folds(tmp_path / "cv", split, **options(photos)).runs) == 2


def test_what_is_no_folder_of_folds_is_refused(folds: Folds) -> None:
    with pytest.raises(RunError, match="not a folder of folds"):
        open_folds(folds.runs[0].folder)
    shutil.copy(folds.runs[1].folder / "split.csv", folds.runs[0].folder / "split.csv")
    with pytest.raises(RunError, match="not a fold of"):
        open_folds(folds.folder)


def test_finished_folds_are_not_trained_again(
    folds: Folds, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []
    monkeypatch.setattr(
        "binsight.training.train.train",
        lambda run, photos, **given: called.append((run.folder.name, given)),
    )
    pretend(folds.runs[0], EPOCHS)
    pretend(folds.runs[1], EPOCHS - 1)
    assert [finished(run) for run in folds.runs] == [True, False, False]
    places = []

    def around(place: int, run: Run) -> Any:
        places.append((place, run.folder.name))
        return nullcontext({"report": None})

    train_folds(folds, catalog, around=around, workers=0)
    assert places == [(1, "fold0"), (2, "fold1"), (3, "fold2")]
    assert called == [
        ("fold1", {"resume": True, "workers": 0, "report": None}),
        ("fold2", {"resume": False, "workers": 0, "report": None}),
    ]


def test_epochs_of_a_run_that_has_none(folds: Folds) -> None:
    with pytest.raises(RunError, match="--resume"):
        epochs_of(folds.runs[0])
