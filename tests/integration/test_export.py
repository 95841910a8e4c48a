"""From a run to a bundle: what was exported answers like the checkpoint it was made of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from tiny_training import CLASSES, draw_photos, make_run, train_run, write_weights

torch = pytest.importorskip("torch")

from onnx import numpy_helper  # noqa: E402

import binsight.export.onnx as exporting  # noqa: E402
from binsight.bundle import Metadata, read_verified  # noqa: E402
from binsight.calibration import choose_threshold, fit_temperature  # noqa: E402
from binsight.errors import CatalogError, DataError, ParityError, RunError, SplitError  # noqa: E402
from binsight.evaluation.asking import BundleModel  # noqa: E402
from binsight.evaluation.scoring import score  # noqa: E402
from binsight.export.onnx import export_bundle  # noqa: E402
from binsight.files import file_digest  # noqa: E402
from binsight.learned import Learned  # noqa: E402
from binsight.novelty import Known, fit_known  # noqa: E402
from binsight.preprocess import load  # noqa: E402
from binsight.runtime import Classifier  # noqa: E402
from binsight.runtime.memory import learned_by  # noqa: E402
from binsight.runtime.parity import PARITY_TOLERANCE, check_novelty, check_parity  # noqa: E402
from binsight.teaching.graph import add_novelty, read_memory  # noqa: E402
from binsight.training.checkpoints import best_network  # noqa: E402
from binsight.training.parts import labelled  # noqa: E402


class Exported(NamedTuple):
    run: Any
    path: Path
    metadata: Metadata
    progress: list[tuple[int, int]]
    draft: bytes  # as the conversion gave it


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("export")
    photos = draw_photos(folder / "photos")
    first = write_weights(folder / "first.safetensors")
    changes = {"epochs": 2, "warmup_learning_rate": 0.01, "augmentation.rotation_degrees": 0}
    run = make_run(photos, folder / "run", "seed", weights=first, **changes)
    train_run(run)
    path = folder / "out" / "small.onnx"
    progress: list[tuple[int, int]] = []
    drafts: list[bytes] = []
    convert = exporting._to_onnx

    def noting(network: Any, temperature: float, size: int) -> onnx.ModelProto:
        model = convert(network, temperature, size)
        drafts.append(model.SerializeToString())
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "_to_onnx", noting)
        seen = export_bundle(
            run,
            path,
            risk=0.1,
            accepted=0.8,
            licence="MIT",
            progress=lambda *done: progress.append(done),
        )
    return Exported(run, path, seen, progress, drafts[0])


@pytest.fixture(scope="module")
def validation(exported: Exported) -> Any:
    run = exported.run
    return labelled(run, run.photos(), "val")


@pytest.fixture(scope="module")
def tensors(exported: Exported, validation: Any) -> np.ndarray:
    return np.stack([load(file, exported.run.recipe.preprocess) for file in validation.files])


@pytest.fixture(scope="module")
def reference(exported: Exported, tensors: np.ndarray) -> Any:
    """What the checkpoint itself says."""
    with torch.no_grad():
        return best_network(exported.run)(torch.from_numpy(tensors))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, exported: Exported) -> Iterator[list[float]]:
    """Replace the slow conversion by the graph that was made before; note its temperature."""
    model = onnx.load_from_string(exported.draft)
    asked = []

    def ready(network: Any, temperature: float, size: int) -> onnx.ModelProto:
        asked.append(temperature)
        return model

    monkeypatch.setattr(exporting, "_to_onnx", ready)
    return asked


def test_the_bundle_says_what_it_is(exported: Exported) -> None:
    classifier = Classifier(exported.path, threads=1)
    metadata = classifier.metadata
    assert metadata == exported.metadata
    assert metadata.classes == CLASSES
    assert metadata.architecture == "mobilenet_v2"
    assert metadata.preprocess == exported.run.recipe.preprocess
    assert (metadata.preprocess.size, metadata.preprocess.resize_to) == (32, 36)
    assert metadata.licence == "MIT"
    assert metadata.threshold_risk == 0.1
    assert metadata.training.photos == sum(metadata.training.counts.values()) == 21
    assert metadata.training.sources == ("photos",)
    assert metadata.training.catalog_digest == exported.run.photos().digest
    assert metadata.metrics["val_photos"] == 9


def test_it_remembers_embeddings_of_both_parts(
    exported: Exported, validation: Any, reference: Any
) -> None:
    memory = read_memory(read_verified(exported.path))
    assert memory is not None
    assert memory.held_out.sum() == 9
    assert (~memory.held_out).sum() == 21
    held, labels = memory.part(held_out=True)
    assert labels.tolist() == validation.labels
    np.testing.assert_allclose(held, reference.embedding_nd.numpy(), rtol=2e-3, atol=2e-3)


def test_validation_photos_that_it_has_learned_from_choose_nothing_where_others_do(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it began with a bundle that knew some of them."""
    run, catalog = exported.run, exported.run.photos()
    val = set(run.split.paths("val"))
    digests = [one.sha256 for one in catalog.photos if one.path in val][:4]
    monkeypatch.setattr(type(run), "learned_of", lambda *_: run._own(catalog) | Learned.of(digests))
    convert = exporting._to_onnx
    draft = onnx.load_from_string(exported.draft)
    monkeypatch.setattr(exporting, "_to_onnx", lambda *_: draft)
    few = export_bundle(run, tmp_path / "few.onnx")
    assert (few.metrics["val_photos"], few.metrics["val_photos_learned"]) == (9, 4)
    memory = read_memory(read_verified(tmp_path / "few.onnx"))
    assert memory is not None
    assert memory.held_out.sum() == 5
    monkeypatch.setattr(exporting, "_to_onnx", convert)
    monkeypatch.setattr(exporting, "FEWEST", 5)
    others = export_bundle(run, tmp_path / "others.onnx")
    assert others.metrics["val_photos"] == others.parity.photos == 5
    assert others.chosen_on is not None
    assert others.chosen_on.photos == 5
    assert "val_photos_learned" not in others.metrics
    assert others.temperature != few.temperature


