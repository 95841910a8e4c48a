from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from small_bundle import BIAS, CLASSES, DESCRIPTION, SIZE, WEIGHT, small_model, write_small_bundle

torch = pytest.importorskip("torch")

from onnx import helper, numpy_helper  # noqa: E402
from torch import nn  # noqa: E402

from binsight.errors import NotABundleError, RunError  # noqa: E402
from binsight.model.network import Network  # noqa: E402
from binsight.preprocess import PreprocessSpec  # noqa: E402
from binsight.runtime import Classifier  # noqa: E402
from binsight.training.teachers import (  # noqa: E402
    BundleTeacher,
    RunTeacher,
    Teachers,
    open_teachers,
)

SPEC = PreprocessSpec(size=SIZE, resize="shorter", resize_to=SIZE)


def network(seed: int) -> Network:
    torch.manual_seed(seed)
    neck = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
    return Network(nn.Sequential(nn.Conv2d(3, 8, 3)), neck, classes=3, dropout=0.9)


def test_teachers_speak_together_and_learn_nothing() -> None:
    one, other = network(0), network(1)
    teachers = Teachers([RunTeacher(one), RunTeacher(other)])
    images = torch.randn(4, 3, 16, 16)
    answers = teachers(images).numpy()
    assert teachers.width == 16
    assert answers.shape == (4, 3 + 16)
    expected = [softmax(each(images).logits_nc.numpy(), axis=1) for each in (one, other)]
    assert np.allclose(answers[:, :3], np.mean(expected, axis=0), atol=1e-6)
    assert np.allclose(np.linalg.norm(answers[:, 3:], axis=1), 1)
    assert not any(parameter.requires_grad for parameter in teachers.parameters())
    assert len(set(teachers.digests)) == 2


@pytest.mark.parametrize("side", [SIZE, 16, 50])
def test_a_bundle_answers_views_of_any_size(side: int, tmp_path: Path) -> None:
    bundle = write_small_bundle(tmp_path / "small.onnx")
    teachers = open_teachers([str(bundle.path)], CLASSES, SPEC)
    images = torch.randn(5, 3, side, side)
    answers = teachers(images).numpy()
    means = images.numpy().mean(axis=(2, 3), dtype=np.float64)
    assert np.allclose(answers[:, :3], softmax(means @ WEIGHT + BIAS, axis=1), atol=1e-6)
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    assert np.allclose(answers[:, 3:], means / norms, atol=1e-5)
    assert (teachers.width, teachers.digests) == (3, [bundle.digest])


def test_a_bundle_that_is_bound_to_its_size_is_refused(tmp_path: Path) -> None:
    model = small_model()
    model.graph.node[1].input[0] = "shifted"
    model.graph.node.insert(1, helper.make_node("Add", ["images", "shift"], ["shifted"]))
    shift = np.zeros((1, 3, SIZE, SIZE), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(shift, "shift"))
    bundle = write_small_bundle(tmp_path / "bound.onnx", model=model)
    with pytest.raises(RunError, match=r"bound\.onnx: its network takes no views of 16 px"):
        BundleTeacher(Classifier(bundle.path))


def test_teachers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = str(write_small_bundle(tmp_path / "small.onnx").path)
    with pytest.raises(RunError, match="knows glass, metal, paper, these photos are"):
        open_teachers([path], ("glass", "wood"), SPEC)
    plain = DESCRIPTION["preprocess"] | {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    write_small_bundle(tmp_path / "plain.onnx", preprocess=plain)
    with pytest.raises(RunError, match=r"plain\.onnx: mean and deviation of its images are not"):
        open_teachers([str(tmp_path / "plain.onnx")], CLASSES, SPEC)
    with pytest.raises(NotABundleError, match="no such file, and no built-in model"):
        open_teachers(["gone"], CLASSES, SPEC)
