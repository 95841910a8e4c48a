from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from small_bundle import write_small_bundle
from tiny_training import CLASSES, draw_photos

from binsight.data.catalog import scan
from binsight.data.labelled import matching_catalog
from binsight.data.relabel import LabelIssue, corrected
from binsight.data.split import Split, split_by_ratios
from binsight.errors import CatalogError, RecipeError, RunError, SplitError, UsageError
from binsight.learned import NOTHING, Learned
from binsight.runtime import Classifier
from binsight.training.recipe import load_recipe
from binsight.training.run import (
    Facts,
    Run,
    create_run,
    create_twin,
    open_run,
    weights_of,
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw_photos(tmp_path / "photos", each=4)


@pytest.fixture
def split(photos: Path) -> Split:
    catalog = scan([photos], duplicates=False)
    return split_by_ratios(catalog, {"train": 0.5, "val": 0.5}, seed=0)


@pytest.fixture
def run(tmp_path: Path, photos: Path, split: Split) -> Run:
    recipe = load_recipe("seed", ["epochs=3"])
    return create_run(
        tmp_path / "runs" / "one", recipe=recipe, split=split, sources=(photos,), weights="none"
    )


def test_what_was_made_is_opened(run: Run, photos: Path) -> None:
    again = open_run(run.folder)
    assert again.recipe == run.recipe == load_recipe("seed", ["epochs=3"])
    assert again.facts == run.facts
    assert again.split.part_of == run.split.part_of
    assert again.facts.classes == CLASSES
    assert again.facts.sources == (str(photos),)
    assert again.facts.weights == "none"
    assert again.best.parent == again.last.parent == run.folder / "checkpoints"


def test_a_run_stands_for_its_best_weights(run: Run, tmp_path: Path, monkeypatch) -> None:
    assert weights_of(str(run.folder)) == str(run.best)
    for given in ("imagenet", "small", str(run.best), str(tmp_path)):
        assert weights_of(given) == given
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run.folder, "small")
    assert weights_of("small") == "small"
    assert weights_of("./small") == "small/checkpoints/best.safetensors"
    (tmp_path / "small" / "split.csv").unlink()
    with pytest.raises(SplitError, match=r"small/split\.csv"):
        weights_of("./small")


