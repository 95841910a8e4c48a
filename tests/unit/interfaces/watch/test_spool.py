from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from binsight.errors import SpoolError
from binsight.interfaces.watch.spool import Spool


def payloads(spool: Spool, after: int = 0, most: int = 100) -> list[str]:
    return [event.payload for event in spool.after(after, most)]


def test_events_wait_in_order_and_outlast_the_process(tmp_path: Path) -> None:
    path = tmp_path / "new" / "spool.sqlite"
    spool = Spool(path)
    for name in "cab":
        spool.add(name, name.upper())
    first, second = spool.after(0, 2)
    spool.remove(second.number)
    spool.close()
    again = Spool(path)
    assert payloads(again) == ["C", "B"]
    assert payloads(again, after=first.number) == ["B"]
    assert payloads(again, most=1) == ["C"]
    assert len(again) == 2
    again.close()


def test_an_event_is_there_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite")
    spool.add("a", "first")
    spool.add("a", "second")
    assert payloads(spool) == ["first"]
    spool.close()


def test_a_number_is_never_used_again(tmp_path: Path) -> None:
    # What was handed on is told from what is new by its number.
    spool = Spool(tmp_path / "spool.sqlite")
    spool.add("a", "A")
    (event,) = spool.after(0, 1)
    spool.remove(event.number)
    spool.add("b", "B")
    assert payloads(spool, after=event.number) == ["B"]
    spool.close()


def test_two_cannot_use_one_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite")
    with pytest.raises(SpoolError, match=r"another binsight uses it; stop that"):
        Spool(tmp_path / "spool.sqlite")
    spool.close()
    Spool(tmp_path / "spool.sqlite").close()


def test_another_kind_of_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes, which are long enough to be no database" * 100)
    before = path.read_text()
    for _ in range(2):  # the second time nothing of the first is in the way
        with pytest.raises(SpoolError, match=r"notes\.txt: file is not a database"):
            Spool(path)
    assert path.read_text() == before


def test_a_disk_that_is_full_is_said(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite")
    spool._database.execute("pragma max_page_count = 4")
    with pytest.raises(SpoolError, match="full"):
        spool.add("a", "x" * 100_000)
    assert len(spool) == 0
    spool.close()


def test_what_was_added_is_in_the_file_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite")
    spool.add("a", "A")
    other = sqlite3.connect(tmp_path / "spool.sqlite")
    assert other.execute("select payload from events").fetchall() == [("A",)]
    other.close()
    spool.close()
