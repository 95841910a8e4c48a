from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binsight.bundle import class_name
from binsight.data.catalog import Catalog, Photo, Problem
from binsight.data.relabel import (
    LabelIssue,
    check_class_names,
    corrected,
    decision_of,
    read_label_issues,
    write_label_issues,
)
from binsight.errors import CorrectionError


def photo(path: str) -> Photo:
    label = path.split("/", maxsplit=1)[0]
    return Photo(path=path, label=label, bytes=1, width=9, height=9, sha256=path, group=0)


def catalog_of(*paths: str, problems: tuple[Problem, ...] = ()) -> Catalog:
    return Catalog(Path(), tuple(map(photo, paths)), problems)


CATALOG = catalog_of("glass/1.jpg", "glass/2.jpg", "metal/1.jpg")


def written(folder: Path, text: str) -> Path:
    file = folder / "labels.csv"
    file.write_text(text, encoding="utf-8")
    return file


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12)
words = texts.map(str.strip)


@given(
    st.lists(
        st.builds(
            LabelIssue,
            path=texts.filter(bool),
            label=words.map(class_name),
            suggested=words.map(class_name),
            score=st.none() | st.integers(0, 10_000).map(lambda number: number / 10_000),
            decision=words.map(class_name),
        ),
        unique_by=lambda issue: issue.path,
    )
)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, issues) -> None:
    file = tmp_path_factory.mktemp("labels") / "labels.csv"
    write_label_issues(file, issues)
    assert read_label_issues(file) == tuple(issues)


def test_a_path_and_a_decision_are_enough(tmp_path: Path) -> None:
    # As a spreadsheet saves it: a byte order mark, Windows' line ends, other columns.
    file = written(tmp_path, "\ufeffdecision,note,path\r\nmetal,why not,glass/1.jpg\r\n")
    assert read_label_issues(file) == (LabelIssue(path="glass/1.jpg", decision="metal"),)


def test_rows_are_read_however_paths_and_accents_are_written(tmp_path: Path) -> None:
    file = written(tmp_path, "path,decision\n./glass/1.jpg,Me\u0301tal\n")
    assert read_label_issues(file) == (LabelIssue(path="glass/1.jpg", decision="M\xe9tal"),)


def test_decisions_relabel_and_drop(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "path,label,suggested,score,decision\n"
        "glass/1.jpg,glass,metal,0.01,metal\n"
        "glass/2.jpg,glass,metal,0.02,drop\n"
        "metal/1.jpg,metal,glass,0.03,keep\n",
    )
    issues = read_label_issues(file)
    found = corrected(CATALOG, issues)
    assert {one.path: one.label for one in found.photos} == {
        "glass/1.jpg": "metal",
        "metal/1.jpg": "metal",
    }
    assert found.classes == ("metal",)
    assert found.digest != CATALOG.digest
    assert decision_of(issues) == {
        "glass/1.jpg": "metal",
        "glass/2.jpg": "drop",
        "metal/1.jpg": "keep",
    }


def test_what_is_not_decided_changes_nothing() -> None:
    undecided = LabelIssue(path="gone.jpg", label="glass", suggested="metal")
    kept = LabelIssue(path="glass/1.jpg", decision="keep")
    assert corrected(CATALOG, [undecided]) is CATALOG
    assert corrected(CATALOG, [kept]).digest == CATALOG.digest


def test_a_photo_that_cannot_be_read_any_more_may_be_decided() -> None:
    catalog = catalog_of("glass/1.jpg", problems=(Problem("glass/2.jpg", "truncated"),))
    assert corrected(catalog, [LabelIssue(path="glass/2.jpg", decision="drop")]) == catalog


def test_what_was_dropped_may_be_gone() -> None:
    gone = LabelIssue(path="glass/3.jpg", decision="drop")
    kept = LabelIssue(path="glass/1.jpg", decision="metal")
    assert corrected(CATALOG, [gone, kept]) == corrected(CATALOG, [kept])


def test_a_class_that_is_called_like_a_decision_is_told_of() -> None:
    with pytest.raises(CorrectionError, match="a class is called keep"):
        check_class_names(catalog_of("keep/1.jpg", "glass/1.jpg"))


@pytest.mark.parametrize(
    ("issue", "reason"),
    [
        (LabelIssue(path="glass/3.jpg", decision="drop"), "not there, such as glass/3.jpg"),
        (LabelIssue(path="glass/1.jpg", decision="tin"), "'tin' is no class; .* glass, metal"),
        (LabelIssue(path="glass/1.jpg", label="paper", decision="keep"), "is glass, not paper"),
    ],
)
def test_decisions_that_do_not_fit_are_refused(issue: LabelIssue, reason: str) -> None:
    with pytest.raises(CorrectionError, match=reason):
        corrected(CATALOG, [issue])


def test_dropping_everything_is_refused() -> None:
    everything = [LabelIssue(path=one.path, decision="drop") for one in CATALOG.photos]
    with pytest.raises(CorrectionError, match="drop every photo"):
        corrected(CATALOG, everything)


def test_a_class_with_the_name_of_a_decision_is_refused() -> None:
    with pytest.raises(CorrectionError, match="called keep"):
        corrected(catalog_of("keep/1.jpg"), [LabelIssue(path="keep/1.jpg", decision="keep")])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path,label\nglass/1.jpg,glass\n", "no column decision"),
        ("", "no column path and no column decision"),
        ("path,decision\n,drop\n", "line 2: no path"),
        ("path;decision\na;drop\n", "it has semicolons, save it with commas"),
        ("path,decision\na.jpg,drop\na.jpg,keep\n", "a.jpg is decided as drop and as keep"),
        ("path,score,decision\na.jpg,much,drop\n", "line 2: much is no score"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(CorrectionError, match=reason):
        read_label_issues(written(tmp_path, text))


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorrectionError, match="No such file"):
        read_label_issues(tmp_path / "none.csv")
    (tmp_path / "photo.csv").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(CorrectionError, match="UTF-8"):
        read_label_issues(tmp_path / "photo.csv")


def test_of_two_rows_the_decided_one_counts(tmp_path: Path) -> None:
    file = written(tmp_path, "path,decision\na.jpg,\na.jpg,drop\na.jpg,\n")
    assert read_label_issues(file) == (LabelIssue(path="a.jpg", decision="drop"),)
