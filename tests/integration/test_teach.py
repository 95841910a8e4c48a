"""``binsight teach`` as a person types it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import binsight, output, refusal
from PIL import Image
from small_bundle import SmallBundle, write_small_bundle, write_taught_bundle
from typer.testing import CliRunner

from binsight import Classifier
from binsight.interfaces.cli import app

COLOURS = {"glass": (30, 160, 60), "metal": (120, 120, 130), "paper": (230, 220, 200)}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> SmallBundle:
    return write_small_bundle(tmp_path_factory.mktemp("bundle") / "parent.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for place in range(6):
            pixels = np.array(colour) + random.normal(0, 15, 3) + random.normal(0, 10, (40, 40, 3))
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{place}.png")
    return tmp_path / "photos"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Keep the cache out of the real one."""
    return {"XDG_CACHE_HOME": os.fspath(tmp_path / "cache")}


def test_it_says_what_it_did_and_what_next(
    bundle: SmallBundle, photos: Path, tmp_path: Path, home: dict[str, str]
) -> None:
    out = tmp_path / "my.onnx"
    said = output("teach", photos, "--model", bundle.path, "--out", out, **home)
    lines = said.splitlines()
    assert lines[0].split() == ["class", "photos", "before", "now"]
    assert lines[1].split()[:2] == ["glass", "6"]
    assert lines[4].split()[:3] == ["all", "classes", "18"]
    assert "note: this bundle remembers no photos" in said
    assert lines[-1] == f"wrote {out}; next: binsight classify PHOTO --model {out}"
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 18
    answers = output("classify", photos, "--model", out, "--json")
    right = [json.loads(line) for line in answers.splitlines()]
    assert all(Path(row["path"]).parent.name == row["label"] for row in right)


def test_as_json_and_without_a_cache(
    bundle: SmallBundle, photos: Path, tmp_path: Path, home: dict[str, str]
) -> None:
    out = tmp_path / "my.onnx"
    said = output(
        *("teach", photos, "--model", bundle.path, "--out", out, "--json", "--no-cache"),
        *("--rename", "paper=fibre"),
        **home,
    )
    values = json.loads(said)
    assert values["classes"] == ["glass", "metal", "fibre"]
    assert values["photos"] == {"glass": 6, "metal": 6, "fibre": 6}
    assert values["accuracy"]["after"] > values["accuracy"]["before"]
    assert not (tmp_path / "cache" / "binsight").exists()
    lineage = Classifier(out).metadata.lineage
    assert lineage[0].parent == bundle.digest


def test_a_broken_photo_is_named_and_left_out(
    bundle: SmallBundle, photos: Path, tmp_path: Path, home: dict[str, str]
) -> None:
    (photos / "glass" / "9.png").write_bytes(b"not a photo")
    done = binsight("teach", photos, "--model", bundle.path, "--out", tmp_path / "o.onnx", **home)
    assert done.returncode == 0
    assert "left out glass/9.png: " in done.stderr
    assert Classifier(tmp_path / "o.onnx").metadata.lineage[0].photos == 18


