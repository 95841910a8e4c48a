from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from PIL import Image
from small_bundle import (
    CLASSES,
    DESCRIPTION,
    SmallBundle,
    describe,
    expected_probs,
    small_model,
    squares,
    write_novelty_bundle,
    write_small_bundle,
)

from binsight import Classifier, Prediction
from binsight.bundle import FORMAT_VERSION
from binsight.cpus import available_cpus
from binsight.errors import (
    AlteredBundleError,
    BundleError,
    BundleTooNewError,
    ImageError,
    ImageTooLargeError,
    NotABundleError,
    UnreadableImageError,
    UsageError,
)
from binsight.images import ImageLimits
from binsight.runtime import classifier


@pytest.fixture(scope="module")
def small(small_bundle: SmallBundle) -> Classifier:
    return Classifier(small_bundle.path, threads=1)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def values(prediction: Prediction) -> np.ndarray:
    return np.array(list(prediction.probs.values()))


def test_answers_are_those_of_numpy(small: Classifier) -> None:
    photos = squares(12)
    labels = set()
    for photo, answer in zip(photos, small.classify(photos), strict=True):
        expected = expected_probs(photo)
        assert list(answer.probs) == list(CLASSES)
        assert values(answer) == pytest.approx(expected, abs=1e-6)
        assert answer.label == CLASSES[expected.argmax()]
        assert answer.confidence == pytest.approx(expected.max(), abs=1e-6)
        labels.add(answer.label)
    assert len(labels) > 1


def test_the_embedding_is_the_mean_colour(small: Classifier) -> None:
    (photo,) = squares(1)
    mean_colour = np.asarray(photo, np.float64).mean(axis=(0, 1)) / 255
    expected = (mean_colour - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    embedding = small.classify(photo).embedding
    assert embedding == pytest.approx(expected, abs=1e-5)
    assert embedding.dtype == np.float32
    assert embedding.base is None


def test_every_form_of_a_photo_gives_the_same_answer(small: Classifier, tmp_path: Path) -> None:
    (photo,) = squares(1)
    path = tmp_path / "photo.png"
    path.write_bytes(png(photo))
    forms = [path, str(path), png(photo), photo, np.asarray(photo)]
    one_by_one = [small.classify(form) for form in forms]
    for answer in [*one_by_one, *small.classify(forms), *small.classify(tuple(forms))]:
        assert values(answer) == pytest.approx(expected_probs(photo), abs=1e-6)
        assert values(answer).tolist() == values(one_by_one[0]).tolist()


def test_one_photo_gives_one_answer_and_a_list_a_list(small: Classifier) -> None:
    (photo,) = squares(1)
    assert isinstance(small.classify(photo), Prediction)
    assert [type(one) for one in small.classify([photo])] == [Prediction]
    assert small.classify([]) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.booleans(), max_size=20), st.integers(1, 9))
def test_any_batch_gives_the_answers_of_one_by_one(
    small: Classifier, broken: list[bool], batch: int
) -> None:
    photos = squares(len(broken))
    sources = [
        f"not photo {number}".encode() if bad else photo
        for number, (bad, photo) in enumerate(zip(broken, photos, strict=True))
    ]
    answers = list(small.classify_each(sources, batch=batch))
    assert [isinstance(answer, ImageError) for answer in answers] == broken
    for answer, photo in zip(answers, photos, strict=True):
        if isinstance(answer, Prediction):
            assert values(answer) == pytest.approx(values(small.classify(photo)), abs=1e-6)
            assert values(answer) == pytest.approx(expected_probs(photo), abs=1e-6)


def test_each_broken_photo_gives_its_own_error(small: Classifier, tmp_path: Path) -> None:
    (photo,) = squares(1)
    first, _, second = small.classify_each([tmp_path / "1.jpg", photo, tmp_path / "2.jpg"])
    assert "1.jpg" in str(first)
    assert "2.jpg" in str(second)


def test_classify_raises_on_a_broken_photo(small: Classifier) -> None:
    (photo,) = squares(1)
    with pytest.raises(UnreadableImageError):
        small.classify(b"no photo")
    with pytest.raises(UnreadableImageError):
        small.classify([photo, b"no photo", photo])


def test_photos_are_taken_as_they_are_needed(small: Classifier) -> None:
    (photo,) = squares(1)
    taken = 0

    def endless() -> Iterator[Image.Image]:
        nonlocal taken
        while True:
            taken += 1
            yield photo

    answers = small.classify_each(endless(), batch=4)
    assert taken == 0
    for given_out in range(1, 30):
        next(answers)
        assert given_out <= taken <= given_out + 3


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_nothing_is_refused(small: Classifier, batch: int) -> None:
    with pytest.raises(UsageError, match="batch"):
        list(small.classify_each(itertools.islice(squares(1) * 3, 3), batch=batch))


