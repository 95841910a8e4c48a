"""A folder that says how good a model is: tables for programs, pictures, one page for people.

The page is a single file: figures and style are inside it, nothing is fetched and nothing runs,
so it can be sent by mail and opened in ten years. Measuring is left to `metrics`, drawing to
`figures`.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import classification_report

from binsight.drawing import save

from . import corruption_figures, domain_figures, figures
from .corruptions import Family
from .cross_validation import CrossValidation
from .domains import Domain, DomainMetrics
from .metrics import Interval, Metrics, by_source, evaluate
from .robustness import Robustness
from .scored import OUT_OF_FOLD, Scored, write_predictions

__all__ = ["Worse", "write_report", "written_before"]

PAGE, NUMBERS = "report.html", "metrics.json"
PREDICTIONS = "predictions.csv"
FEW = 30  # photos, below which a bootstrap is not to be trusted
NO_BREAK = "\N{NO-BREAK SPACE}"
CAPTIONS = {
    "confusion_matrix.png": "Rows are what the photos show, columns what the model said.",
    "per_class.png": "Precision: of the photos called so, how many are. "
    "Recall: of the photos that are so, how many were found. F1 joins both.",
    "reliability.png": "Bars on the dashed line mean that a confidence can be taken at its word.",
    "mistakes.png": "The wrong answers the model was most sure of: true class, then its answer.",
}
DOMAIN_CAPTIONS = {
    "domains.png": "Confidence far right of accuracy: the model is surer there than it is right. "
    "A cross: the share of photos of no class that it was sure of all the same; left is good.",
    "domains_recall.png": "Of the photos of each class, how many were found in each domain.",
    "strangeness.png": "The less both overlap, the better the model can tell what it does not "
    "know. Each colour adds up to all of its photos.",
}
ACCEPTED = "accepted.png"
ACCEPTED_CAPTION = (
    "photos of none of the classes that the model was sure of, the surest first: their folder, "
    "then what they were taken for."
)
CORRUPTION_CAPTIONS = {
    "corruptions.png": "Percent of the photos, by corruption and severity.",
    "corruptions_shown.png": "What was done: one photo clean, and in mild, middle and strong "
    "corruption.",
}
WHERE = (
    " Beside each photo, the places that spoke for that answer: the more yellow, the more; what is "
    "dark grey, the model did not see."
)


@dataclass(frozen=True, eq=False)
class Worse:
    """A model under corruptions, to be part of a report.

    Args:
        domain: name of the domain that the photos are of.
        measured: what `robustness` found.
        photo: an upright RGB photo to show them on.
        seed: of that photo's corruptions.
        families: that were applied.
    """

    domain: str
    measured: Robustness
    photo: Image.Image
    seed: int
    families: tuple[Family, ...]


@dataclass(frozen=True, eq=False)
class _Section:
    """One domain on the page."""

    name: str
    scored: Scored
    metrics: Metrics
    prefix: str
    sources: Mapping[str, Metrics]
    captions: Mapping[str, str]
    uris: Mapping[str, str]


def write_report(
    folder: Path,
    domains: Sequence[Domain],
    measured: Sequence[DomainMetrics],
    *,
    title: str,
    facts: Mapping[str, str],
    worse: Worse | None = None,
    look_at: figures.LookAt | None = None,
    folds: CrossValidation | None = None,
) -> Path:
    """Write the report and return the path of its page.

    The folder receives ``metrics.json``; for each domain ``predictions.csv`` (of folds:
    ``out-of-fold.csv``), ``classification_report.txt`` and four figures, from the second domain on
    with its number and name before theirs; figures of all domains if there are several;
    ``corruptions.json`` and two figures with ``worse``; and, last, ``report.html``. Each file is
    replaced in one step, and none before all have been made: a failure leaves an earlier report as
    it was. Files of an earlier report that this one has no use for are deleted.

    Args:
        folder: where to write; made if it is not there.
        domains: what the model said, at least one.
        measured: what `measure_domains` found of them.
        title: heading of the page.
        facts: what to know about this evaluation (model, data, part, command, version, date),
            in the order to show them.
        worse: the model under corruptions.
        look_at: draws where the model looked, to stand beside the most confident mistakes.
        folds: what the folds say that the one domain is pooled from, if there are any.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".report-") as temporary:
        draft = Path(temporary)
        predictions = OUT_OF_FOLD if folds else PREDICTIONS
        sections = [
            _write_section(draft, number, domain, one.known, look_at, predictions)
            for number, (domain, one) in enumerate(zip(domains, measured, strict=True))
            if one.known
        ]
        _write_strangers(draft, domains, measured)
        compared = _draw_domains(draft, domains, measured, look_at)
        corrupted = _write_worse(draft, worse) if worse else {}
        _write_numbers(draft / NUMBERS, sections, measured, folds, title=title, facts=facts)
        page = _render(
            sections, measured, compared, corrupted, folds, worse=worse, title=title, facts=facts
        )
        (draft / PAGE).write_text(page, encoding="utf-8")
        new = {path.name for path in draft.iterdir()}
        stale = _listed(folder) - new
        for file in sorted(draft.iterdir(), key=lambda path: (path.name == PAGE, path.name)):
            file.replace(folder / file.name)
        for name in stale:
            (folder / name).unlink(missing_ok=True)
    return folder / PAGE


