"""Events that nobody has acknowledged yet, in a file: they outlast a broker and this process.

An event is in the file before it is printed, and leaves it when the broker has acknowledged it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from binsight.errors import SpoolError

__all__ = ["Spool", "Spooled"]

TABLE = """
create table if not exists events (
    number integer primary key autoincrement,
    id text not null unique,
    payload text not null
)
"""


class Spooled(NamedTuple):
    """One event that waits."""

    number: int
    payload: str


class Spool:
    """A queue in an SQLite file, for the threads of one process.

    Args:
        path: the file; made if it is not there.

    Raises:
        SpoolError: another process uses it, it is another kind of file, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.Lock()
        self._lock = FileLock(f"{path}.lock", timeout=0)
        with self._explaining():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        try:
            with self._explaining():
                self._database = sqlite3.connect(path, check_same_thread=False)
                # A power cut takes nothing that was committed.
                self._database.execute("pragma synchronous = full")
                with self._database:
                    self._database.execute(TABLE)
        except SpoolError:
            self._lock.release()
            raise

    def add(self, event_id: str, payload: str) -> None:
        """Keep an event; one that is there already stays as it is.

        Raises:
            SpoolError: it cannot be written, as on a full disk.
        """
        with self._changing() as database:
            database.execute(
                "insert or ignore into events (id, payload) values (?, ?)", (event_id, payload)
            )

    def after(self, number: int, most: int) -> list[Spooled]:
        """The oldest events with a higher number."""
        query = "select number, payload from events where number > ? order by number limit ?"
        with self._mutex, self._explaining():
            return [Spooled(*row) for row in self._database.execute(query, (number, most))]

    def remove(self, number: int) -> None:
        """Forget an event that was acknowledged."""
        with self._changing() as database:
            database.execute("delete from events where number = ?", (number,))

    def __len__(self) -> int:
        with self._mutex, self._explaining():
            (count,) = self._database.execute("select count(*) from events").fetchone()
        return int(count)

    def close(self) -> None:
        """Let another process use the file."""
        with self._mutex:
            self._database.close()
        self._lock.release()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, self._explaining(), self._database:
            yield self._database

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except Timeout as error:
            raise SpoolError(
                f"{self.path}: another binsight uses it; stop that, or give each its own --spool"
            ) from error
        except (sqlite3.Error, OSError) as error:
            raise SpoolError(f"{self.path}: {error}; give another --spool") from error
