"""Send events to an MQTT broker, each until it is acknowledged (QoS 1, so perhaps twice).

The network runs in a thread of paho-mqtt. A thread of ours, the courier, hands events over:
paho calls back while it holds its locks, so callbacks do nothing but leave a note.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from binsight.errors import SpoolError, UsageError

from .spool import Spool

__all__ = ["MQTT_PASSWORD", "Address", "Broker", "address_of", "password_from"]

Say = Callable[[str], None]
MQTT_PASSWORD = "BINSIGHT_MQTT_PASSWORD"  # noqa: S105  # the name of a variable
PORTS = {"mqtt": 1883, "mqtts": 8883}
KEEP_ALIVE_S = 30
LONGEST_WAIT_S = 60
CONNECT_S = 5.0
WINDOW = 20  # events on their way at a time; the others stay in the spool
TICK_S = 0.02
FAREWELL_S = 5.0  # for what is on its way when the end comes


@dataclass(frozen=True, kw_only=True)
class Address:
    """A broker and the topic of the events; no password."""

    host: str
    port: int
    topic: str
    tls: bool = False
    user: str | None = None

    @property
    def name(self) -> str:
        """For people and logs."""
        return f"mqtt{'s' if self.tls else ''}://{self.host}:{self.port}/{self.topic}"

    @property
    def status_topic(self) -> str:
        """Where "online" and "offline" go."""
        return f"{self.topic}/status"


def address_of(url: str) -> Address:
    """Read ``mqtt://user@host:port/topic``, or ``mqtts://`` with TLS.

    Raises:
        UsageError: another URL, no host or topic, a topic with wildcards, or a password.
    """
    shape = "give mqtt://USER@HOST:PORT/TOPIC (mqtts:// for TLS; USER and PORT may be left out)"
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError as error:  # UnicodeError is one
        raise UsageError(f"--mqtt: {error}; {shape}") from error
    if parts.password is not None:
        raise UsageError(
            f"--mqtt: everybody can read a password on a command line; put it into {MQTT_PASSWORD} "
            "or a file for --mqtt-password-file"
        )
    topic = unquote(parts.path).strip("/")
    if parts.scheme not in PORTS or not parts.hostname or not topic:
        raise UsageError(f"--mqtt {url}: {shape}")
    if any(letter in url for letter in "?#") or any(letter in topic for letter in "+#\0"):
        raise UsageError(f"--mqtt {url}: a topic has no ?, + and #")
    return Address(
        host=parts.hostname,
        port=port or PORTS[parts.scheme],
        topic=topic,
        tls=parts.scheme == "mqtts",
        user=unquote(parts.username) if parts.username else None,
    )


def password_from(file: Path | None) -> str | None:
    """The password: the first line of a file, or of the environment (`MQTT_PASSWORD`).

    Raises:
        UsageError: the file cannot be read.
    """
    if file is None:
        return os.environ.get(MQTT_PASSWORD)
    try:
        return file.read_text(encoding="utf-8-sig").split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--mqtt-password-file {file}: {error}") from error


class Broker:
    """Delivers what is in a spool, now and whenever the broker is there.

    Args:
        address: where to.
        spool: holds the events.
        client_id: no two clients of a broker may share one.
        say: told when the broker is lost and when it is back.
        password: of the address's user.
        ca_file: certificates to trust instead of the system's (PEM).
        retained: topic to text that the broker shall keep, sent at each connection.

    Raises:
        UsageError: the certificates cannot be read.
    """

    def __init__(
        self,
        address: Address,
        spool: Spool,
        *,
        client_id: str,
        say: Say,
        password: str | None = None,
        ca_file: Path | None = None,
        retained: Mapping[str, str] | None = None,
    ) -> None:
        self._address = address
        self._spool = spool
        self._say = say
        self._retained = dict(retained or {})
        self._notes: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._on_its_way: dict[int, int] = {}  # message id to event number
        self._handed = 0  # the highest event number that paho was given
        self._connected = False
        self._trouble = ""
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        self._client.connect_timeout = CONNECT_S
        self._client.reconnect_delay_set(1, LONGEST_WAIT_S)
        self._client.will_set(address.status_topic, "offline", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        if address.user is not None:
            self._client.username_pw_set(address.user, password)
        if address.tls:
            self._use_tls(ca_file)
        self._courier = threading.Thread(target=self._carry, name="courier", daemon=True)

    def start(self) -> None:
        """Connect, or keep trying to; returns at once."""
        self._courier.start()
        self._client.connect_async(self._address.host, self._address.port, KEEP_ALIVE_S)
        self._client.loop_start()

    def send_new(self) -> None:
        """There is something new in the spool; returns at once."""
        self._notes.put(("new", 0))

    def close(self) -> int:
        """Wait a little for what is on its way, say "offline", and disconnect.

        Returns:
            The number of events that stay in the spool.
        """
        if self._connected:
            self._wait_for_delivery()
            with suppress(RuntimeError):  # the connection went; the broker tells of that itself
                self._publish(self._address.status_topic, "offline").wait_for_publish(FAREWELL_S)
        self._notes.put(("end", 0))
        self._courier.join()
        self._client.on_disconnect = None
        self._client.disconnect()
        self._client.loop_stop()
        return len(self._spool)

    def _wait_for_delivery(self) -> None:
        end_s = time.monotonic() + FAREWELL_S
        while len(self._spool) and self._connected and time.monotonic() < end_s:
            time.sleep(TICK_S)

    def _use_tls(self, ca_file: Path | None) -> None:
        try:
            self._client.tls_set(ca_certs=None if ca_file is None else str(ca_file))
        except OSError as error:  # ssl.SSLError is one
            raise UsageError(f"--mqtt-ca {ca_file}: {error}") from error

    def _carry(self) -> None:
        """The courier: one note after the other."""
        while True:
            note, number = self._notes.get()
            if note == "end":
                return
            try:
                self._follow(note, number)
            except SpoolError as error:
                self._complain(str(error))

    def _follow(self, note: str, number: int) -> None:
        if note == "connected":
            self._greet()
        elif note == "acknowledged" and number in self._on_its_way:
            self._spool.remove(self._on_its_way.pop(number))
        self._hand_over()

    def _greet(self) -> None:
        for topic, text in self._retained.items():
            self._publish(topic, text)
        self._publish(self._address.status_topic, "online")

    def _publish(self, topic: str, text: str) -> MQTTMessageInfo:
        return self._client.publish(topic, text, qos=1, retain=True)

    def _hand_over(self) -> None:
        """Give paho events while there is room; it repeats them after a lost connection."""
        room = WINDOW - len(self._on_its_way) if self._connected else 0
        for event in self._spool.after(self._handed, room) if room > 0 else ():
            sent = self._client.publish(self._address.topic, event.payload, qos=1)
            self._on_its_way[sent.mid] = event.number
            self._handed = event.number

    def _on_connect(
        self,
        _client: Client,
        _data: Any,
        _flags: ConnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if code.is_failure:
            self._complain(f"{self._address.name} refuses: {code}")
            return
        self._trouble = ""
        self._connected = True
        self._say(f"connected to {self._address.name}")
        self._notes.put(("connected", 0))

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        # paho calls from where it caught the error, and does not pass it on.
        error = sys.exc_info()[1]
        reasons = [getattr(error, name, None) for name in ("verify_message", "strerror")]
        reason = next(filter(None, reasons), error) or "no reason given"
        self._complain(f"{self._address.name} cannot be reached ({reason})")

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        _flags: DisconnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._connected:
            self._complain(f"lost {self._address.name} ({code})")
        self._connected = False

    def _on_publish(
        self, _client: Client, _data: Any, mid: int, _code: ReasonCode, _properties: Properties
    ) -> None:
        self._notes.put(("acknowledged", mid))

    def _complain(self, trouble: str) -> None:
        """Say once what is wrong, not at each try."""
        if trouble != self._trouble:
            self._say(f"{trouble}; events wait in {self._spool.path}, trying again")
        self._trouble = trouble
