"""What every format has in common, shown with one that is a bundle under another name."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conv_bundle import labelled_photos, split_of
from small_bundle import CLASSES, SmallBundle, squares, write_small_bundle

from binsight.calibration import choose_threshold
from binsight.errors import (
    AlteredBundleError,
    MissingExtraError,
    NotABundleError,
    ParityError,
    UsageError,
)
from binsight.export import formats
from binsight.export.described import digest_of_path, put_in_place, sidecar_of
from binsight.export.formats import (
    FORMATS,
    BundleRunner,
    Format,
    Request,
    Source,
    check_request,
    open_exported,
    write_exported,
)
from binsight.export.measured import Answers, Tolerance, check, compare, fall_of
from binsight.export.shown import of_files, of_split
from binsight.runtime import Classifier

MADE_UP = Format(
    name="litert", suffix=".tflite", precisions=("fp32", "int8"), module="made_up_format"
)


class Skewed(BundleRunner):
    """A bundle that is off by a little."""

    def __init__(self, classifier: Classifier, skew: float) -> None:
        super().__init__(classifier)
        self.skew = skew

    def run(self, images_nchw: np.ndarray) -> Answers:
        probs_nc = super().run(images_nchw).probs_nc
        return Answers(((1 - self.skew) * probs_nc + self.skew / 3).astype(np.float32))


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A format that copies the bundle; ``skew`` is what its runner is off by."""
    made_up = ModuleType("made_up_format")

    def convert(source: Source, draft: Path, request: Request) -> tuple[str, ...]:
        shutil.copy(source.bundle, draft)
        return ("probs",)

    made_up.skew = 0.0  # type: ignore[attr-defined]
    made_up.convert = convert  # type: ignore[attr-defined]
    made_up.open_runner = lambda path, description, threads: Skewed(  # type: ignore[attr-defined]
        Classifier(path, threads=threads), made_up.skew
    )
    monkeypatch.setitem(sys.modules, "made_up_format", made_up)
    monkeypatch.setitem(FORMATS, "litert", MADE_UP)
    return made_up


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    for place, photo in enumerate(squares(6)):
        (tmp_path / "photos").mkdir(exist_ok=True)
        photo.save(tmp_path / "photos" / f"{place}.png")
    return Request(photos=of_files(sorted((tmp_path / "photos").iterdir()), 6))


def test_a_file_is_described_beside_it_and_opened_by_that(
    module: ModuleType, small_bundle: SmallBundle, request_: Request, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "mine.tflite"
    described = write_exported(MADE_UP, Source(Classifier(small_bundle.path)), out, request_)
    assert [one.name for one in sorted(out.parent.iterdir())] == ["mine.tflite", "mine.tflite.json"]
    assert json.loads(sidecar_of(out).read_text())["parent"] == small_bundle.digest
    assert described.parity
    assert (described.parity.photos, described.parity.same_label) == (6, 1.0)
    exported = open_exported(out)
    assert exported.description == described
    assert exported.description.classes == CLASSES
    image = np.zeros((2, 3, 32, 32), np.float32)
    expected = Classifier(small_bundle.path).run(image).probs_nc
    assert np.allclose(exported.open().run(image).probs_nc, expected)


def test_what_does_not_answer_alike_is_not_written(
    module: ModuleType, small_bundle: SmallBundle, request_: Request, tmp_path: Path
) -> None:
    module.skew = 0.01  # type: ignore[attr-defined]
    out = tmp_path / "mine.tflite"
    out.write_text("the old one")
    with pytest.raises(ParityError, match=r"probabilities differ by up to 0\.00\d+ .* it was not"):
        write_exported(MADE_UP, Source(Classifier(small_bundle.path)), out, request_)
    assert out.read_text() == "the old one"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["mine.tflite", "photos"]


def test_int8_chooses_by_its_own_answers_what_is_sure(
    module: ModuleType, small_bundle: SmallBundle, tmp_path: Path
) -> None:
    photos = labelled_photos(tmp_path / "photos")
    val, train = of_split(
        (photos,), split_of(photos, tmp_path / "split.csv"), ["val", "train"], CLASSES
    )
    parent = Classifier(small_bundle.path)
    request = Request(precision="int8", photos=val, calibration=train)
    module.skew = 0.2  # type: ignore[attr-defined]
    described = write_exported(MADE_UP, Source(parent), tmp_path / "mine.tflite", request)
    probs = np.array([list(one.probs.values()) for one in parent.classify(list(val.files))])
    skewed = 0.8 * probs + 0.2 / 3
    chosen = choose_threshold(skewed.max(axis=1), skewed.argmax(axis=1) == val.labels_n)
    assert described.threshold == pytest.approx(chosen)
    assert described.threshold != parent.metadata.threshold
    assert described.metrics["val_coverage"] == (skewed.max(axis=1) >= chosen).mean()


def test_a_format_of_another_system_is_written_unmeasured_and_not_run(
    module: ModuleType,
    small_bundle: SmallBundle,
    request_: Request,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = Format(
        name="litert",
        suffix=".tflite",
        precisions=("fp32",),
        module="made_up_format",
        runs_on="plan9",
    )
    monkeypatch.setitem(FORMATS, "litert", elsewhere)
    out = tmp_path / "mine.tflite"
    described = write_exported(elsewhere, Source(Classifier(small_bundle.path)), out, request_)
    assert described.parity is None
    with pytest.raises(UsageError, match="runs on plan9 alone"):
        open_exported(out).open()


def test_an_altered_or_undescribed_file_is_refused(
    module: ModuleType, small_bundle: SmallBundle, request_: Request, tmp_path: Path
) -> None:
    out = tmp_path / "mine.tflite"
    write_exported(MADE_UP, Source(Classifier(small_bundle.path)), out, request_)
    out.write_bytes(out.read_bytes() + b"\0")
    with pytest.raises(AlteredBundleError, match="altered or damaged"):
        open_exported(out)
    sidecar_of(out).write_text("{}")
    with pytest.raises(NotABundleError, match=r"broken description \(format: "):
        open_exported(out)
    sidecar_of(out).unlink()
    with pytest.raises(NotABundleError, match=r"its description is missing \(mine\.tflite\.json"):
        open_exported(out)
    with pytest.raises(NotABundleError, match="no such file"):
        open_exported(tmp_path / "gone.tflite")
    with pytest.raises(NotABundleError, match=r"not a file of any known format \(\.onnx, "):
        open_exported(tmp_path / "photo.jpg")


@pytest.mark.parametrize("name", ["accurate.mlpackage", "mine.onnx", "tflite"])
def test_a_file_that_is_named_like_another_format_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"ends in \.tflite"):
        check_request(MADE_UP, Path(name), "fp32")


def test_a_precision_that_a_format_has_not_is_refused() -> None:
    with pytest.raises(UsageError, match="litert is not written in fp16; it can be fp32, int8"):
        check_request(MADE_UP, Path("mine.tflite"), "fp16")


def test_a_format_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    for one in FORMATS.values():
        if one.packages:
            with pytest.raises(MissingExtraError, match=rf"\.\[{one.extra}\]"):
                one.require()


def test_the_digest_of_a_folder_changes_with_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "a.mlpackage"
    (folder / "Data").mkdir(parents=True)
    (folder / "Data" / "weights").write_bytes(b"1")
    seen = {digest_of_path(folder)}
    (folder / "Data" / "weights").write_bytes(b"2")
    seen.add(digest_of_path(folder))
    (folder / "Data" / "weights").rename(folder / "weights")
    seen.add(digest_of_path(folder))
    assert len(seen) == 3


@pytest.mark.parametrize("name", ["mine.tflite", "mine.onnx", "mine.mlpackage"])
def test_a_folder_that_no_export_wrote_is_left_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: object())
    chosen = next(one for one in FORMATS.values() if name.endswith(one.suffix))
    out = tmp_path / name
    (out / "inner").mkdir(parents=True)
    with pytest.raises(UsageError, match="is a folder that no export wrote; give another --out"):
        check_request(chosen, out, "fp32")
    if chosen.is_folder:
        sidecar_of(out).touch()
        check_request(chosen, out, "fp32")
        (tmp_path / "file.mlpackage").touch()
        with pytest.raises(UsageError, match="is a file, and coreml is a folder"):
            check_request(chosen, tmp_path / "file.mlpackage", "fp32")


