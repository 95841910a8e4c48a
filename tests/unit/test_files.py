from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from binsight.files import check_writable, creating, drafting, replacing, write_text


def test_text_is_written_with_its_folders(tmp_path):
    path = tmp_path / "new" / "folder" / "notes.txt"
    write_text(path, "käse\nbrot\n")
    assert path.read_bytes() == "käse\nbrot\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_success_replaces(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("old and longer")
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
        assert path.read_text() == "old and longer"
        temporary.write_text("new")
        assert path.read_text() == "old and longer"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_failure_leaves_the_target_and_nothing_else(tmp_path, failure):
    path = tmp_path / "notes.txt"
    path.write_text("old")

    def write():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(type(failure)):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False])
def test_what_is_created_takes_no_name_that_is_taken(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr("binsight.files.os.link", without_links)
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "elsewhere")
    with creating(tmp_path / "new.txt") as temporary:
        temporary.write_text("new")
    for name in ("new.txt", "dangling.txt"):
        with pytest.raises(FileExistsError), creating(tmp_path / name) as temporary:
            temporary.write_text("other")
    assert (tmp_path / "new.txt").read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"new.txt", "dangling.txt"}


def test_what_cannot_be_created_leaves_no_name_behind(tmp_path, monkeypatch):
    def failing(*_):
        raise PermissionError("in use")

    monkeypatch.setattr("binsight.files.os.link", without_links)
    monkeypatch.setattr(type(tmp_path), "replace", failing)
    with (
        pytest.raises(PermissionError, match="in use"),
        creating(tmp_path / "new.txt") as temporary,
    ):
        temporary.write_text("new")
    assert list(tmp_path.iterdir()) == []


def without_links(*_):
    raise PermissionError("Operation not permitted")


def test_what_is_created_is_never_half_there(tmp_path):
    with creating(tmp_path / "new.txt") as temporary:
        temporary.write_text("half")
        assert not (tmp_path / "new.txt").exists()
        temporary.write_text("whole")
    assert (tmp_path / "new.txt").read_text() == "whole"


def test_failure_without_a_target_leaves_nothing(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "notes.txt", "\ud800")
    assert list(tmp_path.iterdir()) == []


def test_folder_in_the_way_is_kept(tmp_path):
    (tmp_path / "notes.txt" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"notes\.txt"):
        write_text(tmp_path / "notes.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_two_writers_do_not_meet(tmp_path):
    path = tmp_path / "notes.txt"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"


@pytest.mark.skipif(os.name == "nt", reason="permission bits are POSIX")
def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path):
    write_text(tmp_path / ("n" * 251 + ".txt"), "text")
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


def test_the_folder_that_one_is_in_can_be_filled(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with drafting(Path()) as draft:
        draft.mkdir()
        (draft / "file").touch()
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["file"]


def test_others_may_read_what_the_umask_allows(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "notes.txt", "")
    finally:
        after = os.umask(before)
    assert stat.S_IMODE((tmp_path / "notes.txt").stat().st_mode) == 0o640
    assert after == 0o027


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_device_or_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(FileExistsError, match="Not a regular file"):
            write_text(path, "new")
        with pytest.raises(FileExistsError):
            check_writable(path)
    assert (tmp_path / "pipe").is_fifo()


def test_through_a_link_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real" / "a.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "new"


def test_where_a_link_leads_is_what_has_to_be_writable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link.txt").symlink_to(tmp_path / "file" / "a.txt")
    with pytest.raises(OSError, match="Not a directory"):
        check_writable(tmp_path / "link.txt")


def test_a_draft_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fill() -> None:
        with drafting(tmp_path / "out") as draft:
            (draft / "weights").parent.mkdir()
            (draft / "weights").touch()
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        fill()
    assert list(tmp_path.iterdir()) == []