def test_worse_is_refused_with_the_table(
    photos: Path, tmp_path: Path, home: dict[str, str]
) -> None:
    """Paper that looks like glass, and a model that remembers what glass looks like."""
    shown = {name: [*sorted((photos / name).iterdir())] for name in COLOURS}
    held = [path for row in shown.values() for path in row]
    good = write_taught_bundle(tmp_path / "good.onnx", shown, held)
    lies = tmp_path / "lies"
    (lies / "paper").mkdir(parents=True)
    random = np.random.default_rng(3)
    for place in range(40):
        pixels = np.array(COLOURS["glass"]) + random.normal(0, 10, (40, 40, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(lies / "paper" / f"{place}.png")
    out = tmp_path / "bad.onnx"
    arguments = ("teach", lies, "--model", good, "--out", out)
    done = binsight(*arguments, **home)
    assert done.returncode == 2
    assert "paper            40" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("binsight: the lesson makes the model worse: ")
    assert not out.exists()
    output(*arguments, "--anyway", **home)
    assert out.exists()


def test_of_one_photo_nothing_is_claimed(
    bundle: SmallBundle, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number in range(1, 6):
        (photos / "paper" / f"{number}.png").unlink()
    out = tmp_path / "my.onnx"
    asked = ["teach", str(photos), "--model", str(bundle.path), "--out", str(out)]
    for name in ("glass", "metal"):
        shutil.rmtree(photos / name)
    said = CliRunner().invoke(app, asked).stdout
    assert said.splitlines()[1].split() == ["paper", "1", "0.0%", "-"]
    assert "now: not known of one photo alone" in said
    assert "still wrong" not in said
    assert f"wrote {out}; next" in said
    again = CliRunner().invoke(app, asked).stdout
    assert f"wrote {out} in place of the one before; next" in again
    values = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert values["accuracy"]["after"] is None
    assert values["accuracy_of"]["paper"]["after"] is None
    parent = f"parent   none: a lesson of 1 photos changed {bundle.digest[:16]}"
    assert parent in CliRunner().invoke(app, ["verify", str(out)]).stdout


def test_a_name_that_is_nearly_that_of_a_class(
    bundle: SmallBundle, photos: Path, tmp_path: Path
) -> None:
    photo, kept = photos / "glass" / "0.png", tmp_path / "kept"
    given = ["correct", str(photo), "--to", str(kept), "--model", str(bundle.path), "--label"]
    hint = "if you mean glass, say it again with that --label, to move them"
    assert hint in CliRunner().invoke(app, [*given, "Glas"]).stderr
    assert "if you mean" not in CliRunner().invoke(app, [*given, "battery"]).stderr
    assert CliRunner().invoke(app, [*given, "glass"]).stderr == ""
    assert [one.parent.name for one in kept.rglob("*.png")] == ["glass"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--rename", "paper"], "give each OLD=NEW once, such as trash=residual"),
        (["--rename", "paper="], "give each OLD=NEW once"),
        (["--rename", "wood=timber"], "no class 'wood' to rename; it has glass, metal, paper"),
    ],
)
def test_options_that_make_no_sense(
    bundle: SmallBundle, photos: Path, tmp_path: Path, options: list[str], reason: str
) -> None:
    out = tmp_path / "my.onnx"
    line = refusal("teach", photos, "--model", bundle.path, "--out", out, "--no-cache", *options)
    assert reason in line
    assert not out.exists()


def test_what_is_no_bundle_is_not_overwritten(
    bundle: SmallBundle, photos: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("kept")
    line = refusal("teach", photos, "--model", bundle.path, "--out", notes)
    assert "a bundle ends in .onnx" in line
    assert notes.read_text() == "kept"


def test_corrections_become_teaching(
    bundle: SmallBundle, photos: Path, tmp_path: Path, home: dict[str, str]
) -> None:
    kept = tmp_path / "corrections"
    model = ("--model", bundle.path)
    for name in COLOURS:
        said = output(
            *("correct", *sorted((photos / name).iterdir()), "--label", name, "--to", kept), *model
        )
        first = said.splitlines()[0]
        assert f"0.png: {name}; the model said " in first
        assert f"kept as {kept / name}" in first
        following = f"next: binsight teach {kept} --model {bundle.path} --out my.onnx"
        assert said.splitlines()[-1] == following
    assert len((kept / "corrections.jsonl").read_text().splitlines()) == 18
    output("teach", kept, *model, "--out", tmp_path / "my.onnx", **home)
    assert Classifier(tmp_path / "my.onnx").metadata.lineage[0].photos == 18
    answer = Classifier(tmp_path / "my.onnx").classify(photos / "paper" / "0.png")
    assert answer.label == "paper"


def test_a_broken_correction_is_named_and_the_rest_kept(
    bundle: SmallBundle, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no photo")
    done = binsight(
        *("correct", tmp_path / "broken.png", photos / "glass" / "0.png", "--label", "battery"),
        *("--to", tmp_path / "kept", "--model", bundle.path),
    )
    assert done.returncode == 1
    assert "broken.png" in done.stderr
    assert len(list((tmp_path / "kept" / "battery").iterdir())) == 1
    line = refusal(
        *("correct", photos / "glass" / "0.png", "--label", "../x", "--model", bundle.path),
        *("--to", tmp_path / "kept"),
    )
    assert "../x" in line


def test_it_needs_neither_torch_nor_scipy(
    bundle: SmallBundle, photos: Path, tmp_path: Path, home: dict[str, str]
) -> None:
    arguments = ("teach", photos, "--model", bundle.path, "--out", tmp_path / "my.onnx")
    for missing in ("torch", "scipy", "imagehash"):
        done = binsight(*arguments, without=missing, **home)
        assert done.returncode == 0, done.stderr