def test_parity_is_recorded(exported: Exported) -> None:
    parity = exported.metadata.parity
    assert parity.photos == 9
    assert parity.same_label == 1
    assert 0 <= parity.max_difference <= 1e-4
    assert parity.max_novelty_difference is not None
    assert parity.max_novelty_difference <= 1e-3
    assert exported.progress[-1] == (30, 30)  # of training, for the novelty, and validation


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5])
def test_any_batch_agrees_with_the_checkpoint(
    exported: Exported, tensors: np.ndarray, reference: Any, batch: int
) -> None:
    outputs = Classifier(exported.path, threads=1).run(tensors[:batch])
    probs = torch.softmax(reference.logits_nc / exported.metadata.temperature, dim=1)
    assert np.abs(outputs.probs_nc - probs[:batch].numpy()).max() < PARITY_TOLERANCE
    for found, expected in [
        (outputs.embedding_nd, reference.embedding_nd),
        (outputs.feature_map_nkhw, reference.feature_map_nkhw),
    ]:
        wanted = expected[:batch].numpy()
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() < 1e-4 * max(1, np.abs(wanted).max())


def test_the_temperature_is_in_the_graph(
    exported: Exported, tensors: np.ndarray, reference: Any
) -> None:
    temperature = exported.metadata.temperature
    assert temperature != 1
    logs = np.log(Classifier(exported.path, threads=1).run(tensors).probs_nc.astype(np.float64))
    logits = reference.logits_nc.double().numpy()
    gaps = logs[:, :1] - logs, logits[:, :1] - logits
    assert gaps[0] * temperature == pytest.approx(gaps[1], abs=1e-3)
    constants = [numpy_helper.to_array(one) for one in onnx.load(exported.path).graph.initializer]
    assert any(one.size == 1 and np.isclose(one, temperature).all() for one in constants)