def test_limits_hold(small_bundle: SmallBundle) -> None:
    strict = Classifier(small_bundle.path, threads=1, limits=ImageLimits(max_pixels=100))
    with pytest.raises(ImageTooLargeError):
        strict.classify(squares(1)[0])


def test_threads_may_share_one_classifier(small: Classifier) -> None:
    photos = squares(32)
    expected = [values(small.classify(photo)) for photo in photos]
    together = threading.Barrier(16)

    def answers(offset: int) -> list[np.ndarray]:
        together.wait(30)
        turned = photos[offset:] + photos[:offset]
        found = [values(answer) for answer in small.classify(turned)]
        return found[-offset:] + found[:-offset] if offset else found

    with ThreadPoolExecutor(16) as pool:
        for found in pool.map(answers, range(16)):
            assert np.abs(np.array(found) - expected).max() < 1e-6


def test_sure_means_at_least_the_threshold(small: Classifier, tmp_path: Path) -> None:
    (photo,) = squares(1)
    confidence = small.classify(photo).confidence
    above = float(np.nextafter(confidence, 1))
    sure = []
    for threshold in (0.0, confidence, above, 1.0):
        bundle = write_small_bundle(tmp_path / "at.onnx", threshold=threshold)
        answer = Classifier(bundle.path, threads=1).classify(photo)
        assert answer.confidence == confidence
        sure.append(answer.sure)
    assert sure == [True, True, False, False]


def test_a_strange_photo_is_not_sure_whatever_its_confidence(tmp_path: Path) -> None:
    shown = {name: squares(6, seed) for seed, name in enumerate(CLASSES)}
    photos = squares(12, seed=7)
    path = tmp_path / "novel.onnx"
    bundle = write_novelty_bundle(path, shown, threshold=0.0, limit=1e6)
    answers = Classifier(bundle.path, threads=1).classify(photos)
    novelty = [answer.novelty for answer in answers]
    assert all(answer.sure and not answer.strange for answer in answers)
    limit = sorted(map(float, novelty))[5]
    write_novelty_bundle(path, shown, threshold=0.0, limit=limit)
    again = Classifier(path, threads=1).classify(photos)
    assert [answer.novelty for answer in again] == novelty
    assert [answer.sure for answer in again] == [one <= limit for one in novelty]
    assert sum(answer.strange for answer in again) == 6
    unsure = Classifier(write_novelty_bundle(path, shown, threshold=1.0, limit=limit).path)
    why = {answer.why for answer in unsure.classify(photos)}
    assert why == {"low confidence", "like nothing it learned"}


def test_an_answer_that_is_no_number_is_the_bundles_fault(tmp_path: Path) -> None:
    model = small_model()
    bias = next(one for one in model.graph.initializer if one.dims == [3])
    bias.CopyFrom(numpy_helper.from_array(np.full(3, np.nan, np.float32), bias.name))
    bundle = write_small_bundle(tmp_path / "broken.onnx", model=model)
    with pytest.raises(NotABundleError, match=r"broken\.onnx: answers with what is no number"):
        Classifier(bundle.path).classify(squares(1)[0])


def test_what_is_no_photo_is_an_error_of_its_own(small: Classifier) -> None:
    (photo,) = squares(1)
    for wrong, kind in ((None, "NoneType"), (io.BytesIO(b"x"), "BytesIO"), (3, "int")):
        answers = list(small.classify_each([photo, wrong, photo]))  # type: ignore[list-item]
        assert [type(one).__name__ for one in answers] == [
            "Prediction",
            "UnreadableImageError",
            "Prediction",
        ]
        assert f"of type {kind}; give a path, the bytes" in str(answers[1])
    with pytest.raises(UnreadableImageError, match="download it first"):
        small.classify("https://example.org/a.jpg")
    for single in ("photo.jpg", b"bytes", Path("photo.jpg"), photo):
        with pytest.raises(UsageError, match="this is one photo; give a list"):
            list(small.classify_each(single))  # type: ignore[arg-type]


def test_a_bundle_that_does_not_tell_has_no_novelty(small: Classifier) -> None:
    answer = small.classify(squares(1)[0])
    assert (answer.novelty, answer.strange) == (None, False)
    assert small.run(np.zeros((1, 3, 32, 32), np.float32)).novelty_n is None


