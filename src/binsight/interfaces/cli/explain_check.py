"""``binsight explain --check``: what was measured of the maps, printed and written as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer

from binsight.errors import ImageError, UsageError
from binsight.explain import Explainer
from binsight.explain.sanity import RIVALS, Checked, check_photo, summary
from binsight.files import write_text

from .explained import Explained
from .progress import reporting
from .terminal import printable

__all__ = ["check_all"]

SEED = 0
QUESTIONS = {
    "deletion": "deletion, small is good",
    "insertion": "insertion, large is good",
    "pointing": "pointing at the object",
    "on_object": "heat on the object",
}


def check_all(
    explainer: Explainer,
    found: Sequence[Explained],
    label: str | None,
    out: Path,
    *,
    sample: int,
    as_json: bool,
) -> int:
    """Measure, print and write; return how many photos could not be read.

    Raises:
        UsageError: none could be read, or the file cannot be written.
    """
    rows: list[dict[str, object]] = []
    checked: list[Checked] = []
    chosen = _sample(found, sample)
    with reporting("checking") as report:
        for done, (number, one) in enumerate(chosen, start=1):
            try:
                # A generator of its own, so that one broken photo changes no other's result.
                random = np.random.default_rng([SEED, number])
                checked.append(check_photo(explainer, one.path, random, label))
                rows.append({"path": str(one.path), **checked[-1].to_dict()})
            except ImageError as error:
                rows.append({"path": str(one.path), "error": str(error)})
                typer.secho(printable(error), fg="red", err=True)
            report(done, len(chosen))
    if not checked:
        raise UsageError("none of the photos could be read")
    result = {"seed": SEED, **summary(checked, SEED), "rows": rows}
    text = json.dumps(result, indent=2)
    try:
        write_text(out, f"{text}\n")
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror or error})") from error
    if as_json:
        typer.echo(text)
    else:
        _print(result, found=len(found))
        typer.echo(f"wrote {printable(out)}")
    return len(chosen) - len(checked)


def _sample(found: Sequence[Explained], sample: int) -> list[tuple[int, Explained]]:
    """Drawn with a fixed seed, in their order."""
    if len(found) <= sample:
        return list(enumerate(found))
    drawn = np.random.default_rng(SEED).choice(len(found), sample, replace=False)
    return [(number, found[number]) for number in sorted(drawn.tolist())]


def _print(result: dict[str, Any], *, found: int) -> None:
    typer.echo(f"{result['photos']} of {found} photos")
    heads = "".join(f"{name:>9}" for name in RIVALS)
    typer.secho(f"{'':28}{'photos':>7}{heads}   map better by (95 % interval)", bold=True)
    for key, words in QUESTIONS.items():
        row = result[key]
        if row is None:
            typer.echo(f"{words:28}{0:>7}   no photo shows an object on a plain board")
            continue
        means = "".join(f"{row[name]:>9.3f}" for name in RIVALS)
        better = "; ".join(_gain(row, rival) for rival in RIVALS[1:])
        typer.echo(f"{words:28}{row['photos']:>7}{means}   {better}")
    if result["object_share"] is not None:
        typer.echo(f"objects fill {result['object_share']:.1%} of the photos on a plain board")


def _gain(row: dict[str, Any], rival: str) -> str:
    gain = row[f"better_than_{rival}"]
    return f"{rival} {gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"
