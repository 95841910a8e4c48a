"""A small network as LiteRT, for real: float32 and int8, with ONNX Runtime's answers beside."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from small_bundle import CLASSES, SIZE, squares
from small_network import WIDTH, write_convolving_bundle

pytest.importorskip("litert_torch")
interpreter = pytest.importorskip("ai_edge_litert.interpreter")

from binsight import Classifier  # noqa: E402
from binsight.export.formats import FORMATS, Request, Source, open_exported  # noqa: E402
from binsight.export.formats import write_exported as write  # noqa: E402
from binsight.export.shown import Shown  # noqa: E402
from binsight.preprocess import load  # noqa: E402


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_convolving_bundle(tmp_path_factory.mktemp("litert") / "a.onnx")


@pytest.fixture(scope="module")
def photos(bundle: Path) -> Shown:
    """Their true classes are what the bundle says."""
    files = []
    for number, square in enumerate(squares(40, seed=2)):
        square.save(file := bundle.with_name(f"{number}.png"))
        files.append(file)
    labels = [CLASSES.index(answer.label) for answer in Classifier(bundle).classify(files)]
    assert len(set(labels)) > 1
    return Shown(tuple(files), np.array(labels, np.int64))


@pytest.fixture(scope="module")
def in_float(bundle: Path, photos: Shown) -> Path:
    out = bundle.with_name("a.tflite")
    write(FORMATS["litert"], Source(Classifier(bundle)), out, Request(photos=photos))
    return out


def test_it_answers_like_the_bundle(bundle: Path, in_float: Path) -> None:
    exported = open_exported(in_float)
    images = np.stack([load(one, exported.description.preprocess) for one in squares(5, seed=8)])
    expected = Classifier(bundle).run(images)
    found = exported.open(threads=1).run(images)
    assert np.allclose(found.probs_nc, expected.probs_nc, atol=1e-5)
    assert np.allclose(found.embedding_nd, expected.embedding_nd, atol=1e-5)
    assert found.novelty_n is None
    assert exported.description.parity
    assert exported.description.parity.same_label == 1


def test_any_reader_finds_one_picture_with_channels_last(in_float: Path) -> None:
    read = interpreter.Interpreter(model_path=str(in_float))
    read.allocate_tensors()
    (taken,) = read.get_input_details()
    assert (list(taken["shape"]), taken["dtype"]) == ([1, SIZE, SIZE, 3], np.float32)
    assert [list(one["shape"]) for one in read.get_output_details()] == [[1, 3], [1, WIDTH]]
    kinds = {one["op_name"] for one in read._get_ops_details()}
    assert {"CONV_2D", "DEPTHWISE_CONV_2D"} <= kinds
    assert "TRANSPOSE" not in kinds


def test_labels_and_preprocessing_are_in_the_file(in_float: Path) -> None:
    with zipfile.ZipFile(in_float) as archive:
        assert archive.read("labels.txt").decode().split() == list(CLASSES)
        spec = json.loads(archive.read("preprocess.json"))
    assert spec == open_exported(in_float).description.preprocess.model_dump(mode="json")


def test_int8_computes_with_integers_and_keeps_the_labels(bundle: Path, photos: Shown) -> None:
    out = bundle.with_name("int8.tflite")
    request = Request(precision="int8", photos=photos, calibration=photos)
    described = write(FORMATS["litert"], Source(Classifier(bundle)), out, request)
    assert described.parity
    assert described.parity.same_label >= 0.95
    assert 1e-6 < described.parity.max_difference < 0.1
    read = interpreter.Interpreter(model_path=str(out))
    read.allocate_tensors()
    kinds = {one["name"]: one["dtype"] for one in read.get_tensor_details()}
    assert np.int8 in kinds.values()
    assert read.get_input_details()[0]["dtype"] == np.float32
    assert read.get_output_details()[0]["dtype"] == np.float32


def test_nothing_is_printed_and_nothing_is_left_behind(in_float: Path) -> None:
    names = {one.name for one in in_float.parent.iterdir() if one.suffix != ".png"}
    assert names <= {"a.onnx", "a.tflite", "a.tflite.json", "int8.tflite", "int8.tflite.json"}
