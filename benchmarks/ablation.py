"""What is each idea of a recipe worth? One training for each, on the same photos and seed.

    .venv-dev/bin/python benchmarks/ablation.py DATA/trashnet DATA/web --split mix.csv \
        --weights mobilenet_v2_imagenet.safetensors --out build/ablation

The rows stand in `ablation.toml`: the first is what the others are compared with, and each of these
changes it in one way. Every row is a run of `binsight train`, in ``--out``. What is trained there
already is not trained again, and an interrupted row goes on.

It prints a table in Markdown: how many of the ``val`` photos of each folder are right, and how many
were won and lost against the first row, with a star where an exact sign test (McNemar's) says p <
0.05. All are asked after their last epoch: a best one would be chosen by these very photos.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest

from binsight.data.labelled import labelled_part
from binsight.data.split import UNUSED, Split, read_split, write_split
from binsight.evaluation.scored import read_predictions, write_predictions
from binsight.evaluation.scoring import RunModel, score
from binsight.files import write_text
from binsight.training.checkpoints import last_network
from binsight.training.run import open_run

PROGRAM = Path(sys.executable).with_name("binsight")
ROWS = Path(__file__).with_suffix(".toml")
SURE = 0.05
Right = Mapping[str, bool]


class Row(BaseModel):
    """One training.

    Args:
        name: of the idea.
        recipe: that it changes; a file lies beside the file of the rows.
        changes: ``KEY=VALUE``, as for ``--set``.
        without: folders whose photos validate only.
        share: ``FOLDER=NUMBER``, as for ``--share``.
        teacher: a run or a bundle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    recipe: str = "default"
    changes: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    share: tuple[str, ...] = ()
    teacher: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        return re.sub(r"\W+", "-", self.name.lower()).strip("-")


def main() -> None:
    asked = arguments()
    rows = read_rows(asked.rows)
    split = read_split(asked.split)
    asked.out.mkdir(parents=True, exist_ok=True)
    right = {}
    for row in rows:
        if asked.only and row.folder not in asked.only:
            continue
        right[row.name] = measured(row, asked, split)
        write_text(asked.out / "table.md", table(right))
    sys.stdout.write(table(right))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path, nargs="+", help="the split's photos")
    parser.add_argument("--split", type=Path, required=True, help="with the parts train and val")
    parser.add_argument("--weights", required=True, help="first weights, as for binsight train")
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--only", nargs="*", help="the rows of these folders in --out")
    parser.add_argument("--set", action="append", default=[], help="changes every row")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build/ablation"))
    return parser.parse_args()


def read_rows(file: Path) -> list[Row]:
    """The rows; what one leaves open is as in the first, and its changes come on top."""
    first, *others = tomllib.loads(file.read_text(encoding="utf-8"))["row"]
    if (recipe := file.parent / first.get("recipe", "")).is_file():
        first["recipe"] = str(recipe)
    base = Row(**first)
    rows = [base]
    for other in others:
        given = first | other
        given["changes"] = [*base.changes, *other.get("changes", ())]
        rows.append(Row(**given))
    return rows


def measured(row: Row, asked: argparse.Namespace, split: Split) -> Right:
    """Train a row, unless that is done; which photos of ``val`` it gets right."""
    answers = asked.out / f"{row.folder}-answers.csv"
    if not answers.exists():
        train(row, asked, split)
        run = open_run(asked.out / row.folder)
        paths, photos = labelled_part(run.photos(), run.split, "val", run.facts.classes)
        write_predictions(answers, score(RunModel(run, last_network(run)), paths, photos))
    scored = read_predictions(answers)
    return dict(zip(scored.paths, scored.correct_n.tolist(), strict=True))


def train(row: Row, asked: argparse.Namespace, split: Split) -> None:
    parts = asked.out / f"{row.folder}.csv"
    write_split(parts, leaving_out(split, row.without))
    more = {
        "--set": (*row.changes, *asked.set),
        "--share": row.share,
        "--teacher": row.teacher,
    }
    command = [
        *(PROGRAM, "train", *asked.photos, "--split", parts, "--out", asked.out / row.folder),
        *("--recipe", row.recipe, "--weights", asked.weights, "--workers", asked.workers),
        *("--cache", asked.out / "cache", "--resume"),
        *(word for option, values in more.items() for one in values for word in (option, one)),
    ]
    sys.stderr.write(f"\n{row.name}: {' '.join(map(str, command[1:]))}\n")
    subprocess.run([*map(str, command)], stdout=sys.stderr, check=True)  # noqa: S603


def leaving_out(split: Split, folders: tuple[str, ...]) -> Split:
    """The same validation photos, and none of these folders to learn from."""
    part_of = {
        path: UNUSED if part == "train" and path.split("/")[0] in folders else part
        for path, part in split.part_of.items()
    }
    return replace(split, part_of=part_of)


def table(right: Mapping[str, Right]) -> str:
    first = next(iter(right.values()))
    folders = sorted({path.split("/")[0] for path in first})
    counts = [sum(path.startswith(f"{folder}/") for path in first) for folder in folders]
    heads = [
        f"{folder} ({count}) | won, lost" for folder, count in zip(folders, counts, strict=True)
    ]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * (2 * len(folders))}"]
    for name, its in right.items():
        pairs = [compared(of(its, folder), of(first, folder)) for folder in folders]
        lines.append(f"| {name} | {' | '.join(cell for pair in pairs for cell in pair)} |")
    return "\n".join(lines) + "\n"


def of(right: Right, folder: str) -> NDArray[np.bool_]:
    return np.array([right[path] for path in sorted(right) if path.startswith(f"{folder}/")])


def compared(right_n: NDArray[np.bool_], first_n: NDArray[np.bool_]) -> tuple[str, str]:
    """Accuracy, and what a sign test says of the photos that both do not answer alike."""
    won, lost = int((right_n & ~first_n).sum()), int((~right_n & first_n).sum())
    differ = won + lost
    star = " *" if differ and binomtest(won, differ).pvalue < SURE else ""
    return f"{right_n.mean() * 100:.1f} %", f"+{won} -{lost}{star}" if differ else ""


if __name__ == "__main__":
    main()
