"""Full, replaced, broken: the service goes on answering the rest, and says what happened."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from held import DEADLINE, Held, wait_until
from serving import JPEG, encoded, service
from small_bundle import expected_probs, squares, write_small_bundle
from structlog.testing import capture_logs

from binsight.errors import BinsError, NotABundleError, UsageError
from binsight.images import ImageLimits
from binsight.interfaces.service import work as work_module
from binsight.interfaces.service.application import create_app
from binsight.interfaces.service.edge import Drained
from binsight.interfaces.service.places import Room
from binsight.interfaces.service.settings import MIB, Settings


def figure(client: TestClient, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    (value,) = [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]
    return float(value)


def test_when_full_the_others_are_told_at_once_and_the_rest_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_small_bundle(tmp_path / "a.onnx")
    app = create_app(Settings(model=str(bundle.path), workers=1, waiting=2))
    app.state.work.start()
    held, photos = Held(monkeypatch), squares(12)

    async def ask(client: httpx.AsyncClient, number: int) -> tuple[int, httpx.Response]:
        body = encoded(photos[number])
        return number, await client.post("/v1/classify", content=body, headers=JPEG)

    async def ask_all() -> tuple[list[Any], list[Any], httpx.Response]:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            tasks = [asyncio.create_task(ask(client, number)) for number in range(12)]
            early = [await one for one in asyncio.as_completed(tasks[3:], timeout=DEADLINE)]
            health = await client.get("/healthz")  # the event loop is free while photos are not
            held.let_go.set()
            return early, [await one for one in tasks[:3]], health

    with capture_logs():
        refused, served, health = asyncio.run(ask_all())
    app.state.work.close()
    assert health.status_code == 200
    assert {response.status_code for _, response in refused} == {503}
    assert all(int(response.headers["retry-after"]) > 0 for _, response in refused)
    for number, response in served:
        (answer,) = response.json()["photos"]
        expected = expected_probs(photos[number])
        assert list(answer["probs"].values()) == pytest.approx(expected, abs=1e-5)
    assert app.state.work.places.taken == 0


@dataclass
class Slow:
    """Clients of the service, asked from one event loop, some of which end their bodies late."""

    app: FastAPI
    client: httpx.AsyncClient
    begun: list[asyncio.Task[httpx.Response]] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def room(self) -> Room:
        room: Room = self.app.state.work.room
        return room

    async def begin(self, data: bytes, rest: bytes = b"") -> None:
        """Send data, and the rest when all are told to go on."""
        before = self.room.bytes

        async def body() -> Any:
            yield data
            await self.go_on.wait()
            yield rest

        self.begun.append(asyncio.create_task(self.ask(body())))
        while self.room.bytes == before and not self.begun[-1].done():
            await asyncio.sleep(0)

    async def ask(self, content: Any) -> httpx.Response:
        return await self.client.post("/v1/classify", content=content, headers=JPEG)

    async def end(self) -> list[int]:
        """Let all go on; their statuses."""
        self.go_on.set()
        return [(await one).status_code for one in self.begun]


@asynccontextmanager
async def slow_clients(bundle: Path, **settings: Any) -> AsyncIterator[Slow]:
    app = create_app(Settings(model=str(bundle), **settings))
    app.state.work.start()
    transport = httpx.ASGITransport(app=app)
    with capture_logs():
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield Slow(app, client)
    app.state.work.close()
    room, places = app.state.work.room, app.state.work.places
    assert (places.taken, room.bodies, room.bytes) == (0, 0, 0), "all was given back"


def test_a_body_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    bundle = write_small_bundle(tmp_path / "a.onnx")

    async def ask() -> list[int]:
        async with slow_clients(bundle.path, body_seconds=0.05) as clients:
            await clients.begin(b"x")
            return [(await one).status_code for one in clients.begun]

    assert asyncio.run(ask()) == [408]


def test_bodies_that_arrive_slowly_keep_nobody_out(tmp_path: Path) -> None:
    bundle, photo = write_small_bundle(tmp_path / "a.onnx"), encoded(squares(1)[0])

    async def ask() -> tuple[httpx.Response, list[int]]:
        async with slow_clients(bundle.path, workers=1, waiting=3) as clients:
            for _ in range(20):
                await clients.begin(photo[:100], photo[100:])
            assert clients.room.bodies == 20
            return await clients.ask(photo), await clients.end()

    answer, begun = asyncio.run(ask())
    assert answer.status_code == 200
    assert 200 in begun
    assert set(begun) <= {200, 503}


def test_bodies_have_so_much_room_together(tmp_path: Path) -> None:
    bundle, photo = write_small_bundle(tmp_path / "a.onnx"), encoded(squares(1)[0])
    limits = ImageLimits(max_bytes=len(photo))
    limited = {"workers": 1, "waiting": 1, "limits": limits, "max_request_bytes": len(photo)}

    async def ask() -> tuple[httpx.Response, list[int], httpx.Response]:
        async with slow_clients(bundle.path, **limited) as clients:
            for _ in range(2):
                await clients.begin(photo[:-1], photo[-1:])
            refused = await clients.ask(photo)
            return refused, await clients.end(), await clients.ask(photo)

    refused, begun, after = asyncio.run(ask())
    assert (refused.status_code, refused.json()["detail"]) == (
        503,
        "no room for more photos now; try again",
    )
    assert int(refused.headers["retry-after"]) > 0
    assert begun == [200, 200]
    assert after.status_code == 200


def test_so_many_bodies_arrive_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "MOST_BODIES", 2)
    bundle, photo = write_small_bundle(tmp_path / "a.onnx"), encoded(squares(1)[0])

    async def ask() -> tuple[httpx.Response, list[int]]:
        async with slow_clients(bundle.path, workers=1, waiting=1) as clients:
            for _ in range(2):
                await clients.begin(photo[:9], photo[9:])
            return await clients.ask(photo), await clients.end()

    refused, begun = asyncio.run(ask())
    assert (refused.status_code, refused.json()["detail"]) == (
        503,
        "too many requests send at once; try again",
    )
    assert begun == [200, 200]


def test_a_replaced_bundle_answers_without_dropping_what_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, photo = tmp_path / "a.onnx", encoded(squares(1)[0])
    old = write_small_bundle(path)
    with service(path, watch_seconds=0.02) as client:
        held, begun = Held(monkeypatch), []
        asked = threading.Thread(
            target=lambda: begun.append(client.post("/v1/classify", content=photo, headers=JPEG))
        )
        asked.start()
        assert held.begun.acquire(timeout=DEADLINE)
        new = write_small_bundle(path, threshold=0.5)
        wait_until(lambda: client.get("/v1/model").json()["digest"] == new.digest)
        held.let_go.set()
        asked.join(DEADLINE)
        after = client.post("/v1/classify", content=photo, headers=JPEG)
        assert figure(client, 'binsight_model_reloads_total{result="taken"}') == 1
        assert figure(client, f'binsight_model_info{{digest="{new.digest}"}}') == 1
    (before,) = begun
    assert (before.status_code, before.json()["model"]) == (200, old.digest)
    assert (after.status_code, after.json()["model"]) == (200, new.digest)


def test_a_broken_replacement_leaves_the_old_bundle_answering(tmp_path: Path) -> None:
    path, photo = tmp_path / "a.onnx", encoded(squares(1)[0])
    old = write_small_bundle(path)
    failed = 'binsight_model_reloads_total{result="failed"}'
    with service(path, watch_seconds=0.02) as client:
        cut_off = tmp_path / "cut-off"
        cut_off.write_bytes(path.read_bytes()[:-3])
        cut_off.replace(path)
        wait_until(lambda: figure(client, failed) == 1)
        answer = client.post("/v1/classify", content=photo, headers=JPEG)
        assert (answer.status_code, answer.json()["model"]) == (200, old.digest)
        path.unlink()
        wait_until(lambda: figure(client, failed) == 2)
        new = write_small_bundle(path, threshold=0.5)
        wait_until(lambda: client.get("/v1/model").json()["digest"] == new.digest)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class Reads:
    """Counts how often a file is read, and lets it fail.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        self.trouble: list[Exception] = []
        read_bytes = Path.read_bytes

        def counted(read: Path) -> bytes:
            if read == path:
                self.number += 1
                if self.trouble:
                    raise self.trouble[self.number % len(self.trouble)]
            return read_bytes(read)

        monkeypatch.setattr(Path, "read_bytes", counted)


