"""What a user types, each command in a process of its own."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from command_line import RUN, SOURCE, binsight, on_terminal, output, program, refusal, surroundings
from PIL import Image
from rich.text import Text
from small_bundle import SmallBundle
from tiny_training import draw_photos, write_weights

from binsight import __version__
from binsight.interfaces.cli import app

TINY = [
    *("--arch", "mobilenet_v2", "--weights", "none", "--workers", "0", "--accelerator", "cpu"),
    *("--set", "size=64", "--set", "eval_size=64", "--set", "eval_resize_to=64"),
    *("--set", "epochs=2", "--set", "batch=8", "--set", "warmup_epochs=1"),
]

SURFACE = {
    "": ["--help", "--install-completion", "--show-completion", "--version"],
    "classify": [
        *("--bins", "--copy-to", "--csv", "--files-from", "--help", "--json", "--model", "--out"),
        *("--resume", "--top", "photos"),
    ],
    "correct": ["--help", "--label", "--model", "--to", "photos"],
    "data": ["--help"],
    "data check": [
        *("--catalog", "--corrections", "--help", "--issues", "--json", "--labels", "--most"),
        *("--sheet", "photos"),
    ],
    "data fetch": ["--help", "--out", "--sha256", "source"],
    "data split": [
        *(
            "--corrections",
            "--folds",
            "--help",
            "--keep-straddling",
            "--learned-by",
            "--list",
            "--no-keep-straddling",
            "--out",
        ),
        *("--ratios", "--seed", "photos"),
    ],
    "evaluate": [
        *(
            "--corrections",
            "--corruptions",
            "--help",
            "--map",
            "--on",
            "--out",
            "--part",
            "--sample",
        ),
        *("--severities", "--split", "model", "photos"),
    ],
    "distill": [
        *("--accelerator", "--arch", "--cache", "--help", "--out", "--photos", "--recipe"),
        *("--resume", "--set", "--share", "--split", "--weights", "--workers", "teachers"),
    ],
    "explain": [
        *("--check", "--class", "--help", "--json", "--layer", "--method", "--model", "--out"),
        *("--run", "--sample", "photos"),
    ],
    "app": [
        "--bins",
        "--certificate",
        "--corrections",
        "--help",
        "--host",
        "--key",
        "--model",
        "--port",
    ],
    "bench": ["--batch", "--help", "--json", "--runs", "--starts", "--threads", "files"],
    "export": [
        *("--accepted", "--fp16", "--help", "--int8", "--licence", "--out", "--part", "--photos"),
        *("--risk", "--split", "--store", "--to", "source"),
    ],
    "info": ["--help", "model"],
    "serve": [
        *("--bins", "--corrections", "--grace", "--help", "--host", "--max-megapixels"),
        *("--max-photo-mib", "--max-photos", "--max-request-mib", "--model", "--port"),
        *("--token-file", "--waiting", "--workers"),
    ],
    "refit": ["--accelerator", "--help", "--out", "--photos", "--resume", "--workers", "run"],
    "soup": ["--accelerator", "--help", "--out", "--photos", "--uniform", "--workers", "runs"],
    "teach": [
        *("--anyway", "--cache", "--help", "--json", "--model", "--no-cache", "--out", "--rename"),
        "photos",
    ],
    "verify": ["--help", "--parent", "file", "photos"],
    "train": [
        *("--accelerator", "--also-ungrouped", "--arch", "--cache", "--corrections", "--fold"),
        *("--folds", "--help", "--no-tensorboard", "--out", "--recipe", "--resume", "--set"),
        *("--share", "--split", "--teacher", "--tensorboard", "--weights", "--workers", "photos"),
    ],
    "watch": [
        *("--area", "--bins", "--discovery", "--existing", "--help", "--keep-unsure", "--learn"),
        *("--level", "--model", "--mqtt", "--mqtt-ca", "--mqtt-password-file", "--no-discovery"),
        *("--pictures", "--rate", "--settle", "--spool", "--still", "source"),
    ],
    "web": ["--bins", "--help", "--host", "--model", "--out", "--port", "--serve", "--wasm"],
}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def parts_of(path: Path) -> dict[str, int]:
    parts = [row["part"] for row in rows_of(path)]
    return {part: parts.count(part) for part in sorted(set(parts))}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("drawn") / "photos", each=12)


@dataclass(frozen=True)
class Trained:
    """What the commands of the README leave behind."""

    photos: Path
    split: Path
    run: Path
    bundle: Path
    said_train: str
    said_export: str


@pytest.fixture(scope="module")
def trained(photos: Path) -> Trained:
    here = photos.parent
    split, run, bundle = here / "split.csv", here / "run", here / "mine.onnx"
    output("data", "split", photos, "--out", split)
    first = write_weights(here / "first.safetensors", size=64)
    said_train = output("train", photos, "--split", split, "--out", run, *TINY, "--weights", first)
    said_export = output("export", run, "--out", bundle)
    return Trained(photos, split, run, bundle, said_train, said_export)


@pytest.fixture
def mixed(photos: Path, tmp_path: Path) -> Path:
    """Two photos and a file that is none."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    shutil.copy(photos / "glass" / "0.png", folder / "a.png")
    (folder / "b.jpg").write_text("no photo")
    shutil.copy(photos / "paper" / "0.png", folder / "c.png")
    return folder


