"""A bundle explains itself: against numpy's own sums on the small bundle, and without torch."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from command_line import surroundings
from onnx import helper, numpy_helper
from PIL import Image
from small_bundle import BIAS, MEAN, STD, WEIGHT, SmallBundle, small_model, write_small_bundle

from binsight import Classifier
from binsight.errors import UnexplainableError, UnreadableImageError, UsageError
from binsight.explain import BundleExplainer, explain


def spotted(size: tuple[int, int] = (32, 32)) -> Image.Image:
    """Black, with a red spot in the upper right; the small bundle calls red glass."""
    photo = Image.new("RGB", size)
    middle = size[0] // 2
    photo.paste((255, 0, 0), (middle + 4, 4, middle + 12, 12))
    return photo


@pytest.fixture(scope="module")
def classifier(small_bundle: SmallBundle) -> Classifier:
    return Classifier(small_bundle.path)


@pytest.mark.parametrize(("label", "column"), [("glass", 0), ("metal", 1), ("paper", 2)])
def test_the_map_is_what_each_place_adds(classifier: Classifier, label: str, column: int):
    photo = spotted()
    pixels = (np.asarray(photo, np.float64) / 255 - MEAN) / STD
    adds = np.maximum(pixels @ WEIGHT[:, column], 0)
    found = explain(classifier, photo, label)
    assert found.explained == label
    assert np.allclose(found.heat_hw, adds / (adds.max() or 1), atol=1e-4)
    assert found.probs == pytest.approx(classifier.classify(photo).probs)
    assert BIAS.any()  # which no place can add to


def test_the_most_probable_class_is_explained_by_itself(classifier: Classifier):
    found = explain(classifier, spotted())
    answer = classifier.classify(spotted())
    assert found.label == found.explained == answer.label
    assert found.confidence == pytest.approx(answer.confidence)


def test_the_place_is_that_of_the_spot(classifier: Classifier):
    found = explain(classifier, spotted((64, 32)), "glass")
    assert found.photo_size == (64, 32)
    assert found.square == (16.0, 0.0, 48.0, 32.0)
    assert found.region is not None
    assert found.region.box == (36, 4, 44, 12)
    assert found.region.words == "top"


def test_a_turned_photo_is_explained_upright(classifier: Classifier):
    photo, exif = spotted((64, 32)), Image.Exif()
    exif[274] = 6  # shown turned by a quarter
    lying = io.BytesIO()
    photo.transpose(Image.Transpose.ROTATE_90).save(lying, format="PNG", exif=exif)
    found, upright = (explain(classifier, one, "glass") for one in (lying.getvalue(), photo))
    assert found.photo_size == (64, 32)
    assert found.region == upright.region
    assert np.array_equal(found.heat_hw, upright.heat_hw)


def test_an_unknown_class_names_those_there_are(classifier: Classifier):
    with pytest.raises(UsageError, match=r"class 'wood' .* choose one of: glass, metal, paper"):
        explain(classifier, spotted(), "wood")


def test_a_broken_photo(classifier: Classifier, tmp_path: Path):
    with pytest.raises(UnreadableImageError, match="gone"):
        explain(classifier, tmp_path / "gone.jpg")


def test_a_head_that_is_not_linear(tmp_path: Path):
    model = small_model()
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    gemm.output[0] = "straight"
    place = list(model.graph.node).index(gemm) + 1
    model.graph.node.insert(place, helper.make_node("Tanh", ["straight"], ["logits"]))
    bundle = write_small_bundle(tmp_path / "bent.onnx", model=model)
    with pytest.raises(UnexplainableError, match=r"no linear layer .* explain PHOTO --run RUN"):
        BundleExplainer(Classifier(bundle.path))


def test_a_pooling_that_is_no_average(tmp_path: Path):
    model = small_model()
    pool = next(node for node in model.graph.node if node.op_type == "GlobalAveragePool")
    pool.op_type = "GlobalMaxPool"
    onnx.checker.check_model(model)
    bundle = write_small_bundle(tmp_path / "largest.onnx", model=model)
    with pytest.raises(UnexplainableError, match="more than an average"):
        BundleExplainer(Classifier(bundle.path))


def test_a_class_that_no_place_speaks_for(tmp_path: Path):
    model = small_model()
    for one in model.graph.initializer:
        if one.name == "weight":
            one.CopyFrom(numpy_helper.from_array(np.zeros((3, 3), np.float32), "weight"))
    bundle = write_small_bundle(tmp_path / "blind.onnx", model=model)
    found = explain(Classifier(bundle.path), spotted())
    assert found.region is None
    assert not found.heat_hw.any()


def test_explaining_a_bundle_loads_no_torch(small_bundle: SmallBundle):
    code = (
        "import sys; from binsight import Classifier; from binsight.explain import explain;"
        "from PIL import Image;"
        f"explain(Classifier({str(small_bundle.path)!r}), Image.new('RGB', (40, 50), 'red'));"
        "assert not {'torch', 'matplotlib', 'cv2', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env=surroundings(), check=True)
