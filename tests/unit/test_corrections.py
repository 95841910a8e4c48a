from __future__ import annotations

import hashlib
import io
import json
import logging
import multiprocessing
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image
from small_bundle import squares

from binsight import corrections
from binsight.corrections import Said, add_correction, read_corrections
from binsight.data.catalog import scan
from binsight.errors import CorrectionError, ImageError

DIGEST = "a" * 64
GLASS = Said(label="glass", confidence=0.75, sure=False)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


PHOTOS = [encoded(one) for one in squares(40)]


def correct(folder: Path, photo: bytes | Path, label: str, said: Said = GLASS) -> Path:
    return add_correction(folder, photo, label=label, prediction=said, model_digest=DIGEST)


def photos_in(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".jsonl"
    )


def test_a_correction_is_a_photo_and_a_line(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    path = correct(tmp_path, PHOTOS[0], "metal")
    sha256 = hashlib.sha256(PHOTOS[0]).hexdigest()
    assert path == tmp_path / "metal" / f"{sha256[:16]}.png"
    assert path.read_bytes() == PHOTOS[0]
    (line,) = (tmp_path / "corrections.jsonl").read_text().splitlines()
    values = json.loads(line)
    assert before <= datetime.fromisoformat(values.pop("time")) <= datetime.now(UTC)
    assert values == {
        "file": f"metal/{sha256[:16]}.png",
        "sha256": sha256,
        "model": DIGEST,
        "said": {"label": "glass", "confidence": 0.75, "sure": False},
        "person": "metal",
    }
    (read,) = read_corrections(tmp_path)
    assert (read.person, read.said, read.time.utcoffset()) == ("metal", GLASS, UTC.utcoffset(None))


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        *(("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp"), ("GIF", ".gif")),
        *(("BMP", ".bmp"), ("TIFF", ".tif"), ("MPO", ".jpg"), ("AVIF", ".avif")),
    ],
)
def test_the_suffix_is_of_the_content_not_of_the_name(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    photo = tmp_path / "photo.jpeg"
    photo.write_bytes(encoded(squares(1)[0], kind))
    assert correct(tmp_path / "kept", photo, "glass").suffix == suffix
    assert photo.is_file()


def test_no_corrections_yet(tmp_path: Path) -> None:
    assert read_corrections(tmp_path) == []
    assert read_corrections(tmp_path / "nowhere") == []


def test_the_same_label_again_adds_nothing(tmp_path: Path) -> None:
    first = correct(tmp_path, PHOTOS[0], "metal")
    assert correct(tmp_path, PHOTOS[0], "metal") == first
    assert len(photos_in(tmp_path)) == len(read_corrections(tmp_path)) == 1


def test_another_label_moves_the_photo_and_keeps_the_history(tmp_path: Path) -> None:
    labels = ["metal", "paper", "metal"]
    for label in labels:
        path = correct(tmp_path, PHOTOS[0], label)
        assert photos_in(tmp_path) == [path.relative_to(tmp_path).as_posix()]
    assert [one.person for one in read_corrections(tmp_path)] == labels
    assert path.parent.name == "metal"


def test_a_broken_photo_leaves_no_trace(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    for photo in (b"", b"no photo", PHOTOS[0][:-100], tmp_path / "missing.jpg"):
        with pytest.raises(ImageError):
            correct(folder, photo, "glass")
    assert not folder.exists()


@pytest.mark.parametrize(
    "label",
    [
        *(
            "",
            " ",
            ".",
            "..",
            ".hidden",
            "a/b",
            "a\\b",
            "/etc",
            "a\0b",
            "a\nb",
            "a.",
            " a",
            "a" * 61,
        ),
        *("corrections.jsonl", "Corrections.JSONL", "c:", "a*", "\udcff"),
    ],
)
def test_a_label_that_can_be_no_folder(tmp_path: Path, label: str) -> None:
    with pytest.raises(CorrectionError, match="cannot name a class; give 1 to 60 letters"):
        correct(tmp_path / "kept", PHOTOS[0], label)
    assert list(tmp_path.iterdir()) == []


def test_one_spelling_of_a_label(tmp_path: Path) -> None:
    composed, decomposed = "Hausm\N{LATIN SMALL LETTER U WITH DIAERESIS}ll", "Hausmu\u0308ll"
    first = correct(tmp_path, PHOTOS[0], composed)
    assert correct(tmp_path, PHOTOS[0], decomposed) == first


@pytest.mark.parametrize("torn", [b'{"time": "2026-', b"\xff\xfe", b"{}"])
def test_a_torn_last_line_is_skipped_and_not_written_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, torn: bytes
) -> None:
    correct(tmp_path, PHOTOS[0], "glass")
    with (tmp_path / "corrections.jsonl").open("ab") as file:
        file.write(torn)
    with caplog.at_level(logging.WARNING):
        assert [one.person for one in read_corrections(tmp_path)] == ["glass"]
    assert "corrections.jsonl, line 2: not a whole correction; skipped" in caplog.text
    correct(tmp_path, PHOTOS[1], "metal")
    assert [one.person for one in read_corrections(tmp_path)] == ["glass", "metal"]


def test_a_whole_last_line_without_its_end_is_kept(tmp_path: Path) -> None:
    correct(tmp_path, PHOTOS[0], "glass")
    log = tmp_path / "corrections.jsonl"
    log.write_bytes(log.read_bytes().rstrip(b"\n"))
    correct(tmp_path, PHOTOS[1], "metal")
    assert [one.person for one in read_corrections(tmp_path)] == ["glass", "metal"]
    correct(tmp_path, PHOTOS[2], "paper")
    assert all(log.read_text().splitlines()), "no empty lines"
    assert len(log.read_text().splitlines()) == 3


def test_a_full_disk_leaves_neither_photo_nor_half_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    correct(tmp_path, PHOTOS[0], "glass")
    log = tmp_path / "corrections.jsonl"
    before = log.read_bytes()
    real = os.fsync

    def full(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), log.stat()):
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(corrections.os, "fsync", full)
    with pytest.raises(CorrectionError, match="No space left on device"):
        correct(tmp_path, PHOTOS[1], "metal")
    assert log.read_bytes() == before
    assert len(photos_in(tmp_path)) == 1


