from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from mosquitto import PROGRAM, Mosquitto, Subscriber, free_port

from binsight.errors import UsageError
from binsight.interfaces.watch.broker import (
    MQTT_PASSWORD,
    Address,
    Broker,
    address_of,
    password_from,
)
from binsight.interfaces.watch.spool import Spool

needs_mosquitto = pytest.mark.skipif(PROGRAM is None, reason="mosquitto is not installed")
TOPIC = "kitchen/bin"


def test_an_address_is_read() -> None:
    assert address_of("mqtt://me@broker/a/b") == Address(
        host="broker", port=1883, topic="a/b", user="me"
    )
    secure = address_of("mqtts://broker:99/a%20b/")
    assert (secure.port, secure.tls, secure.topic, secure.user) == (99, True, "a b", None)
    assert address_of("mqtts://broker/a").port == 8883
    assert address_of("mqtt://[::1]/a").host == "::1"
    assert address_of("mqtt://me@broker/a").name == "mqtt://broker:1883/a"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mqtt://me:secret@broker/a", f"put it into {MQTT_PASSWORD}"),
        ("mqtt://broker", "give mqtt://USER@HOST:PORT/TOPIC"),
        ("mqtt://broker/", "give mqtt://USER@HOST:PORT/TOPIC"),
        ("mqtt:///topic", "give mqtt://USER@HOST:PORT/TOPIC"),
        ("http://broker/a", "give mqtt://USER@HOST:PORT/TOPIC"),
        ("mqtt://broker:x/a", "give mqtt://USER@HOST:PORT/TOPIC"),
        ("mqtt://broker/a/#", "a topic has no"),
        ("mqtt://broker/a/%23", "a topic has no"),
        ("mqtt://broker/+/a", "a topic has no"),
        ("mqtt://broker/a?b", "a topic has no"),
        ("mqtt://a..b/a", "give mqtt://USER@HOST:PORT/TOPIC"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        address_of(url)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_password_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MQTT_PASSWORD, raising=False)
    assert password_from(None) is None
    monkeypatch.setenv(MQTT_PASSWORD, "one")
    assert password_from(None) == "one"
    (tmp_path / "secret").write_text(" two \r\nnotes\n")
    assert password_from(tmp_path / "secret") == " two "
    with pytest.raises(UsageError, match="--mqtt-password-file"):
        password_from(tmp_path / "none")


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    with Mosquitto(folder) as running:
        yield running


@pytest.fixture
def subscriber(mosquitto: Mosquitto) -> Iterator[Subscriber]:
    one = Subscriber(mosquitto.port)
    yield one
    one.close()


class Sending:
    """A broker's client with its spool, as one start of the command has them."""

    def __init__(self, folder: Path, port: int, **options: object) -> None:
        self.said: list[str] = []
        self.news = threading.Condition()
        self.spool = Spool(folder / "spool.sqlite")
        address = Address(host="127.0.0.1", port=port, topic=TOPIC, user="me")
        settings = {"client_id": "sender", "retained": {"found/config": "{}"}} | options
        self.broker = Broker(address, self.spool, say=self.hear, **settings)
        self.broker.start()

    def hear(self, text: str) -> None:
        with self.news:
            self.said.append(text)
            self.news.notify_all()

    def wait_for(self, text: str) -> None:
        with self.news:
            there = self.news.wait_for(lambda: any(text in one for one in self.said), timeout=30)
            assert there, self.said

    def add(self, *names: str) -> None:
        for name in names:
            self.spool.add(name, json.dumps({"id": name}))
            self.broker.send_new()

    def close(self) -> int:
        waiting = self.broker.close()
        self.spool.close()
        return waiting


@needs_mosquitto
def test_events_arrive_in_order_and_leave_the_spool(
    tmp_path: Path, mosquitto: Mosquitto, subscriber: Subscriber
) -> None:
    names = [f"event {number}" for number in range(100)]
    sending = Sending(tmp_path, mosquitto.port)
    sending.add(*names)
    subscriber.wait_for(lambda: len(subscriber.ids(TOPIC)) == 100)
    assert subscriber.ids(TOPIC) == names
    assert sending.close() == 0
    subscriber.wait_for(lambda: subscriber.last(f"{TOPIC}/status") == "offline")


@needs_mosquitto
def test_who_comes_later_gets_what_is_retained_but_no_old_event(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    sending = Sending(tmp_path, mosquitto.port)
    sending.add("old")
    sending.wait_for("connected to")
    while len(sending.spool):
        threading.Event().wait(0.02)
    late = Subscriber(mosquitto.port)
    late.wait_for(lambda: len(late.messages) >= 2)
    assert sorted(late.messages) == [
        ("found/config", "{}", True),
        (f"{TOPIC}/status", "online", True),
    ]
    sending.close()
    late.close()


@needs_mosquitto
def test_a_broker_that_restarts_loses_no_event(
    tmp_path: Path, mosquitto: Mosquitto, subscriber: Subscriber
) -> None:
    sending = Sending(tmp_path, mosquitto.port)
    sending.add("before")
    subscriber.wait_for(lambda: subscriber.ids(TOPIC) == ["before"])
    mosquitto.stop()
    sending.wait_for("lost mqtt://127.0.0.1")
    sending.add(*(f"while away {number}" for number in range(50)))
    assert len(sending.spool) == 50
    mosquitto.start()
    sending.add("after")
    subscriber.wait_for(lambda: len(subscriber.ids(TOPIC)) == 52)
    assert subscriber.ids(TOPIC)[0] == "before"
    assert subscriber.ids(TOPIC)[-1] == "after"
    assert sending.close() == 0


@needs_mosquitto
def test_a_sender_that_restarts_loses_no_event(
    tmp_path: Path, mosquitto: Mosquitto, subscriber: Subscriber
) -> None:
    mosquitto.stop()
    first = Sending(tmp_path, mosquitto.port)
    first.add("a", "b")
    assert first.close() == 2
    mosquitto.start()
    second = Sending(tmp_path, mosquitto.port)
    second.add("c")
    subscriber.wait_for(lambda: len(subscriber.ids(TOPIC)) == 3)
    assert subscriber.ids(TOPIC) == ["a", "b", "c"]
    assert second.close() == 0


@needs_mosquitto
def test_a_password_that_is_refused_is_said_once(tmp_path: Path) -> None:
    folder = tmp_path / "strict"
    folder.mkdir()
    with Mosquitto(folder, settings="allow_anonymous false") as strict:
        sending = Sending(tmp_path, strict.port, password="wrong")
        sending.add("a")
        sending.wait_for("refuses: Not authorized; events wait in")
        threading.Event().wait(1.5)  # another try
        assert len(sending.said) == 1
        assert sending.close() == 1


def test_a_broker_that_is_not_there_is_said(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", free_port()))
        sending = Sending(tmp_path, nobody.getsockname()[1])
        sending.add("a")
        sending.wait_for("cannot be reached (Connection refused); events wait in")
        assert sending.close() == 1


def test_certificates_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    spool = Spool(tmp_path / "spool.sqlite")
    address = Address(host="broker", port=8883, topic="a", tls=True)
    with pytest.raises(UsageError, match="--mqtt-ca"):
        Broker(address, spool, client_id="a", say=print, ca_file=tmp_path / "ca.pem")
    spool.close()