def test_check_prints_a_table(photos: Path) -> None:
    rows = [line.split() for line in output("data", "check", photos).splitlines()]
    assert rows[0] == ["class", "photos", "share"]
    assert ["metal", "12", "33.3%"] in rows
    assert ["all", "36"] in rows


def test_check_finds_what_is_wrong_and_writes_what_it_saw(photos: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt"
    shutil.copytree(photos, spoilt)
    shutil.copy(spoilt / "glass" / "0.png", spoilt / "metal" / "copy.png")
    (spoilt / "paper" / "bad\nname.jpg").write_text("no photo")
    sheet, catalog = tmp_path / "sheet.jpg", tmp_path / "catalog.csv"
    told = json.loads(
        output("data", "check", spoilt, "--json", "--sheet", sheet, "--catalog", catalog)
    )
    assert told["photos"] == len(rows_of(catalog)) == 37
    assert [one["path"] for one in told["problems"]] == ["paper/bad\nname.jpg"]
    assert told["exact"] == [["glass/0.png", "metal/copy.png"]]
    assert told["conflicts"][0]["labels"] == ["glass", "metal"]
    with Image.open(sheet) as image:
        assert image.format == "JPEG"
    table = output("data", "check", spoilt)
    assert r"  paper/bad\nname.jpg: not an image" in table
    assert "same picture, different class: 1\n  glass/0.png (glass), metal/copy.png" in table


def test_split_by_ratios_is_the_same_each_time(photos: Path, tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        table = output(
            *("data", "split", photos, "--out", name, "--ratios", "train=0.5,val=0.5"), cwd=tmp_path
        )
    assert parts_of(tmp_path / "one.csv") == {"train": 18, "val": 18}
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert "train            6       6       6       18" in table


def test_split_takes_over_a_part_of_another_split(photos: Path, tmp_path: Path) -> None:
    split = ("data", "split", photos, "--ratios")
    output(*split, "train=0.75,test=0.25", "--out", "one.csv", cwd=tmp_path)
    held = {row["path"] for row in rows_of(tmp_path / "one.csv") if row["part"] == "test"}
    output(
        *(*split, "train=0.8,val=0.2", "--list", "test=one.csv", "--seed", "7"),
        *("--out", "two.csv"),
        cwd=tmp_path,
    )
    rows = rows_of(tmp_path / "two.csv")
    assert {row["path"] for row in rows if row["part"] == "test"} == held
    assert len(held) == 9


def test_a_split_without_the_part_is_refused(photos: Path, tmp_path: Path) -> None:
    split = ("data", "split", photos, "--out")
    output(*split, "one.csv", "--ratios", "train=0.5,val=0.5", cwd=tmp_path)
    line = refusal(*split, tmp_path / "two.csv", "--list", f"test={tmp_path / 'one.csv'}")
    assert "the split has no part 'test'; it has train, val" in line


def test_split_into_folds(photos: Path, tmp_path: Path) -> None:
    output("data", "split", photos, "--out", "folds.csv", "--folds", "3", cwd=tmp_path)
    assert parts_of(tmp_path / "folds.csv") == {"fold0": 12, "fold1": 12, "fold2": 12}


def test_split_into_folds_beside_a_list(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("glass/3.png\npaper/7.png\n")
    split = ("data", "split", photos, "--out", "folds.csv", "--folds", "2")
    output(*split, "--list", "val=val.txt", cwd=tmp_path)
    parts = parts_of(tmp_path / "folds.csv")
    assert set(parts) == {"fold0", "fold1", "val"}
    assert parts["val"] == 2
    assert min(parts["fold0"], parts["fold1"]) >= 16


def test_split_takes_over_a_list(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("glass/3.png\npaper/7.png\n")
    output(
        *("data", "split", photos, "--out", "listed.csv", "--list", "test=test.txt"),
        *("--ratios", "train=0.5,val=0.5"),
        cwd=tmp_path,
    )
    rows = rows_of(tmp_path / "listed.csv")
    assert [row["path"] for row in rows if row["part"] == "test"] == ["glass/3.png", "paper/7.png"]
    parts = parts_of(tmp_path / "listed.csv")
    assert sum(parts.values()) == 36
    assert min(parts["train"], parts["val"]) >= 16


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--folds", "3", "--ratios", "train=1"], "--folds are equal parts; leave --ratios out"),
        (["--ratios", "train"], "such as train=0.8,val=0.2"),
        (["--list", "test"], "give PART=FILE"),
        (["--ratios", "train=0.5,val=0.6"], "add up to 1.1, not 1"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(
    photos: Path, tmp_path: Path, options: list[str], reason: str
) -> None:
    line = refusal("data", "split", photos, "--out", tmp_path / "split.csv", *options)
    assert reason in line
    assert list(tmp_path.iterdir()) == []


def test_train_says_how_good_and_what_next(trained: Trained) -> None:
    (line,) = trained.said_train.splitlines()
    assert line.startswith("best validation accuracy ")
    assert line.endswith(f"next: binsight evaluate {trained.run}")
    assert len(rows_of(trained.run / "metrics.csv")) == 2


@pytest.mark.parametrize("share", ["=0.5", "glass=much", "tin=0.5"])
def test_a_share_that_makes_no_sense_is_refused(
    photos: Path, trained: Trained, tmp_path: Path, share: str
) -> None:
    out = tmp_path / "run"
    split = trained.run / "split.csv"
    line = refusal(
        *("train", photos, "--split", split, "--weights", "none", "--arch", "mobilenet_v2"),
        *("--share", share, "--out", out),
    )
    assert "share" in line
    assert not out.exists()


def test_resume_goes_on_where_the_run_stopped(trained: Trained, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained.run, run)
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("epochs = 2\n", "epochs = 3\n"))
    done = binsight("train", "--out", run, "--resume", "--workers", "0", "--accelerator", "cpu")
    assert done.returncode == 0, done.stderr
    before, after = rows_of(trained.run / "metrics.csv"), rows_of(run / "metrics.csv")
    assert after[:2] == before
    assert [row["epoch"] for row in after] == ["0", "1", "2"]
    assert "Warning" not in done.stderr
    assert "site-packages" not in done.stderr


def test_resume_keeps_its_recipe(trained: Trained) -> None:
    line = refusal("train", "--out", trained.run, "--resume", "--set", "epochs=9")
    assert "begun with another recipe" in line


def test_resume_keeps_everything_else(trained: Trained, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    output("data", "split", trained.photos, "--seed", "5", "--out", other)
    asked = ("train", trained.photos, "--out", trained.run, "--resume")
    for what, options in {
        "another --split": ("--split", other),
        "other --weights": ("--weights", "none"),
        "other --share": ("--share", "paper=0.1"),
        "other teachers": ("--teacher", "small"),
    }.items():
        assert f"was begun with {what}; leave it out" in refusal(*asked, *options)
    assert "--fold goes with --split; leave it out" in refusal(*asked, "--fold", "7")
    gone = tmp_path / "gone"
    line = refusal("train", "--out", gone, "--resume")
    assert f"{gone} holds no run to go on with; begin one without --resume" in line


def test_results_of_data_are_not_written_over_what_is_read(photos: Path, tmp_path: Path) -> None:
    photo = next(photos.rglob("*.png"))
    listed = tmp_path / "photos.csv"
    before = photo.read_bytes()
    output("data", "check", photos, "--catalog", listed)
    for command in (
        ("split", photos, "--out", photo),
        ("check", photos, "--catalog", photo),
    ):
        assert "is a picture; give another file" in refusal("data", *command)
    assert photo.read_bytes() == before
    names = tmp_path / "names.txt"
    names.write_text(f"{photo.name}\n")
    line = refusal("data", "split", photos, "--list", f"test={names}", "--out", names)
    assert "is what is read; give another file" in line


def test_a_run_is_not_measured_on_what_it_learned(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "report"
    output("evaluate", trained.run, trained.photos, "--out", out)
    assert json.loads((out / "metrics.json").read_text())["photos"] == 6  # its test part
    other = tmp_path / "other.csv"
    output("data", "split", trained.photos, "--seed", "5", "--out", other)
    line = refusal("evaluate", trained.run, trained.photos, "--split", other)
    assert "has learned" in line
    assert "of the 6 photos that this split has in test" in line


def test_an_output_that_cannot_be_written_is_one_line(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = refusal("data", "split", photos, "--out", tmp_path / "file" / "split.csv")
    assert "file" in line


def test_train_into_a_run_is_refused_before_anything_is_downloaded(trained: Trained) -> None:
    line = refusal("train", trained.photos, "--split", trained.split, "--out", trained.run)
    assert "--resume" in line


def test_a_run_is_not_put_among_its_photos(trained: Trained) -> None:
    inside = trained.photos / "glass" / "run"
    for more in (["--split", trained.split], ["--folds", "3"]):
        line = refusal("train", trained.photos, *more, "--out", inside, "--arch", "mobilenet_v2")
        assert f"{inside} lies in {trained.photos}; give --out elsewhere" in line
    assert not inside.exists()


def test_an_accelerator_that_there_is_not(trained: Trained, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--split", trained.split, "--out", run, *TINY, "--accelerator", "tpu"]
    line = refusal("train", trained.photos, *options)
    assert line == "binsight: --accelerator tpu: give auto, cpu or gpu"
    assert not run.exists()


def test_unknown_keys_of_a_recipe_are_named_together(trained: Trained, tmp_path: Path) -> None:
    run = tmp_path / "run"
    changes = ["--set", "epoch=3", "--set", "augmentation.blurr=1", "--set", "batch=0"]
    line = refusal("train", trained.photos, "--split", trained.split, "--out", run, *changes)
    assert "unknown key epoch" in line
    assert "unknown key augmentation.blurr" in line
    assert "batch: " in line
    assert not run.exists()


def test_evaluate_a_run(trained: Trained) -> None:
    said = output("evaluate", trained.run)
    page = trained.run / "evaluation-test" / "report.html"
    assert said.endswith(f"report: {page}\n")
    assert page.is_file()
    rows = [line.split() for line in said.splitlines()]
    assert ["class", "photos", "precision", "recall", "F1"] in rows
    test_photos = parts_of(trained.split)["test"]
    assert ["all", str(test_photos)] in [row[:2] for row in rows]


def test_evaluate_a_bundle_on_a_part(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "report"
    options = ["--split", trained.split, "--part", "val", "--out", out]
    said = output("evaluate", trained.bundle, trained.photos, *options)
    assert f"report: {out / 'report.html'}" in said
    told = json.loads((out / "metrics.json").read_text())
    assert told["photos"] == parts_of(trained.split)["val"]


def test_export_says_how_the_bundle_compares(trained: Trained) -> None:
    assert "same label on 100%" in trained.said_export
    assert trained.said_export.endswith(f"next: binsight classify PHOTO --model {trained.bundle}\n")
    told = json.loads(output("info", trained.bundle))
    assert told["classes"] == ["glass", "metal", "paper"]
    assert told["preprocess"]["size"] == 64
    assert len(told["digest"]) == 64
    assert told["bytes"] == trained.bundle.stat().st_size


def test_a_table_of_answers(mixed: Path, small_bundle: SmallBundle) -> None:
    done = binsight("classify", mixed, "--model", small_bundle.path)
    head, first, second, third = done.stdout.splitlines()
    assert head.split() == ["photo", "material", "confidence"]
    assert first.split()[:2] == [str(mixed / "a.png"), "glass"]
    assert second.split(maxsplit=1) == [str(mixed / "b.jpg"), "not an image that can be read"]
    assert third.startswith(f"{mixed / 'c.png'}  ")
    assert done.stderr == "1 of 3 photos could not be read\n"
    assert done.returncode == 1


def test_answers_as_json_lines(mixed: Path, small_bundle: SmallBundle) -> None:
    missing = mixed / "missing.jpg"
    done = binsight("classify", missing, mixed, "--json", "--model", small_bundle.path)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(row["path"]).name for row in rows] == ["missing.jpg", "a.png", "b.jpg", "c.png"]
    assert rows[0] == {"path": str(missing), "error": "No such file or directory"}
    assert rows[2] == {"path": str(mixed / "b.jpg"), "error": "not an image that can be read"}
    for row in (rows[1], rows[3]):
        assert list(row) == ["path", "label", "confidence", "sure", "why", "novelty", "probs"]
        assert list(row["probs"]) == ["glass", "metal", "paper"]
        assert row["confidence"] == max(row["probs"].values()) == row["probs"][row["label"]]
        assert row["sure"] is (row["confidence"] >= 0.7)
    assert (done.returncode, done.stderr) == (1, "2 of 4 photos could not be read\n")


def test_all_read_is_exit_status_0(photos: Path, small_bundle: SmallBundle) -> None:
    done = binsight("classify", photos, "--model", small_bundle.path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 36


def test_a_folder_without_photos(tmp_path: Path, small_bundle: SmallBundle) -> None:
    line = refusal("classify", tmp_path, "--model", small_bundle.path)
    assert line == f"binsight: no photos in {tmp_path}"


@pytest.mark.parametrize("name", ["with space.png", "Fläsche 瓶.png", "-dash.png", "new\nline.png"])
def test_hostile_names(photos: Path, tmp_path: Path, small_bundle: SmallBundle, name: str) -> None:
    shutil.copy(photos / "glass" / "0.png", tmp_path / name)
    options = ("classify", "--model", small_bundle.path)
    (row,) = output(*options, "--json", "--", name, cwd=tmp_path).splitlines()
    assert json.loads(row)["path"] == name
    _, line = output(*options, "--", name, cwd=tmp_path).splitlines()
    assert line.startswith(name.replace("\n", r"\n") + "  ")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file name is Unicode")
def test_a_name_that_is_no_unicode(photos: Path, tmp_path: Path, small_bundle: SmallBundle) -> None:
    name = b"\xff.png"
    shutil.copy(photos / "glass" / "0.png", os.path.join(os.fsencode(tmp_path), name))  # noqa: PTH118
    strict = {"PYTHONIOENCODING": "utf-8:strict"}
    options = ("classify", name, "--model", small_bundle.path)
    done = binsight(*options, "--json", cwd=tmp_path, **strict)
    assert os.fsencode(json.loads(done.stdout)["path"]) == name
    assert binsight(*options, cwd=tmp_path, **strict).stdout.splitlines()[1].startswith(r"\udcff.p")


def test_a_closed_pipe_ends_quietly(photos: Path, small_bundle: SmallBundle) -> None:
    command = [*program(), "classify", "--model", str(small_bundle.path), *[str(photos)] * 30]
    with subprocess.Popen(
        command, env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline().startswith("photo")
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 1


@pytest.mark.parametrize("columns", [80, 100])
def test_a_table_fits_the_terminal(
    photos: Path, tmp_path: Path, small_bundle: SmallBundle, columns: int
) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    shutil.copy(photos / "glass" / "0.png", folder / "last.png")
    written = on_terminal(
        *("classify", folder / "last.png", photos / "metal", "--model", small_bundle.path),
        columns=columns,
        NO_COLOR="1",
    )
    _, first, *others = written.splitlines()
    assert "…" in first
    assert "last.png  " in first
    assert len(others) == 12
    assert max(map(len, [first, *others])) <= columns
    piped = output("classify", folder / "last.png", "--model", small_bundle.path)
    assert str(folder / "last.png") in piped


def test_colours_are_for_terminals_that_want_them(mixed: Path, small_bundle: SmallBundle) -> None:
    command = ("classify", mixed, "--model", small_bundle.path)
    assert "\x1b[" in on_terminal(*command, columns=80)
    assert "\x1b" not in on_terminal(*command, columns=80, NO_COLOR="1")
    assert "\x1b" not in binsight(*command).stdout


@pytest.mark.parametrize("command", ["classify", "info", "evaluate"])
def test_a_file_that_is_no_bundle(photos: Path, tmp_path: Path, command: str) -> None:
    photo = photos / "glass" / "0.png"
    model = ["--model", photo] if command == "classify" else []
    line = refusal(command, *model, photo)
    assert line.startswith(f"binsight: {photo}: not a whole binsight bundle")


def test_an_altered_bundle(photos: Path, tmp_path: Path, small_bundle: SmallBundle) -> None:
    data = bytearray(small_bundle.path.read_bytes())
    data[len(data) // 2] ^= 1
    altered = tmp_path / "altered.onnx"
    altered.write_bytes(data)
    line = refusal("classify", photos, "--model", altered)
    assert line.startswith(f"binsight: {altered}: altered or damaged")


@pytest.mark.parametrize("command", [["classify", "photo.jpg"], ["info"]])
def test_a_missing_built_in_model_says_what_to_do(tmp_path: Path, command: list[str]) -> None:
    copy = tmp_path / "binsight"
    leave = shutil.ignore_patterns("*.onnx", "__pycache__")
    shutil.copytree(SOURCE / "binsight", copy, ignore=leave)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {RUN}"
    run = [sys.executable, "-c", code, *command]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert "the built-in model is missing" in line
    assert "install binsight again" in line


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        (["train", "photos", "--split", "split.csv", "--out", "run"], "torch", "train"),
        (["evaluate", "run"], "torch", "train"),
        (["export", "run", "--out", "mine.onnx"], "torch", "train"),
        (["data", "check", "photos"], "imagehash", "data"),
        (["data", "split", "photos", "--out", "split.csv"], "imagehash", "data"),
        (["train", "photos", "--folds", "5", "--out", "cv"], "torch", "train"),
        (["serve"], "fastapi", "serve"),
        (["data", "fetch", "https://127.0.0.1/a.zip", "--out", "photos"], "httpx", "data"),
    ],
)
def test_a_missing_extra_says_what_to_install(
    tmp_path: Path, command: list[str], package: str, extra: str
) -> None:
    (tmp_path / "run").mkdir()
    line = refusal(*command, cwd=tmp_path, without=package)
    what_to_do = f"run in binsight's sources: pip install '.[{extra}]'"
    assert line == f"binsight: {package} is not installed; {what_to_do}"


@pytest.mark.parametrize("package", ["torch", "imagehash"])
def test_classify_needs_no_extra(photos: Path, small_bundle: SmallBundle, package: str) -> None:
    photo = photos / "glass" / "0.png"
    done = binsight("classify", photo, "--model", small_bundle.path, without=package)
    assert done.returncode == 0


def test_the_version() -> None:
    assert output("--version") == f"binsight {__version__}\n"


def test_usage_calls_the_program_by_its_name() -> None:
    assert "Usage: binsight classify" in output("classify", "--help")


def test_the_surface_is_what_it_was() -> None:
    assert surface() == SURFACE


def test_help_loses_nothing_to_markup() -> None:
    helps = [one.help or "" for _, command in commands() for one in parameters(command)]
    assert len(helps) > 100
    assert not [text for text in helps if Text.from_markup(text).plain != text]


def surface() -> dict[str, list[str]]:
    """Each command with its options and arguments, as the parser knows them."""
    found = {
        name: sorted(
            option
            for one in parameters(command)
            for option in (*one.opts, *one.secondary_opts)
            if option != "-h"
        )
        for name, command in commands()
    }
    return dict(sorted(found.items()))


def commands() -> Iterator[tuple[str, Any]]:
    waiting = [("", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop()
        yield name, command
        for below, its in getattr(command, "commands", {}).items():
            waiting.append((f"{name} {below}".strip(), its))


def parameters(command: Any) -> list[Any]:
    return list(command.get_params(typer.Context(command)))
