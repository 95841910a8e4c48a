from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path

import onnx
import pytest
from pydantic import ValidationError
from small_bundle import (
    DESCRIPTION,
    SmallBundle,
    describe,
    small_model,
    squares,
    write_novelty_bundle,
    write_small_bundle,
)

from binsight.bundle import (
    FORMAT_VERSION,
    METADATA_KEY,
    Metadata,
    digest_of,
    parse_metadata,
    read_verified,
    write_bundle,
)
from binsight.errors import AlteredBundleError, BundleError, BundleTooNewError, NotABundleError

HERE = Path("some.onnx")


def parsed(**changes: object) -> Metadata:
    values = {key: value for key, value in (DESCRIPTION | changes).items() if value is not None}
    return parse_metadata(HERE, {METADATA_KEY: json.dumps(values)})


def one_line(caught: pytest.ExceptionInfo[BaseException]) -> str:
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    digest = write_bundle(path, b"any bytes")
    data = read_verified(path)
    assert data.startswith(b"any bytes")
    assert digest_of(data) == digest == hashlib.sha256(b"any bytes").hexdigest()


def test_every_onnx_tool_can_read_a_bundle(small_bundle: SmallBundle) -> None:
    model = onnx.load(small_bundle.path)
    onnx.checker.check_model(model)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    assert entries["binsight.digest"] == small_bundle.digest
    assert json.loads(entries["binsight"])["classes"] == ["glass", "metal", "paper"]
    assert model.graph.name == "small"


def test_equal_content_has_an_equal_digest(tmp_path: Path) -> None:
    first = write_small_bundle(tmp_path / "1.onnx")
    second = write_small_bundle(tmp_path / "2.onnx")
    other = write_small_bundle(tmp_path / "3.onnx", threshold=0.71)
    assert first.digest == second.digest != other.digest


def test_a_flip_of_any_bit_is_found(small_bundle: SmallBundle, tmp_path: Path) -> None:
    whole = small_bundle.path.read_bytes()
    path = tmp_path / "flipped.onnx"
    trailer = range(len(whole) - 90, len(whole))
    for position in [*range(0, len(whole) - 90, 23), *trailer]:
        for bit in (0, 5):
            data = bytearray(whole)
            data[position] ^= 1 << bit
            path.write_bytes(data)
            with pytest.raises(AlteredBundleError, match="altered or damaged") as caught:
                read_verified(path)
            assert one_line(caught).startswith(str(path))


@pytest.mark.parametrize("change", ["1 less", "1 more", "twice", "body swapped"])
def test_another_length_or_order_is_found(
    small_bundle: SmallBundle, tmp_path: Path, change: str
) -> None:
    whole = small_bundle.path.read_bytes()
    changed = {
        "1 less": whole[:-1],
        "1 more": whole + b"\0",
        "twice": whole + whole,
        "body swapped": whole[100:200] + whole[:100] + whole[200:],
    }
    path = tmp_path / "changed.onnx"
    path.write_bytes(changed[change])
    with pytest.raises(AlteredBundleError) as caught:
        read_verified(path)
    one_line(caught)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_half_a_download_is_refused(
    small_bundle: SmallBundle, tmp_path: Path, share: float
) -> None:
    whole = small_bundle.path.read_bytes()
    path = tmp_path / "half.onnx"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BundleError, match=r"not a whole binsight bundle|altered or damaged"):
        read_verified(path)


def test_an_edited_description_is_found(small_bundle: SmallBundle, tmp_path: Path) -> None:
    whole = small_bundle.path.read_bytes()
    assert b'"threshold": 0.7' in whole
    path = tmp_path / "edited.onnx"
    path.write_bytes(whole.replace(b'"threshold": 0.7', b'"threshold": 0.1'))
    with pytest.raises(AlteredBundleError):
        read_verified(path)


def test_another_limit_of_the_novelty_is_found(tmp_path: Path) -> None:
    path = tmp_path / "edited.onnx"
    shown = {name: squares(4, seed) for seed, name in enumerate(["glass", "metal", "paper"])}
    whole = write_novelty_bundle(path, shown, limit=2.5).path.read_bytes()
    path.write_bytes(whole.replace(b'"limit": 2.5', b'"limit": 9.5'))
    assert path.read_bytes() != whole
    with pytest.raises(AlteredBundleError):
        read_verified(path)