def written_before(folder: Path) -> dict[str, Any]:
    """The numbers of the report that is there; empty if there is none."""
    try:
        told = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _listed(folder: Path) -> set[str]:
    """Files of the report that is there, as it lists them itself."""
    files = written_before(folder).get("files")
    if not isinstance(files, list):
        return set()
    return {name for name in files if isinstance(name, str) and name == Path(name).name}


def _prefix(number: int, name: str) -> str:
    """Of a domain's files; the first has none."""
    if not number:
        return ""
    plain = re.sub(r"[^0-9A-Za-z]+", "-", name).strip("-")[:40]
    return f"{number + 1}-{plain}-" if plain else f"{number + 1}-"


def _write_section(
    draft: Path,
    number: int,
    domain: Domain,
    metrics: Metrics,
    look_at: figures.LookAt | None,
    predictions: str,
) -> _Section:
    scored, prefix = domain.known, _prefix(number, domain.name)
    threshold = metrics.selective.threshold if metrics.selective else None
    sources = {
        name: evaluate(part, seed=metrics.seed, resamples=metrics.resamples, threshold=threshold)
        for name, part in by_source(scored, domain.labels).items()
    }
    write_predictions(draft / f"{prefix}{predictions}", scored, domain.strange)
    (draft / f"{prefix}classification_report.txt").write_text(_text(scored), encoding="utf-8")
    drawn = {
        "confusion_matrix.png": figures.confusion_matrix(metrics),
        "per_class.png": figures.per_class(metrics),
        "reliability.png": figures.reliability_diagram(scored),
        "mistakes.png": figures.mistakes(scored, domain.root, look_at=look_at),
    }
    for name, figure in drawn.items():
        save(figure, draft / f"{prefix}{name}")
    where = {"mistakes.png": CAPTIONS["mistakes.png"] + WHERE} if look_at else {}
    uris = {name: _data_uri(draft / f"{prefix}{name}") for name in drawn}
    return _Section(domain.name, scored, metrics, prefix, sources, CAPTIONS | where, uris)


def _write_strangers(
    draft: Path, domains: Sequence[Domain], measured: Sequence[DomainMetrics]
) -> None:
    """Write the predictions of domains that have no section of their own."""
    for number, (domain, one) in enumerate(zip(domains, measured, strict=True)):
        if one.known is None:
            path = draft / f"{_prefix(number, domain.name)}{PREDICTIONS}"
            write_predictions(path, domain.known, domain.strange)


def _draw_domains(
    draft: Path,
    domains: Sequence[Domain],
    measured: Sequence[DomainMetrics],
    look_at: figures.LookAt | None,
) -> dict[str, tuple[str, str]]:
    """Draw what sets domains apart: figure's name to its URI and caption."""
    if not _are_compared(measured):
        return {}
    drawn: dict[str, Figure | None] = {
        "domains.png": domain_figures.side_by_side(measured),
        "domains_recall.png": domain_figures.recall_by_domain(measured)
        if sum(one.known is not None for one in measured) > 1
        else None,
        "strangeness.png": domain_figures.strangeness(domains),
    }
    captions = dict(DOMAIN_CAPTIONS)
    for number, one in enumerate(domains):
        if one.strange is not None:
            name = f"{_prefix(number, one.name)}{ACCEPTED}"
            drawn[name] = figures.accepted(one.strange, one.root, look_at=look_at)
            captions[name] = f"{one.name}: {ACCEPTED_CAPTION}{WHERE if look_at else ''}"
    uris = {}
    for name, figure in drawn.items():
        if figure is not None:
            save(figure, draft / name)
            uris[name] = (_data_uri(draft / name), captions[name])
    return uris


