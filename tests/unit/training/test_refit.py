from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import output, refusal
from tiny_training import draw_photos, make_run, write_weights

torch = pytest.importorskip("torch")

from sklearn.linear_model import LogisticRegression  # noqa: E402

from binsight.errors import RunError, UsageError  # noqa: E402
from binsight.model.weights import read_state, write_state  # noqa: E402
from binsight.training.checkpoints import best_network  # noqa: E402
from binsight.training.outputs import outputs_of  # noqa: E402
from binsight.training.refit import fitted_head, refit_head, score_head  # noqa: E402
from binsight.training.run import Run, open_run  # noqa: E402
from binsight.training.train import labelled  # noqa: E402

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
    shown = labelled(run.photos(), run.split, "val", run.facts.classes)
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

    def forgetful(head: Any, *_: Any, **__: Any) -> Any:
        return torch.nn.Linear(head.in_features, head.out_features).requires_grad_(False)

    monkeypatch.setattr("binsight.training.refit.fitted_head", forgetful)
    with pytest.raises(RunError, match="the new head is worse on the validation photos"):
        refit(best, "worse")
    assert not (best.folder.parent / "worse").exists()


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
