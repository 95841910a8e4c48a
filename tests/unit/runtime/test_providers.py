"""A provider that is not there is an error, never the CPU in silence."""

from __future__ import annotations

import onnxruntime as ort
import pytest
from small_bundle import SmallBundle, squares

from binsight import Classifier
from binsight.errors import UsageError
from binsight.runtime.providers import PROVIDERS, available_providers, check_started

CPU = "CPUExecutionProvider"


@pytest.fixture
def with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ONNX Runtime that was built with CUDA."""
    there = [PROVIDERS["cuda"], CPU]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: there)


@pytest.mark.parametrize("names", [None, [], ["cpu"], [CPU]])
def test_the_cpu_is_what_answers_by_default(names: list[str] | None) -> None:
    assert available_providers(names) == (CPU,)


@pytest.mark.usefixtures("with_cuda")
def test_the_cpu_comes_last_and_once() -> None:
    assert available_providers(["cuda"]) == ("CUDAExecutionProvider", CPU)
    assert available_providers(["cpu", "cuda"]) == (CPU, "CUDAExecutionProvider")


@pytest.mark.usefixtures("with_cuda")
def test_a_provider_that_is_not_there_is_named_with_what_is() -> None:
    with pytest.raises(UsageError, match=r"no TensorrtExecutionProvider; it has cuda, cpu; .*gpu"):
        available_providers(["tensorrt", "cuda"])


def test_one_name_is_no_list() -> None:
    with pytest.raises(UsageError, match=r"give \['cuda'\]"):
        available_providers("cuda")


def test_a_provider_that_did_not_start_is_an_error() -> None:
    check_started([PROVIDERS["cuda"], CPU], [PROVIDERS["cuda"], CPU])
    with pytest.raises(UsageError, match="CUDAExecutionProvider did not start"):
        check_started([PROVIDERS["cuda"], CPU], [CPU])


def test_a_classifier_takes_providers(small_bundle: SmallBundle) -> None:
    (photo,) = squares(1)
    plain = Classifier(small_bundle.path).classify(photo)
    assert Classifier(small_bundle.path, providers=["cpu"]).classify(photo).probs == plain.probs
    with pytest.raises(UsageError, match="no NoSuchProvider"):
        Classifier(small_bundle.path, providers=["NoSuchProvider"])


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_a_gpu_answers_like_the_cpu(small_bundle: SmallBundle, name: str) -> None:
    if PROVIDERS[name] not in ort.get_available_providers():
        pytest.skip(f"this ONNX Runtime has no {name}")
    photos = squares(8)
    expected = [one.probs for one in Classifier(small_bundle.path).classify(photos)]
    found = Classifier(small_bundle.path, providers=[name]).classify(photos)
    for one, probs in zip(found, expected, strict=True):
        assert one.probs == pytest.approx(probs, abs=1e-3)
