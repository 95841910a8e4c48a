"""What the last line of ``binsight train`` says of the accuracy that it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tiny_training import draw_photos, make_run, write_weights

from binsight.interfaces.cli.train import finish


@pytest.mark.parametrize(
    ("changes", "best_epoch", "goes_back"),
    [
        ({"interpolation": 0.6}, 1, True),
        ({"interpolation": 0.6}, 0, False),  # of the warm-up, which is what is gone back to
        ({"interpolation": 0.6, "refit": "true"}, 1, False),  # measured when all was done
        ({}, 1, False),
    ],
)
def test_it_says_whether_weights_went_back_after_they_were_measured(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    best_epoch: int,
    goes_back: bool,
) -> None:
    photos = draw_photos(tmp_path / "photos")
    weights = write_weights(tmp_path / "first.safetensors")
    changes = {"warmup_epochs": 1, **changes}
    run = make_run(photos, tmp_path / "run", "seed", weights=weights, **changes)
    said = {"best": {"epoch": best_epoch, "val_accuracy": 0.5}}
    (run.folder / "metrics.json").write_text(json.dumps(said))
    monkeypatch.setattr("binsight.training.train.train", lambda *_, **__: 0.5)
    monkeypatch.setattr("binsight.interfaces.cli.train.log_to", lambda _: [])
    finish(run, run.photos(), again="train")
    line = capsys.readouterr().out
    assert line.startswith("best validation accuracy 50.00%")
    assert ("before it went back to 0.6 of the way" in line) == goes_back