def _are_compared(measured: Sequence[DomainMetrics]) -> bool:
    return len(measured) > 1 or any(one.strange for one in measured)


def _write_worse(draft: Path, worse: Worse) -> dict[str, tuple[str, str]]:
    """Write the robustness, and draw it: figure's name to its URI and caption."""
    text = json.dumps(worse.measured.to_dict(), indent=2, allow_nan=False)
    (draft / "corruptions.json").write_text(text + "\n", encoding="utf-8")
    severities = tuple(next(iter(worse.measured.accuracy.values())))
    drawn = {
        "corruptions.png": corruption_figures.robustness_map(worse.measured),
        "corruptions_shown.png": corruption_figures.corrupted_photo(
            worse.photo, seed=worse.seed, families=worse.families, severities=severities
        ),
    }
    for name, figure in drawn.items():
        save(figure, draft / name)
    return {name: (_data_uri(draft / name), CORRUPTION_CAPTIONS[name]) for name in drawn}


def _write_numbers(
    path: Path,
    sections: Sequence[_Section],
    measured: Sequence[DomainMetrics],
    folds: CrossValidation | None,
    *,
    title: str,
    facts: Mapping[str, str],
) -> None:
    """The first domain's numbers stand at the top, as if it were alone."""
    content: dict[str, Any] = {"title": title, "facts": dict(facts)}
    if measured[0].known:
        sources = {name: part.to_dict() for name, part in sections[0].sources.items()}
        content |= {**measured[0].known.to_dict(), "by_source": sources}
        content |= {"skipped": measured[0].skipped, "unreadable": measured[0].unreadable}
    if _are_compared(measured):
        content["domains"] = {one.name: one.to_dict() for one in measured}
    if folds:
        content["cross_validation"] = folds.to_dict()
    content["files"] = sorted({*(one.name for one in path.parent.iterdir()), path.name, PAGE})
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _text(scored: Scored) -> str:
    present = np.unique(scored.labels_n)  # a class without photos has no say in the averages
    table: str = classification_report(
        scored.labels_n,
        scored.predicted_n,
        labels=present,
        target_names=[scored.classes[place] for place in present],
        digits=4,
        zero_division=0,
    )
    return f"accuracy {scored.correct_n.mean():.4f} of {len(scored)} photos\n\n{table}"


def _render(
    sections: Sequence[_Section],
    measured: Sequence[DomainMetrics],
    compared: Mapping[str, tuple[str, str]],
    corrupted: Mapping[str, tuple[str, str]],
    folds: CrossValidation | None,
    *,
    worse: Worse | None,
    title: str,
    facts: Mapping[str, str],
) -> str:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(percent=_percent, ends=_ends, points=_points)
    template = resources.files(__package__).joinpath("report.html.j2").read_text("utf-8")
    known = [one.known.photos for one in measured if one.known]
    strange = [one.strange.photos for one in measured if one.strange]
    return environment.from_string(template).render(
        title=title,
        facts=facts,
        photos=sum(known) + sum(strange),
        domains=measured,
        class_rows=list(enumerate(sections[0].scored.classes)) if sections else [],
        compared=compared,
        panned=[name for name in compared if name.endswith(ACCEPTED)],
        sections=[_shown(one) for one in sections],
        worse=worse,
        corrupted=corrupted,
        folds=folds,
        few=FEW,
    )


def _shown(section: _Section) -> dict[str, Any]:
    """What the template needs of a domain."""
    metrics = section.metrics
    return {
        "name": section.name,
        "metrics": metrics,
        "headline": {
            "Accuracy": metrics.accuracy,
            "Balanced accuracy": metrics.balanced_accuracy,
            "Macro F1": metrics.macro_f1,
        },
        "by_novelty": section.scored.novelty_n is not None,
        "sources": section.sources,
        "figures": {name: (section.uris[name], text) for name, text in section.captions.items()},
        "mistakes": _mistakes(section.scored),
    }


def _percent(share: float | None) -> str:
    return "\N{EN DASH}" if share is None else f"{100.0 * share:.1f}{NO_BREAK}%"


def _ends(interval: Interval) -> str:
    return f"{100.0 * interval.low:.1f} to {_percent(interval.high)}".replace(" ", NO_BREAK)


def _points(interval: Interval) -> str:
    """A difference of two shares with its interval, in percentage points."""
    ends = (interval.value, interval.low, interval.high)
    value, low, high = (f"{100.0 * one:+.1f}" for one in ends)
    return f"{value} points ({low} to {high})".replace(" ", NO_BREAK)


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
