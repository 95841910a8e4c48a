"""``binsight watch``: a camera, a stream, a video or a folder in; a line of JSON for each event."""

from __future__ import annotations

import hashlib
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from binsight.errors import UsageError
from binsight.interfaces.deciding import bins_for
from binsight.interfaces.watch.scene import SceneOptions
from binsight.runtime import Classifier

from .extras import needs_extra
from .models import BinsOption, ModelOption
from .sorting import is_inside
from .terminal import printable

if TYPE_CHECKING:
    from binsight.interfaces.watch.broker import Address, Broker
    from binsight.interfaces.watch.event import Event
    from binsight.interfaces.watch.source import Source
    from binsight.interfaces.watch.spool import Spool

Tell = Callable[["Event"], None]
SLOWEST, FASTEST = 0.2, 30.0  # pictures a second
OF_A_VIEW = ("still", "area", "level", "rate", "learn", "settle")
OF_A_BROKER = ("mqtt_password_file", "mqtt_ca", "spool", "discovery")


def watch(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(help="A camera (0, /dev/video0), rtsp:// URL, video or folder.")
    ],
    model: ModelOption = None,
    bins: BinsOption = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the picture of each event in DIR.")
    ] = None,
    keep_unsure: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep what it was not sure of, for binsight correct."),
    ] = None,
    existing: Annotated[
        bool, typer.Option("--existing", help="Folder: also take photos that are there already.")
    ] = False,
    still: Annotated[float, typer.Option(help="Seconds without motion before an answer.")] = (
        SceneOptions.still_s
    ),
    area: Annotated[float, typer.Option(help="The smallest thing, as share of the view.")] = (
        SceneOptions.area
    ),
    level: Annotated[
        float, typer.Option(help="Change of a pixel that counts, in grey levels of 255.")
    ] = SceneOptions.level,
    rate: Annotated[float, typer.Option(help="Pictures a second to look at.")] = 5.0,
    learn: Annotated[
        float, typer.Option(help="Seconds in which the empty scene follows the light.")
    ] = SceneOptions.learn_s,
    settle: Annotated[
        float, typer.Option(help="Seconds after which a thing belongs to the scene.")
    ] = SceneOptions.settle_s,
    mqtt: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Also send events to mqtt://USER@HOST:PORT/TOPIC."),
    ] = None,
    mqtt_password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its password, if not in BINSIGHT_MQTT_PASSWORD."),
    ] = None,
    mqtt_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificates to trust with mqtts://.")
    ] = None,
    discovery: Annotated[bool, typer.Option(help="Tell Home Assistant of the sensors.")] = True,
    spool: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where events wait until the broker has them."),
    ] = None,
) -> None:
    """Answer when something new lies still in view, or a photo comes into a folder.

    One JSON object a line for each event. Ctrl-C or SIGTERM ends it, with status 0.
    """
    with needs_extra("watch"):
        import av  # noqa: F401
        import paho.mqtt  # noqa: F401
        import watchdog  # noqa: F401
    from binsight.interfaces.watch.source import Kind, source_of
    from binsight.interfaces.watch.teller import Teller
    from binsight.interfaces.watch.watching import stopping, watch_folder, watch_view

    found = source_of(source)
    is_folder = found.kind is Kind.FOLDER
    _refuse_idle(_given(context), is_folder=is_folder, mqtt=mqtt)
    if not SLOWEST <= rate <= FASTEST:
        raise UsageError(f"--rate {rate:g}; give {SLOWEST:g} to {FASTEST:g} pictures a second")
    if is_folder and keep_unsure and is_inside(keep_unsure, Path(source)):
        raise UsageError(
            f"--keep-unsure {keep_unsure} lies in {source}; copies would be answered too"
        )
    for folder in filter(None, (pictures, keep_unsure)):
        _check_writable(folder)
    options = SceneOptions(still_s=still, area=area, level=level, learn_s=learn, settle_s=settle)
    classifier = Classifier(model)
    rules = bins_for(classifier, bins)
    sender = _Sender(found, mqtt, mqtt_password_file, mqtt_ca, discovery, rules is not None, spool)
    began_s = time.monotonic()
    with stopping() as stop, sender.telling() as tell:
        teller = Teller(
            classifier=classifier,
            source=found.name,
            tell=tell,
            bins=rules,
            pictures=pictures,
            unsure=keep_unsure,
        )
        if is_folder:
            watch_folder(Path(source), teller, existing=existing, stop=stop, say=_say)
        else:
            watch_view(found, teller, options=options, rate=rate, stop=stop, say=_say)
        _say(_summary(teller.counts, time.monotonic() - began_s))


