from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import output, refusal
from tiny_training import draw_photos, make_run, train_run, write_weights

torch = pytest.importorskip("torch")

from sklearn.linear_model import LogisticRegression  # noqa: E402

from binsight.errors import RunError, UsageError  # noqa: E402
from binsight.model.weights import read_state, write_state  # noqa: E402
from binsight.training.checkpoints import best_network  # noqa: E402
from binsight.training.folds import finished  # noqa: E402
from binsight.training.outputs import outputs_of  # noqa: E402
from binsight.training.parts import labelled  # noqa: E402
from binsight.training.refit import (  # noqa: E402
    fitted_head,
    refit_head,
    refit_trained,
    score_head,
)
from binsight.training.run import Run, open_run  # noqa: E402

HEAD_LEARNS: dict[str, Any] = {
    "epochs": 4,
    "warmup_epochs": 3,
    "warmup_learning_rate": 1e-2,
    "learning_rate": 1e-6,
    "head_learning_rate": 1e-6,
}
CALM: dict[str, Any] = {"workers": 0, "accelerator": "cpu"}


@pytest.fixture
def untrained(tmp_path: Path) -> Run:
    """A run whose features tell the drawn photos apart, under a head that knows nothing."""
    weights = write_weights(tmp_path / "first.safetensors")
    run: Run = make_run(draw_photos(tmp_path / "photos"), tmp_path / "run", "default")
    state = read_state(weights)
    state["head.weight"] = torch.zeros_like(state["head.weight"])
    state["head.bias"] = torch.zeros_like(state["head.bias"])
    write_state(run.best, state, classes=run.facts.classes, epoch=0)
    return run


def refit(run: Run, name: str = "refit", **options: Any) -> Any:
    return refit_head(run.folder.parent / name, run, run.photos(), **CALM, **options)


def forgetful(head: Any, *_: Any, **__: Any) -> Any:
    """A head that says the opposite of the first one."""
    found = torch.nn.Linear(head.in_features, head.out_features)
    found.weight.data, found.bias.data = -head.weight.data, -head.bias.data
    return found.requires_grad_(False)


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def drawn(photos: int = 60, width: int = 5) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, photos)
    embeddings = random.normal(size=(photos, width)).astype(np.float32)
    embeddings[np.arange(photos), labels] += 1
    return embeddings, labels


def first_head(width: int = 5) -> Any:
    torch.manual_seed(0)
    return torch.nn.Linear(width, 3)


def test_a_run_whose_head_knows_nothing_learns_a_head_and_nothing_else(untrained: Run) -> None:
    made = refit(untrained)
    assert (made.learned, made.photos) == (21, 9)
    assert made.before.val_loss == pytest.approx(np.log(3), abs=1e-5)
    assert made.before.val_accuracy == pytest.approx(1 / 3, abs=1e-6)
    assert made.after.val_accuracy > 0.6
    assert made.after.calibrated_loss < made.before.calibrated_loss - 0.2
    before, after = read_state(untrained.best), read_state(made.run.best)
    assert {name for name in after if not torch.equal(after[name], before[name])} == {
        "head.weight",
        "head.bias",
    }


def test_what_it_says_is_what_its_run_says(untrained: Run) -> None:
    made = refit(untrained)
    run = open_run(made.run.folder)
    shown = labelled(run, run.photos(), "val")
    logits_nc, _ = outputs_of(best_network(run), shown, run.recipe.preprocess)
    assert astuple(score_head(logits_nc, shown.labels)) == pytest.approx(
        astuple(made.after), abs=1e-4
    )
    said = json.loads((run.folder / "metrics.json").read_text())
    assert said["best"]["val_loss"] == made.after.val_loss
    assert said["refit"]["before"]["val_loss"] == made.before.val_loss
    assert run.facts.refit == str(untrained.folder.absolute())


