"""``binsight serve``: options and environment, one line for what is wrong, and how it stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from command_line import program, surroundings
from serving import encoded
from small_bundle import CLASSES, SmallBundle, squares
from typer.testing import CliRunner

from binsight.errors import BinsightError
from binsight.interfaces.cli import app

DEADLINE = 120  # seconds; reached only if what is waited for never comes


def refused(*arguments: object, **environment: str) -> str:
    result = CliRunner().invoke(app, ["serve", *map(str, arguments)], env=environment)
    assert isinstance(result.exception, BinsightError), result.output
    return str(result.exception)


def test_what_cannot_be_served_is_one_line(small_bundle: SmallBundle, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "give another" in refused("--port", port, "--model", small_bundle.path)
    assert "192.0.2.1" in refused("--host", "192.0.2.1")  # nobody has this address
    assert "nowhere" in refused("--token-file", tmp_path / "nowhere")
    assert "BINSIGHT_TOKENS" in refused(BINSIGHT_TOKENS="short")
    assert "bytes of a request" in refused("--max-photo-mib", 20, "--max-request-mib", 10)


def test_options_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def noted(settings: object, **more: object) -> None:
        given.update(more, settings=settings)

    monkeypatch.setattr("binsight.interfaces.service.server.run", noted)
    environment = {"BINSIGHT_PORT": "8123", "BINSIGHT_CORRECTIONS": "kept", "BINSIGHT_WAITING": "3"}
    arguments = ["serve", "--waiting", "5", "--max-megapixels", "2"]
    result = CliRunner().invoke(app, arguments, env=environment)
    assert result.exit_code == 0, result.output
    settings = given["settings"]
    assert (given["host"], given["port"], given["grace_seconds"]) == ("127.0.0.1", 8123, 30)
    assert (settings.waiting, settings.corrections) == (5, Path("kept"))
    assert settings.limits.max_pixels == 2_000_000


@pytest.fixture
def served(small_bundle: SmallBundle) -> Any:
    command = [*program(), "serve", "--model", str(small_bundle.path), "--port", "0"]
    with subprocess.Popen(
        command, env=surroundings(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_it_finishes_what_was_begun_before_it_stops(served: subprocess.Popen[str]) -> None:
    assert served.stderr is not None
    url = log_line(served, "serving")["url"]
    photo, port = encoded(squares(1)[0]), int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
        head = "POST /v1/classify HTTP/1.1", "Host: a", "Content-Type: image/png"
        lines = [*head, f"Content-Length: {len(photo)}", "", ""]
        connection.sendall("\r\n".join(lines).encode() + photo[:100])
        while "binsight_bodies 1.0" not in urlopen(f"{url}/metrics").read().decode():
            pass
        os.kill(served.pid, signal.SIGTERM)
        log_line(served, "Shutting down")
        connection.sendall(photo[100:])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head_of_answer, _, body = answer.partition(b"\r\n\r\n")
    assert head_of_answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(body)["photos"][0]["label"] in CLASSES
    assert log_line(served, "request")["status"] == 200
    assert served.wait(DEADLINE) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)


def log_line(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    """The next line of that event; every line before it is JSON as well."""
    assert process.stderr is not None
    for line in process.stderr:
        values: dict[str, Any] = json.loads(line)
        assert {"level", "timestamp"} <= values.keys()
        if values["event"] == event:
            return values
    raise AssertionError(f"it never logged {event!r}")
