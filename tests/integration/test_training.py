"""Whole trainings of a small network on drawn photos."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_training import CLASSES, KILLED, draw_photos, make_run, train_run, write_weights

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from binsight.data.dataset import evaluation_loader  # noqa: E402
from binsight.data.labelled import labelled_part  # noqa: E402
from binsight.errors import RunError, SplitError, TrainingError  # noqa: E402
from binsight.evaluation.scoring import score_run  # noqa: E402
from binsight.learned import Learned  # noqa: E402
from binsight.model.weights import build_with_weights, read_state  # noqa: E402
from binsight.training.checkpoints import best_network, last_network  # noqa: E402
from binsight.training.curves import rank  # noqa: E402
from binsight.training.parts import labelled  # noqa: E402
from binsight.training.recipe import load_recipe  # noqa: E402
from binsight.training.record import BestWeights  # noqa: E402
from binsight.training.run import create_run, open_run  # noqa: E402
from binsight.training.train import resolved_precision  # noqa: E402

PROGRAM = Path(__file__).parents[1] / "tiny_training.py"
# Rates at which a lost step shows, and accuracy goes up and down within 3 epochs.
RECIPES: dict[str, dict[str, Any]] = {
    "seed": {
        "warmup_learning_rate": 1e-2,
        "learning_rate": 1e-3,
        "head_learning_rate": 1e-3,
        "plateau_patience": 0,
    },
    "default": {
        "learning_rate": 1e-2,
        "ema_decay": 0.5,
        "augmentation.mix": 0.7,
        "shares": {"paper": 0.6},
    },
    "accurate": {
        "warmup_epochs": 1,
        "learning_rate": 1e-2,
        "layer_decay": 0.7,
        # An average of equal numbers, of which this makes others: frozen stages must not see it.
        "ema_decay": 0.99,
        "interpolation": 1,
    },
}


def kill_in_epoch(run: Any, *, epoch: int, batch: int) -> None:
    """Train in another process, which dies without a word."""
    command = [sys.executable, str(PROGRAM), str(run.folder), str(epoch), str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == KILLED, done.stderr


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Equal to the last bit, whatever the nesting."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}[{number}]")
    else:
        assert one == other, where


def checkpoint(run: Any) -> dict[str, Any]:
    return torch.load(run.last, map_location="cpu", weights_only=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module", params=list(RECIPES))
def recipe(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums of floats depend on how many threads share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(photos: Path, recipe: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run that was never interrupted."""
    folder = tmp_path_factory.mktemp(recipe)
    first = write_weights(folder / "first.safetensors")
    run = make_run(photos, folder / "run", recipe, weights=first, **RECIPES[recipe])
    train_run(run)
    return run


