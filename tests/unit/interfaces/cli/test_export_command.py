"""``binsight export``, ``verify`` and ``bench`` on small bundles, without PyTorch."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import onnx
import pytest
from click.testing import Result
from conv_bundle import labelled_photos, split_of, write_conv_bundle
from small_bundle import write_small_bundle
from typer.testing import CliRunner

from binsight.bundle import describe, write_bundle
from binsight.data.split import read_split
from binsight.errors import BinsightError, NotABundleError, UnreadableImageError, UsageError
from binsight.export.described import sidecar_of
from binsight.export.formats import TAKEN_OVER
from binsight.files import file_digest
from binsight.interfaces.cli.app import app
from binsight.learned import Learned
from binsight.runtime import Classifier
from binsight.teaching.graph import remember
from binsight.teaching.memory import Memory


class Here(NamedTuple):
    bundle: Path
    photos: Path
    split: Path


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Here:
    folder = tmp_path_factory.mktemp("cli")
    bundle = write_conv_bundle(folder / "parent.onnx").path
    photos = labelled_photos(folder / "photos", each=6)
    return Here(bundle, photos, split_of(photos, folder / "split.csv"))


@pytest.fixture(scope="module")
def int8(here: Here) -> Path:
    """The bundle in int8, as the command line writes it."""
    out = here.bundle.with_name("int8.onnx")
    done = run("export", here.bundle, "--int8", "--out", out, *labelled(here))
    assert done.exit_code == 0, done.output
    assert "int8: 100.0% of 9 validation photos right before and 100.0% now" in done.stdout
    assert "times as long here as with its parent" in done.stdout
    assert f"wrote {out}" in done.stdout
    return out


def labelled(here: Here) -> tuple[object, ...]:
    return "--photos", here.photos, "--split", here.split


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def refused(kind: type[BinsightError], *arguments: object) -> str:
    """What a command says that did nothing; `main` makes one line of it."""
    done = run(*arguments)
    assert done.stdout == ""
    assert isinstance(done.exception, kind), done.exception
    return str(done.exception)


def test_int8_is_written_and_its_parent_agrees(here: Here, int8: Path) -> None:
    done = run("verify", int8, here.photos, "--parent", here.bundle)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert "format   onnx, int8" in lines
    assert f"parent   {Classifier(here.bundle).digest[:16]}" in lines
    assert "classes  glass, metal, paper" in lines
    assert lines[-2].startswith("on 18 photos   same label 100.0%, probabilities within 0.0")
    assert lines[-1] == "agrees"


def test_photos_that_cannot_be_read_are_left_out_of_the_comparison(
    here: Here, int8: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(here.photos, photos)
    broken = next(photos.rglob("*.png"))
    broken.write_bytes(broken.read_bytes()[:200])
    done = run("verify", int8, photos, "--parent", here.bundle)
    assert done.exit_code == 0, done.output
    assert "on 17 photos   same label 100.0%" in done.stdout
    assert f"left out {broken}: broken image" in done.stderr
    line = refused(UsageError, "verify", int8, broken, "--parent", here.bundle)
    assert line == "none of the 1 photos can be read"


def test_few_validation_photos_are_told_of(here: Here, tmp_path: Path) -> None:
    done = run("export", here.bundle, "--int8", "--out", tmp_path / "a.onnx", *labelled(here))
    assert "chosen on 9 validation photos alone" in done.stderr
    done = run("export", here.bundle, "--fp16", "--out", tmp_path / "b.onnx", *labelled(here))
    assert "photos alone" not in done.stderr


def test_photos_that_the_bundle_learned_from_are_told_of(here: Here, tmp_path: Path) -> None:
    metadata = Classifier(here.bundle).metadata
    model = onnx.load(here.bundle)
    judged = [here.photos / path for path in read_split(here.split).paths("val")[:2]]
    memory = Memory.empty(int(metadata.preprocess.size))
    remember(model.graph, replace(memory, learned=Learned.of(map(file_digest, judged))))
    describe(model, metadata)
    bundle = tmp_path / "knows.onnx"
    write_bundle(bundle, model.SerializeToString())
    note = f"note: {bundle} has learned from 2 of the 9 photos of part val; what is measured"
    done = run("export", bundle, "--fp16", "--out", tmp_path / "a.onnx", *labelled(here))
    assert note in done.stderr
    done = run("export", here.bundle, "--fp16", "--out", tmp_path / "b.onnx", *labelled(here))
    assert "has learned" not in done.stderr


def test_a_broken_photo_is_told_of_before_anything_is_converted(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.jpg").write_text("no photo")
    monkeypatch.setattr("binsight.export.formats.find_spec", lambda name: object())
    monkeypatch.setattr("binsight.interfaces.cli.exported.write_exported", None)
    out = tmp_path / "mine.tflite"
    command = ("export", here.bundle, "--to", "litert", "--out", out, "--photos", tmp_path)
    assert "broken.jpg: not an image" in refused(UnreadableImageError, *command)


def test_a_description_that_is_not_the_parents_is_refused(here: Here, tmp_path: Path) -> None:
    out = tmp_path / "mine.tflite"
    shutil.copy(here.bundle, out)
    parent = Classifier(here.bundle)
    described = {
        "format": "litert",
        "precision": "fp32",
        "outputs": ["probs"],
        "parent": parent.digest,
        "digest": file_digest(out),
        "parity": None,
    }
    said = parent.metadata.model_dump(mode="json")
    described |= {name: said[name] for name in (*TAKEN_OVER, "binsight_version", "created")}
    changes = {"classes": described["classes"][::-1], "threshold": 0.01, "temperature": 7.0}
    for name, value in changes.items():
        sidecar_of(out).write_text(json.dumps(described | {name: value}))
        line = refused(UsageError, "verify", out, here.photos, "--parent", here.bundle)
        assert f"say different things of their {name}" in line


def test_another_answer_is_told_by_the_exit_status(here: Here, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    write_small_bundle(other, classes=("glass", "metal", "paper"))
    spoilt = write_conv_bundle(tmp_path / "spoilt.onnx", spoilt=1e12).path
    done = run("verify", spoilt, here.photos, "--parent", other)
    assert done.exit_code == 1
    assert "disagrees: " in done.stdout


def test_verify_wants_the_parent_and_no_other_bundle(here: Here, int8: Path) -> None:
    line = refused(UsageError, "verify", int8, here.photos)
    assert "give the bundle to compare with: --parent" in line
    line = refused(UsageError, "verify", int8, here.photos, "--parent", int8)
    assert "is not what" in line
    assert "name photos" in refused(UsageError, "verify", int8, "--parent", here.bundle)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--to", "tflite"], "no format 'tflite'; there are: onnx, litert, "),
        (["--int8", "--fp16"], "exclude each other"),
        (["--int8", "--store", "fp16"], "exclude each other"),
        (["--to", "litert"], r"a file of litert ends in \.tflite"),
        ([], "is a bundle already; say what to change"),
        (["--fp16", "--risk", "0.5"], "--risk goes with a run; a bundle keeps its own"),
        (["--fp16", "--licence", "MIT"], "--licence goes with a run"),
    ],
)
def test_what_cannot_be_is_refused(
    here: Here, tmp_path: Path, options: list[str], reason: str
) -> None:
    out = tmp_path / "mine.onnx"
    line = refused(UsageError, "export", here.bundle, "--out", out, *options, *labelled(here))
    assert re.search(reason, line), line
    assert not list(tmp_path.iterdir())


def test_photos_and_their_split_are_asked_for(here: Here, tmp_path: Path) -> None:
    command = ("export", here.bundle, "--int8", "--out", tmp_path / "mine.onnx")
    assert "name photos to compare on" in refused(UsageError, *command)
    assert "give the --split" in refused(UsageError, *command, "--photos", here.photos)
    same = ("export", here.bundle, "--int8", "--out", here.bundle, *labelled(here))
    assert "is the bundle itself" in refused(UsageError, *same)


def test_files_are_measured_side_by_side(here: Here, int8: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    few = ("--runs", 3, "--starts", 0, "--batch", 1, "--batch", 2, "--threads", 1)
    done = run("bench", here.bundle, int8, *few, "--json", out)
    assert done.exit_code == 0, done.output
    told = json.loads(out.read_text())
    assert [one["precision"] for one in told] == ["fp32", "int8"]
    for one, file in zip(told, (here.bundle, int8), strict=True):
        assert one["bytes"] == file.stat().st_size
        latency = one["latency_ms"]
        assert 0 < latency["median"] <= latency["p95"] <= latency["p99"]
        assert [(rate["batch"], rate["threads"]) for rate in one["rates"]] == [(1, 1), (2, 1)]
        assert one["peak_mib"] is None
    ratio = told[0]["latency_ms"]["median"] / told[1]["latency_ms"]["median"]
    assert told[1]["times_as_fast"] == pytest.approx(ratio)
    first = done.stdout.splitlines()[0].split()
    assert first == ["file", "parent.onnx", "int8.onnx"]


def test_a_fresh_process_answers(here: Here, tmp_path: Path) -> None:
    few = ("--runs", 1, "--starts", 1, "--batch", 1, "--threads", 1)
    out = tmp_path / "bench.json"
    done = run("bench", here.bundle, *few, "--json", out)
    assert done.exit_code == 0, done.output
    (told,) = json.loads(out.read_text())
    assert told["first_answer_seconds"] > 0
    assert 20 < told["peak_mib"] < 2000
    assert "peak MiB" in done.stdout


def test_bench_writes_json_files_alone(here: Here, tmp_path: Path) -> None:
    mine = tmp_path / "mine.onnx"
    shutil.copy(here.bundle, mine)
    line = refused(UsageError, "bench", "--json", mine, here.bundle)
    assert "give a file that ends in .json" in line
    assert mine.read_bytes() == here.bundle.read_bytes()


def test_a_name_that_is_nothing_is_told_of_as_elsewhere(here: Here, tmp_path: Path) -> None:
    for command in ("bench", "verify"):
        line = refused(NotABundleError, command, "smal")
        assert "no built-in model of that name; built in: accurate, small" in line
    plain = tmp_path / "plain"
    shutil.copy(here.bundle, plain)
    assert run("verify", plain).exit_code == 0


def test_bench_wants_exported_files(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.touch()
    assert "not a file of any known format" in refused(NotABundleError, "bench", photo)
