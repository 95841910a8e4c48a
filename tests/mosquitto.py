"""A real MQTT broker for tests, that can be stopped and started again, and a subscriber."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

PROGRAM = shutil.which(
    "mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
)
PATIENCE_S = 30


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Mosquitto:
    """A broker on a free port that keeps its retained messages and sessions in a folder."""

    def __init__(self, folder: Path, *, settings: str = "allow_anonymous true") -> None:
        self.port = free_port()
        self._settings = folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        self._settings.write_text(
            f"listener {self.port} 127.0.0.1\n{user}persistence true\n"
            f"persistence_location {folder}/\n{settings}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert PROGRAM
        self._process = subprocess.Popen(
            [PROGRAM, "-c", str(self._settings)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(PATIENCE_S * 20):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            threading.Event().wait(0.05)
        raise AssertionError("mosquitto does not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class Subscriber:
    """Collects messages of all topics, with a session that outlasts the broker's restart."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, str, bool]] = []
        self.came = threading.Condition()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="test", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        subscribed = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _client, _data, one: self._add(one)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(PATIENCE_S)

    def _add(self, message: Any) -> None:
        with self.came:
            self.messages.append((message.topic, message.payload.decode(), message.retain))
            self.came.notify_all()

    def ids(self, topic: str) -> list[str]:
        """Ids of the events, each where it first came."""
        found = [json.loads(text)["id"] for name, text, _ in list(self.messages) if name == topic]
        return list(dict.fromkeys(found))

    def wait_for(self, ready: Any) -> None:
        with self.came:
            assert self.came.wait_for(ready, timeout=PATIENCE_S), self.messages

    def last(self, topic: str) -> str | None:
        return next((text for name, text, _ in reversed(self.messages) if name == topic), None)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
