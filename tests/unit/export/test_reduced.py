"""Bundles in fewer bits: they answer like numpy says, or are not written."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from conv_bundle import conv_model, labelled_photos, split_of, write_conv_bundle
from onnx import numpy_helper
from PIL import Image
from small_bundle import expected_probs, small_model, write_small_bundle

from binsight.errors import ParityError, UsageError
from binsight.export import reduced
from binsight.export.formats import Request, Source, open_exported, precision_of
from binsight.export.network_part import fold_half, round_weights, store_half
from binsight.export.reduced import reduce_bundle
from binsight.export.shown import Shown, of_split
from binsight.learned import Learned
from binsight.novelty import SCORE, fit_known
from binsight.runtime import Classifier
from binsight.teaching.graph import add_novelty, read_memory, remember
from binsight.teaching.memory import Memory


class Given(NamedTuple):
    bundle: Path
    val: Shown
    train: Shown


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder = tmp_path_factory.mktemp("reduced")
    bundle = write_conv_bundle(folder / "parent.onnx").path
    photos = labelled_photos(folder / "photos")
    split = split_of(photos, folder / "split.csv")
    val, train = of_split((photos,), split, ["val", "train"], Classifier(bundle).classes)
    return Given(bundle, val, train)


def request(given: Given, precision: str) -> Request:
    calibration = given.train if precision == "int8" else None
    return Request(precision=precision, photos=given.val, calibration=calibration)  # type: ignore[arg-type]


@pytest.mark.parametrize(("precision", "within"), [("fp16", 1e-3), ("int8", 0.1)])
def test_it_answers_like_its_parent_and_is_smaller(
    given: Given, tmp_path: Path, precision: str, within: float
) -> None:
    parent = Classifier(given.bundle)
    out = tmp_path / "out.onnx"
    written = reduce_bundle(Source(parent), out, request(given, precision))
    made = Classifier(out)
    assert out.stat().st_size < 0.75 * given.bundle.stat().st_size
    assert precision_of(out) == precision
    files = list(given.val.files)
    found = np.array([list(one.probs.values()) for one in made.classify(files)])
    expected = np.array([expected_probs(Image.open(file)) for file in files])
    assert 0 < np.abs(found - expected).max() < within
    parity = made.metadata.parity
    assert parity.max_difference == pytest.approx(np.abs(found - expected).max(), abs=1e-5)
    right = (found.argmax(axis=1) == given.val.labels_n).mean()
    assert made.metadata.metrics["val_accuracy"] == pytest.approx(right)
    assert written.times_as_fast > 0


def test_weights_have_seven_bits(given: Given, tmp_path: Path) -> None:
    """Sums of products of eight bits saturate where a processor adds them up in sixteen."""
    out = tmp_path / "out.onnx"
    reduce_bundle(Source(Classifier(given.bundle)), out, request(given, "int8"))
    weights = [
        numpy_helper.to_array(one)
        for one in onnx.load(out).graph.initializer
        if one.data_type == onnx.TensorProto.INT8 and len(one.dims) == 4
    ]
    assert weights
    assert max(np.abs(one.astype(int)).max() for one in weights) in {63, 64}


def test_the_first_tenth_of_the_convolutions_stays_as_it_is() -> None:
    names = [f"conv{number}" for number in range(29)]
    assert reduced.kept_first(names) == ["conv0", "conv1"]


def test_it_says_what_it_was_made_of(given: Given, tmp_path: Path) -> None:
    parent = Classifier(given.bundle)
    out = tmp_path / "out.onnx"
    reduce_bundle(Source(parent), out, request(given, "int8"))
    metadata = Classifier(out).metadata
    assert metadata.reduced
    assert metadata.reduced.parent == parent.digest
    assert metadata.reduced.calibrated_on == len(given.train)
    assert metadata.chosen_on
    assert metadata.chosen_on.photos == len(given.val)
    assert metadata.chosen_on.part == "val"
    assert metadata.training == parent.metadata.training
    assert open_exported(out).description.parent == parent.digest


def test_what_is_sure_is_chosen_anew_for_int8_alone(given: Given, tmp_path: Path) -> None:
    """Rounding to float16 hardly changes an answer, and these photos may be few."""
    parent = Classifier(given.bundle)
    kept = reduce_bundle(Source(parent), tmp_path / "half.onnx", request(given, "fp16")).metadata
    assert kept.threshold == parent.metadata.threshold
    assert kept.chosen_on == parent.metadata.chosen_on
    anew = reduce_bundle(Source(parent), tmp_path / "int8.onnx", request(given, "int8")).metadata
    assert anew.threshold != parent.metadata.threshold
    sure = [one.sure for one in Classifier(tmp_path / "half.onnx").classify(list(given.val.files))]
    assert kept.metrics["val_coverage"] == pytest.approx(np.mean(sure))


def test_what_is_strange_is_not_sure_after_rounding_either(given: Given, tmp_path: Path) -> None:
    plain = Classifier(given.bundle)
    embeddings = np.stack([one.embedding for one in plain.classify(list(given.train.files))])
    known = fit_known(embeddings, given.train.labels_n)
    shown = np.stack([one.embedding for one in plain.classify(list(given.val.files))])
    model = conv_model()
    add_novelty(model.graph, known)
    limit = float(np.median(known.score(shown)))
    parent = write_small_bundle(
        tmp_path / "parent.onnx",
        model=model,
        format_version=3,
        threshold=0.0,
        novelty={"score": SCORE, "limit": limit, "accepted": 0.5},
    )
    out = tmp_path / "half.onnx"
    told = reduce_bundle(Source(Classifier(parent.path)), out, request(given, "fp16")).metadata
    sure = [one.sure for one in Classifier(out).classify(list(given.val.files))]
    assert 0.3 < np.mean(sure) < 0.7
    assert told.metrics["val_coverage"] == pytest.approx(np.mean(sure))


def test_ranges_are_measured_on_the_photos_to_calibrate_on(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Watched(reduced.Calibration):
        def __init__(self, photos: Shown, *more: object) -> None:
            asked.append(photos.files)
            super().__init__(photos, *more)

    monkeypatch.setattr(reduced, "Calibration", Watched)
    reduce_bundle(Source(Classifier(given.bundle)), tmp_path / "a.onnx", request(given, "int8"))
    assert asked == [given.train.files]


def test_what_costs_accuracy_is_not_written(given: Given, tmp_path: Path) -> None:
    spoilt = write_conv_bundle(tmp_path / "spoilt.onnx", spoilt=20_000.0).path
    out = tmp_path / "out.onnx"
    with pytest.raises(ParityError, match=r"int8 costs too much: of 18 .* 18 were right \(100.0%"):
        reduce_bundle(Source(Classifier(spoilt)), out, request(given, "int8"))
    assert not out.exists()


def test_what_a_bundle_remembers_comes_along(given: Given, tmp_path: Path) -> None:
    model = conv_model()
    held_out = np.ones(3, np.bool_)
    memory = Memory(np.eye(3, dtype=np.float16), np.arange(3), held_out, Learned.of(["a" * 64]))
    remember(model.graph, memory)
    path = tmp_path / "remembers.onnx"
    write_small_bundle(path, model=model)
    out = tmp_path / "out.onnx"
    reduce_bundle(Source(Classifier(path)), out, request(given, "int8"))
    found = read_memory(out.read_bytes())
    assert found
    assert np.array_equal(found.embeddings, memory.embeddings)
    assert "a" * 64 in found.learned


def test_bits_that_are_gone_are_not_taken_twice(given: Given, tmp_path: Path) -> None:
    half = tmp_path / "half.onnx"
    reduce_bundle(Source(Classifier(given.bundle)), half, request(given, "fp16"))
    with pytest.raises(UsageError, match="is in fp16 already"):
        reduce_bundle(Source(Classifier(half)), tmp_path / "out.onnx", request(given, "fp16"))
    with pytest.raises(UsageError, match="is a bundle already"):
        reduce_bundle(Source(Classifier(half)), tmp_path / "out.onnx", request(given, "fp32"))
    assert [one.name for one in tmp_path.iterdir()] == ["half.onnx"]
    eight = tmp_path / "eight.onnx"
    reduce_bundle(Source(Classifier(given.bundle)), eight, request(given, "int8"))
    with pytest.raises(UsageError, match="is in int8 already"):
        reduce_bundle(Source(Classifier(eight)), tmp_path / "out.onnx", request(given, "fp16"))


def test_a_bundle_without_convolutions_is_refused(given: Given, tmp_path: Path) -> None:
    plain = write_small_bundle(tmp_path / "plain.onnx", model=small_model()).path
    with pytest.raises(UsageError, match="no convolution"):
        reduce_bundle(Source(Classifier(plain)), tmp_path / "out.onnx", request(given, "int8"))


def test_halves_are_folded_back_exactly() -> None:
    model = conv_model()
    round_weights(model.graph)
    expected = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    store_half(model)
    assert "conv1.weight" not in {one.name for one in model.graph.initializer}
    fold_half(model)
    found = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], value) for name, value in expected.items())
    onnx.checker.check_model(model)


def test_weights_beyond_float16_are_refused() -> None:
    model = conv_model()
    weight = next(one for one in model.graph.initializer if one.name == "conv1.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1e6, weight.name))
    with pytest.raises(ParityError, match=r"conv1.weight: too large for float16"):
        round_weights(model.graph)
