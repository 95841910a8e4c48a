"""The benchmark runs and reports what its README says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageOps
from tiny_training import SMALL, draw_photos

PROGRAMS = Path(__file__).parents[2] / "benchmarks"
PROGRAM = PROGRAMS / "classify.py"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The benchmark's own architecture, at a size that takes no time."""
    from small_bundle import small_model, write_small_bundle

    model = small_model()
    path = tmp_path_factory.mktemp("benchmark") / "small.onnx"
    return write_small_bundle(path, model=model, architecture="mobilenet_v2").path


def benchmark(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_both_ways_are_measured(tmp_path: Path, bundle: Path) -> None:
    photos = draw_photos(tmp_path / "photos", each=1)
    done = benchmark(
        *(photos, "--model", bundle, "--photos", 4, "--repeats", 2),
        *("--starts", 1, "--threads", 1, "--json"),
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["photos"], told["repeats"], told["threads"], told["size"]) == (4, 2, 1, 32)
    rates = [told[way]["photos_per_second"] for way in ("binsight", "tutorial")]
    assert told["ratio"] == pytest.approx(rates[0] / rates[1])
    for way in ("binsight", "tutorial"):
        assert 0 < told[way]["slowest"] <= told[way]["photos_per_second"] <= told[way]["fastest"]
        assert told[way]["first_answer_seconds"] > 0
    # The point of a runtime without torch.
    assert told["binsight"]["peak_mib"] < told["tutorial"]["peak_mib"]


@pytest.mark.slow
def test_a_flooded_service_loses_and_mixes_up_nothing(bundle: Path) -> None:
    program = [sys.executable, PROGRAMS / "serve.py", "--model", bundle, "--photos", "20"]
    done = subprocess.run(
        [*map(str, program), "--seconds", "3"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["flood_statuses"]) <= {"200", "503"}
    assert told["flood_statuses"]["200"] > 0
    assert (told["wrong"], told["without_retry_after"], told["exit"]) == (0, 0, 0)


@pytest.mark.slow
def test_ideas_are_trained_and_compared(tmp_path: Path) -> None:
    from binsight.data.catalog import scan
    from binsight.data.split import split_by_ratios, write_split
    from binsight.training.recipe import load_recipe, to_toml
    from binsight.training.run import open_run

    here, there = (draw_photos(tmp_path / name, seed=seed) for seed, name in enumerate("ab"))
    split = split_by_ratios(
        scan([here, there], duplicates=False), {"train": 0.7, "val": 0.3}, seed=0
    )
    write_split(tmp_path / "split.csv", split)
    (tmp_path / "rows.toml").write_text(
        f"""
        [[row]]
        name = "Plain"
        recipe = "plain.toml"
        without = ["b"]
        changes = {[f"{key}={value}" for key, value in SMALL.items()]}

        [[row]]
        name = "more photos, fewer epochs"
        without = []
        changes = ["epochs=1", "warmup_epochs=0"]
        """
    )
    (tmp_path / "plain.toml").write_text(to_toml(load_recipe("seed", ["seed=5"])))
    program = [sys.executable, PROGRAMS / "ablation.py", here, there]
    command = [*program, "--split", tmp_path / "split.csv", "--weights", "none"]
    command += ["--rows", tmp_path / "rows.toml", "--workers", "0", "--out", tmp_path / "out"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    heads, _, plain, more = done.stdout.splitlines()
    assert heads == "| | a (9) | won, lost | b (9) | won, lost |"
    assert plain.startswith("| Plain | ")
    assert plain.count("|  |") == 2  # nothing to compare with
    assert more.startswith("| more photos, fewer epochs | ")
    learned = [open_run(tmp_path / "out" / name) for name in ("plain", "more-photos-fewer-epochs")]
    all_train = split.paths("train")
    only_a = tuple(path for path in all_train if path.startswith("a/"))
    assert [one.split.paths("train") for one in learned] == [only_a, all_train]
    assert [one.recipe.epochs for one in learned] == [SMALL["epochs"], 1]
    assert [one.recipe.seed for one in learned] == [5, 5]

    again = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert (again.stdout, again.stderr) == (done.stdout, "")


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    done = benchmark(tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"no photos in {tmp_path}\n"


def test_scores_of_novelty_are_compared(tmp_path: Path, bundle: Path) -> None:
    from binsight.data.catalog import scan
    from binsight.data.split import split_by_ratios, write_split

    photos = draw_photos(tmp_path / "photos", each=8)
    split = split_by_ratios(scan([photos], duplicates=False), {"train": 0.5, "test": 0.5}, seed=0)
    write_split(tmp_path / "split.csv", split)
    strange = tmp_path / "strange"
    strange.mkdir()
    (draw_photos(tmp_path / "drawn", each=3, seed=5) / "glass").rename(strange / "battery")
    for photo in (strange / "battery").iterdir():
        with Image.open(photo) as image:
            ImageOps.invert(image).save(photo)
    said = program(
        "novelty.py", bundle, photos, "--split", tmp_path / "split.csv", "--strange", strange
    )
    assert said.startswith("fitted to 12 photos; 12 known, strange: 3 battery")
    rows = {line.split("|")[1].strip(): line for line in said.splitlines() if line.count("|") > 2}
    assert {"msp", "energy", "product", "knn", "vim", "fdbd"} <= rows.keys()
    auroc = {name: float(row.split("|")[2].split()[0]) for name, row in list(rows.items())[2:]}
    assert auroc["product"] > 0.9
    assert auroc["product"] == pytest.approx(auroc["relative++"], abs=0.05)


def teaching(*arguments: object) -> str:
    return program("teach.py", *arguments)


def program(name: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, PROGRAMS / name, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_teaching_is_measured_beside_plainer_ways(tmp_path: Path, bundle: Path) -> None:
    photos = draw_photos(tmp_path / "photos", each=12)
    for old, new in [("glass", "kept"), ("metal", "glass"), ("paper", "metal"), ("kept", "paper")]:
        (photos / old).rename(photos / new)  # colours that the bundle takes for another class
    out = tmp_path / "taught"
    said = teaching(bundle, photos, "--counts", 2, 6, "--seeds", 2, "--out", out)
    assert "36 photos, 2 seeds" in said
    table = out.with_suffix(".md").read_text()
    assert table in said
    joint = next(line for line in table.splitlines() if line.startswith("| joint |"))
    assert float(joint.split("|")[3].split()[0]) > 10, joint
    rows = out.with_suffix(".csv").read_text().splitlines()
    assert len(rows) == 1 + 5 * 2 * 2
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_new_classes_are_measured(tmp_path: Path, bundle: Path) -> None:
    photos = draw_photos(tmp_path / "photos", each=4)
    other = draw_photos(tmp_path / "drawn", each=8, seed=5)
    new = tmp_path / "other"
    new.mkdir()
    (other / "glass").rename(new / "battery")
    said = teaching(bundle, photos, "--new", new, "--counts", 4, "--seeds", 1)
    assert "| photos a class | recall battery | old classes |" in said
    assert said.splitlines()[3].startswith("| 4 | ")