def test_a_trailer_cannot_move_to_another_model(small_bundle: SmallBundle, tmp_path: Path) -> None:
    trailer = small_bundle.path.read_bytes()[-83:]
    path = tmp_path / "other.onnx"
    path.write_bytes(small_model(classes=2).SerializeToString() + trailer)
    with pytest.raises(AlteredBundleError):
        read_verified(path)


@pytest.mark.parametrize(
    "content",
    [
        small_model().SerializeToString(),
        b"",
        b"just text\n",
        pickle.dumps({"weights": [1.0, 2.0]}),
        b"\x89PNG\r\n\x1a\n" + bytes(500),
    ],
    ids=["plain ONNX", "empty", "text", "pickle", "PNG"],
)
def test_other_files_are_no_bundles(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(NotABundleError, match="binsight export") as caught:
        read_verified(path)
    one_line(caught)


def test_a_described_model_without_a_seal_is_altered(tmp_path: Path) -> None:
    model = small_model()
    describe(model, DESCRIPTION)
    path = tmp_path / "unsealed.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(AlteredBundleError):
        read_verified(path)


def test_a_missing_file_and_a_folder_are_no_bundles(tmp_path: Path) -> None:
    for path, reason in [(tmp_path / "gone.onnx", "No such file"), (tmp_path, "binsight export")]:
        with pytest.raises(NotABundleError, match=reason) as caught:
            read_verified(path)
        assert str(path) in one_line(caught)


def test_a_failed_write_leaves_the_old_bundle(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.onnx"
    write_bundle(path, b"old")
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_bundle(path, b"new")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_description_survives_json() -> None:
    metadata = parsed()
    assert metadata.classes == ("glass", "metal", "paper")
    assert metadata.preprocess.size == 32
    assert metadata.training.counts == {"glass": 4, "metal": 3, "paper": 2}
    assert metadata.metrics == {"val_accuracy": 0.875}
    again = json.dumps(metadata.model_dump(mode="json"))
    assert parse_metadata(HERE, {METADATA_KEY: again}) == metadata


def test_the_description_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        parsed().threshold = 0.1  # type: ignore[misc]


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 99])
def test_a_later_format_asks_for_an_upgrade(version: int) -> None:
    with pytest.raises(BundleTooNewError, match=r"install a newer binsight") as caught:
        parsed(format_version=version, something_new=True)
    assert str(version) in one_line(caught)


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_every_format_so_far_is_read(version: int) -> None:
    metadata = parsed(format_version=version)
    assert (metadata.lineage, metadata.novelty, metadata.chosen_on) == ((), None, None)


@pytest.mark.parametrize("key", [key for key in DESCRIPTION if key != "metrics"])
def test_a_missing_value_is_named(key: str) -> None:
    with pytest.raises(NotABundleError, match=key) as caught:
        parsed(**{key: None})
    one_line(caught)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"extra": 1}, "extra"),
        ({"classes": ["glass"]}, "classes"),
        ({"classes": ["glass", "glass"]}, "classes"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"novelty": {"score": "a", "limit": 1.0, "accepted": 0.0}}, r"novelty\.accepted"),
        ({"novelty": {"score": "a", "limit": float("inf"), "accepted": 1.0}}, r"novelty\.limit"),
        ({"chosen_on": {"photos": 3, "part": "val"}}, r"chosen_on\.catalog_digest"),
        ({"format_version": "1.0"}, "format_version"),
        ({"format_version": 0}, "format_version"),
        ({"preprocess": {"size": 8}}, r"preprocess\.size"),
        ({"preprocess": {"sise": 64}}, r"preprocess\.sise"),
        ({"training": DESCRIPTION["training"] | {"catalog_digest": "x"}}, "catalog_digest"),
        ({"parity": {"photos": 0, "same_label": 1.0, "max_difference": 0}}, r"parity\.photos"),
    ],
)
def test_a_wrong_value_is_named(changes: dict[str, object], where: str) -> None:
    with pytest.raises(NotABundleError, match=where) as caught:
        parsed(**changes)
    one_line(caught)


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "null", '"glass"', "[" * 100_000])
def test_no_description_is_no_bundle(text: str | None) -> None:
    custom = {} if text is None else {METADATA_KEY: text}
    with pytest.raises(NotABundleError, match="no description") as caught:
        parse_metadata(HERE, custom)
    one_line(caught)
