"""Work that is held back until a test lets it go, and waiting for what must come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from binsight.interfaces.service.model import Model

DEADLINE = 60.0  # seconds; reached only if what is waited for never comes


class Held:
    """Holds photos back until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Semaphore(0)
        self.let_go = threading.Event()
        tell = Model.tell

        def held(*arguments: Any, **options: Any) -> Any:
            self.begun.release()
            assert self.let_go.wait(DEADLINE)
            return tell(*arguments, **options)

        monkeypatch.setattr(Model, "tell", held)


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
