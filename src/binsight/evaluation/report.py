"""A folder that says how good a model is: tables for programs, pictures, one page for people.

The page is a single file: figures and style are inside it, nothing is fetched and nothing runs,
so it can be sent by mail and opened in ten years. Measuring is left to `metrics`, drawing to
`figures`.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from sklearn.metrics import classification_report

from binsight.drawing import save

from . import figures
from .metrics import Interval, Metrics, by_source, evaluate, selective
from .scored import Scored, write_predictions

__all__ = ["write_report"]

PAGE = "report.html"
NO_BREAK = "\N{NO-BREAK SPACE}"
CAPTIONS = {
    "confusion_matrix.png": "Rows are what the photos show, columns what the model said.",
    "per_class.png": "Precision: of the photos called so, how many are. "
    "Recall: of the photos that are so, how many were found. F1 joins both.",
    "reliability.png": "Bars on the dashed line mean that a confidence can be taken at its word.",
    "mistakes.png": "The wrong answers the model was most sure of: true class, then its answer.",
}
WHERE = (
    " Beside each photo, the places that spoke for that answer: the more yellow, the more; what is "
    "dark grey, the model did not see."
)


def write_report(
    folder: Path,
    scored: Scored,
    metrics: Metrics,
    *,
    photos_root: Path,
    title: str,
    facts: Mapping[str, str],
    threshold: float | None,
    look_at: figures.LookAt | None = None,
) -> Path:
    """Write the report and return the path of its page.

    The folder receives ``metrics.json``, ``predictions.csv``, ``classification_report.txt``, four
    figures and, last, ``report.html``. Each file is replaced in one step, and none before all
    have been made: a failure leaves an earlier report as it was.

    Args:
        folder: where to write; made if it is not there.
        scored: what the model said.
        metrics: what `evaluate` measured on ``scored``.
        photos_root: folder that the paths of ``scored`` are relative to.
        title: heading of the page.
        facts: what to know about this evaluation (model, data, part, command, version, date),
            in the order to show them.
        threshold: the "not sure" threshold of the model, 0 to 1, or ``None`` for none.
        look_at: draws where the model looked, to stand beside the most confident mistakes.

    Raises:
        UsageError: ``threshold`` is outside 0 to 1.
    """
    if threshold is not None:
        metrics = metrics.model_copy(update={"selective": selective(scored, threshold)})
    sources = {
        name: evaluate(part, seed=metrics.seed, resamples=metrics.resamples, threshold=threshold)
        for name, part in by_source(scored).items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".report-") as temporary:
        draft = Path(temporary)
        write_predictions(draft / "predictions.csv", scored)
        _write_numbers(draft / "metrics.json", metrics, sources, title=title, facts=facts)
        (draft / "classification_report.txt").write_text(_text(scored), encoding="utf-8")
        _draw(draft, scored, metrics, photos_root, look_at)
        captions = CAPTIONS | (
            {"mistakes.png": CAPTIONS["mistakes.png"] + WHERE} if look_at else {}
        )
        page = _render(draft, scored, metrics, sources, captions, title=title, facts=facts)
        (draft / PAGE).write_text(page, encoding="utf-8")
        for file in sorted(draft.iterdir(), key=lambda path: (path.name == PAGE, path.name)):
            file.replace(folder / file.name)
    return folder / PAGE


def _write_numbers(
    path: Path,
    metrics: Metrics,
    sources: Mapping[str, Metrics],
    *,
    title: str,
    facts: Mapping[str, str],
) -> None:
    content = {
        "title": title,
        "facts": dict(facts),
        **metrics.to_dict(),
        "by_source": {name: part.to_dict() for name, part in sources.items()},
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _text(scored: Scored) -> str:
    text: str = classification_report(
        scored.labels_n,
        scored.predicted_n,
        labels=np.arange(len(scored.classes)),
        target_names=list(scored.classes),
        digits=4,
        zero_division=0,
    )
    return text


def _draw(
    folder: Path,
    scored: Scored,
    metrics: Metrics,
    photos_root: Path,
    look_at: figures.LookAt | None,
) -> None:
    save(figures.confusion_matrix(metrics), folder / "confusion_matrix.png")
    save(figures.per_class(metrics), folder / "per_class.png")
    save(figures.reliability_diagram(scored), folder / "reliability.png")
    save(figures.mistakes(scored, photos_root, look_at=look_at), folder / "mistakes.png")


def _render(
    folder: Path,
    scored: Scored,
    metrics: Metrics,
    sources: Mapping[str, Metrics],
    captions: Mapping[str, str],
    *,
    title: str,
    facts: Mapping[str, str],
) -> str:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(percent=_percent, ends=_ends)
    template = resources.files(__package__).joinpath("report.html.j2").read_text("utf-8")
    return environment.from_string(template).render(
        title=title,
        facts=facts,
        metrics=metrics,
        headline={
            "Accuracy": metrics.accuracy,
            "Balanced accuracy": metrics.balanced_accuracy,
            "Macro F1": metrics.macro_f1,
        },
        sources=sources,
        figures={name: (_data_uri(folder / name), text) for name, text in captions.items()},
        mistakes=_mistakes(scored),
    )


def _percent(share: float | None) -> str:
    return "\N{EN DASH}" if share is None else f"{100.0 * share:.1f}{NO_BREAK}%"


def _ends(interval: Interval) -> str:
    return f"{100.0 * interval.low:.1f} to {_percent(interval.high)}".replace(" ", NO_BREAK)


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _mistakes(scored: Scored) -> list[dict[str, Any]]:
    return [
        {
            "path": scored.paths[index],
            "true": scored.classes[scored.labels_n[index]],
            "predicted": scored.classes[scored.predicted_n[index]],
            "confidence": float(scored.confidence_n[index]),
        }
        for index in figures.most_confident_mistakes(scored)
    ]
