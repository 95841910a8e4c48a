"""The card of a built-in model holds what its reports say, and no other figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import surroundings

from binsight.runtime import BUILTIN, Classifier, builtin_model

pytest.importorskip("sklearn")

from binsight.evaluation.metrics import by_source, evaluate
from binsight.evaluation.scored import Scored

SCRIPT = Path(__file__).parents[2] / "docs" / "write_model_cards.py"
NAME = BUILTIN[-1]
STRANGE = {
    "photos": 321,
    "accepted": {"value": 0.123, "low": 0.1, "high": 0.15},
    "mean_confidence": 0.6,
    "taken_for": {"glass": 1.0},
    "score": "novelty",
    "against": ["web"],
    "auroc": {"value": 0.876, "low": 0.85, "high": 0.9},
    "fpr_at_95_tpr": None,
}


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    """What `evaluate` writes for answers that were drawn, of two sources; cardboard is worst."""
    classes = Classifier(NAME).classes
    labels = np.tile(np.arange(6), 50)
    random = np.random.default_rng(0)
    probs = np.full((300, 6), 0.02, np.float32)
    said = np.where(random.random(300) < np.where(labels == 0, 0.4, 0.95), labels, (labels + 1) % 6)
    probs[np.arange(300), said] = 0.9
    paths = tuple(
        f"{'trashnet' if n < 200 else 'web'}/{classes[label]}/{n}.jpg"
        for n, label in enumerate(labels)
    )
    scored = Scored(paths, labels, probs, classes)
    sources = {
        name: evaluate(one, threshold=0.8).to_dict() for name, one in by_source(scored).items()
    }
    facts = {"photos": "/somewhere/private/data", "command": "binsight evaluate /somewhere/private"}
    return {"facts": facts, **evaluate(scored, threshold=0.8).to_dict(), "by_source": sources}


def report(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(content))
    return folder


def written(*arguments: object, out: Path) -> str:
    command = [sys.executable, SCRIPT, *map(str, arguments), "--out", out]
    subprocess.run(command, check=True, capture_output=True, env=surroundings())
    return out.read_text(encoding="utf-8")


def test_every_figure_of_the_report_is_there(tmp_path: Path, metrics: dict[str, Any]) -> None:
    text = written(NAME, report(tmp_path / "a", metrics), out=tmp_path / "card.md")
    plain = text.replace(" %", "%")
    lines = plain.splitlines()
    trashnet = next(line for line in lines if line.startswith("| TrashNet, its authors'"))
    scores = metrics["by_source"]["trashnet"]
    found = trashnet.strip("| ").split(" | ")[1:]
    assert found[0] == "200"
    for cell, key in zip(found[1:], ("accuracy", "balanced_accuracy", "macro_f1"), strict=True):
        value, low, high = (100 * scores[key][end] for end in ("value", "low", "high"))
        assert cell == f"{value:.1f}% ({low:.1f} to {high:.1f})"
    for one in metrics["per_class"]:
        cells = f"{one['support']} | {one['precision']:.1%} | {one['recall']:.1%} | {one['f1']:.1%}"
        assert f"| {one['name']} | {cells} |" in plain
    assert f"{metrics['selective']['coverage']:.1%}" in plain
    assert f"{metrics['expected_calibration_error']:.3f}" in plain
    assert f"* **Cardboard**: of 50 photos it knew {metrics['per_class'][0]['recall']:.1%}" in plain
    size = builtin_model(NAME).stat().st_size
    assert f"{NAME}.onnx`, {size / 1e6:.1f} MB" in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 100


def test_what_no_report_holds_is_left_out(tmp_path: Path, metrics: dict[str, Any]) -> None:
    text = written(NAME, report(tmp_path / "a", metrics), out=tmp_path / "card.md")
    assert "AUROC" not in text
    assert "## Worse photos" not in text
    assert "private" not in text
    assert "None" not in text


def test_strange_and_worse_photos(tmp_path: Path, metrics: dict[str, Any]) -> None:
    folder = report(tmp_path / "a", metrics)
    domains = {"batteries": {"known": None, "sure": None, "strange": STRANGE}}
    other = report(tmp_path / "b", {"facts": {"photos": "x"}, "domains": domains})
    interval = {"value": 0.5, "low": 0.4, "high": 0.6}
    worse = {
        "photos": 99,
        "clean": interval,
        "mean_accuracy": interval,
        "accuracy": {"blur": {"1": 0.75, "2": 0.25}, "noise": {"1": 0.1, "2": 0.3}},
    }
    (folder / "corruptions.json").write_text(json.dumps(worse))
    text = written(NAME, folder, other, out=tmp_path / "card.md")
    assert "| batteries | 321 | 12.3 % (10.0 to 15.0) | 87.6 % (85.0 to 90.0) | - |" in text
    assert "| noise | 20.0 % |\n| blur | 50.0 % |" in text
    assert "99 of the photos above, made worse in 2 ways: 50.0 % (40.0 to 60.0) right" in text


def test_further_domains_are_rows_and_the_first_is_none_of_them(
    tmp_path: Path, metrics: dict[str, Any]
) -> None:
    plain = {key: value for key, value in metrics.items() if key != "by_source"}
    known = plain | {"photos": 77}
    domains = {
        "trashnet + web (test)": {"known": plain, "sure": None, "strange": None},
        "kitchen": {"known": known, "sure": None, "strange": STRANGE},
    }
    folder = report(tmp_path / "a", metrics | {"domains": domains})
    text = written(NAME, folder, out=tmp_path / "card.md")
    table = text.split("## Measured")[1].split("\n\n")[1].splitlines()[2:]
    assert [row.split(" | ")[:2] for row in table] == [
        ["| TrashNet, its authors' `test` part", "200"],
        ["| web and product photos, kept aside", "100"],
        ["| all of these", "300"],
        ["| kitchen", "77"],
    ]
    assert "| kitchen | 321 | 12.3 %" in text


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, SCRIPT, NAME, tmp_path, "--out", tmp_path / "card.md"]
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings(), check=False)
    assert done.returncode == 2
    assert f"{tmp_path}: holds no report" in done.stderr
    assert not list(tmp_path.iterdir())