def test_a_promised_novelty_that_is_not_there_is_refused(tmp_path: Path) -> None:
    novelty = {"score": "relative-mahalanobis", "limit": 1.0, "accepted": 0.95}
    bundle = write_small_bundle(tmp_path / "none.onnx", format_version=3, novelty=novelty)
    with pytest.raises(NotABundleError, match="outputs are not those of a bundle"):
        Classifier(bundle.path)


def test_what_the_bundle_says_is_at_hand(small: Classifier, small_bundle: SmallBundle) -> None:
    assert small.classes == CLASSES
    assert small.digest == small_bundle.digest
    assert small.path == small_bundle.path
    assert small.metadata.metrics == {"val_accuracy": 0.875}


def test_everything_from_one_run(small: Classifier) -> None:
    images = np.random.default_rng(0).normal(size=(5, 3, 32, 32)).astype(np.float32)
    outputs = small.run(images)
    assert outputs.feature_map_nkhw.tolist() == images.tolist()
    assert outputs.embedding_nd == pytest.approx(images.mean(axis=(2, 3)), abs=1e-5)
    assert outputs.probs_nc.shape == (5, 3)
    assert outputs.probs_nc.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-6)


WRONG_GRAPHS = {
    "input name": small_model(image="pictures"),
    "output name": small_model(outputs=("probabilities", "embedding", "feature_map")),
    "no embedding": small_model(outputs=("probs", "features", "feature_map")),
    "no feature map": small_model(outputs=("probs", "embedding", "map")),
    "other size": small_model(shape=("batch", 3, 64, 64)),
    "one size of batch": small_model(shape=(1, 3, 32, 32)),
    "free sides": small_model(shape=("batch", 3, "height", "width")),
    "no batch axis": small_model(flat=True),
    "two outputs": small_model(classes=2),
}


@pytest.mark.parametrize("name", list(WRONG_GRAPHS))
def test_a_graph_of_another_form_is_refused(tmp_path: Path, name: str) -> None:
    bundle = write_small_bundle(tmp_path / "wrong.onnx", model=WRONG_GRAPHS[name])
    with pytest.raises(NotABundleError, match=r"wrong\.onnx: \S+"):
        Classifier(bundle.path, threads=1)


def test_class_names_for_every_output(tmp_path: Path) -> None:
    bundle = write_small_bundle(tmp_path / "a.onnx", classes=("a", "b", "c", "d"))
    with pytest.raises(NotABundleError, match="3 outputs, 4 classes"):
        Classifier(bundle.path, threads=1)


def test_a_later_bundle_asks_for_an_upgrade(tmp_path: Path) -> None:
    bundle = write_small_bundle(tmp_path / "new.onnx", format_version=FORMAT_VERSION + 1)
    with pytest.raises(BundleTooNewError):
        Classifier(bundle.path)


def test_an_altered_bundle_is_not_even_loaded(
    small_bundle: SmallBundle, tmp_path: Path, monkeypatch
) -> None:
    data = bytearray(small_bundle.path.read_bytes())
    data[200] ^= 1
    path = tmp_path / "altered.onnx"
    path.write_bytes(data)
    monkeypatch.setattr(ort, "InferenceSession", lambda *_, **__: pytest.fail("was loaded"))
    with pytest.raises(AlteredBundleError):
        Classifier(path)


def test_what_onnx_runtime_cannot_load_is_one_line_and_no_noise(tmp_path: Path, capfd) -> None:
    model = small_model()
    describe(model, DESCRIPTION)
    model.graph.node[1].op_type = "NoSuchOperator"
    bundle = write_small_bundle(tmp_path / "odd.onnx", model=model)
    with pytest.raises(BundleError, match="cannot load") as caught:
        Classifier(bundle.path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_answering_prints_nothing(small_bundle: SmallBundle, capfd) -> None:
    Classifier(small_bundle.path).classify(squares(3))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("asked", "expected"), [(None, available_cpus()), (1, 1), (3, 3)])
def test_threads(small_bundle: SmallBundle, monkeypatch, asked, expected) -> None:
    seen = []
    session = ort.InferenceSession

    def spy(data: bytes, options: ort.SessionOptions, **others: object) -> ort.InferenceSession:
        seen.append((options.intra_op_num_threads, options.inter_op_num_threads))
        return session(data, options, **others)

    monkeypatch.setattr(classifier.ort, "InferenceSession", spy)
    Classifier(small_bundle.path, threads=asked)
    assert seen == [(expected, 1)]


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_are_refused(small_bundle: SmallBundle, threads: int) -> None:
    with pytest.raises(UsageError, match="threads"):
        Classifier(small_bundle.path, threads=threads)
