"""Photos that come into a folder, each once, and only when they are whole.

A photo is whole when its size and time stay the same for a while; one that cannot be decoded is
given more time, as an upload may have stalled. The system's notes of changes only wake the watcher:
what counts is the list of the folder, so that network drives, which send no notes, work too.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from binsight.errors import SourceError
from binsight.images import PHOTO_SUFFIXES

__all__ = ["NewPhotos"]

Say = Callable[[str], None]
STEADY_S = 1.0  # unchanged for so long: probably whole
PATIENCE_S = 10.0  # unchanged for so long: what cannot be decoded now never will be
LIST_EVERY_S = 5.0
FORGET_S = 86400.0  # away for so long, a photo is new when it comes back
TICK_S = 0.25


class _Version(NamedTuple):
    """One content of one file, whatever it is called, and wherever its drive is mounted again."""

    inode: int
    time_ns: int
    size: int


class NewPhotos:
    """Yields photos as they come.

    Args:
        folder: with all folders below it; names that start with a dot are left out.
        existing: also yield those that are there at the start.
        stop: ends it.
        say: told when the folder is lost and when it is back.
        steady_s: seconds that a photo stays unchanged before it is taken.
        patience_s: the same for one that cannot be decoded.

    Raises:
        SourceError: the folder cannot be listed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        existing: bool,
        stop: threading.Event,
        say: Say,
        steady_s: float = STEADY_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._folder = folder
        self._stop = stop
        self._say = say
        self._steady_s = steady_s
        self._patience_s = patience_s
        self._done: dict[_Version, float] = {}  # and when it was last there
        self._waiting: dict[Path, tuple[_Version, float]] = {}  # and since when it is unchanged
        self._changed = threading.Event()
        self._lost = False
        self._pause_s = TICK_S
        self._tidied_at_s = time.monotonic()
        try:
            there = _listed(folder)
        except OSError as error:
            raise SourceError(f"{folder}: {error.strerror}") from error
        if not existing:
            self._done = dict.fromkeys(there.values(), time.monotonic())

    def __iter__(self) -> Iterator[Path]:
        """Yield photos until told to stop."""
        observer = self._observed()
        listed_at_s = -LIST_EVERY_S
        try:
            while not self._stop.is_set():
                due = time.monotonic() - listed_at_s >= LIST_EVERY_S
                if due or self._waiting or self._changed.is_set():
                    self._changed.clear()
                    listed_at_s = time.monotonic()
                    self._list()
                    took_s = time.monotonic() - listed_at_s
                    self._pause_s = max(TICK_S, 4 * took_s)  # a large folder is listed less often
                yield from self._steady()
                self._wait()
        finally:
            if observer is not None:
                observer.stop()
                observer.join()

    def again(self, path: Path) -> bool:
        """Whether a photo that could not be decoded will be yielded again, as it may still grow."""
        if path not in self._waiting:
            return False
        version, since_s = self._waiting[path]
        if time.monotonic() - since_s >= self._patience_s:
            return False
        self._done.pop(version, None)
        return True

    def _observed(self) -> Observer | None:  # type: ignore[valid-type]  # a class chosen by system
        # It warns of a folder that was moved away and back, which does no harm.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="watchdog")
        observer = Observer()
        observer.schedule(_Waker(self._changed), str(self._folder), recursive=True)
        try:
            observer.start()
        except OSError:  # out of watches; the list alone will do, a little later
            return None
        return observer

    def _wait(self) -> None:
        self._stop.wait(self._pause_s)
        if self._waiting:
            return
        end_s = time.monotonic() + LIST_EVERY_S
        while time.monotonic() < end_s and not self._stop.is_set():
            if self._changed.wait(TICK_S):
                return

    def _list(self) -> None:
        try:
            there = _listed(self._folder)
        except OSError as error:
            if not self._lost:
                self._say(f"lost {self._folder} ({error.strerror}); waiting for it")
            self._lost = True
            return
        if self._lost:
            self._say(f"{self._folder} is back")
        self._lost = False
        now_s = time.monotonic()
        self._done |= dict.fromkeys(self._done.keys() & set(there.values()), now_s)
        if now_s - self._tidied_at_s >= FORGET_S:
            self._tidied_at_s = now_s
            self._done = {one: at_s for one, at_s in self._done.items() if now_s - at_s < FORGET_S}
        waiting = {}
        for path, version in there.items():
            if version not in self._done:
                before, since_s = self._waiting.get(path, (version, now_s))
                waiting[path] = (version, since_s if before == version else now_s)
        self._waiting = waiting

    def _steady(self) -> Iterator[Path]:
        for path, (version, since_s) in sorted(self._waiting.items()):
            if self._stop.is_set():
                return
            if time.monotonic() - since_s >= self._steady_s:
                self._done[version] = time.monotonic()
                yield path
                if version in self._done:
                    del self._waiting[path]


class _Waker(FileSystemEventHandler):
    def __init__(self, changed: threading.Event) -> None:
        self._changed = changed

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in {"opened", "closed_no_write"}:  # reading changes nothing
            return
        # That a folder was modified is said of whatever happens in it.
        folder = event.is_directory and event.event_type != "modified"
        if folder or _is_photo(event.src_path) or _is_photo(event.dest_path):
            self._changed.set()


def _is_photo(path: str | bytes) -> bool:
    return Path(os.fsdecode(path)).suffix.lower() in PHOTO_SUFFIXES


def _listed(folder: Path) -> dict[Path, _Version]:
    """Photos in a folder and below it, with what they are now.

    Raises:
        OSError: the folder itself cannot be listed.
    """
    os.listdir(folder)  # noqa: PTH208  # os.walk would say nothing
    found = {}
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(top, name)
            if name.startswith(".") or not _is_photo(name):
                continue
            try:
                status = path.stat()
            except OSError:  # gone again
                continue
            found[path] = _Version(status.st_ino, status.st_mtime_ns, status.st_size)
    return found
