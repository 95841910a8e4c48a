"""``binsight data``: look at photos, split them, fetch them."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from binsight.errors import SplitError, UsageError
from binsight.learned import NOTHING, Learned

from .extras import needs_extra
from .labels import check_nothing_lost, doubted_labels, write_issues
from .progress import reporting
from .results import check_file, refuse_among
from .terminal import columns, padded, printable, warn

if TYPE_CHECKING:
    from binsight.data.catalog import Catalog
    from binsight.data.check import Report
    from binsight.data.relabel import LabelIssue
    from binsight.data.split import Split

LISTED = 10  # of what is wrong; --json has all of it
LONGEST_ROW = 1000  # letters; --json has all of it

app = typer.Typer(help="Look at photos, split them, fetch them.", no_args_is_help=True)

Photos = Annotated[
    list[Path],
    typer.Argument(help="Folders of class folders, or CSV files with path and label."),
]


Corrections = Annotated[
    Path | None,
    typer.Option(
        help="A CSV of decided labels, as data check --labels makes it; they count instead."
    ),
]


def scanned(photos: list[Path], decisions: Sequence[LabelIssue] = ()) -> Catalog:
    """Scan photos with progress, and correct their labels."""
    with needs_extra("data"):
        from binsight.data.catalog import scan
        from binsight.data.relabel import corrected

        with reporting("reading photos") as report:
            found = scan(photos, progress=report)
        return corrected(found, decisions)


def _decisions(corrections: Path | None) -> tuple[LabelIssue, ...]:
    from binsight.data.relabel import read_label_issues

    return read_label_issues(corrections) if corrections else ()


@app.command("check")
def check_photos(
    photos: Photos,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet, such as sheet.jpg.")
    ] = None,
    catalog: Annotated[
        Path | None, typer.Option(help="Write what was found, such as to catalog.csv.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Find wrong labels: a folder of folds, or its out-of-fold.csv."),
    ] = None,
    issues: Annotated[
        Path | None,
        typer.Option(help="Folder for what --labels finds.", show_default="beside out-of-fold.csv"),
    ] = None,
    most: Annotated[int, typer.Option(help="Photos on the page of --labels.", min=1)] = 200,
    corrections: Corrections = None,
) -> None:
    """Count photos, find unreadable, tiny and duplicate ones; with --labels, wrong labels."""
    from binsight.data.catalog import write_catalog
    from binsight.data.check import check, contact_sheet
    from binsight.images import check_picture

    given = [*photos, *([corrections] if corrections else [])]
    if catalog:
        check_file(catalog, "--catalog", given)
    if sheet:
        check_picture(sheet)
        refuse_among(sheet, photos, "--sheet")
    if issues and labels is None:
        raise UsageError("--issues needs --labels; make one with: binsight train PHOTOS --folds 5")
    decisions = _decisions(corrections)
    folder = issues or (labels.parent if labels and not labels.is_dir() else labels)
    if folder:
        check_nothing_lost(folder, decisions)
    found = scanned(photos, decisions)
    report = check(found)
    doubted = doubted_labels(found, labels, decisions) if labels else None
    if catalog:
        write_catalog(catalog, found)
    if sheet:
        contact_sheet(found, sheet)
    if as_json:
        more = {} if doubted is None else {"label_issues": [asdict(one) for one in doubted]}
        typer.echo(json.dumps(report.to_dict() | more, indent=2))
    else:
        _print_report(report)
        _print_list("label probably wrong", map(_doubt, doubted or ()))
    if folder and doubted is not None:
        write_issues(found, doubted, decisions, folder, most=most)


def _doubt(issue: LabelIssue) -> str:
    return f"{issue.path}: {issue.label} ({issue.score:.1%}), rather {issue.suggested}"


def _print_report(report: Report) -> None:
    names = max(20, *(columns(printable(row.name)) for row in report.classes))
    typer.secho(f"{padded('class', names)} {'photos':>8} {'share':>7}", bold=True)
    for row in report.classes:
        name = padded(printable(row.name), names)
        typer.echo(f"{name} {row.photos:>8,} {row.share:>7.1%}")
    typer.echo(f"{padded('all', names)} {report.photos:>8,}")
    _print_list("unreadable or left out", (f"{p.path}: {p.reason}" for p in report.problems))
    _print_list("tiny", (f"{p.path} ({p.width} x {p.height})" for p in report.tiny))
    _print_list("same file", (", ".join(group) for group in report.exact))
    _print_list("same picture", (", ".join(group) for group in report.near))
    conflicts = (
        ", ".join(f"{path} ({label})" for path, label in zip(one.paths, one.labels, strict=True))
        for one in report.conflicts
    )
    _print_list("same picture, different class", conflicts)
    for warning in report.warnings:
        typer.secho(f"note: {printable(warning)}", fg="yellow")


def _print_list(title: str, items: Iterable[str]) -> None:
    rows = list(items)
    if not rows:
        return
    typer.secho(f"\n{title}: {len(rows):,}", bold=True)
    for row in rows[:LISTED]:
        shown = printable(row)
        typer.echo(f"  {shown if len(shown) <= LONGEST_ROW else shown[:LONGEST_ROW] + ' ...'}")
    if len(rows) > LISTED:
        typer.echo(f"  ... and {len(rows) - LISTED:,} more (--json lists all)")


@app.command("split")
def split_photos(
    photos: Photos,
    out: Annotated[Path, typer.Option(help="The split, a CSV file.")],
    ratios: Annotated[
        str | None,
        typer.Option(
            help="Such as train=0.8,val=0.2.", show_default="train=0.7,val=0.15,test=0.15"
        ),
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Make this many equal parts instead.")] = None,
    lists: Annotated[
        list[str] | None,
        typer.Option("--list", help="A part from a file of names or another split: test=test.txt."),
    ] = None,
    keep_straddling: Annotated[
        bool, typer.Option(help="With --list: keep duplicates that two lists claim.")
    ] = False,
    learned_by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN|FILE|NAME",
            help="Put what this model learned from into train, to go on from it.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another one gives another split.")] = 0,
    corrections: Corrections = None,
) -> None:
    """Divide photos into parts; duplicates stay together.

    With --list, photos that no list names are dealt out by --ratios or into --folds, or left unused
    without these.
    """
    from binsight.data.split import (
        DEFAULT_RATIOS,
        resolve_lists,
        split_by_lists,
        split_by_ratios,
        split_into_folds,
        write_split,
    )

    if folds is not None and ratios:
        raise UsageError("--folds are equal parts; leave --ratios out, or --folds")
    files = [_part_and_file(item) for item in lists or []]
    given = [*photos, *(file for _, file in files), *([corrections] if corrections else [])]
    check_file(out, "--out", given)
    shares = _parse_ratios(ratios) if ratios else None
    named = _read_lists(lists or [])
    known = _learned(learned_by or [])  # before all photos are read
    catalog = scanned(photos, _decisions(corrections))
    if learned_by:
        shares = shares or (None if named else DEFAULT_RATIOS)
        paths = _known_paths(catalog, known, learned_by)
        if not keep_straddling:
            named = _without_copies(catalog, named, paths)
        named.setdefault("train", []).extend(paths)
    if folds is not None:
        split = split_into_folds(
            catalog, folds, lists=named, seed=seed, keep_straddling=keep_straddling
        )
    elif named:
        split = split_by_lists(
            catalog, named, rest=shares, seed=seed, keep_straddling=keep_straddling
        )
    else:
        split = split_by_ratios(catalog, shares or DEFAULT_RATIOS, seed=seed)
    replaced = out.exists()
    write_split(out, split)
    _print_split(split, catalog)
    _tell_of_unused(split, resolve_lists(catalog, named))
    typer.echo(f"{'replaced' if replaced else 'wrote'} {out}")


def _parse_ratios(text: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for item in text.split(","):
        name, equals, number = item.partition("=")
        try:
            share = float(number)
        except ValueError:
            equals = ""
            share = 0.0
        if not equals or not name.strip() or name.strip() in shares:
            raise SplitError(f"--ratios {text}: give each part once, such as train=0.8,val=0.2")
        shares[name.strip()] = share
    return shares


def _read_lists(items: list[str]) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for item in items:
        part, file = _part_and_file(item)
        lists.setdefault(part, []).extend(_names(item, part, file))
    return lists


def _part_and_file(item: str) -> tuple[str, Path]:
    part, equals, file = item.partition("=")
    if not equals or not part or not file:
        raise SplitError(f"--list {item}: give PART=FILE, such as test=test.txt")
    return part, Path(file)


def _learned(models: list[str]) -> Learned:
    """Photos that models learned from."""
    from binsight.training.run import learned_from

    known = NOTHING
    for model in models:
        learned = learned_from(model)
        if not learned:
            raise UsageError(f"--learned-by {model}: no run or bundle that kept a record")
        known |= learned
    return known


def _without_copies(
    catalog: Catalog, named: Mapping[str, list[str]], known: Collection[str]
) -> dict[str, list[str]]:
    """Lists without copies of known photos, which then go into train with these."""
    from binsight.data.split import resolve_lists

    group_of = {photo.path: photo.group for photo in catalog.photos}
    groups = {group_of[path] for path in known}
    kept: dict[str, list[str]] = {part: [] for part in named}
    copies: list[str] = []
    for path, part in resolve_lists(catalog, named).items():
        is_copy = part != "train" and group_of[path] in groups and path not in known
        (copies if is_copy else kept[part]).append(path)
    if copies:
        _note(
            f"{len(copies)} listed photos, such as {printable(copies[0])}, are copies of photos "
            "that the model learned from; they go into train with these"
        )
    return kept


def _known_paths(catalog: Catalog, known: Learned, models: list[str]) -> list[str]:
    found = [photo.path for photo in catalog.photos if photo.sha256 in known]
    if not found:
        warn(f"note: {' and '.join(models)} learned from none of these photos")
    return found


def _names(item: str, part: str, file: Path) -> list[str]:
    """The lines of a file, or the photos that another split has in the part."""
    from binsight.data.split import COLUMNS, read_split

    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise SplitError(f"--list {item}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SplitError(f"--list {item}: no text in UTF-8 ({error})") from error
    if set(COLUMNS) <= set(next(csv.reader(lines[:1]), [])):
        return list(read_split(file).paths(part))
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise SplitError(f"--list {item}: the file names no photo")
    return names


def _print_split(split: Split, catalog: Catalog) -> None:
    counts = split.counts()
    classes = sorted(set(split.label_of.values()))
    shown = {name: printable(name) for name in classes}
    widths = {name: max(7, columns(shown[name])) for name in classes}
    head = " ".join(" " * (widths[name] - columns(shown[name])) + shown[name] for name in classes)
    typer.secho(f"{'part':10} {head} {'all':>8}", bold=True)
    for part, row in counts.items():
        cells = " ".join(f"{row[name]:>{widths[name]},}" for name in classes)
        typer.echo(f"{part:10} {cells} {sum(row.values()):>8,}")
    if split.straddling():
        _note(f"{len(split.straddling())} duplicate groups are in more than one part")
    if catalog.problems:
        first = catalog.problems[0]
        left_out = f"{len(catalog.problems)} files were left out"
        _note(f"{left_out}, such as {printable(first.path)}: {printable(first.reason)}")
    for folder in sorted(_lost_folders(catalog)):
        _note(f"no photo in {printable(folder)} is left; see binsight data check")


def _lost_folders(catalog: Catalog) -> set[str]:
    """Folders with photos of which none can be used, such as a whole class."""
    lost = {problem.path.rpartition("/")[0] for problem in catalog.problems} - {""}
    if lost:
        lost -= {
            str(above) for photo in catalog.photos for above in PurePosixPath(photo.path).parents
        }
    return lost


def _note(text: str) -> None:
    typer.secho(f"note: {text}", fg="yellow")


def _tell_of_unused(split: Split, listed: Mapping[str, str]) -> None:
    """Say which listed photos are in no part, for a copy of theirs that another list claims."""
    from binsight.data.split import UNUSED

    unused = [path for path in listed if split.part_of[path] == UNUSED]
    if unused:
        _note(
            f"{len(unused)} listed photos are left unused, such as {printable(unused[0])}: copies "
            "of them are on the list of another part (--keep-straddling uses them)"
        )


@app.command("fetch")
def fetch_photos(
    source: Annotated[str, typer.Argument(help="trashnet, or the URL of a .zip, .tar or .tar.gz.")],
    out: Annotated[Path, typer.Option(help="New folder for the photos.")],
    sha256: Annotated[str | None, typer.Option(help="Checksum of the archive.")] = None,
) -> None:
    """Download a data set into class folders; an interrupted transfer is resumed."""
    with needs_extra("data"):
        from binsight.data.fetch import fetch

        with reporting("downloading", unit="bytes") as report:
            result = fetch(source, out, sha256=sha256, progress=report)
    for name, count in result.classes.items():
        typer.echo(f"{padded(printable(name), 20)} {count:>8,}")
    if result.ignored:
        such = f", such as {printable(result.example)}" if result.example else ""
        typer.echo(f"left out {result.ignored:,} files that are no photos of a class{such}")
    typer.echo(f"{result.photos:,} photos in {result.folder}")
