from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from drawn_video import BLUE, RED, Thing, drawn, lying, write_video
from PIL import Image
from small_bundle import CLASSES, SmallBundle
from typer.testing import CliRunner, Result

from binsight import Classifier
from binsight.errors import SourceError, SpoolError, UsageError
from binsight.interfaces.cli import app
from binsight.interfaces.watch import folder
from binsight.interfaces.watch.event import Event
from binsight.interfaces.watch.source import source_of
from binsight.interfaces.watch.teller import Teller

BINS = """
[[bins]]
name = "Wertstoffe"
colour = "#ffcc00"
takes = ["glass", "metal", "paper"]
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["watch", *map(str, arguments)])


def events(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr or result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two things come one after the other."""
    things = [Thing(RED, lying(2, 4)), Thing(BLUE, lying(5, 8))]
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    return write_video(path, (one for _, one in drawn(8, things)))


def test_a_video_gives_an_event_for_each_thing(
    video: Path, small_bundle: SmallBundle, tmp_path: Path
) -> None:
    (tmp_path / "bins.toml").write_text(BINS)
    pictures = tmp_path / "pictures"
    before = datetime.now(UTC) - timedelta(seconds=1)
    result = run(
        video,
        "--model",
        small_bundle.path,
        "--pictures",
        pictures,
        "--bins",
        tmp_path / "bins.toml",
    )
    first, second = events(result)
    assert (first["at_s"], second["at_s"]) == (3.0, 6.0)
    assert first["id"] != second["id"]
    for one in (first, second):
        assert before < datetime.fromisoformat(one["time"]) < datetime.now(UTC)
        assert one["time"].endswith("Z")
        assert (one["source"], one["model"]) == (str(video), small_bundle.digest)
        assert one["bin"]["name"] in {"Wertstoffe", None}
        again = Classifier(small_bundle.path).classify(one["picture"])
        assert one["label"] == again.label
        assert one["probs"] == pytest.approx(dict(again.probs), abs=0.01)  # a JPEG by now
        assert list(one["probs"]) == list(CLASSES)
    assert sorted(map(str, pictures.iterdir())) == sorted([first["picture"], second["picture"]])
    assert "2 events" in result.stderr


def test_what_is_not_sure_is_kept(video: Path, small_bundle: SmallBundle, tmp_path: Path) -> None:
    told = events(run(video, "--model", small_bundle.path, "--keep-unsure", tmp_path / "unsure"))
    unsure = [one for one in told if not one["sure"]]
    assert {one["picture"] for one in told if one["sure"]} <= {None}
    kept = (tmp_path / "unsure").iterdir() if unsure else []
    assert sorted(map(str, kept)) == sorted(one["picture"] for one in unsure)


