"""What ``binsight classify`` can do beside saying a material: bins, best classes, CSV, copies."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from command_line import binsight, on_terminal, output, program, refusal
from PIL import Image
from small_bundle import SIZE, SmallBundle, expected_probs, write_novelty_bundle, write_small_bundle

from binsight.interfaces.cli.classify import _classified
from binsight.runtime import Classifier

COLOURS = {  # what the small bundle says about them: see `test_the_photos_are_what_they_are_for`
    "metal.png": (20, 200, 20),
    "glass.png": (250, 0, 0),
    "unsure.png": (110, 110, 110),
}
BINS = """
[[bins]]
name = "containers"
colour = "#3f8f3f"
advice = "Rinse it."
takes = ["glass", "metal"]

[[bins]]
name = "paper/card"
colour = "#1f6fb5"
takes = ["paper", "battery"]
"""


def drawn(colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (SIZE, SIZE), colour)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in COLOURS.items():
        drawn(colour).save(folder / name)
    return folder


@pytest.fixture
def bins(tmp_path: Path) -> Path:
    path = tmp_path / "bins.toml"
    path.write_text(BINS)
    return path


@pytest.fixture
def mine(small_bundle: SmallBundle) -> tuple[str, Path]:
    return "--model", small_bundle.path


def json_rows(text: str) -> dict[str, dict[str, object]]:
    rows = [json.loads(line) for line in text.splitlines()]
    return {Path(row["path"]).name: row for row in rows}


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_the_photos_are_what_they_are_for() -> None:
    probs = {name: expected_probs(drawn(colour)) for name, colour in COLOURS.items()}
    assert probs["glass.png"][0] > 0.9
    assert probs["metal.png"][1] > 0.9
    assert probs["unsure.png"].max() < 0.69


def test_the_best_classes_stand_below_each_other(photos: Path, mine: tuple[str, Path]) -> None:
    _, *lines = output("classify", photos / "unsure.png", "--top", 9, *mine).splitlines()
    order = np.argsort(-expected_probs(drawn(COLOURS["unsure.png"])))
    names = [("glass", "metal", "paper")[one] for one in order]
    assert [line.split()[-2 if number else 1] for number, line in enumerate(lines)] == names
    assert lines[0].endswith("%  not sure")
    shares = [float(line.split("%")[0].split()[-1]) for line in lines]
    expected = 100 * np.sort(expected_probs(drawn(COLOURS["unsure.png"])))[::-1]
    np.testing.assert_allclose(shares, expected, atol=0.06)
    assert len({line.index("%") for line in lines}) == 1


def test_the_best_classes_as_json(photos: Path, mine: tuple[str, Path]) -> None:
    (row,) = json_rows(
        output("classify", photos / "metal.png", "--top", 2, "--json", *mine)
    ).values()
    assert [list(one) for one in row["top"]] == [["label", "confidence"]] * 2
    best, second = row["top"]
    assert best == {"label": row["label"], "confidence": row["confidence"]}
    assert sorted(row["probs"].values())[-2] == second["confidence"] < best["confidence"]


@pytest.fixture
def narrow(tmp_path: Path) -> tuple[str, Path]:
    """A bundle that knows two of the colours, with little room around them."""
    shown = {
        name: [drawn((red + step, green, blue)) for step in range(8)]
        for name, (red, green, blue) in (("metal", (14, 200, 20)), ("paper", (40, 40, 200)))
    }
    return "--model", write_novelty_bundle(tmp_path / "narrow.onnx", shown, limit=3.0).path


def test_what_is_strange_is_not_sure_though_the_model_is(
    photos: Path, bins: Path, narrow: tuple[str, Path], tmp_path: Path
) -> None:
    rows = json_rows(output("classify", photos, "--json", *narrow))
    assert rows["metal.png"]["sure"] is True
    assert rows["metal.png"]["why"] is None
    strange = rows["glass.png"]
    assert (strange["label"], strange["sure"]) == ("glass", False)
    assert strange["confidence"] > 0.9
    assert strange["novelty"] > 3 > rows["metal.png"]["novelty"]
    assert strange["why"] == "like nothing it learned"
    glass, metal, *_ = output("classify", photos, *narrow).splitlines()[1:]
    assert glass.endswith("%  not sure: like nothing it learned")
    assert metal.endswith("%")
    sorted_to = tmp_path / "sorted"
    decided = json_rows(
        output("classify", photos, "--json", "--bins", bins, "--copy-to", sorted_to, *narrow)
    )
    assert decided["glass.png"]["bin"]["name"] is None
    assert decided["metal.png"]["bin"]["name"] == "containers"
    assert (sorted_to / "ask-a-person" / "glass.png").is_file()


def test_csv_says_what_json_says(photos: Path, bins: Path, narrow: tuple[str, Path]) -> None:
    (photos / 'no "photo", \n.jpg').write_text("")
    told = binsight("classify", photos, "--csv", "--bins", bins, *narrow)
    rows = csv_rows(told.stdout)
    columns = ["path", "label", "confidence", "sure", "why", "novelty"]
    assert list(rows[0]) == [*columns, "glass", "metal", "paper", "bin", "error"]
    assert (told.returncode, told.stderr) == (1, "1 of 4 photos could not be read\n")
    others = json_rows(binsight("classify", photos, "--json", "--bins", bins, *narrow).stdout)
    assert len(rows) == len(others) == 4
    for row in rows:
        other = others[Path(row["path"]).name]
        if row["error"]:
            assert row["error"] == other["error"] == "the file is empty"
            assert set(row.values()) == {row["path"], row["error"], ""}
            continue
        assert row["label"] == other["label"]
        assert row["sure"] == json.dumps(other["sure"])
        assert row["why"] == (other["why"] or "")
        assert float(row["novelty"]) == other["novelty"]
        assert float(row["confidence"]) == other["confidence"]
        assert {name: float(row[name]) for name in other["probs"]} == other["probs"]
        assert row["bin"] == (other["bin"]["name"] or "ask a person")


def test_csv_has_no_path_that_a_spreadsheet_would_run(photos: Path, mine: tuple[str, Path]) -> None:
    (photos / "metal.png").rename(photos / "=1+1.png")
    names = ["=1+1.png", "glass.png"]
    rows = csv_rows(output("classify", *names, "--csv", "--copy-to", "@out", *mine, cwd=photos))
    assert [row["path"] for row in rows] == ["./=1+1.png", "glass.png"]
    copies = [row["copy"] for row in rows]
    assert copies == ["./@out/metal/=1+1.png", "./@out/glass/glass.png"]
    assert all((photos / copy).is_file() for copy in copies)


def test_a_class_that_is_called_like_a_column(photos: Path, tmp_path: Path) -> None:
    bundle = write_small_bundle(tmp_path / "odd.onnx", classes=("path", "metal", "error"))
    text = output("classify", photos, "--csv", "--model", bundle.path)
    assert {(row["why"], row["novelty"]) for row in csv_rows(text) if row["sure"] == "true"} == {
        ("", "")
    }
    assert text.splitlines()[0] == (
        "path,label,confidence,sure,why,novelty,class path,metal,class error,bin,error"
    )


def test_a_bin_in_the_table(photos: Path, bins: Path, mine: tuple[str, Path]) -> None:
    head, *lines = output("classify", photos, "--bins", bins, *mine).splitlines()
    assert head.split() == ["photo", "material", "confidence", "bin"]
    ends = {Path(line.split()[0]).name: line.partition("%  ")[2] for line in lines}
    assert ends == {
        "glass.png": "containers",
        "metal.png": "containers",
        "unsure.png": "ask a person",
    }


def test_a_bin_as_json(photos: Path, bins: Path, mine: tuple[str, Path]) -> None:
    rows = json_rows(output("classify", photos, "--json", "--bins", bins, *mine))
    sure, unsure = rows["metal.png"], rows["unsure.png"]
    assert sure["bin"] == {
        "name": "containers",
        "colour": "#3f8f3f",
        "expected_cost": pytest.approx(sure["probs"]["paper"], abs=2e-6),
        "advice": "Rinse it.",
        "costs": pytest.approx(
            {
                "containers": sure["probs"]["paper"],
                "paper/card": 1 - sure["probs"]["paper"],
                "ask a person": 0.3,
            },
            abs=2e-6,
        ),
    }
    assert unsure["bin"]["name"] is None
    assert unsure["bin"]["expected_cost"] == pytest.approx(0.3)


def test_a_scheme_by_its_name(photos: Path, mine: tuple[str, Path]) -> None:
    (row,) = csv_rows(output("classify", photos / "glass.png", "--csv", "--bins", "paris", *mine))
    assert row["bin"] == "bac blanc"


def test_a_class_without_a_bin_is_refused_before_any_photo(
    photos: Path, bins: Path, mine: tuple[str, Path]
) -> None:
    bins.write_text(BINS.replace('"paper", ', ""))
    line = refusal("classify", photos, "--bins", bins, *mine)
    assert line == (f'binsight: {bins}: no bin takes paper; add "paper" to the `takes` of a bin')


def test_copies_are_sorted_and_photos_left_alone(
    photos: Path, tmp_path: Path, mine: tuple[str, Path]
) -> None:
    (photos / "broken.jpg").write_text("no photo")
    before, times = files(photos), {path: path.stat().st_mtime_ns for path in photos.iterdir()}
    out = tmp_path / "sorted"
    for _ in range(2):  # the second time, all is there
        done = binsight("classify", photos, "--json", "--copy-to", out, *mine)
        assert done.returncode == 1, done.stderr
        assert files(out) == {
            "glass/glass.png": before["glass.png"],
            "metal/metal.png": before["metal.png"],
            "not-sure/unsure.png": before["unsure.png"],
        }
    rows = json_rows(done.stdout)
    assert rows["metal.png"]["copy"] == str(out / "metal" / "metal.png")
    assert "copy" not in rows["broken.jpg"]
    assert files(photos) == before
    assert {path: path.stat().st_mtime_ns for path in photos.iterdir()} == times


def test_copies_of_one_name_get_numbers(
    photos: Path, tmp_path: Path, mine: tuple[str, Path]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    drawn((240, 0, 0)).save(other / "glass.png")
    shutil.copy(photos / "glass.png", other / "same.png")
    out = tmp_path / "sorted"
    text = output("classify", photos / "glass.png", other, "--csv", "--copy-to", out, *mine)
    copies = [Path(row["copy"]).relative_to(out).as_posix() for row in csv_rows(text)]
    assert copies == ["glass/glass.png", "glass/glass-2.png", "glass/same.png"]
    assert files(out)["glass/glass-2.png"] == (other / "glass.png").read_bytes()


def test_copies_go_into_the_folders_of_bins(
    photos: Path, bins: Path, tmp_path: Path, mine: tuple[str, Path]
) -> None:
    drawn((0, 0, 255)).save(photos / "paper.png")
    out = tmp_path / "sorted"
    output("classify", photos, "--bins", bins, "--copy-to", out, *mine)
    assert sorted(files(out)) == [
        *("ask-a-person/unsure.png", "containers/glass.png", "containers/metal.png"),
        "paper_card/paper.png",
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--json", "--csv"], "--json and --csv exclude each other; give one"),
        (["--top", "0"], "--top 0; give 1 or more"),
        (["--top", "2", "--csv"], "--csv has a column for every class already"),
        (["--resume", "--json"], "--resume goes on with a file; name it: --out FILE"),
        (["--out", "answers"], "--out takes lines for programs; give --json or --csv as well"),
        (["--bins", "atlantis"], "no bins 'atlantis'; give a TOML file, or one of berlin"),
        (["--copy-to", "photos/sorted"], "would be classified too"),
        (["--copy-to", "."], "photos lies among the copies in ."),
        (["--copy-to", "photos/glass.png"], "is not a folder"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    photos: Path, mine: tuple[str, Path], options: list[str], reason: str
) -> None:
    before = files(photos.parent)
    assert reason in refusal("classify", "photos", *options, *mine, cwd=photos.parent)
    assert files(photos.parent) == before


def test_a_table_of_bins_fits_the_terminal(photos: Path, mine: tuple[str, Path]) -> None:
    long = photos / ("long" * 40)
    long.mkdir()
    shutil.copy(photos / "unsure.png", long / "last.png")
    options = (*mine, "--bins", "new-york", "--top", "3")
    written = on_terminal("classify", photos, *options, columns=80, NO_COLOR="1").splitlines()
    assert len(written) == 1 + 4 * 3
    assert max(map(len, written)) <= 80
    assert any("…" in line and "last.png  " in line for line in written)


def test_a_bar_on_a_terminal_leaves_a_file_alone(
    photos: Path, tmp_path: Path, mine: tuple[str, Path]
) -> None:
    with (tmp_path / "answers.csv").open("wb") as file:
        seen = on_terminal("classify", photos, "--csv", *mine, columns=80, stdout=file)
    assert "classifying" in seen
    assert "100%" in seen
    assert len(csv_rows((tmp_path / "answers.csv").read_text())) == 3


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_a_run_that_was_cut_short_goes_on(
    photos: Path, tmp_path: Path, mine: tuple[str, Path], form: str
) -> None:
    for name in (b"a\x1b[31mb.png", b"ab.png", b"caf\xe9.png", b'new\n"line".png', b"z.jpg"):
        shutil.copy(photos / "glass.png", photos / os.fsdecode(name))
    (photos / "z.jpg").write_bytes(b"no photo")
    asked = ("classify", photos, form, *mine)
    whole = tmp_path / "whole"
    done = binsight(*asked, "--out", whole)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "1 of 8 photos could not be read\n"
    assert "is there already; go on with --resume" in refusal(*asked, "--out", whole)
    text = whole.read_bytes()
    begun = tmp_path / "begun"
    for end in (0, text.index(b"new") + 5, len(text) - 1, len(text)):
        begun.write_bytes(text[:end])
        done = binsight(*asked, "--out", begun, "--resume")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith("1 of 8 photos could not be read\n")
        assert begun.read_bytes() == text
    with begun.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "another process writes to it" in refusal(*asked, "--out", begun, "--resume")
    assert "no plain file" in refusal(*asked, "--out", "/dev/null", "--resume")
    assert begun.read_bytes() == text


def test_answers_of_something_else_are_not_gone_on_with(
    photos: Path, tmp_path: Path, mine: tuple[str, Path]
) -> None:
    others = write_small_bundle(tmp_path / "others.onnx", classes=("tin", "metal", "glass")).path
    for form, reason in (("--json", "other classes"), ("--csv", "other columns")):
        file = tmp_path / f"answers{form}"
        output("classify", photos, form, *mine, "--out", file)
        text = file.read_bytes()
        again = ("classify", photos, form, "--out", file, "--resume", "--model", others)
        assert reason in refusal(*again)
        assert file.read_bytes() == text
    (tmp_path / "poem").write_text("roses are red\n")
    asked = ("classify", photos, *mine, "--out", tmp_path / "poem", "--resume")
    assert "not a file of answers" in refusal(*asked, "--json")
    assert "other columns" in refusal(*asked, "--csv")
    assert (tmp_path / "poem").read_text() == "roses are red\n"
    (tmp_path / "poem").write_text("roses are red")  # no line is whole
    assert "not a file of answers" in refusal(*asked, "--json")
    assert "not a file of answers" in refusal(*asked, "--csv")
    assert (tmp_path / "poem").read_text() == "roses are red"


def test_photos_that_a_file_names(photos: Path, tmp_path: Path, mine: tuple[str, Path]) -> None:
    (tmp_path / "names").write_text(f"\ufeff{photos / 'metal.png'}\n\n{photos / 'gone.png'}\r\n")
    asked = ("classify", photos / "glass.png", "--json", *mine)
    done = binsight(*asked, "--files-from", tmp_path / "names")
    assert done.returncode == 1
    rows = json_rows(done.stdout)
    assert list(rows) == ["glass.png", "metal.png", "gone.png"]
    assert rows["gone.png"]["error"] == "No such file or directory"
    named = subprocess.run(
        [*program(), "classify", "--files-from", "-", "--json", *map(str, mine)],
        input=f"{photos / 'unsure.png'}\n".encode(),
        capture_output=True,
        check=True,
    )
    assert list(json_rows(named.stdout.decode())) == ["unsure.png"]
    (tmp_path / "empty").touch()
    assert "no photos in" in refusal("classify", "--files-from", tmp_path / "empty", *mine)


def test_a_name_is_printed_as_it_is(photos: Path, mine: tuple[str, Path]) -> None:
    name = b"caf\xe9\x1b[1m.png"
    (photos / "glass.png").rename(photos / os.fsdecode(name))
    asked = [*program(), "classify", str(photos), "--csv", *map(str, mine)]
    told = subprocess.run(asked, capture_output=True, check=True).stdout
    assert os.fsencode(photos) + b"/" + name + b"," in told


def test_an_endless_list_of_photos_is_answered(photos: Path, small_bundle: SmallBundle) -> None:
    """Paths are taken as they are needed, a batch ahead at most."""
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield photos / "glass.png"

    rows = _classified(endless(), Classifier(small_bundle.path), None, None)
    assert all(row.error == "" for row in islice(rows, 100))
    assert taken <= 100 + 8
