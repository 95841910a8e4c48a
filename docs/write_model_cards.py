"""Write `src/binsight/models/NAME.md`, the card of a built-in model, from measured reports.

    binsight evaluate small DATA/trashnet DATA/web --split mix.csv --part test --out report
    python docs/write_model_cards.py small report/

The first report holds the headline figures: all its photos, and those of each source. Further ones
add rows. Words come from `model_cards.toml`, figures from the bundle and the reports alone, and
what no report holds is left out. Photos that are none of the classes come from a report of several
domains, worse photos from its ``corruptions.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import textwrap
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import onnx

from binsight.bundle import Metadata, read_verified
from binsight.errors import BinsightError, UsageError
from binsight.files import write_text
from binsight.preprocess import PreprocessSpec
from binsight.runtime import BUILTIN, Classifier
from binsight.teaching.graph import read_memory

HERE = Path(__file__).parent
MODELS = HERE.parent / "src" / "binsight" / "models"
WIDTH = 100
BESIDE = ("memory.", "known.", "novelty.")  # constants that are no weights of the network
Report = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name", choices=BUILTIN)
    parser.add_argument("reports", type=Path, nargs="+", help="folders of binsight evaluate")
    parser.add_argument("--out", type=Path, help="[default: src/binsight/models/NAME.md]")
    options = parser.parse_args(arguments)
    out = options.out or MODELS / f"{options.name}.md"
    try:
        write_text(out, card(options.name, options.reports))
    except BinsightError as error:
        parser.error(str(error))
    print(f"wrote {out}")


def card(name: str, folders: Sequence[Path]) -> str:
    """The card of a built-in model.

    Raises:
        UsageError: a folder holds no report, or the first one no photos of known classes.
    """
    words = tomllib.loads((HERE / "model_cards.toml").read_text(encoding="utf-8"))
    reports = [report_in(folder) for folder in folders]
    if "accuracy" not in reports[0]:
        raise UsageError(f"{folders[0]}: measured no photos of the model's classes; name it later")
    rows = [row for report in reports for row in rows_of(report, words["labels"])]
    main_row = next(row for row in rows if row["main"])
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - Markdown of our own
    )
    environment.filters.update(percent=percent, interval=interval, listed=listed)
    template = environment.from_string((HERE / "model_card.md.j2").read_text(encoding="utf-8"))
    text = template.render(
        name=name,
        words=words[name],
        **bundle_facts(Classifier(name)),
        rows=rows,
        main=main_row,
        sure=[row for row in rows if row["coverage"] is not None],
        strange=[row for report in reports for row in strangers(report, words["labels"])],
        worse=next((report["worse"] for report in reports if report["worse"]), None),
        weakest=weakest(main_row),
    )
    return wrapped(text)


def report_in(folder: Path) -> Report:
    """A report's numbers, with what it measured of worse photos, if it did.

    Raises:
        UsageError: there is none.
    """
    try:
        report: Report = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder}: holds no report of binsight evaluate ({error})") from error
    corrupted = folder / "corruptions.json"
    report["worse"] = None
    if corrupted.is_file():
        report["worse"] = worse(json.loads(corrupted.read_text(encoding="utf-8")))
    return report


def rows_of(report: Report, labels: dict[str, str]) -> list[dict[str, Any]]:
    """Rows of all tables: each source, all together, and each further domain."""
    if "accuracy" not in report:
        return domains_of(report, labels)
    sources = report["by_source"]
    rows = [row(labels.get(name, name), part) for name, part in sources.items()]
    whole = "all of these" if sources else label_of(report, labels)
    return [*rows, row(whole, report, main=True), *domains_of(report, labels)[1:]]


def domains_of(report: Report, labels: dict[str, str]) -> list[dict[str, Any]]:
    """Rows of the domains that show the model's classes."""
    return [
        row(labels.get(name, name), domain["known"])
        for name, domain in report.get("domains", {}).items()
        if domain["known"]
    ]


def label_of(report: Report, labels: dict[str, str]) -> str:
    """What a report without sources calls its first photos."""
    name = next(iter(report.get("domains", {})), "") or Path(report["facts"]["photos"]).name
    return labels.get(name, name)


def row(name: str, metrics: dict[str, Any], *, main: bool = False) -> dict[str, Any]:
    """One row's figures."""
    selective = metrics["selective"] or {"coverage": None, "accuracy": None}
    return {
        "name": name,
        "main": main,
        "photos": metrics["photos"],
        "balanced_accuracy": metrics["balanced_accuracy"],
        "macro_f1": metrics["macro_f1"],
        "per_class": metrics["per_class"],
        "confusion": metrics["confusion"],
        "coverage": selective["coverage"],
        "accuracy": metrics["accuracy"],
        "accuracy_when_sure": selective["accuracy"],
        "calibration_error": metrics["expected_calibration_error"],
    }