@pytest.mark.parametrize(
    "trouble",
    [
        [PermissionError(13, "Permission denied")],
        [RuntimeError("what nobody foresaw")],
        [MemoryError(), caused(NotABundleError("no"), RuntimeError("Exception: std::bad_alloc"))],
    ],
)
def test_a_bundle_that_could_not_be_read_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: list[Exception]
) -> None:
    path = tmp_path / "a.onnx"
    old = write_small_bundle(path)
    new = write_small_bundle(tmp_path / "new.onnx", threshold=0.5)
    with service(path, watch_seconds=0.02) as client:
        reads = Reads(path, monkeypatch)
        reads.trouble = trouble
        new.path.replace(path)
        wait_until(lambda: reads.number >= 3)
        assert client.get("/v1/model").json()["digest"] == old.digest
        assert figure(client, 'binsight_model_reloads_total{result="failed"}') == 1
        reads.trouble = []
        wait_until(lambda: client.get("/v1/model").json()["digest"] == new.digest)


def test_a_bundle_that_is_refused_is_read_again_only_if_something_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, failed = tmp_path / "a.onnx", 'binsight_model_reloads_total{result="failed"}'
    write_small_bundle(path)
    with service(path, watch_seconds=0.01) as client:
        reads = Reads(path, monkeypatch)
        (tmp_path / "text").write_text("no bundle")
        (tmp_path / "text").replace(path)
        wait_until(lambda: figure(client, failed) == 1)
        time.sleep(0.2)
        assert reads.number == 1
        path.chmod(0o600)
        wait_until(lambda: figure(client, failed) == 2)


