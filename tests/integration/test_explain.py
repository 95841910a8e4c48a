"""``binsight explain``: photos in, pictures and places out, with a bundle and with a run."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from command_line import binsight, output, refusal
from onnx import helper
from PIL import Image
from small_bundle import SmallBundle, small_model, write_small_bundle
from tiny_training import draw_photos, make_run, train_run, write_weights
from typer.testing import CliRunner

from binsight.interfaces.cli import app
from binsight.interfaces.cli.explained import Galleries


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("drawn") / "photos", each=3)


@pytest.fixture
def spotted(tmp_path: Path) -> Path:
    """A wide photo with a red spot in the part that the small bundle sees."""
    photo = Image.new("RGB", (64, 32))
    photo.paste((255, 0, 0), (20, 18, 28, 30))
    photo.save(tmp_path / "spot.png")
    return tmp_path / "spot.png"


def test_one_photo(spotted: Path, tmp_path: Path, small_bundle: SmallBundle) -> None:
    command = ("explain", spotted, "--model", small_bundle.path, "--class", "glass")
    (line,) = output(*command, cwd=tmp_path).splitlines()
    assert line.startswith(f"{spotted}: ")
    assert "looked at: bottom, x 20 to 28, y 18 to 30; spot-explained.jpg" in line
    with Image.open(tmp_path / "spot-explained.jpg") as picture:
        assert picture.size == (64, 32)
        outside = np.asarray(picture)[:, :14]
    assert outside.max() < 40  # not seen, so dark
    out = tmp_path / "here" / "map.png"
    (row,) = map(json.loads, output(*command, "--json", "--out", out).splitlines())
    assert list(row) == [
        *("path", "label", "confidence", "class", "probability", "box", "where", "share"),
        *("width", "height", "true", "overlay"),
    ]
    assert (row["class"], row["box"], row["where"]) == ("glass", [20, 18, 28, 30], "bottom")
    assert row["overlay"] == str(out)
    assert out.is_file()


def test_pictures_of_photos_of_one_name_are_both_kept(
    spotted: Path, tmp_path: Path, small_bundle: SmallBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        done = CliRunner().invoke(app, ["explain", str(spotted), "--model", str(small_bundle.path)])
        assert done.exit_code == 0
    made = sorted(path.name for path in tmp_path.glob("*.jpg"))
    assert made == ["spot-explained-2.jpg", "spot-explained.jpg"]
    given = ["explain", str(spotted), "--model", str(small_bundle.path), "--out", "maps"]
    assert CliRunner().invoke(app, given).exit_code == 0
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["spot-explained.jpg"]


def test_a_folder_gives_galleries_of_right_and_wrong_answers(
    photos: Path, tmp_path: Path, small_bundle: SmallBundle
) -> None:
    (photos / "glass" / "notes.jpg").write_text("no photo")
    out = tmp_path / "maps"
    done = binsight("explain", photos, "--json", "--out", out, "--model", small_bundle.path)
    (photos / "glass" / "notes.jpg").unlink()
    assert done.returncode == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    broken = [row for row in rows if "error" in row]
    assert [(Path(row["path"]).name, row["error"]) for row in broken] == [
        ("notes.jpg", "not an image that can be read")
    ]
    told = [row for row in rows if "error" not in row]
    assert len(told) == 9
    assert all(row["true"] == Path(row["path"]).parent.name for row in told)
    assert all(Path(row["overlay"]).is_file() for row in told)
    expected = {
        f"gallery-{row['true']}-{'right' if row['label'] == row['true'] else 'wrong'}.jpg"
        for row in told
    }
    assert {path.name for path in out.glob("*.jpg")} == expected
    assert sorted(path.name for path in (out / "photos").iterdir()) == ["glass", "metal", "paper"]


def test_photos_without_classes_give_one_gallery(
    photos: Path, tmp_path: Path, small_bundle: SmallBundle
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(photos / "glass" / "0.png", tmp_path / folder / "same.png")
    given = [tmp_path / "a", tmp_path / "b"]
    lines = output("explain", *given, "--model", small_bundle.path, cwd=tmp_path).splitlines()
    assert lines[-1] == "wrote explained/gallery-all.jpg"
    assert lines[0].endswith("; explained/photos/same.jpg")
    assert lines[1].endswith("; explained/photos/same-2.jpg")
    assert len(list((tmp_path / "explained").rglob("*.jpg"))) == 3


def test_check_prints_and_writes_what_it_measured(
    photos: Path, tmp_path: Path, small_bundle: SmallBundle
) -> None:
    command = ("explain", photos, "--check", "--sample", "4", "--model", small_bundle.path)
    said = output(*command, cwd=tmp_path)
    assert said.startswith("4 of 9 photos\n")
    assert "deletion, small is good" in said
    assert said.endswith("wrote explain-check.json\n")
    result = json.loads((tmp_path / "explain-check.json").read_text("utf-8"))
    assert (result["photos"], result["seed"], len(result["rows"])) == (4, 0, 4)
    assert set(result["deletion"]) >= {"map", "random", "centre", "better_than_random"}
    again = output(*command, "--json", "--out", tmp_path / "b.json")
    assert json.loads(again) == result == json.loads((tmp_path / "b.json").read_text("utf-8"))


def test_a_broken_photo_among_others(
    photos: Path, tmp_path: Path, small_bundle: SmallBundle
) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    given = (tmp_path / "empty.jpg", photos / "glass" / "0.png")
    done = binsight("explain", *given, "--model", small_bundle.path, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == f"{tmp_path / 'empty.jpg'}: the file is empty"
    assert len(list((tmp_path / "explained" / "photos").iterdir())) == 1
    for mode in ("--check", "--json"):
        done = binsight("explain", *given, mode, "--model", small_bundle.path, cwd=tmp_path)
        assert done.returncode == 1
        assert "the file is empty" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--class", "wood"], "class 'wood' is not one that the model knows; choose one of: glass"),
        (["--layer", "features.1"], "--method and --layer need a run folder"),
        (["--run", "run"], "--model and --run exclude each other"),
        (["--out", "map.txt"], "write a picture as one of .jpg"),
        (["--out", "spot.png"], "is the photo itself"),
    ],
)
def test_a_refusal_is_one_line(
    spotted: Path, small_bundle: SmallBundle, options: list[str], reason: str
) -> None:
    before = spotted.read_bytes()
    command = ("explain", spotted, "--model", small_bundle.path, *options)
    assert reason in refusal(*command, cwd=spotted.parent)
    assert list(spotted.parent.iterdir()) == [spotted]
    assert spotted.read_bytes() == before


def test_overlays_do_not_land_among_the_photos(photos: Path, small_bundle: SmallBundle) -> None:
    command = ("explain", photos, "--model", small_bundle.path, "--out", photos / "glass" / "maps")
    assert "give --out elsewhere" in refusal(*command)
    assert not (photos / "glass" / "maps").exists()


def test_photos_are_not_written_over(
    photos: Path, tmp_path: Path, small_bundle: SmallBundle
) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    line = refusal("explain", "photos", "--model", small_bundle.path, "--out", ".", cwd=tmp_path)
    assert "photos lies in photos; give --out elsewhere" in line
    named = tmp_path / "named" / "photos"
    shutil.copytree(photos / "glass", named)
    files = [path.rename(path.with_suffix(".jpg")) for path in sorted(named.iterdir())]
    before |= {path: path.read_bytes() for path in files}
    line = refusal("explain", *files, "--model", small_bundle.path, "--out", named.parent)
    assert "is one of the photos; give another --out" in line
    assert {path: path.read_bytes() for path in before} == before


def test_a_check_is_not_written_over_a_photo(spotted: Path, small_bundle: SmallBundle) -> None:
    before = spotted.read_bytes()
    command = ("explain", spotted, "--model", small_bundle.path, "--check", "--out", spotted)
    assert "is a picture; give another file" in refusal(*command)
    assert spotted.read_bytes() == before


def test_galleries_of_classes_with_like_names(tmp_path: Path) -> None:
    from binsight.explain import Explanation
    from binsight.interfaces.cli.explained import Explained

    galleries = Galleries(tmp_path, labelled=True)
    heat = np.zeros((4, 4), np.float32)
    for name in ("a b", "a-b"):
        told = Explanation(name, name, {name: 1.0}, heat, (8, 8), (0.0, 0.0, 8.0, 8.0))
        galleries.add(Explained(Path("a.jpg"), Path("a.jpg"), name, told), Image.new("RGB", (8, 8)))
    assert len(set(galleries.write())) == 2


def test_nothing_to_explain(tmp_path: Path, small_bundle: SmallBundle) -> None:
    line = refusal("explain", tmp_path, "--model", small_bundle.path)
    assert line == f"binsight: no photos in {tmp_path}"


def test_a_head_that_is_not_linear(spotted: Path, tmp_path: Path) -> None:
    model = small_model()
    nodes = model.graph.node
    place = next(place for place, node in enumerate(nodes) if node.op_type == "Gemm")
    nodes[place].output[0] = "straight"
    nodes.insert(place + 1, helper.make_node("Tanh", ["straight"], ["logits"]))
    bundle = write_small_bundle(tmp_path / "bent.onnx", model=model)
    line = refusal("explain", spotted, "--model", bundle.path)
    assert "its head is no linear layer" in line
    assert "--run RUN" in line


@pytest.mark.parametrize(
    ("package", "name"), [("torch", "torch"), ("pytorch_grad_cam", "grad-cam")]
)
def test_a_run_without_the_extra(spotted: Path, trained: Trained, package: str, name: str) -> None:
    line = refusal("explain", spotted, "--run", trained.run, without=package)
    assert (
        line
        == f"binsight: {name} is not installed; run in binsight's sources: pip install '.[explain]'"
    )


@pytest.mark.parametrize("package", ["torch", "matplotlib", "pytorch_grad_cam"])
def test_a_bundle_needs_no_extra(
    spotted: Path, tmp_path: Path, small_bundle: SmallBundle, package: str
) -> None:
    command = ("explain", spotted, "--model", small_bundle.path)
    assert binsight(*command, without=package, cwd=tmp_path).returncode == 0


@dataclass(frozen=True)
class Trained:
    """A small network that was trained, and its bundle."""

    photos: Path
    run: Path
    bundle: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    pytest.importorskip("torch")
    from binsight.export.onnx import export_bundle

    folder = tmp_path_factory.mktemp("trained")
    photos = draw_photos(folder / "photos")
    first = write_weights(folder / "first.safetensors")
    changes = {"epochs": 2, "warmup_learning_rate": 0.01}
    sizes = {"size": 96, "eval_size": 96, "eval_resize_to": 96}
    run = make_run(photos, folder / "run", "seed", weights=first, **changes, **sizes)
    train_run(run)
    export_bundle(run, folder / "small.onnx", risk=0.1)
    return Trained(photos, folder / "run", folder / "small.onnx")


def test_a_bundles_maps_are_the_librarys_of_its_checkpoint(trained: Trained) -> None:
    pytest.importorskip("pytorch_grad_cam")
    from binsight import Classifier
    from binsight.explain import BundleExplainer
    from binsight.explain.torch_cam import AnyLayer
    from binsight.preprocess import load

    bundle = BundleExplainer(Classifier(trained.bundle))
    library = AnyLayer.of_run(trained.run)
    compared = 0
    for photo in sorted(trained.photos.rglob("[0-3].png")):
        image = load(photo, bundle.spec)
        for number in range(3):
            ours, theirs = bundle.look(image, number), library.look(image, number)
            assert ours.grid.first == 0.5
            assert ours.heat_hw.shape == (3, 3)
            if ours.heat_hw.std() == 0:  # nothing speaks for this class
                assert theirs.heat_hw.std() == 0
                continue
            resized = Image.fromarray(ours.heat_hw).resize((96, 96), Image.Resampling.BILINEAR)
            found = np.corrcoef(np.asarray(resized).ravel(), theirs.heat_hw.ravel())[0, 1]
            assert found > 0.99
            compared += 1
    assert compared > 12


def test_a_layer_of_a_run(trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("pytorch_grad_cam")
    photo = trained.photos / "glass" / "0.png"
    options = ("--run", trained.run, "--method", "gradcam++", "--layer", "features.10")
    (row,) = map(
        json.loads, output("explain", photo, *options, "--json", cwd=tmp_path).splitlines()
    )
    assert row["label"] in {"glass", "metal", "paper"}
    assert (tmp_path / "0-explained.jpg").is_file()
    line = refusal("explain", photo, "--run", trained.run, "--layer", "features.99")
    assert "choose one of: features.0, features.1," in line


@pytest.mark.parametrize("kind", ["run", "bundle"])
def test_the_report_shows_where_it_looked(trained: Trained, tmp_path: Path, kind: str) -> None:
    """Labels are moved on by one, so that a right answer becomes a mistake."""
    names = sorted(path.name for path in trained.photos.iterdir())
    for place, name in enumerate(names):
        shutil.copytree(trained.photos / name, tmp_path / "moved" / names[place - 1])
    model = trained.run if kind == "run" else trained.bundle
    done = binsight("evaluate", model, tmp_path / "moved", "--out", tmp_path / "report")
    assert done.returncode == 0
    assert "has learned from" in done.stderr
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert "the places that spoke for that answer" in page
    with Image.open(tmp_path / "report" / "mistakes.png") as figure:
        colours = np.asarray(figure.convert("RGB"), int).reshape(-1, 3)
    red, green, blue = colours.T
    assert ((green > red + 25) & (green > blue + 25)).sum() > 500  # viridis, not the photos


def test_the_report_of_a_bundle_that_cannot_tell_where(trained: Trained, tmp_path: Path) -> None:
    model = small_model()
    next(
        one for one in model.graph.node if one.op_type == "GlobalAveragePool"
    ).op_type = "GlobalMaxPool"
    bundle = write_small_bundle(tmp_path / "largest.onnx", model=model)
    done = binsight("evaluate", bundle.path, trained.photos, "--out", tmp_path / "report")
    assert done.returncode == 0
    assert done.stderr.startswith("no maps in the report: ")
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert "the places that spoke" not in page


def test_hostile_class_names_stay_in_the_folder(tmp_path: Path) -> None:
    from binsight.explain import Explanation
    from binsight.interfaces.cli.explained import Explained

    name = f"..{os.sep}out"
    heat = np.zeros((4, 4), np.float32)
    told = Explanation(name, name, {name: 1.0}, heat, (8, 8), (0.0, 0.0, 8.0, 8.0))
    galleries = Galleries(tmp_path / "maps", labelled=True)
    one = Explained(Path("a.jpg"), Path("a.jpg"), name, told)
    galleries.add(one, Image.new("RGB", (8, 8)))
    (written,) = galleries.write()
    assert written.resolve().parent == (tmp_path / "maps").resolve()