def test_calibration_is_that_of_the_validation_part(
    exported: Exported, reference: Any, validation: Any
) -> None:
    labels = np.array(validation.labels)
    assert len(set(reference.logits_nc.argmax(dim=1).tolist())) == 3  # the photos are told apart
    logits = reference.logits_nc.numpy()
    assert exported.metadata.temperature == pytest.approx(fit_temperature(logits, labels), rel=1e-3)
    paths = tuple(map(str, validation.files))
    scored = score(BundleModel(Classifier(exported.path, threads=1)), paths, validation)
    metrics, threshold = exported.metadata.metrics, exported.metadata.threshold
    assert metrics["val_accuracy"] == pytest.approx(scored.correct_n.mean())
    novelty = exported.metadata.novelty
    assert novelty is not None
    answers = Classifier(exported.path, threads=1).classify(validation.files)
    passed = np.array([answer.novelty for answer in answers]) <= novelty.limit * (1 + 1e-4)
    assert novelty.accepted == 0.8
    assert passed.sum() == 8  # of 9
    expected = choose_threshold(scored.confidence_n[passed], scored.correct_n[passed], risk=0.1)
    assert threshold == pytest.approx(expected, abs=1e-5)
    accepted = passed & (scored.confidence_n >= threshold - 1e-5)
    assert metrics["val_coverage"] == pytest.approx(accepted.mean())


def test_the_novelty_is_that_of_training_photos(
    exported: Exported, reference: Any, tensors: np.ndarray
) -> None:
    run = exported.run
    learned = labelled(run, run.photos(), "train")
    shown = np.stack([load(file, run.recipe.preprocess) for file in learned.files])
    with torch.no_grad():
        fitted = best_network(run)(torch.from_numpy(shown)).embedding_nd.numpy()
    expected = fit_known(fitted, np.array(learned.labels)).score(reference.embedding_nd.numpy())
    found = Classifier(exported.path, threads=1).run(tensors).novelty_n
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    chosen_on = exported.metadata.chosen_on
    assert chosen_on is not None
    assert (chosen_on.photos, chosen_on.part) == (9, "val")
    assert chosen_on.catalog_digest == exported.metadata.training.catalog_digest


def test_the_bundle_knows_what_the_run_learned_from(exported: Exported) -> None:
    run = exported.run
    learned = labelled(run, run.photos(), "train")
    assert learned_by(exported.path) == run.learned == Learned.of(map(file_digest, learned.files))


def test_the_graph_carries_its_weights_and_only_its_own_words(exported: Exported) -> None:
    assert list(exported.path.parent.iterdir()) == [exported.path]
    model = onnx.load(exported.path)
    onnx.checker.check_model(model)
    assert {entry.key for entry in model.metadata_props} == {"binsight", "binsight.digest"}
    assert str(exported.run.folder.parent).encode() not in read_verified(exported.path)