def test_relative_sources_are_found_from_anywhere(
    photos: Path, split: Split, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(photos.parent)
    made = create_run(
        tmp_path / "r",
        recipe=load_recipe("seed"),
        split=split,
        sources=(Path("photos"),),
        weights="none",
    )
    monkeypatch.chdir("/")
    assert open_run(made.folder).photos().digest == split.catalog_digest


def test_a_run_knows_what_it_and_the_run_before_it_learned_from(
    run: Run, photos: Path, split: Split, tmp_path: Path
) -> None:
    assert run.learned == NOTHING
    catalog = run.photos()
    run.note_learned(catalog)
    own = Learned.of(one.sha256 for one in catalog.photos if split.part_of[one.path] == "train")
    assert run.learned == own
    assert len(own) == 6
    assert create_twin(run, tmp_path / "refit", refit=str(run.folder)).learned == own
    assert create_twin(run, tmp_path / "other", split).learned == NOTHING, "not trained yet"
    other = draw_photos(tmp_path / "others", each=4, seed=9)
    following = create_run(
        tmp_path / "runs" / "two",
        recipe=run.recipe,
        split=split_by_ratios(scan([other], duplicates=False), {"train": 0.5, "val": 0.5}, seed=0),
        sources=(other,),
        weights=weights_of(str(run.folder)),
    )
    following.note_learned(following.photos())
    assert not own - following.learned
    assert len(following.learned) == 12
    soup = (str(run.folder), str(following.folder))
    assert create_twin(run, tmp_path / "soup", soup=soup).learned == following.learned
    shutil.rmtree(run.folder)
    following.note_learned(following.photos())
    assert len(following.learned) == 12


def test_what_a_bundle_learned_is_known_of_a_run_that_begins_with_it(
    run: Run, photos: Path, split: Split, tmp_path: Path
) -> None:
    catalog = run.photos()
    judged = set(split.paths("val"))
    held = [photos / path for path in sorted(judged)][:2]
    bundle = write_small_bundle(tmp_path / "taught.onnx").path
    Classifier(bundle).teach({"paper": held}, bundle, anyway=True)
    following = create_run(
        tmp_path / "runs" / "two",
        recipe=load_recipe("onward"),
        split=split,
        sources=(photos,),
        weights=str(bundle),
    )
    following.note_learned(catalog)
    before = following.learned_before(catalog)
    assert {photos / one.path for one in catalog.photos if one.sha256 in before} == set(held)
    bundle.unlink()
    following.note_learned(catalog)
    assert following.learned_before(catalog) == before


def test_a_record_that_is_broken(run: Run) -> None:
    (run.folder / "learned.txt").write_text("schön", encoding="utf-8")
    with pytest.raises(RunError, match=r"learned\.txt: not what training wrote; put it back"):
        run.learned  # noqa: B018  # reading is what fails


def test_a_file_called_so_elsewhere_says_nothing(run: Run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "learned.txt").write_text("schön", encoding="utf-8")
    run.note_learned(run.photos())
    assert len(run.learned) == 6


def test_the_innermost_share_counts(tmp_path: Path, photos: Path) -> None:
    split = split_by_ratios(
        scan([photos, draw_photos(tmp_path / "web", each=4)], duplicates=False),
        {"train": 0.5, "val": 0.5},
        seed=0,
    )
    shares = {"web": 0.25, "web/glass": 0.5}
    made = create_run(
        tmp_path / "r",
        recipe=load_recipe("seed"),
        split=split,
        sources=(photos, tmp_path / "web"),
        weights="none",
        shares=shares,
    )
    facts = open_run(made.folder).facts
    assert facts.shares == shares
    assert facts.share_of("web/paper/1.png") == 0.25
    assert facts.share_of("web/glass/1.png") == 0.5
    assert facts.share_of("photos/glass/1.png") == facts.share_of("website/glass/1.png") == 1


@pytest.mark.parametrize(
    ("sources", "path", "folder"),
    [
        (("/d/photos",), "glass/1.png", ""),
        (("/d/photos", "/d/web"), "web/glass/1.png", "web"),
        (("/d/web/a", "/d/web/b", "/d/own"), "web/b/glass/1.png", "web/b"),
        (("/d/all", "/d/all/web"), "web/glass/1.png", "web"),
        (("/d/all", "/d/all/w"), "glass/1.png", ""),
        (("/d/monday.csv", "/d/tuesday.csv"), "2026-11-02/1.png", ""),
        (("/d/bins/monday.csv", "/d/bins/../web"), "bins/cam/1.png", "bins"),
    ],
)
def test_a_photo_is_of_the_source_that_it_lies_in(
    sources: tuple[str, ...], path: str, folder: str
) -> None:
    facts = Facts(
        sources=sources,
        weights="none",
        classes=("glass", "metal"),
        catalog_digest="",
        binsight="0",
        started="",
    )
    assert facts.folder_of(path) == folder
    assert folder in facts.folders
    one_folder = sources[0] == "/d/monday.csv"
    assert len(facts.folders) == (1 if one_folder else len(sources))


def test_a_run_from_before_there_were_shares_draws_all(run: Run) -> None:
    file = run.folder / "run.json"
    values = json.loads(file.read_text())
    del values["shares"]
    file.write_text(json.dumps(values))
    assert open_run(run.folder).facts.share_of("glass/1.png") == 1


@pytest.mark.parametrize(
    ("shares", "reason"),
    [
        ({"glass": 0.0}, "share glass=0: give a number above 0, up to 1"),
        ({"glass": 1.5}, "share glass=1.5: give a number above 0, up to 1"),
        ({"glass": float("nan")}, "share glass=nan: give a number above 0, up to 1"),
        ({"gla": 0.5}, "share gla=0.5: no training photo is in gla/"),
    ],
)
def test_a_wrong_share_is_refused_before_a_folder_is_made(
    tmp_path: Path, photos: Path, split: Split, shares: dict[str, float], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        create_run(
            tmp_path / "r",
            recipe=load_recipe("seed"),
            split=split,
            sources=(photos,),
            weights="none",
            shares=shares,
        )
    assert not (tmp_path / "r").exists()


def test_an_empty_folder_will_do(tmp_path: Path, photos: Path, split: Split) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    recipe = load_recipe("seed")
    create_run(folder, recipe=recipe, split=split, sources=(photos,), weights="none")
    assert open_run(folder).recipe == recipe


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_folder_in_use_is_left_alone(
    tmp_path: Path, photos: Path, split: Split, kind: str
) -> None:
    folder = tmp_path / "used"
    if kind == "folder":
        folder.mkdir()
        (folder / "thesis.txt").write_text("mine")
    else:
        folder.write_text("mine")
    reason = "is not empty" if kind == "folder" else "is a file"
    with pytest.raises(UsageError, match=f"{reason}; choose another --out"):
        create_run(
            folder, recipe=load_recipe("seed"), split=split, sources=(photos,), weights="none"
        )
    left = folder / "thesis.txt" if kind == "folder" else folder
    assert left.read_text() == "mine"


def test_a_run_is_not_begun_anew(run: Run, photos: Path, split: Split) -> None:
    before = {file: file.read_bytes() for file in run.folder.iterdir() if file.is_file()}
    with pytest.raises(UsageError, match="holds a run; go on with --resume"):
        create_run(
            run.folder, recipe=load_recipe("seed"), split=split, sources=(photos,), weights="none"
        )
    assert before == {file: file.read_bytes() for file in before}


@pytest.mark.parametrize("name", ["run.json", "recipe.toml"])
@pytest.mark.parametrize("content", [None, b"", b"[1, 2]", b"{", b"\xff\xfe", b'"text"', b"= 3"])
def test_broken_files_are_no_run(run: Run, name: str, content: bytes | None) -> None:
    path = run.folder / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    if (name, content) == ("recipe.toml", b""):
        return  # an empty recipe is one of all defaults
    with pytest.raises((RunError, RecipeError)) as caught:
        open_run(run.folder)
    assert str(run.folder) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [{"sources": 3}, {"classes": None}, {"surprise": 1}, {"classes": ["a", "b"]}, {"started": ...}],
)
def test_run_json_that_was_edited(run: Run, change: dict[str, object]) -> None:
    path = run.folder / "run.json"
    values = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))
    with pytest.raises(RunError) as caught:
        open_run(run.folder)
    assert str(run.folder) in str(caught.value)


