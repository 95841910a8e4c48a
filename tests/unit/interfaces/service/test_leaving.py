"""A client that goes: its photos are left alone, its place is free, and the log says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from held import DEADLINE, Held
from serving import encoded, form
from small_bundle import SmallBundle, squares
from structlog.testing import capture_logs

from binsight.interfaces.service.application import create_app
from binsight.interfaces.service.edge import Edge
from binsight.interfaces.service.metrics import Metrics
from binsight.interfaces.service.places import Places, Room
from binsight.interfaces.service.settings import Settings


@dataclass
class Client:
    """Sends one request, and goes when it is told to.

    Args:
        app: that is asked.
        photos: how many.
        path: that is asked.
    """

    app: FastAPI
    photos: int
    path: str = "/v1/classify"
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[Any] = field(default_factory=list)

    async def ask(self) -> None:
        files = form(*[("a", encoded(squares(1)[0]))] * self.photos)
        request = httpx.Request("POST", "http://test/", files=files)
        path, _, query = self.path.partition("?")
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
        }
        messages = [{"type": "http.request", "body": request.read(), "more_body": False}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self.sent.append(message)

        await self.app(scope, receive, send)


@asynccontextmanager
async def application(bundle: SmallBundle, **settings: Any) -> AsyncIterator[FastAPI]:
    app = create_app(Settings(model=str(bundle.path), workers=1, waiting=1, **settings))
    app.state.work.start()
    yield app
    await asyncio.to_thread(app.state.work.close)


async def begun(held: Held) -> None:
    assert await asyncio.to_thread(held.begun.acquire, timeout=DEADLINE)


def test_the_photos_of_a_client_that_has_gone_are_left_alone(
    small_bundle: SmallBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)

    async def ask() -> Client:
        async with application(small_bundle) as app:
            client = Client(app, photos=5)
            asked = asyncio.create_task(client.ask())
            await begun(held)
            client.gone.set()
            await asyncio.sleep(0.05)
            held.let_go.set()
            await asyncio.wait_for(asked, DEADLINE)
            work = app.state.work
            assert (work.places.taken, work.room.bodies, work.room.bytes) == (0, 0, 0)
        return client

    with capture_logs() as logs:
        client = asyncio.run(ask())
    assert not held.begun.acquire(blocking=False), "another of its photos was begun"
    assert client.sent[0]["status"] == 499
    (line,) = [one for one in logs if one["event"] == "request"]
    assert line["status"] == 499
    assert line["ms"] > 0


def test_who_goes_while_waiting_leaves_the_place_to_others(
    small_bundle: SmallBundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held = Held(monkeypatch)

    async def ask() -> None:
        async with application(small_bundle, corrections=tmp_path / "kept") as app:
            first = Client(app, photos=1)
            asked = [asyncio.create_task(first.ask())]
            await begun(held)
            for path in ("/v1/classify", "/v1/corrections?label=glass"):
                client = Client(app, photos=1, path=path)
                asked.append(asyncio.create_task(client.ask()))
                while app.state.work.places.taken < 2:
                    await asyncio.sleep(0)
                client.gone.set()
                await asyncio.wait_for(asked[-1], DEADLINE)
                assert app.state.work.places.taken == 1
            held.let_go.set()
            await asyncio.wait_for(asked[0], DEADLINE)
            assert first.sent[0]["status"] == 200

    with capture_logs():
        asyncio.run(ask())
    assert not held.begun.acquire(blocking=False)
    assert not (tmp_path / "kept").exists()


def test_a_request_that_is_cancelled_when_the_service_stops_is_told_so() -> None:
    sent: list[Any] = []
    metrics = Metrics(Places(1), Room(1, 1))

    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask() -> None:
        scope = {"type": "http", "method": "POST", "headers": []}
        asked = asyncio.create_task(Edge(never, metrics)(scope, never, send))  # type: ignore[arg-type]
        await asyncio.sleep(0.02)
        asked.cancel()
        await asyncio.wait_for(asked, DEADLINE)

    with capture_logs() as logs:
        asyncio.run(ask())
    assert sent[0]["status"] == 503
    assert b"retry-after" in dict(sent[0]["headers"])
    assert b"stopping" in sent[1]["body"]
    (line,) = logs
    assert line["status"] == 503
    assert line["ms"] >= 20
    assert 'status="503"} 1.0' in metrics.text().decode()