def strangers(report: Report, labels: dict[str, str]) -> Iterable[dict[str, Any]]:
    """What it said of photos that show none of its classes."""
    for name, domain in report.get("domains", {}).items():
        if domain["strange"]:
            yield {"name": labels.get(name, name), **domain["strange"]}


def worse(measured: dict[str, Any]) -> dict[str, Any]:
    """Accuracy under corruptions, the worst family first."""
    means = {family: statistics.fmean(one.values()) for family, one in measured["accuracy"].items()}
    return {**measured, "families": sorted(means.items(), key=lambda one: one[1])}


def weakest(main_row: dict[str, Any]) -> dict[str, Any] | None:
    """The class with the lowest recall, and the two that it is taken for most."""
    classes = main_row["per_class"]
    shown = [n for n, one in enumerate(classes) if one["support"]]
    place = min(shown, key=lambda number: float(classes[number]["recall"]))
    counts = main_row["confusion"][place]
    wrong = [n for n in np.argsort(counts)[::-1].tolist() if n != place and counts[n]][:2]
    return {**classes[place], "taken_for": [classes[n]["name"] for n in wrong]} if wrong else None


def bundle_facts(classifier: Classifier) -> dict[str, Any]:
    """What the bundle says about itself."""
    data = read_verified(classifier.path)
    constants = [
        one
        for one in onnx.load_from_string(data).graph.initializer
        if not one.name.startswith(BESIDE)
        and one.data_type in {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
    ]
    metadata: Metadata = classifier.metadata
    memory = read_memory(data)
    changed = metadata.metrics.get("val_labels_changed_by_fp16")
    return {
        "classes": metadata.classes,
        "megabytes": f"{len(data) / 1e6:.1f}",
        "licence": metadata.licence,
        "architecture": metadata.architecture,
        "parameters": f"{sum(int(np.prod(one.dims)) for one in constants) / 1e6:.1f}",
        "half": any(one.data_type == onnx.TensorProto.FLOAT16 for one in constants),
        "input": input_words(metadata.preprocess),
        "seen": "the centre square" if metadata.preprocess.resize == "shorter" else "it small",
        "training": metadata.training,
        "threshold": metadata.threshold,
        "risk": metadata.threshold_risk,
        "novelty": getattr(metadata, "novelty", None) is not None,
        "val_photos": int(metadata.metrics.get("val_photos", 0)),
        "val_accuracy": metadata.metrics.get("val_accuracy"),
        "rounding_changed": None if changed is None else int(changed),
        "memory": memory
        and {
            "learned": int((~memory.held_out).sum()),
            "held_out": int(memory.held_out.sum()),
            "known": len(memory.learned),
            "megabytes": f"{memory.embeddings.nbytes / 1e6:.1f}",
        },
    }


def input_words(spec: PreprocessSpec) -> str:
    """How a photo becomes a tensor."""
    if spec.resize == "fit":
        scaled = f"longer side scaled to {spec.size} px, padded to a square"
    else:
        scaled = f"shorter side scaled to {spec.resize_to} px, centre square of {spec.size} px"
    plain = PreprocessSpec()
    usual = (spec.mean, spec.std) == (plain.mean, plain.std)
    return f"{scaled}, {'ImageNet mean and deviation' if usual else 'a mean of its own'}"


def percent(share: float | None) -> str:
    """Such as 93.5 %, or a dash."""
    return "-" if share is None else f"{100 * share:.1f} %"


def interval(one: dict[str, float] | None) -> str:
    """Such as 93.5 % (91.2 to 95.6), or a dash."""
    if one is None:
        return "-"
    return f"{percent(one['value'])} ({100 * one['low']:.1f} to {100 * one['high']:.1f})"


def listed(names: Sequence[str], last: str) -> str:
    """Such as glass, metal or paper."""
    return f" {last} ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def wrapped(text: str) -> str:
    """Paragraphs and list items at most `WIDTH` wide; tables, code and headings as they are."""
    blocks = [block.strip("\n") for block in text.split("\n\n") if block.strip()]
    return "\n\n".join(map(filled, blocks)) + "\n"


def filled(block: str) -> str:
    """One paragraph or list, filled anew."""
    if block.startswith(("#", "|", "    ")):
        return block
    items = block.replace("\n* ", "\0* ").split("\0")
    return "\n".join(
        textwrap.fill(
            " ".join(item.split()),
            WIDTH,
            subsequent_indent="  " if item.startswith("* ") else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for item in items
    )


if __name__ == "__main__":
    main()
