from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image
from small_bundle import (
    CLASSES,
    SIZE,
    SmallBundle,
    small_model,
    write_novelty_bundle,
    write_small_bundle,
    write_taught_bundle,
)

from binsight import Classifier
from binsight.bundle import FORMAT_VERSION, read_verified
from binsight.errors import (
    AlteredBundleError,
    ImageError,
    NotABundleError,
    TeachingError,
    WorseModelError,
)
from binsight.runtime.embeddings import EmbeddingCache
from binsight.teaching.graph import read_head, read_known, read_memory

COLOURS = {"glass": (30, 160, 60), "metal": (120, 120, 130), "paper": (230, 220, 200)}
BATTERY = (200, 30, 30)


def painted(colour: tuple[int, int, int], count: int, *, seed: int = 0) -> list[Image.Image]:
    random = np.random.default_rng(seed)
    shades = np.array(colour) + random.normal(0, 12, (count, 1, 1, 3))
    noise = random.normal(0, 8, (count, SIZE, SIZE, 3))
    return [Image.fromarray(np.clip(one, 0, 255).astype(np.uint8)) for one in shades + noise]


def photos(count: int = 8, *, seed: int = 0) -> dict[str, list[Image.Image]]:
    return {
        name: painted(colour, count, seed=seed + place)
        for place, (name, colour) in enumerate(COLOURS.items())
    }


@pytest.fixture
def bundle(tmp_path: Path) -> SmallBundle:
    return write_small_bundle(tmp_path / "parent.onnx")


@pytest.fixture
def parent(bundle: SmallBundle) -> Classifier:
    return Classifier(bundle.path)


def test_the_taught_bundle_answers_as_the_lesson_says(parent: Classifier, tmp_path: Path) -> None:
    out = tmp_path / "new" / "my.onnx"
    before = parent.path.read_bytes()
    lesson = parent.teach(photos(), out)
    taught = Classifier(out)
    assert parent.path.read_bytes() == before
    assert lesson.after > lesson.before
    others = [photo for row in photos(5, seed=50).values() for photo in row]
    answers = taught.classify(others)
    truth = [name for name in COLOURS for _ in range(5)]
    assert [answer.label for answer in answers] == truth
    expected = lesson.head.probs(np.stack([answer.embedding for answer in answers]))
    found = np.array([list(answer.probs.values()) for answer in answers])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for one, other in zip(parent.classify(others), answers, strict=True):
        np.testing.assert_array_equal(one.embedding, other.embedding)


def test_it_is_a_whole_bundle_with_its_lineage(parent: Classifier, tmp_path: Path) -> None:
    lesson = parent.teach(photos(), tmp_path / "one.onnx", catalog_digest="a" * 64)
    first = Classifier(tmp_path / "one.onnx")
    metadata = first.metadata
    assert metadata.format_version == FORMAT_VERSION
    assert metadata.preprocess == parent.metadata.preprocess
    assert metadata.training == parent.metadata.training
    assert metadata.threshold == lesson.threshold
    assert metadata.parity.same_label == 1
    assert "val_accuracy" not in metadata.metrics
    assert metadata.metrics["taught_accuracy_after"] == lesson.after
    (taught,) = metadata.lineage
    assert taught.parent == parent.digest
    assert taught.catalog_digest == "a" * 64
    assert (taught.photos, taught.counts) == (24, dict.fromkeys(CLASSES, 8))
    first.teach(photos(seed=9), tmp_path / "two.onnx")
    second = Classifier(tmp_path / "two.onnx")
    assert [one.parent for one in second.metadata.lineage] == [parent.digest, first.digest]
    onnx.checker.check_model(onnx.load(tmp_path / "two.onnx"))


def test_what_was_taught_is_remembered(parent: Classifier, tmp_path: Path) -> None:
    parent.teach(photos(), tmp_path / "one.onnx")
    memory = read_memory(read_verified(tmp_path / "one.onnx"))
    assert memory is not None
    assert np.bincount(memory.labels).tolist() == [8, 8, 8]
    assert read_memory(read_verified(parent.path)) is None


def test_a_new_class(parent: Classifier, tmp_path: Path) -> None:
    shown = photos() | {"battery": painted(BATTERY, 8, seed=7)}
    parent.teach(shown, tmp_path / "one.onnx", rename={"paper": "fibre"})
    taught = Classifier(tmp_path / "one.onnx")
    assert taught.classes == ("glass", "metal", "fibre", "battery")
    assert taught.classify(painted(BATTERY, 1, seed=70)[0]).label == "battery"
    assert taught.metadata.lineage[0].renamed == {"paper": "fibre"}


YELLOW = (240, 230, 10)