class _Sender:
    """Prints events and, with a broker, sends them."""

    def __init__(
        self,
        source: Source,
        url: str | None,
        password_file: Path | None,
        ca_file: Path | None,
        discovery: bool,
        bins: bool,
        spool: Path | None,
    ) -> None:
        from binsight.interfaces.watch.broker import address_of, password_from

        self._source = source
        self._address = None if url is None else address_of(url)
        if ca_file and self._address and not self._address.tls:
            raise UsageError("--mqtt-ca: mqtt:// is not encrypted; give mqtts://")
        if password_file and self._address and self._address.user is None:
            raise UsageError("--mqtt-password-file: whose? give mqtt://USER@HOST/TOPIC")
        self._password = password_from(password_file)
        self._ca_file = ca_file
        self._discovery = discovery
        self._bins = bins
        self._spool = spool

    @contextmanager
    def telling(self) -> Iterator[Tell]:
        """Yield what tells of an event: nothing is printed that is not in the spool."""
        from binsight.interfaces.watch.spool import Spool

        if self._address is None:
            yield lambda event: typer.echo(event.to_json())
            return
        # Neither the broker's nor this machine's name: what waits is sent, though they change.
        name = _id(self._source.identity, self._address.topic)
        spool = Spool(self._spool or _state_folder() / f"{name}.sqlite")
        try:
            broker = self._broker(self._address, spool)
            broker.start()
            try:
                yield lambda event: _keep_print_send(event, spool, broker)
            finally:
                if waiting := broker.close():
                    _say(f"{waiting:,} events wait in {spool.path} for the next start")
        finally:
            spool.close()

    def _broker(self, address: Address, spool: Spool) -> Broker:
        from binsight.interfaces.watch.broker import Broker
        from binsight.interfaces.watch.home_assistant import discovery

        # The same at each start, and another for another camera or topic.
        device = _id(platform.node(), self._source.identity, address.name)
        name = f"binsight {self._source.name}"
        found = discovery(address, device=device, name=name, bins=self._bins)
        return Broker(
            address,
            spool,
            client_id=_id(device, str(spool.path.absolute())),
            say=_say,
            password=self._password,
            ca_file=self._ca_file,
            retained=found if self._discovery else {},
        )


def _keep_print_send(event: Event, spool: Spool, broker: Broker) -> None:
    line = event.to_json()
    spool.add(event.id, line)
    typer.echo(line)
    broker.send_new()


def _given(context: typer.Context) -> set[str]:
    """Parameters that the command line names, whatever their values."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _refuse_idle(given: set[str], *, is_folder: bool, mqtt: str | None) -> None:
    """Refuse options that would do nothing: somebody expects something of them."""
    if not is_folder and "existing" in given:
        raise UsageError("--existing is for a folder; leave it out")
    if is_folder and "pictures" in given:
        raise UsageError("--pictures: the photos of a folder are files already; leave it out")
    if is_folder and (idle := [name for name in OF_A_VIEW if name in given]):
        raise UsageError(f"--{idle[0]} is for a camera, stream or video; leave it out")
    if mqtt is None and (idle := [name for name in OF_A_BROKER if name in given]):
        name = "no-discovery" if idle[0] == "discovery" else idle[0].replace("_", "-")
        raise UsageError(f"--{name} goes with --mqtt; give it too")


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{folder}: {reason}; give a folder that can be written to") from error


def _id(*parts: str) -> str:
    return f"binsight_{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def _state_folder() -> Path:
    from platformdirs import user_state_path

    return user_state_path("binsight", appauthor=False) / "watch"


def _say(text: str) -> None:
    typer.echo(printable(text), err=True)


def _summary(counts: Counter[str], seconds: float) -> str:
    parts = ", ".join(f"{counts[name]:,} {name}" for name in ("sure", "not sure", "error"))
    hours, rest = divmod(int(seconds), 3600)
    return f"{counts.total():,} events ({parts}) in {hours} h {rest // 60} min {rest % 60} s"