def test_a_place_that_cannot_be_written_is_told_of_first(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"mine\.onnx cannot be written .*; give another --out"):
        check_request(FORMATS["onnx"], tmp_path / "file" / "mine.onnx", "fp32")
    check_request(FORMATS["onnx"], tmp_path / "new" / "folder" / "mine.onnx", "fp32")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file"]


def test_a_description_goes_with_its_file_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "folder"
    out.mkdir()

    def describe_a_file() -> None:
        with put_in_place(out) as draft:
            draft.touch()
            sidecar_of(draft).touch()

    with pytest.raises(IsADirectoryError):
        describe_a_file()
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    out = tmp_path / "a.mlpackage"
    for content in ("old", "new"):
        with put_in_place(out) as draft:
            draft.mkdir()
            (draft / content).touch()
    assert [one.name for one in out.iterdir()] == ["new"]
    with pytest.raises(FileExistsError), put_in_place(out) as draft:
        shutil.copytree(out, draft).mkdir()
    assert [one.name for one in out.iterdir()] == ["new"]
    assert [one.name for one in tmp_path.iterdir()] == ["a.mlpackage"]


def probs(*rows: tuple[float, float]) -> Answers:
    return Answers(np.array(rows, np.float32))


def test_parity_counts_labels_and_takes_the_largest_difference() -> None:
    parity = compare(probs((0.9, 0.1), (0.4, 0.6)), probs((0.8, 0.2), (0.55, 0.45)))
    assert (parity.photos, parity.same_label) == (2, 0.5)
    assert parity.max_difference == pytest.approx(0.15)
    assert check(parity, Tolerance(0.5, 0.2)) is None
    assert "1 of 2 labels differ" in str(check(parity, Tolerance(0.9, 1.0)))
    assert "by up to 0.15" in str(check(parity, Tolerance(0.5, 0.1)))


def test_one_point_is_the_most_that_int8_may_cost() -> None:
    labels = np.zeros(100, np.int64)
    right, wrong = (0.9, 0.1), (0.1, 0.9)
    before = probs(*[right] * 100)
    measured = fall_of(before, probs(*[right] * 99, wrong), labels, "int8")
    assert measured == {
        "val_photos": 100,
        "val_accuracy": 0.99,
        "val_accuracy_before_int8": 1.0,
    }
    with pytest.raises(ParityError, match=r"100 were right \(100.0%\), 98 would be \(98.0%\)"):
        fall_of(before, probs(*[right] * 98, wrong, wrong), labels, "int8")


def test_a_reduced_bundle_names_its_parent(tmp_path: Path) -> None:
    made = {"format_version": 4, "reduced": {"parent": "a" * 64, "precision": "fp16"}}
    path = write_small_bundle(tmp_path / "a.onnx", **made).path
    assert open_exported(path).description.parent == "a" * 64