def test_taught_photos_become_known_and_others_stay_strange(tmp_path: Path) -> None:
    usual, held = photos(20, seed=20), photos(20, seed=30)
    parent = Classifier(write_novelty_bundle(tmp_path / "a.onnx", usual, held=held).path)
    shown = {"battery": painted(BATTERY, 20, seed=7)}
    asked = painted(BATTERY, 10, seed=70)
    assert all(answer.strange for answer in parent.classify(asked))
    lesson = parent.teach(shown, tmp_path / "b.onnx", rename={"paper": "fibre"})
    taught = Classifier(tmp_path / "b.onnx")
    assert sum(answer.strange for answer in taught.classify(asked)) <= 2
    assert all(answer.strange for answer in taught.classify(painted(YELLOW, 10)))
    known = [photo for row in photos(10, seed=40).values() for photo in row]
    assert np.mean([answer.strange for answer in taught.classify(known)]) < 0.2
    metadata = taught.metadata
    assert metadata.format_version == FORMAT_VERSION
    assert metadata.novelty is not None
    assert parent.metadata.novelty is not None
    assert metadata.novelty.accepted == parent.metadata.novelty.accepted
    assert metadata.novelty.limit == lesson.to_dict()["limit"] != parent.metadata.novelty.limit
    assert metadata.chosen_on is not None
    assert (metadata.chosen_on.photos, metadata.chosen_on.part) == (80, "held out and taught")
    assert metadata.chosen_on.catalog_digest == metadata.lineage[0].catalog_digest
    assert metadata.parity.max_novelty_difference is not None
    onnx.checker.check_model(onnx.load(tmp_path / "b.onnx"))


def test_lessons_after_each_other_keep_the_novelty(tmp_path: Path) -> None:
    parent = Classifier(write_novelty_bundle(tmp_path / "a.onnx", photos(20, seed=20)).path)
    parent.teach({"battery": painted(BATTERY, 8, seed=7)}, tmp_path / "b.onnx")
    again = {"battery": painted(BATTERY, 8, seed=8), "toy": painted(YELLOW, 8, seed=9)}
    Classifier(tmp_path / "b.onnx").teach(again, tmp_path / "c.onnx")
    known = read_known(read_verified(tmp_path / "c.onnx"))
    assert known is not None
    assert known.labels.tolist() == [0, 1, 2, 3, 4]
    assert known.taught.tolist() == [False, False, False, True, True]
    first = read_known(read_verified(parent.path))
    assert first is not None
    np.testing.assert_array_equal(known.basis, first.basis)


def test_a_photo_counts_once_among_the_known_ones(tmp_path: Path) -> None:
    parent = Classifier(write_novelty_bundle(tmp_path / "a.onnx", photos(20, seed=20)).path)
    first, second = painted(BATTERY, 8, seed=7), painted(BATTERY, 5, seed=8)
    parent.teach({"battery": first}, tmp_path / "b.onnx")
    Classifier(tmp_path / "b.onnx").teach({"battery": [*first, *second]}, tmp_path / "c.onnx")
    Classifier(tmp_path / "c.onnx").teach({"battery": [*first, *second]}, tmp_path / "d.onnx")
    for name, photos_behind in (("b", 8), ("c", 13), ("d", 13)):
        known = read_known(read_verified(tmp_path / f"{name}.onnx"))
        assert known is not None
        assert known.counts[known.taught].tolist() == [photos_behind]


def test_few_photos_keep_the_limit_of_the_parent(tmp_path: Path) -> None:
    parent = Classifier(write_novelty_bundle(tmp_path / "a.onnx", photos(20, seed=20)).path)
    parent.teach({"glass": painted(COLOURS["glass"], 3, seed=7)}, tmp_path / "b.onnx")
    metadata = Classifier(tmp_path / "b.onnx").metadata
    assert metadata.novelty == parent.metadata.novelty
    assert metadata.chosen_on == parent.metadata.chosen_on


def test_a_bundle_of_an_older_format_is_taught_without_novelty(
    parent: Classifier, tmp_path: Path
) -> None:
    lesson = parent.teach(photos(), tmp_path / "my.onnx")
    taught = Classifier(tmp_path / "my.onnx")
    assert lesson.to_dict()["limit"] is None
    assert taught.metadata.novelty is None
    assert taught.metadata.chosen_on is not None
    assert taught.metadata.chosen_on.photos == 24
    assert read_known(read_verified(taught.path)) is None


def test_a_model_that_is_worse_is_written_only_if_told_to(tmp_path: Path) -> None:
    held = [photo for row in photos(20, seed=30).values() for photo in row]
    good = Classifier(write_taught_bundle(tmp_path / "good.onnx", photos(24), held))
    out = tmp_path / "bad.onnx"
    lies = {"paper": painted(COLOURS["glass"], 60, seed=3)}
    with pytest.raises(WorseModelError, match=r"right on .* like those it learned") as caught:
        good.teach(lies, out)
    assert not out.exists()
    assert caught.value.lesson.worse  # type: ignore[attr-defined]
    lesson = good.teach(lies, out, anyway=True)
    assert lesson.worse
    metrics = Classifier(out).metadata.metrics
    assert metrics["remembered_accuracy_after"] < metrics["remembered_accuracy_before"] - 0.02