def probabilities(*rows: tuple[float, float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_the_bundle_names_no_file_of_this_machine(exported: Exported) -> None:
    data = exported.path.read_bytes()
    assert b"site-packages" not in data
    assert b"/binsight/export/" not in data


def test_parity_of_equal_answers() -> None:
    probs = probabilities((0.2, 0.8), (0.6, 0.4))
    parity = check_parity(probs, probs)
    assert (parity.photos, parity.same_label, parity.max_difference) == (2, 1.0, 0.0)


def test_the_largest_difference_counts() -> None:
    expected = probabilities((0.2, 0.8), (0.6, 0.4))
    found = probabilities((0.20001, 0.79999), (0.60004, 0.39996))
    assert check_parity(expected, found).max_difference == pytest.approx(4e-5, rel=0.01)


@pytest.mark.parametrize(
    ("row", "labels"),
    [((0.6002, 0.3998), "0 of 2 labels"), ((0.4, 0.6), "1 of 2 labels"), ((np.nan, 0.4), "up to")],
)
def test_parity_is_refused(row: tuple[float, float], labels: str) -> None:
    expected = probabilities((0.2, 0.8), (0.6, 0.4))
    with pytest.raises(ParityError, match=labels):
        check_parity(expected, probabilities((0.2, 0.8), row))


def test_a_novelty_that_differs_is_refused() -> None:
    expected = np.array([1.0, -2.0])
    assert check_novelty(expected, np.array([1.0004, -2.0])) == pytest.approx(4e-4)
    for found in ([1.0, -2.1], [1.0, np.nan]):
        with pytest.raises(ParityError, match="the novelty in the exported model differs"):
            check_novelty(expected, np.array(found))


def test_a_graph_of_another_novelty_is_not_written(
    exported: Exported, quick: list[float], tmp_path: Path, monkeypatch
) -> None:
    def of_another(graph: Any, known: Known) -> None:
        add_novelty(graph, replace(known, scale=known.scale + np.float32(0.1)))

    monkeypatch.setattr(exporting, "add_novelty", of_another)
    with pytest.raises(ParityError, match="no bundle was written"):
        export_bundle(exported.run, tmp_path / "mine.onnx", risk=0.1)
    assert len(quick) == 1
    assert not list(tmp_path.iterdir())


def test_a_label_that_flips_by_a_hair_is_refused() -> None:
    with pytest.raises(ParityError, match="1 of 1 labels"):
        check_parity(probabilities((0.50001, 0.49999)), probabilities((0.49999, 0.50001)))


def test_a_graph_of_other_weights_is_not_written(
    exported: Exported, quick: list[float], tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "mine.onnx"
    shutil.copy(exported.path, out)
    before = out.read_bytes()
    monkeypatch.setattr(exporting, "fit_temperature", lambda *_: exported.metadata.temperature * 3)
    with pytest.raises(ParityError, match="no bundle was written"):
        export_bundle(exported.run, out)
    assert quick == [exported.metadata.temperature * 3]
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_a_failure_while_writing_leaves_the_old_bundle(
    exported: Exported, quick: list[float], tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "mine.onnx"
    out.write_bytes(b"an older bundle")
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.parent == tmp_path:
            raise OSError(28, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        export_bundle(exported.run, out)
    assert out.read_bytes() == b"an older bundle"
    assert list(tmp_path.iterdir()) == [out]


def test_photos_that_moved(exported: Exported, quick: list[float], tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(exported.run.facts.sources[0], moved)
    metadata = export_bundle(
        exported.run, tmp_path / "a.onnx", sources=(moved,), risk=0.1, accepted=0.8
    )
    assert metadata.parity == exported.metadata.parity
    assert metadata.threshold == exported.metadata.threshold


def test_photos_that_are_gone(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="gone"):
        export_bundle(exported.run, tmp_path / "a.onnx", sources=(tmp_path / "gone",))
    fewer = tmp_path / "fewer"
    shutil.copytree(exported.run.facts.sources[0], fewer)
    (fewer / "glass" / "0.png").unlink()
    with pytest.raises(DataError, match=r"1 of its photos are missing, such as glass/0\.png"):
        export_bundle(exported.run, tmp_path / "a.onnx", sources=(fewer,))
    assert not (tmp_path / "a.onnx").exists()


def test_a_run_without_a_finished_epoch(exported: Exported, tmp_path: Path) -> None:
    photos = Path(exported.run.facts.sources[0])
    run = make_run(photos, tmp_path / "run", "seed")
    with pytest.raises(RunError, match="no epoch was finished"):
        export_bundle(run, tmp_path / "a.onnx")


def test_a_split_without_validation(exported: Exported, tmp_path: Path) -> None:
    parts = {
        path: "train" if part == "val" else part
        for path, part in exported.run.split.part_of.items()
    }
    run = replace(exported.run, split=replace(exported.run.split, part_of=parts))
    with pytest.raises(SplitError, match="'val'"):
        export_bundle(run, tmp_path / "a.onnx")