def test_a_replacement_with_a_class_that_no_bin_takes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    old = write_small_bundle(path)
    with service(path, bins="berlin", watch_seconds=0.02) as client:
        write_small_bundle(path, classes=["glass", "metal", "moon rock"])
        wait_until(lambda: figure(client, 'binsight_model_reloads_total{result="failed"}') == 1)
        assert client.get("/v1/model").json()["digest"] == old.digest
    write_small_bundle(path, classes=["glass", "metal", "moon rock"])
    said = r"^berlin: no bin takes moon rock.* in a copy of .*berlin\.toml, and"
    with pytest.raises(BinsError, match=said):
        create_app(Settings(model=str(path), bins="berlin"))


def test_what_was_asked_is_counted_under_names_that_no_client_makes_up(tmp_path: Path) -> None:
    bundle, photo = write_small_bundle(tmp_path / "a.onnx"), encoded(squares(1)[0])
    with service(bundle.path) as client, capture_logs() as logs:
        name = {"X-Request-ID": "a-1"}
        response = client.post("/v1/classify", content=photo, headers=JPEG | name)
        client.post("/v1/classify", content=b"broken", headers=JPEG)
        client.get("/made-up/path")
        client.request("BREW", "/v1/classify", headers={"X-Request-ID": 'not "safe"'})
        told = client.get("/metrics").text
        ok = 'binsight_requests_total{method="POST",route="/v1/classify",status="200"}'
        assert figure(client, ok) == 1
        assert figure(client, 'binsight_photo_errors_total{status="422"}') == 1
        assert figure(client, "binsight_places_taken") == 0
    assert response.headers["x-request-id"] == "a-1"
    assert "made-up" not in told
    assert "BREW" not in told
    requests = [one for one in logs if one["event"] == "request"]
    assert [one["status"] for one in requests] == [200, 422, 404, 405]
    assert requests[0]["photos"] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": 0},
        {"waiting": -1},
        {"max_photos": 0},
        {"limits": ImageLimits(max_bytes=0)},
        {"max_request_bytes": 10},
        {"body_seconds": 0},
        {"watch_seconds": -1},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"give|seconds"):
        Settings(**wrong)


def test_a_photo_larger_than_a_request_names_the_option_that_helps() -> None:
    limits = ImageLimits(max_bytes=100 * MIB + 1)
    with pytest.raises(UsageError, match=r"bytes of a request; .* more: --max-request-mib 101$"):
        Settings(limits=limits)


@pytest.mark.parametrize(("max_bytes", "read"), [(1000, 3), (9, 1)])
def test_the_rest_of_a_refused_body_is_read_up_to_a_bound(max_bytes: int, read: int) -> None:
    chunks = [{"type": "http.request", "body": bytes(10), "more_body": n < 2} for n in range(3)]
    sent: list[Any] = []

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    async def receive() -> Any:
        assert sent[-1]["body"] == b"no", "the answer goes first"
        return chunks.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"content-length", b"30")]}
    asyncio.run(Drained(refuse, max_bytes)(scope, receive, send))
    assert len(chunks) == 3 - read
    assert sent[1]["more_body"]
    assert not sent[-1].get("more_body")
