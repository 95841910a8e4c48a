"""``binsight evaluate``: a run or a bundle and labelled photos in, a report out."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from binsight import __version__
from binsight.bundle import now
from binsight.errors import UnexplainableError, UsageError
from binsight.files import numbered
from binsight.runtime import Classifier, bundle_path

from .evaluate_on import (
    Asked,
    HomePlan,
    distinct,
    open_model,
    paired,
    plan_home,
    planned,
    score_home,
    show,
)
from .evaluated import print_domains, print_one, print_robustness
from .extras import needs_extra
from .progress import reporting
from .results import check_folder
from .terminal import INTERRUPTED, printable, warn

if TYPE_CHECKING:
    from PIL.Image import Image

    from binsight.evaluation.domains import Domain
    from binsight.evaluation.figures import LookAt
    from binsight.evaluation.report import Worse

CORRUPTED_SAMPLE = 100
LONGEST_NAME = 100  # letters of a folder's name that say what is in it
DATA_FACTS = ("model", "photos", "part", "on")
EVERY_SEVERITY = "1,2,3,4,5"
NOT_PLAIN = re.compile(r"[^\w.+]+")


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE|NAME", help="A run folder, a bundle, or one that is built in."
        ),
    ],
    photos: Annotated[
        list[Path] | None,
        typer.Argument(help="Labelled photos; a run knows its own."),
    ] = None,
    split: Annotated[Path | None, typer.Option(help="Evaluate on a part of this split.")] = None,
    part: Annotated[
        str | None, typer.Option(help="Part of the split.", show_default="test, or else val")
    ] = None,
    on: Annotated[
        list[Path] | None,
        typer.Option(help="Also on this folder of class folders, or CSV, as a domain of its own."),
    ] = None,
    map_: Annotated[
        list[Path] | None,
        typer.Option(
            "--map",
            metavar="FILE",
            help="What the class names of --on mean: one file for all, or one for each.",
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1, help="At most so many photos of each domain.", show_default="all; 100 to corrupt"
        ),
    ] = None,
    corruptions: Annotated[
        bool,
        typer.Option(
            "--corruptions",
            help="Also under twelve corruptions: some minutes on two cores for 100 photos.",
        ),
    ] = False,
    severities: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Strengths of the --corruptions.", show_default=EVERY_SEVERITY
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the report.",
            show_default="RUN/evaluation-PART; of a bundle, NAME-evaluation-PHOTOS here",
        ),
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(help="A CSV of decided labels of the photos; a run keeps its own."),
    ] = None,
) -> None:
    """Measure a model: accuracy with intervals, confusion matrix, figures, an HTML report.

    With --on, domains stand side by side; a map gives the model's class for each of their names,
    or "none" or "skip".
    """
    others = paired(tuple(on or ()), tuple(map_ or ()))
    path = bundle_path(model)
    with needs_extra("train"):
        from binsight.evaluation.domains import measure_domains
        from binsight.evaluation.report import write_report

        if severities is not None and not corruptions:
            raise UsageError("--severities goes with --corruptions; add that")
        strengths = _severities(EVERY_SEVERITY if severities is None else severities)
        asked = open_model(path, model)
        to_show = planned(asked, others, sample)
        plan = plan_home(asked, tuple(photos or ()), split, part, bool(others), corrections)
        if corruptions and not plan and not any(one.has_known for one in to_show):
            raise UsageError("--corruptions needs photos of classes that the model knows")
        facts = facts_of(model, plan, [source for source, _ in others], sample)
        names = [*(one.name for one in to_show), *(["corruptions"] if corruptions else [])]
        folder = out or _default_folder(path, plan, names, facts)
        check_folder(folder, [*(photos or ()), *(on or ())])
        home = score_home(asked.model, plan, sample) if plan else None
        elsewhere = [show(asked, one) for one in to_show]
        domains = distinct([home, *elsewhere] if home else elsewhere)
        measured = measure_domains(domains, threshold=asked.threshold)
        worse = _corrupted(asked, domains, strengths, sample) if corruptions else None
        name = printable(path.name if path.is_dir() else path.stem)
        page = write_report(
            folder,
            domains,
            measured,
            title=f"{name} on {', '.join(one.name for one in domains)}",
            facts=facts,
            worse=worse,
            look_at=_look_at(path),
        )
    if len(measured) > 1 or measured[0].strange or not measured[0].known:
        print_domains(measured)
    else:
        print_one(domains[0].known, measured[0].known, domains[0].labels)
    if worse:
        print_robustness(worse.measured)
    typer.echo(f"report: {page}")
    if worse and worse.measured.photos < worse.measured.wanted:
        raise typer.Exit(INTERRUPTED)


def _severities(text: str) -> tuple[int, ...]:
    from binsight.evaluation.corruptions import SEVERITIES

    names = [one.strip() for one in text.split(",")]
    allowed = {str(severity): severity for severity in SEVERITIES}
    if wrong := [name for name in names if name not in allowed]:
        raise UsageError(
            f"--severities {text}: {wrong[0]!r} is none; give some of {EVERY_SEVERITY}"
        )
    return tuple(sorted({allowed[name] for name in names}))


def _corrupted(
    asked: Asked, domains: Sequence[Domain], severities: tuple[int, ...], sample: int | None
) -> Worse:
    """The first domain that has photos of known classes, under every corruption."""
    from binsight.evaluation import robustness
    from binsight.evaluation.corruptions import FAMILIES
    from binsight.evaluation.domains import SAMPLE_SEED, sample_of
    from binsight.evaluation.report import Worse

    domain = next((one for one in domains if len(one.known)), None)
    if domain is None:
        raise UsageError("--corruptions: no photo of a class that the model knows can be read")
    drawn = sample_of(len(domain.known), sample or CORRUPTED_SAMPLE)
    # In no order, so that what an interrupt leaves is of all classes.
    drawn = np.random.default_rng(SAMPLE_SEED).permutation(drawn).tolist()
    paths = [domain.known.paths[place] for place in drawn]
    with reporting("corrupting", unit="pictures") as report:
        shown = robustness.show_corrupted(
            asked.model,
            domain.root,
            paths,
            domain.known.labels_n[drawn],
            group_n=None if domain.known.group_n is None else domain.known.group_n[drawn],
            severities=severities,
            progress=report,
        )
    telling = robustness.most_telling(domain.root, paths, asked.model)
    return Worse(
        domain.name,
        robustness.measure_robustness(shown),
        robustness.shown(domain.root / telling, asked.model),
        robustness.photo_seed(telling),
        FAMILIES,
    )


def _look_at(model: Path) -> LookAt | None:
    """Draws where the model looked; ``None``, and a note, for a bundle that cannot tell."""
    from binsight.explain import BundleExplainer, Explainer, explain_with
    from binsight.explain.overlay import overlay
    from binsight.images import decode

    explainer: Explainer
    if model.is_dir():
        from binsight.explain.torch_cam import LastFeatures

        explainer = LastFeatures.of_run(model)
    else:
        try:
            explainer = BundleExplainer(Classifier(model))
        except UnexplainableError as error:
            warn(f"no maps in the report: {error}")
            return None

    def look_at(photo: Path, label: str) -> Image:
        return overlay(decode(photo, min_side=512), explain_with(explainer, photo, label))

    return look_at


def _default_folder(
    model: Path, plan: HomePlan | None, others: Sequence[str], facts: Mapping[str, str]
) -> Path:
    """One for each model and data, numbered where another's report has that name."""
    first = [] if plan is None else [plan.chosen if plan.of_run else plan.name]
    plain = (NOT_PLAIN.sub("-", name).strip("-") or "photos" for name in [*first, *others])
    name = f"evaluation-{'+'.join(plain)[:LONGEST_NAME]}"
    base = model / name if model.is_dir() else Path(f"{model.stem}-{name}")
    free = (base.with_name(name) for name in numbered(base.name))
    return next(one for one in free if not one.exists() or _same_data(one, facts))


def _same_data(folder: Path, facts: Mapping[str, str]) -> bool:
    """Whether there is a report of the same model and data."""
    from binsight.evaluation.report import written_before

    there = written_before(folder).get("facts")
    return isinstance(there, dict) and all(there.get(one) == facts.get(one) for one in DATA_FACTS)


def facts_of(
    model: str, home: HomePlan | None, others: Sequence[Path] = (), sample: int | None = None
) -> dict[str, str]:
    """What to know about an evaluation, in the order in which a report shows it."""
    facts = {"model": model}
    if home:
        facts |= {
            "photos": str(home.catalog.root),
            "part": home.chosen,
            "catalog": home.catalog.digest,
        }
        if home.note:
            facts["note"] = home.note
    if others:
        facts["on"] = ", ".join(map(str, others))
    if sample:
        facts["sample"] = f"at most {sample:,} photos of each domain"
    facts |= {
        "command": shlex.join(["binsight", *sys.argv[1:]]),
        "binsight": __version__,
        "date": now(),
    }
    return {name: printable(value) for name, value in facts.items()}