def test_a_call_cut_short_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the line was written and before the photo moved."""
    correct(tmp_path, PHOTOS[0], "glass")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            correct(tmp_path, PHOTOS[0], "metal")
    assert read_corrections(tmp_path)[-1].person == "metal", "no photo lies anywhere unnoted"
    path = correct(tmp_path, PHOTOS[0], "metal")
    assert photos_in(tmp_path) == [path.relative_to(tmp_path).as_posix()]
    assert read_corrections(tmp_path)[-1].person == "metal"


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("")
    with pytest.raises(CorrectionError, match="kept: File exists"):
        correct(tmp_path / "kept", PHOTOS[0], "glass")


def test_a_folder_that_stays_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "LOCK_SECONDS", 0.1)
    with (
        FileLock(tmp_path / ".corrections.lock"),
        pytest.raises(CorrectionError, match="another process has been writing"),
    ):
        correct(tmp_path, PHOTOS[0], "glass")


def add_several(folder: Path, worker: int) -> None:
    """Ten photos of its own, and five that every worker corrects to a class of its own."""
    for number in range(10):
        correct(folder, PHOTOS[10 + worker * 10 + number], "own")
    for number in range(5):
        correct(folder, PHOTOS[number], f"worker{worker}")


def test_several_processes_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    running = [context.Process(target=add_several, args=(tmp_path, worker)) for worker in range(3)]
    for one in running:
        one.start()
    for one in running:
        one.join()
    assert [one.exitcode for one in running] == [0, 0, 0]
    found = photos_in(tmp_path)
    assert len(found) == 35
    assert len({Path(one).name for one in found}) == 35
    told = read_corrections(tmp_path)
    assert len(told) == 45
    last = {one.sha256: one.file for one in told}
    assert sorted(last.values()) == found


def test_the_folder_trains_as_it_is(tmp_path: Path) -> None:
    correct(tmp_path, PHOTOS[0], "glass")
    correct(tmp_path, PHOTOS[1], "metal")
    assert {path.name for path in tmp_path.iterdir()} >= {"corrections.jsonl", ".corrections.lock"}
    catalog = scan([tmp_path], duplicates=False)
    assert catalog.counts == {"glass": 1, "metal": 1}
    assert catalog.problems == ()