def test_classes_in_another_order_are_refused(run: Run) -> None:
    path = run.folder / "run.json"
    values = json.loads(path.read_text())
    values["classes"].reverse()
    path.write_text(json.dumps(values))
    with pytest.raises(RunError, match=r"run\.json and split\.csv are not of the same run"):
        open_run(run.folder)


def test_a_recipe_that_was_edited_badly(run: Run) -> None:
    path = run.folder / "recipe.toml"
    path.write_text("surprise = 3\n" + path.read_text())
    with pytest.raises(RecipeError, match="unknown key surprise"):
        open_run(run.folder)


def test_a_split_that_is_gone(run: Run) -> None:
    (run.folder / "split.csv").unlink()
    with pytest.raises(SplitError, match=r"split\.csv"):
        open_run(run.folder)


@pytest.mark.parametrize("name", ["nowhere", "photos"])
def test_other_folders_are_no_runs(photos: Path, name: str) -> None:
    with pytest.raises(RunError, match=r"not the folder of a run \(run.json: No such file"):
        open_run(photos.parent / name)


def test_a_folder_of_folds_is_told_from_a_run(tmp_path: Path) -> None:
    (tmp_path / "folds.csv").touch()
    with pytest.raises(RunError, match=r"holds folds, each of them a run; name .*fold0"):
        open_run(tmp_path)


def test_the_photos_of_a_run(run: Run, photos: Path, tmp_path: Path) -> None:
    assert run.photos().digest == run.split.catalog_digest
    moved = tmp_path / "moved"
    photos.rename(moved)
    with pytest.raises(CatalogError):
        run.photos()
    assert run.photos((moved,)).root == moved