@pytest.fixture(scope="module")
def resumed(photos: Path, recipe: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same, killed in the middle of its last epoch, and resumed by another process."""
    folder = tmp_path_factory.mktemp(recipe)
    first = write_weights(folder / "first.safetensors")
    run = make_run(photos, folder / "run", recipe, weights=first, **RECIPES[recipe])
    kill_in_epoch(run, epoch=2, batch=1)
    assert len(rows_of(run)) == 2
    first.unlink()  # all that is needed is in the run
    train_run(open_run(run.folder), resume=True)
    return run


def rows_of(run: Any) -> list[dict[str, str]]:
    with (run.folder / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_everything_that_is_promised_is_written(whole: Any) -> None:
    files = [path for path in whole.folder.rglob("*") if path.is_file()]
    kept = [path for path in files if path.suffix == ".npy"]
    assert bool(kept) == bool(whole.recipe.frozen_stages)
    assert all(path.parents[1] == whole.folder / "kept" for path in kept)
    assert {str(path.relative_to(whole.folder)) for path in files if path not in kept} == {
        "recipe.toml",
        "run.json",
        "learned.txt",
        "split.csv",
        "metrics.csv",
        "metrics.json",
        "curves.png",
        "checkpoints/best.safetensors",
        "checkpoints/last.ckpt",
        "checkpoints/.lock",
    }


def test_it_knows_what_it_learned_from(whole: Any) -> None:
    digest_of = {one.path: one.sha256 for one in whole.photos().photos}
    assert whole.learned == Learned.of(digest_of[path] for path in whole.split.paths("train"))


def test_the_records_agree(whole: Any) -> None:
    rows = rows_of(whole)
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    everything = json.loads((whole.folder / "metrics.json").read_text(encoding="utf-8"))
    assert [{k: str(v) for k, v in row.items()} for row in everything["epochs"]] == rows
    assert everything["best"] in everything["epochs"]
    best = max(float(row["val_accuracy"]) for row in rows)
    assert everything["best"]["val_accuracy"] == best
    assert (whole.folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_best_weights_are_those_of_the_best_epoch(whole: Any) -> None:
    paths, shown = labelled_part(whole.photos(), whole.split, "val", whole.facts.classes)
    # So small a network may be as often right after each epoch, but never with the same loss.
    epochs = [rank(float(row["val_accuracy"]), float(row["val_loss"])) for row in rows_of(whole)]
    best, *others = sorted(epochs, reverse=True)
    scored = score_run(whole, paths, shown)
    assert float(scored.correct_n.mean()) == pytest.approx(best[0], abs=1e-6)
    batches = evaluation_loader(shown, whole.recipe.preprocess, batch=len(paths), workers=0)
    images, labels = next(iter(batches))
    with torch.inference_mode():
        loss = float(
            torch.nn.functional.cross_entropy(best_network(whole)(images).logits_nc, labels)
        )
    assert loss == pytest.approx(-best[1], rel=1e-3)
    assert all(loss != pytest.approx(-other, rel=1e-2) for _, other in others)


def test_a_killed_run_goes_on_as_if_nothing_had_happened(whole: Any, resumed: Any) -> None:
    assert (resumed.folder / "metrics.csv").read_bytes() == (
        whole.folder / "metrics.csv"
    ).read_bytes()
    assert_same(load_file(resumed.best), load_file(whole.best))
    one, other = checkpoint(whole), checkpoint(resumed)
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step"):
        assert_same(one[key], other[key], key)
    assert one.get("plateau") == other.get("plateau")
    for key in ("current_model_state", "averaging_state"):
        assert_same(one.get(key), other.get(key), key)


def test_a_resumed_run_asks_frozen_stages_for_nothing_twice(whole: Any, resumed: Any) -> None:
    kept = [{path.name for path in run.folder.glob("kept/*/*")} for run in (whole, resumed)]
    folders = [{path.name for path in run.folder.glob("kept/*")} for run in (whole, resumed)]
    assert kept[0] == kept[1]
    assert folders[0] == folders[1]


def test_a_training_that_diverges_says_so(photos: Path, tmp_path: Path) -> None:
    run = make_run(photos, tmp_path / "run", "seed", warmup_epochs=0, learning_rate=1e30)
    with pytest.raises(TrainingError, match="diverged in epoch 0: its loss is nan"):
        train_run(run)
    assert not run.best.exists()


def test_the_averaged_weights_are_not_the_current_ones(whole: Any, recipe: str) -> None:
    saved = checkpoint(whole)
    if recipe == "seed":
        assert "current_model_state" not in saved
        return
    key = "network.head.weight"
    assert not torch.equal(saved["state_dict"][key], saved["current_model_state"][key])


def test_training_moved_the_whole_network(whole: Any) -> None:
    saved = checkpoint(whole)
    first = load_file(whole.facts.weights)
    lowest = "features.6.conv.0.0" if whole.recipe.frozen_stages else "features.0.0"
    for name in ("head.weight", f"{lowest}.weight", "features.18.0.weight"):
        assert not torch.equal(saved["state_dict"][f"network.{name}"], first[name]), name


@pytest.mark.parametrize("file", ["best", "last"])
def test_a_run_s_head_goes_on_with_the_same_classes_alone(whole: Any, file: str) -> None:
    path, classes = getattr(whole, file), whole.facts.classes
    again, turned = (
        build_with_weights("mobilenet_v2", str(path), classes=names, dropout=0.0)
        for names in (classes, classes[::-1])
    )
    head = read_state(path)["head.weight"]
    assert torch.equal(again.head.weight, head)
    assert not torch.equal(turned.head.weight, head)


def test_resuming_a_finished_run_changes_nothing(resumed: Any) -> None:
    before = (resumed.folder / "metrics.csv").read_bytes()
    best = train_run(resumed, resume=True)
    assert (resumed.folder / "metrics.csv").read_bytes() == before
    assert best == max(float(row["val_accuracy"]) for row in rows_of(resumed))


def test_the_best_network_answers_in_eval_mode(whole: Any) -> None:
    network = best_network(whole)
    assert not any(module.training for module in network.modules())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(images).logits_nc, network(images).logits_nc)


def test_the_last_network_is_that_of_the_last_epoch(whole: Any) -> None:
    network = last_network(whole)
    assert not any(module.training for module in network.modules())
    saved = checkpoint(whole)["state_dict"]
    for name, values in network.state_dict().items():
        assert torch.equal(values, saved[f"network.{name}"]), name


def test_ctrl_c_keeps_the_last_epoch_and_says_how_to_go_on(photos: Path, tmp_path: Path) -> None:
    run = make_run(photos, tmp_path / "run", "seed", epochs=500, batch=21)
    # A test run in the background inherits an ignored SIGINT; a terminal's does not ignore it.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; from binsight.interfaces.cli import main; main()"
    command = ["train", "--out", str(run.folder), "--resume", "--workers", "0"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command, "--accelerator", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if re.search(r"epoch 1:", line):
                process.send_signal(signal.SIGINT)
                break
        _, rest = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, rest
    assert f"go on with: binsight train --out {run.folder} --resume" in rest
    assert "Traceback" not in rest
    assert checkpoint(run)["epoch"] >= 0
    assert (run.folder / "log.txt").is_file()


def test_a_worker_that_died_is_told_of_in_one_line(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: Any, **__: Any) -> None:
        raise RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")

    monkeypatch.setattr("lightning.pytorch.Trainer.fit", dying)
    run = make_run(photos, tmp_path / "run", "seed")
    with pytest.raises(RunError, match=r"a process that prepares photos died.* --resume"):
        train_run(run)


def test_a_signal_to_the_workers_too_is_an_interrupt(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(trainer: Any, *_: Any, **__: Any) -> None:
        trainer._signal_connector.received_sigterm = True
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated. ")

    monkeypatch.setattr("lightning.pytorch.Trainer.fit", stopped)
    run = make_run(photos, tmp_path / "run", "seed")
    with pytest.raises(KeyboardInterrupt):
        train_run(run)


def test_nothing_to_resume(photos: Path, tmp_path: Path) -> None:
    run = make_run(photos, tmp_path / "run", "seed")
    with pytest.raises(RunError, match="no whole epoch"):
        train_run(run, resume=True)
    with pytest.raises(RunError, match="no epoch was finished"):
        best_network(run)
    with pytest.raises(RunError, match="no epoch was finished"):
        last_network(run)


def test_half_precision_on_the_cpu(photos: Path, tmp_path: Path) -> None:
    run = make_run(
        photos, tmp_path / "run", "default", precision="bf16-mixed", epochs=1, warmup_epochs=0
    )
    assert 0 <= train_run(run) <= 1
    weights = load_file(run.best)
    assert {value.dtype for value in weights.values()} == {torch.float32, torch.int64}
    assert all(bool(value.isfinite().all()) for value in weights.values())


@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_auto_precision_without_cuda(photos: Path, tmp_path, monkeypatch, accelerator) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    recipe = make_run(photos, tmp_path / "run", "seed", precision="auto").recipe
    assert resolved_precision(recipe, accelerator) == "32-true"


def test_a_named_precision_is_kept(photos: Path, tmp_path: Path) -> None:
    recipe = make_run(photos, tmp_path / "run", "seed", precision="bf16-mixed").recipe
    assert resolved_precision(recipe, "cpu") == "bf16-mixed"


@pytest.mark.gpu
def test_auto_precision_on_cuda(photos: Path, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    run = make_run(photos, tmp_path / "run", "default", precision="auto", epochs=1, warmup_epochs=0)
    assert resolved_precision(run.recipe, "auto") == "16-mixed"
    assert resolved_precision(run.recipe, "cpu") == "32-true"
    assert 0 <= train_run(run, accelerator="gpu") <= 1


def test_labels_are_numbers_of_the_run_s_classes(photos: Path, tmp_path: Path) -> None:
    run = make_run(photos, tmp_path / "run", "seed")
    shown = labelled(run, run.photos(), "val")
    assert [CLASSES[label] for label in shown.labels] == [file.parent.name for file in shown.files]


def test_a_class_without_training_photos(photos: Path, tmp_path: Path) -> None:
    split = make_run(photos, tmp_path / "run", "seed").split
    parts = {
        path: "val" if label == "paper" else split.part_of[path]
        for path, label in split.label_of.items()
    }
    with pytest.raises(SplitError, match="no training photo of paper"):
        create_run(
            tmp_path / "other",
            recipe=load_recipe("seed"),
            split=replace(split, part_of=parts),
            sources=(photos,),
            weights="none",
        )
    assert not (tmp_path / "other").exists()


def test_of_epochs_with_equal_accuracy_the_lowest_loss_is_kept(
    photos: Path, tmp_path: Path
) -> None:
    from binsight.model.network import build
    from binsight.training.module import Classification
    from binsight.training.recipe import load_recipe

    class Trainer:
        current_epoch = 0

    network = build("mobilenet_v2", classes=2)
    module = Classification(network, load_recipe("seed"), [1, 1])
    run = make_run(photos, tmp_path / "run", "seed")
    keeper = BestWeights(run)
    kept = []
    for accuracy, loss in ((0.5, 1.0), (0.5, 1.0), (0.5, 0.9), (0.75, 2.0), (0.25, 0.1)):
        labels = torch.tensor([0] * round(accuracy * 4) + [1] * round(4 - accuracy * 4))
        module.val_accuracy.reset()
        module.val_loss.reset()
        module.val_loss(loss)
        module.val_accuracy(torch.tensor([[1.0, 0.0]] * 4), labels)
        with torch.no_grad():
            network.head.bias.fill_(float(Trainer.current_epoch))
        keeper.on_validation_epoch_end(Trainer(), module)  # type: ignore[arg-type]
        kept.append(float(load_file(run.best)["head.bias"][0]))
        Trainer.current_epoch += 1
    assert kept == [0, 0, 2, 3, 3]
    assert np.allclose(keeper.state_dict()["best"], [0.75, -2.0])