def test_a_folder_is_watched_until_it_is_told_to_stop(
    small_bundle: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TICK_S", 0.02), ("LIST_EVERY_S", 0.1)):
        monkeypatch.setattr(folder, name, value)
    monkeypatch.setattr(
        folder.NewPhotos.__init__, "__kwdefaults__", {"steady_s": 0.1, "patience_s": 0.3}
    )
    Image.new("RGB", (64, 64), RED).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_text("no photo")
    handler = signal.getsignal(signal.SIGTERM)
    threading.Timer(3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    result = run(tmp_path, "--existing", "--model", small_bundle.path)
    good, broken = sorted(events(result), key=lambda one: "error" in one)
    assert good["picture"] == str(tmp_path / "a.png")
    assert good["label"] == Classifier(small_bundle.path).classify(tmp_path / "a.png").label
    assert broken["error"] == f"{tmp_path / 'b.jpg'}: not an image that can be read"
    assert "label" not in broken
    assert "1 error" in result.stderr
    assert signal.getsignal(signal.SIGTERM) is handler


def test_unsure_photos_of_one_name_are_both_kept(small_bundle: SmallBundle, tmp_path: Path) -> None:
    classifier = Classifier(small_bundle.path)
    classifier.metadata = classifier.metadata.model_copy(update={"threshold": 1.0})
    teller = Teller(
        classifier=classifier, source="cam", tell=lambda _: None, unsure=tmp_path / "unsure"
    )
    for number, colour in enumerate((RED, (0, 0, 255))):
        photo = tmp_path / f"cam{number}" / "0001.png"
        photo.parent.mkdir()
        Image.new("RGB", (64, 64), colour).save(photo)
        teller.photo(photo, retry=lambda _: False)
        teller.photo(photo, retry=lambda _: False)
    kept = sorted((tmp_path / "unsure").iterdir())
    assert len(kept) == 2
    assert {len(path.name) for path in kept} == {len("0001-12345678.png")}


def test_an_unsure_photo_is_kept_as_it_was_answered(
    small_bundle: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Classifier(small_bundle.path)
    classifier.metadata = classifier.metadata.model_copy(update={"threshold": 1.0})
    told: list[Event] = []
    teller = Teller(classifier=classifier, source="in", tell=told.append, unsure=tmp_path / "u")
    photo = tmp_path / f"{'é' * 120}.png"
    Image.new("RGB", (64, 64), RED).save(photo)
    data, classify = photo.read_bytes(), classifier.classify

    def moved_meanwhile(given: bytes) -> Any:
        photo.unlink(missing_ok=True)
        return classify(given)

    monkeypatch.setattr(classifier, "classify", moved_meanwhile)
    teller.photo(photo, retry=lambda _: False)
    assert len(told) == 1
    (kept,) = (tmp_path / "u").iterdir()
    assert kept.read_bytes() == data


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names that are text")
def test_a_name_may_be_no_text(small_bundle: SmallBundle, tmp_path: Path) -> None:
    photo = tmp_path / os.fsdecode(b"\xff\xfe.png")
    Image.new("RGB", (64, 64), RED).save(photo)
    told: list[Event] = []
    teller = Teller(classifier=Classifier(small_bundle.path), source="in", tell=told.append)
    for _ in range(2):
        teller.photo(photo, retry=lambda _: False)
    assert told[0].id == told[1].id
    assert json.loads(told[0].to_json())["picture"] == str(photo)


def test_a_folder_for_pictures_that_cannot_be_written_is_found_at_once(
    video: Path, small_bundle: SmallBundle, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for option in ("--pictures", "--keep-unsure"):
        result = run(video, "--model", small_bundle.path, option, tmp_path / "file" / "seen")
        assert isinstance(result.exception, UsageError)
        assert "seen: Not a directory; give a folder that can be written to" in str(
            result.exception
        )


def test_cameras_of_one_recorder_wait_in_files_of_their_own(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (source_of(f"rtsp://me@nvr/live?channel={number}") for number in (1, 2))
    assert one.name == other.name == "rtsp://nvr/live"
    assert one.identity != other.identity
    monkeypatch.chdir(video.parent)
    assert source_of(video.name).identity == source_of(str(video)).identity == str(video)


def test_unsure_photos_are_not_kept_where_they_would_be_answered_again(
    small_bundle: SmallBundle, tmp_path: Path
) -> None:
    result = run(tmp_path, "--model", small_bundle.path, "--keep-unsure", tmp_path / "unsure")
    assert isinstance(result.exception, UsageError)
    assert "copies would be answered too" in str(result.exception)


def test_what_is_printed_waits_for_a_broker_that_is_away(
    video: Path, small_bundle: SmallBundle, tmp_path: Path
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"mqtt://127.0.0.1:{nobody.getsockname()[1]}/bin"
        result = run(
            video, "--model", small_bundle.path, "--mqtt", url, "--spool", tmp_path / "spool.sqlite"
        )
    from binsight.interfaces.watch.spool import Spool

    spool = Spool(tmp_path / "spool.sqlite")
    assert [event.payload for event in spool.after(0, 9)] == result.stdout.splitlines()
    spool.close()
    assert len(events(result)) == 2
    assert "2 events wait in" in result.stderr


def test_nothing_is_printed_that_cannot_be_kept(
    video: Path, small_bundle: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise SpoolError("spool: database or disk is full")

    monkeypatch.setattr("binsight.interfaces.watch.spool.Spool.add", full)
    result = run(
        *(video, "--model", small_bundle.path, "--mqtt", "mqtt://127.0.0.1:1/bin"),
        *("--spool", tmp_path / "spool.sqlite"),
    )
    assert isinstance(result.exception, SpoolError)
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (["no such"], SourceError, "no such file or folder"),
        (["FOLDER", "--pictures", "x"], UsageError, "files already"),
        (["VIDEO", "--existing"], UsageError, "--existing is for a folder"),
        (["VIDEO", "--spool", "x"], UsageError, "--spool goes with --mqtt"),
        (["VIDEO", "--no-discovery"], UsageError, "--no-discovery goes with --mqtt"),
        (["FOLDER", "--still", "1"], UsageError, "--still is for a camera, stream or video"),
        (["VIDEO", "--mqtt", "mqtt://a/b", "--mqtt-ca", "x"], UsageError, "give mqtts://"),
        (
            ["VIDEO", "--mqtt", "mqtt://a/b", "--mqtt-password-file", "x"],
            UsageError,
            "mqtt://USER@HOST/TOPIC",
        ),
        (["VIDEO", "--rate", "100"], UsageError, "--rate 100; give 0.2 to 30"),
        (["VIDEO", "--area", "2"], UsageError, "--area 2; give"),
        (["VIDEO", "--mqtt", "mqtt://me:pw@host/a"], UsageError, "BINSIGHT_MQTT_PASSWORD"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    video: Path,
    small_bundle: SmallBundle,
    tmp_path: Path,
    arguments: list[str],
    kind: type[Exception],
    said: str,
) -> None:
    meant = {"FOLDER": str(tmp_path), "VIDEO": str(video)}
    result = run(*(meant.get(one, one) for one in arguments), "--model", small_bundle.path)
    assert isinstance(result.exception, kind)
    assert said in str(result.exception)
    assert result.stdout == ""
