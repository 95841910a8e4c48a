"""Connections that keep the service waiting are closed, over real sockets; the others never are."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
import uvicorn
from held import DEADLINE, wait_until
from structlog.testing import capture_logs

from binsight.errors import UsageError
from binsight.interfaces.service import logs
from binsight.interfaces.service.connections import SPARE, Limits, allow_files, limited
from binsight.interfaces.service.server import _Server

SHORT = Limits(head_seconds=0.1, answer_seconds=0.3)
WHOLE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HALF = b"POST / HTTP/1.1\r\nHost: a\r\n"
BODY = HALF + b"Content-Length: 4\r\n\r\nabc"  # but its last letter
LARGE = 20_000_000  # bytes; more than the system keeps for a client that does not read


@dataclass
class Served:
    """A server of an application that answers when it is let."""

    port: int = 0
    answer: bytes = b"yes"
    let_go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    server: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.release()
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
        while not self.let_go.is_set():
            await asyncio.sleep(0.01)
        length = str(len(self.answer)).encode()
        headers = [(b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.answer})

    @property
    def open(self) -> int:
        return len(self.server.server_state.connections)

    def connect(self, sent: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)
        connection.sendall(sent)
        return connection


@contextmanager
def serving(limits: Limits, *, at_once: bool = True, answer: bytes = b"yes") -> Iterator[Served]:
    served = Served(answer=answer)
    if at_once:
        served.let_go.set()
    with socket.create_server(("127.0.0.1", 0)) as listening, capture_logs():
        served.port = listening.getsockname()[1]
        served.server = _Server(
            uvicorn.Config(
                served,
                http=limited(limits),
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
                backlog=16,
            )
        )
        thread = threading.Thread(target=served.server.run, args=([listening],))
        thread.start()
        wait_until(lambda: served.server.started)
        try:
            yield served
        finally:
            served.let_go.set()
            served.server.should_exit = True
            thread.join(DEADLINE)
        assert not thread.is_alive()


def closed(connection: socket.socket) -> bool:
    """Whether the other end closes it before the deadline, having sent nothing."""
    try:
        return connection.recv(1000) == b""
    except ConnectionResetError:
        return True


def answered(connection: socket.socket) -> bool:
    """Read one answer to its last byte and no further, as another may lie behind it."""
    got = b""
    while not got.endswith(b"yes"):
        more = connection.recv(1)
        if not more:
            return False
        got += more
    return got.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("sent", [b"", b"POST", HALF])
def test_a_connection_without_a_whole_head_is_closed(sent: bytes) -> None:
    with serving(SHORT) as served, served.connect(sent) as connection:
        assert closed(connection)


def test_a_head_that_comes_byte_by_byte_is_not_waited_for_longer() -> None:
    with serving(SHORT) as served, served.connect(HALF) as connection:
        connection.settimeout(0.01)
        end = time.monotonic() + DEADLINE
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < end:
                connection.sendall(b"x: y\r\n")
                with contextlib.suppress(TimeoutError):
                    assert not connection.recv(1000)
                    break
        assert time.monotonic() < end


def test_what_follows_an_answer_is_waited_for_no_longer_either() -> None:
    with serving(SHORT) as served, served.connect(WHOLE) as connection:
        assert answered(connection)
        connection.sendall(HALF)  # after which uvicorn alone would wait for good
        assert closed(connection)


def test_requests_one_after_the_other_have_the_time_each() -> None:
    with serving(Limits(head_seconds=1.0)) as served, served.connect() as connection:
        for _ in range(11):
            connection.sendall(WHOLE)
            assert answered(connection)
            time.sleep(0.1)
        connection.sendall(WHOLE * 3)
        assert all(answered(connection) for _ in range(3))


def test_a_request_that_is_worked_on_is_not_cut_off() -> None:
    with serving(SHORT, at_once=False) as served, served.connect(WHOLE) as connection:
        time.sleep(3 * SHORT.head_seconds)
        served.let_go.set()
        assert answered(connection)


def test_the_longest_waiting_one_makes_way_for_a_new_one() -> None:
    with serving(Limits(most=3)) as served:
        first, second, third = (served.connect(HALF) for _ in range(3))
        wait_until(lambda: served.open == 3)
        with first, second, third, served.connect(WHOLE) as new:
            assert answered(new)
            assert closed(first)
            for kept in (second, third):
                kept.sendall(b"\r\n")
                assert answered(kept)


def test_nobody_who_is_being_answered_makes_way() -> None:
    with (
        serving(Limits(most=2), at_once=False) as served,
        served.connect(WHOLE) as first,
        served.connect(WHOLE) as second,
    ):
        for _ in range(2):
            assert served.begun.acquire(timeout=DEADLINE)
        with served.connect(WHOLE) as new:
            assert closed(new)
        served.let_go.set()
        assert answered(first)
        assert answered(second)


def test_a_body_that_arrives_has_its_time_but_makes_way() -> None:
    with serving(Limits(most=2, head_seconds=0.05)) as served:
        first, second = served.connect(BODY), served.connect(BODY)
        for _ in range(2):
            assert served.begun.acquire(timeout=DEADLINE)
        time.sleep(0.2)
        with first, second, served.connect(WHOLE) as new:
            assert answered(new)
            assert closed(first)
            second.sendall(b"d")
            assert answered(second)


def test_a_crowd_that_says_nothing_keeps_nobody_out() -> None:
    with serving(Limits(most=20)) as served, contextlib.ExitStack() as crowd:
        for _ in range(150):
            crowd.enter_context(served.connect())
        with served.connect(WHOLE) as new:
            assert answered(new)
        wait_until(lambda: served.open <= 20)


def test_an_answer_that_is_not_taken_is_given_up() -> None:
    with serving(SHORT, answer=bytes(LARGE)) as served, served.connect(WHOLE):
        assert served.begun.acquire(timeout=DEADLINE)
        wait_until(lambda: served.open == 0)


def test_an_answer_that_is_taken_slowly_is_given_whole() -> None:
    patient = Limits(head_seconds=0.05, answer_seconds=DEADLINE)
    with serving(patient, answer=bytes(LARGE)) as served, served.connect(WHOLE) as connection:
        taken = 0
        for pause in [0.1] * 4 + [0] * LARGE:
            time.sleep(pause)
            taken += len(connection.recv(1_000_000))
            if taken > LARGE:  # with its head
                break
        assert taken > LARGE


def test_it_stops_at_once_although_some_are_waited_for() -> None:
    with serving(Limits()) as served:
        silent, begun = served.connect(), served.connect(HALF)
        wait_until(lambda: served.open == 2)
        served.server.should_exit = True
        with silent, begun:
            assert closed(silent)
            assert closed(begun)


@pytest.mark.parametrize(
    ("soft", "hard", "allowed", "found"),
    [
        (256, 100_000, 300 + SPARE, 300),
        (256, resource.RLIM_INFINITY, 300 + SPARE, 300),
        (256, 400, 400, 400 - SPARE),
        (400, 400, None, 400 - SPARE),
        (5000, 9000, None, 300),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, None, 300),
    ],
)
def test_as_many_files_are_allowed_as_connections_need(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, allowed: int | None, found: int
) -> None:
    was_set: list[Any] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: was_set.append(limits))
    assert allow_files(300) == found
    assert was_set == ([] if allowed is None else [(allowed, hard)])


def test_a_process_that_may_open_hardly_any_files_does_not_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    with pytest.raises(UsageError, match=r"may open 64 files; allow \d+ or more: ulimit -n"):
        allow_files()


def test_what_asyncio_says_a_thousand_times_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written, root, asyncios = io.StringIO(), logging.getLogger(), logging.getLogger("asyncio")
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(asyncios, "filters", [])
    configuration = structlog.get_config()
    try:
        logs.configure()
        for _ in range(1000):
            asyncios.error("socket.accept() out of system resource\nsocket: 4")
        for _ in range(2):
            asyncios.error("something else")
    finally:
        structlog.configure(**configuration)
    events = [json.loads(line)["event"] for line in written.getvalue().splitlines()]
    assert [event.partition("\n")[0] for event in events] == [
        "socket.accept() out of system resource",
        "something else",
        "something else",
    ]