def test_photos_that_lie_elsewhere_now_have_to_be_named(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    gone = replace(run, facts=replace(run.facts, sources=(str(tmp_path / "gone"),)))
    with pytest.raises(CatalogError, match=r"gone: no such folder; if the photos of .* name where"):
        gone.photos()
    assert gone.photos((photos,)) == run.photos()


def test_one_process_trains_a_run(run: Run) -> None:
    with run.held(), pytest.raises(RunError, match="another process is training it"), run.held():
        pass
    with run.held():
        pass


def test_photos_that_are_missing(split: Split, photos: Path) -> None:
    (photos / "metal" / "1.png").unlink()
    (photos / "metal" / "2.png").unlink()
    message = r"2 of its photos are missing, such as metal/1\.png; make a new split"
    with pytest.raises(SplitError, match=message):
        matching_catalog((photos,), split)


def test_photos_that_are_new(split: Split, photos: Path) -> None:
    shutil.copy(photos / "metal" / "1.png", photos / "metal" / "new.png")
    with pytest.raises(SplitError, match=r"1 photos are new, such as metal/new\.png"):
        matching_catalog((photos,), split)


def test_photos_that_changed(split: Split, photos: Path) -> None:
    shutil.copy(photos / "metal" / "1.png", photos / "metal" / "2.png")
    with pytest.raises(SplitError, match="some photos or their classes changed"):
        matching_catalog((photos,), split)


def test_labels_that_were_changed_in_the_split_are_not_ignored(split: Split, photos: Path) -> None:
    edited = replace(split, label_of=dict(split.label_of) | {"glass/1.png": "metal"})
    with pytest.raises(SplitError, match=r"glass/1\.png is glass, and metal in the split, where"):
        matching_catalog((photos,), edited)


def test_a_row_that_is_gone_from_the_split_is_told_of(split: Split, photos: Path) -> None:
    labels = {path: label for path, label in split.label_of.items() if path != "glass/1.png"}
    with pytest.raises(SplitError, match=r"glass/1\.png has no row in the split"):
        matching_catalog((photos,), replace(split, label_of=labels))


def test_a_decision_about_a_photo_that_cannot_be_read_is_no_reason(
    tmp_path: Path, photos: Path
) -> None:
    (photos / "glass" / "0.png").write_bytes(b"broken")
    decisions = (LabelIssue(path="glass/0.png", decision="metal"),)
    catalog = corrected(scan([photos], duplicates=False), decisions)
    parts = split_by_ratios(catalog, {"train": 0.5, "val": 0.5}, seed=0)
    made = create_run(
        tmp_path / "run",
        recipe=load_recipe("seed"),
        split=parts,
        sources=(photos,),
        weights="none",
        decisions=decisions,
    )
    assert made.photos() == catalog


DECISIONS = (
    LabelIssue(path="glass/0.png", label="glass", suggested="metal", score=0.01, decision="metal"),
    LabelIssue(path="paper/1.png", decision="drop"),
    LabelIssue(path="paper/2.png", decision="keep"),
)


def corrected_run(folder: Path, photos: Path) -> Run:
    catalog = corrected(scan([photos], duplicates=False), DECISIONS)
    return create_run(
        folder,
        recipe=load_recipe("seed"),
        split=split_by_ratios(catalog, {"train": 0.5, "val": 0.5}, seed=0),
        sources=(photos,),
        weights="none",
        decisions=(*DECISIONS, LabelIssue(path="metal/0.png", suggested="glass")),
    )


def test_a_run_keeps_its_corrections(tmp_path: Path, photos: Path) -> None:
    run = open_run(corrected_run(tmp_path / "run", photos).folder)
    assert run.decisions == DECISIONS
    found = {photo.path: photo.label for photo in run.photos().photos}
    assert found["glass/0.png"] == "metal"
    assert "paper/1.png" not in found
    twin = open_run(create_twin(run, tmp_path / "twin", run.split).folder)
    assert twin.photos() == run.photos()
    assert twin.facts == run.facts


def test_corrections_that_were_changed_or_lost_are_refused(tmp_path: Path, photos: Path) -> None:
    folder = corrected_run(tmp_path / "run", photos).folder
    file = folder / "corrections.csv"
    before = file.read_text()
    file.write_text(before.replace("drop", "keep"))
    with pytest.raises(RunError, match="put it back"):
        open_run(folder)
    file.unlink()
    with pytest.raises(RunError, match="put it back"):
        open_run(folder)
    file.write_text(before)
    assert open_run(folder).decisions == DECISIONS


@pytest.mark.parametrize("decision", ["metal", "drop"])
def test_a_split_made_without_the_corrections_is_refused(
    tmp_path: Path, photos: Path, split: Split, decision: str
) -> None:
    with pytest.raises(SplitError, match="make the split with"):
        create_run(
            tmp_path / "run",
            recipe=load_recipe("seed"),
            split=split,
            sources=(photos,),
            weights="none",
            decisions=[LabelIssue(path="glass/0.png", decision=decision)],
        )
    assert not (tmp_path / "run").exists()


def test_a_split_made_with_corrections_asks_for_them(tmp_path: Path, photos: Path) -> None:
    run = corrected_run(tmp_path / "run", photos)
    with pytest.raises(SplitError, match="--corrections"):
        matching_catalog((photos,), run.split)