def test_a_head_that_is_worse_is_not_kept(untrained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    best = refit(untrained).run
    monkeypatch.setattr("binsight.training.refit.fitted_head", forgetful)
    with pytest.raises(RunError, match="the new head is worse on the validation photos"):
        refit(best, "worse")
    assert not (best.folder.parent / "worse").exists()


def test_a_training_may_end_with_it(tmp_path: Path) -> None:
    photos, first = draw_photos(tmp_path / "photos"), write_weights(tmp_path / "w.safetensors")
    plain, ending = (
        make_run(photos, tmp_path / name, "default", weights=first, epochs=2, refit=refit)
        for name, refit in (("plain", "false"), ("ending", "true"))
    )
    train_run(plain)
    accuracy = train_run(ending)
    assert not plain.refit.exists()
    assert ending.best == ending.refit
    trained, made = (read_state(file) for file in (ending.best_epoch, ending.refit))
    assert_equal(read_state(plain.best), trained)
    apart = refit(plain)
    assert_equal(read_state(apart.run.best), made)
    assert not torch.equal(made["head.weight"], trained["head.weight"])
    said = json.loads((ending.folder / "metrics.json").read_text())
    assert said["refit"]["after"]["val_accuracy"] == accuracy == apart.after.val_accuracy
    assert said["best"] in said["epochs"]


def test_a_training_that_was_cut_off_before_it_goes_on_with_it(tmp_path: Path) -> None:
    photos, first = draw_photos(tmp_path / "photos"), write_weights(tmp_path / "w.safetensors")
    run = make_run(photos, tmp_path / "run", "default", weights=first, epochs=2, refit="true")
    train_run(run)
    made = read_state(run.refit)
    said = json.loads((run.folder / "metrics.json").read_text())
    del said["refit"]
    (run.folder / "metrics.json").write_text(json.dumps(said))
    run.refit.unlink()
    assert not finished(run)
    train_run(run, resume=True)
    assert finished(run)
    assert_equal(read_state(run.refit), made)


def test_a_training_keeps_its_own_head_if_that_is_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("binsight.training.refit.fitted_head", forgetful)
    photos, first = draw_photos(tmp_path / "photos"), write_weights(tmp_path / "w.safetensors")
    run = make_run(photos, tmp_path / "run", "seed", weights=first, **HEAD_LEARNS, refit="true")
    with caplog.at_level("INFO"):
        accuracy = train_run(run)
    assert caplog.messages[-1].endswith("; not kept")
    assert run.best == run.best_epoch
    said = json.loads((run.folder / "metrics.json").read_text())
    assert accuracy == said["refit"]["before"]["val_accuracy"]
    assert finished(run)


def test_a_head_of_fewer_epochs_does_not_outlive_a_better_training(
    untrained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    refit_trained(untrained, untrained.photos(), **CALM)
    assert untrained.best == untrained.refit
    untrained.best_epoch.write_bytes(untrained.refit.read_bytes())
    monkeypatch.setattr("binsight.training.refit.fitted_head", forgetful)
    assert refit_trained(untrained, untrained.photos(), **CALM).worse
    assert untrained.best == untrained.best_epoch


def test_a_run_says_how_labels_are_smoothed_and_what_a_photo_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = write_weights(tmp_path / "first.safetensors")
    run: Run = make_run(
        draw_photos(tmp_path / "photos"),
        tmp_path / "run",
        "default",
        shares={"metal": 0.5},
        label_smoothing=0.25,
    )
    write_state(run.best, read_state(weights), classes=run.facts.classes, epoch=0)
    asked: dict[str, Any] = {}

    def watched(head: Any, *given: Any, **options: Any) -> Any:
        asked.update(options)
        return fitted_head(head, *given, **options)

    monkeypatch.setattr("binsight.training.refit.fitted_head", watched)
    refit(run, choose=False)
    assert asked["smoothing"] == 0.25
    paths = run.split.paths("train")
    assert asked["shares"] == [0.5 if path.startswith("metal/") else 1.0 for path in paths]


def test_a_folder_in_use_is_refused_before_any_photo_is_shown(untrained: Run) -> None:
    with pytest.raises(UsageError, match="holds a run"):
        refit_head(untrained.folder, untrained, None, **CALM)  # type: ignore[arg-type]


def test_without_a_pull_it_is_logistic_regression() -> None:
    embeddings_nd, labels = drawn()
    shares = np.where(np.arange(len(labels)) < 30, 1.0, 0.25)
    head = fitted_head(first_head(), embeddings_nd, labels, smoothing=0, shares=shares, pull=0)
    exact = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    exact.fit(embeddings_nd, labels, sample_weight=shares)
    ours = torch.softmax(head(torch.from_numpy(embeddings_nd)), dim=1).numpy()
    assert ours == pytest.approx(exact.predict_proba(embeddings_nd), abs=2e-3)


def test_the_pull_is_a_ridge_penalty_of_which_the_variance_is_the_unit() -> None:
    embeddings_nd, labels = drawn()
    embeddings_nd *= np.array([0.5, 1, 2, 3, 4], np.float32)
    head = first_head()
    head.weight.data.zero_()
    made = fitted_head(head, embeddings_nd, labels, smoothing=0, shares=[1.0] * 60, pull=0.01)
    scale = 0.01 * embeddings_nd.var(axis=0).sum()
    exact = LogisticRegression(C=1 / (2 * 60 * scale), tol=1e-8, max_iter=1000)
    exact.fit(embeddings_nd, labels)
    ours = torch.softmax(made(torch.from_numpy(embeddings_nd)), dim=1).numpy()
    assert ours == pytest.approx(exact.predict_proba(embeddings_nd), abs=2e-3)


def test_a_pull_holds_it_near_the_first_head_however_large_embeddings_are() -> None:
    embeddings_nd, labels = drawn()
    first = first_head()

    def moved(pull: float, times: float = 1.0) -> float:
        head = torch.nn.Linear(5, 3)
        head.weight.data, head.bias.data = first.weight.data / times, first.bias.data
        made = fitted_head(
            head,
            embeddings_nd * np.float32(times),
            labels,
            smoothing=0,
            shares=[1.0] * 60,
            pull=pull,
        )
        return float(torch.linalg.norm((made.weight * times - first.weight).detach()))

    assert moved(10.0) < 0.05 < moved(0.1) < moved(0.001)
    assert moved(0.1, times=100) == pytest.approx(moved(0.1), rel=0.01)


def test_a_loss_that_smooths_labels_keeps_logits_finite() -> None:
    embeddings_nd, labels = drawn()
    embeddings_nd[np.arange(len(labels)), labels] += 20  # told apart without a mistake
    head = fitted_head(
        first_head(), embeddings_nd, labels, smoothing=0.1, shares=[1.0] * 60, pull=0
    )
    probs_nc = torch.softmax(head(torch.from_numpy(embeddings_nd)), dim=1).numpy()
    true_n = probs_nc[np.arange(len(labels)), labels]
    assert true_n.mean() == pytest.approx(1 - 0.1 * 2 / 3, abs=0.01)


def test_the_score_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import balanced_accuracy_score, log_loss

    embeddings_nd, labels = drawn()
    logits_nc = first_head()(torch.from_numpy(embeddings_nd)).detach().numpy()
    score = score_head(logits_nc, labels)
    probs_nc = torch.softmax(torch.from_numpy(logits_nc).double(), dim=1).numpy()
    said = logits_nc.argmax(axis=1)
    assert score.val_accuracy == pytest.approx(np.mean(said == labels), abs=1e-6)
    assert score.val_balanced_accuracy == pytest.approx(
        balanced_accuracy_score(labels, said), abs=1e-6
    )
    assert score.val_loss == pytest.approx(log_loss(labels, probs_nc), abs=1e-6)
    assert score.calibrated_loss <= score.val_loss


def test_the_command_says_what_it_brought_and_what_comes_next(untrained: Run) -> None:
    out = untrained.folder.parent / "b"
    asked = ["refit", untrained.folder, "--out", out, "--workers", 0, "--accelerator", "cpu"]
    before, wrote = output(*asked).splitlines()
    assert before.startswith(f"{untrained.folder}: ")
    assert wrote.startswith(f"wrote {out}, its head fitted on 21 photos: 66.67% right, calibrated")
    assert wrote.endswith(f" of 9 validation photos; next: binsight evaluate {out}")
    output("evaluate", out, "--part", "val", "--out", untrained.folder.parent / "report")
    assert "holds a run" in refusal(*asked)
    assert "has a refit head; train on from it with --weights" in refusal(
        "train", "--out", out, "--resume"
    )