def test_embeddings_are_computed_once(
    parent: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    shown = photos()
    one = parent.teach(shown, tmp_path / "one.onnx", cache=cache)
    assert len(list(cache.rglob("*.npy"))) == 24
    looked_at = []
    run = Classifier.run

    def watched(self: Classifier, images_nchw: np.ndarray) -> object:
        if self is parent:
            looked_at.append(len(images_nchw))
        return run(self, images_nchw)

    monkeypatch.setattr(Classifier, "run", watched)
    more = shown | {"glass": [*shown["glass"], *painted(COLOURS["glass"], 1, seed=70)]}
    parent.teach(more, tmp_path / "two.onnx", cache=cache)
    assert looked_at == [1]
    again = parent.teach(shown, tmp_path / "three.onnx", cache=cache)
    assert looked_at == [1]
    np.testing.assert_array_equal(one.head.weight_cd, again.head.weight_cd)
    child = Classifier(tmp_path / "one.onnx")
    child.teach(shown, tmp_path / "four.onnx", cache=cache)
    assert len(list(cache.iterdir())) == 1, "a child has the embeddings of its parent"


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"text", None])
def test_a_broken_cache_counts_as_empty(tmp_path: Path, content: bytes | None) -> None:
    cache = EmbeddingCache(tmp_path, 3)
    cache.put("a", np.ones(3, np.float32))
    kept = cache.get("a")
    assert kept is not None
    assert kept.tolist() == [1, 1, 1]
    if content is None:
        np.save(tmp_path / "a.npy", np.ones(4, np.float32))
    else:
        (tmp_path / "a.npy").write_bytes(content)
    assert cache.get("a") is None


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = EmbeddingCache(tmp_path / "file" / "below", 3)
    assert cache.put("a", np.ones(3, np.float32)).tolist() == [1, 1, 1]
    assert cache.get("a") is None


def test_files_bytes_and_arrays_teach_alike(parent: Classifier, tmp_path: Path) -> None:
    for name, row in photos().items():
        (tmp_path / name).mkdir()
        for place, photo in enumerate(row):
            photo.save(tmp_path / name / f"{place}.png")
    files = {name: sorted((tmp_path / name).iterdir()) for name in CLASSES}
    encoded = {name: [file.read_bytes() for file in row] for name, row in files.items()}
    arrays = {name: [np.asarray(photo) for photo in row] for name, row in photos().items()}
    lessons = [
        parent.teach(shown, tmp_path / "my.onnx") for shown in (files, encoded, arrays, photos())
    ]
    for lesson in lessons[1:]:
        np.testing.assert_allclose(lesson.head.weight_cd, lessons[0].head.weight_cd, atol=1e-4)
    assert {one.metadata.lineage[0].photos for one in [Classifier(tmp_path / "my.onnx")]} == {24}


def test_a_broken_photo_stops_the_lesson(parent: Classifier, tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        parent.teach({"glass": [*photos()["glass"], b"no photo"]}, tmp_path / "my.onnx")
    with pytest.raises(ImageError):
        parent.teach({"glass": [tmp_path / "missing.jpg"]}, tmp_path / "my.onnx")
    with pytest.raises(TeachingError, match="no photos"):
        parent.teach({}, tmp_path / "my.onnx")
    assert not (tmp_path / "my.onnx").exists()


def test_a_bundle_that_was_replaced_meanwhile_is_not_taught(
    parent: Classifier, tmp_path: Path
) -> None:
    write_small_bundle(parent.path, threshold=0.9)
    with pytest.raises(AlteredBundleError, match="replaced since it was opened; open it again"):
        parent.teach(photos(), tmp_path / "my.onnx")


def test_the_head_of_a_bundle_is_found_in_its_graph(bundle: SmallBundle) -> None:
    head = read_head(bundle.path, bundle.path.read_bytes())
    shown = [photo for row in photos(2).values() for photo in row]
    answers = Classifier(bundle.path).classify(shown)
    found = head.probs(np.stack([answer.embedding for answer in answers]))
    expected = np.array([list(answer.probs.values()) for answer in answers])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_head_that_is_not_linear_cannot_be_taught(tmp_path: Path) -> None:
    model = small_model()
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    gemm.output[0] = "before"
    place = list(model.graph.node).index(gemm) + 1
    model.graph.node.insert(place, helper.make_node("Tanh", ["before"], ["logits"]))
    odd = write_small_bundle(tmp_path / "odd.onnx", model=model)
    with pytest.raises(NotABundleError, match="its head is no linear layer on the embedding"):
        Classifier(odd.path).teach(photos(), tmp_path / "my.onnx")
