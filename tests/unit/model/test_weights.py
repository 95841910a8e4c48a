from __future__ import annotations

import hashlib
import http.server
import io
import os
import pickle
import threading
import urllib.error
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402
from torchvision import models  # noqa: E402

from binsight.errors import WeightsError  # noqa: E402
from binsight.model.network import build, plain_model  # noqa: E402
from binsight.model.weights import build_with_weights, read_state, write_state  # noqa: E402

NAME = "mobilenet_v2"
State = dict[str, Any]


def filled(name: str = NAME, weights: object = "none", classes: int = 3) -> Any:
    names = [f"class {number}" for number in range(classes)]
    return build_with_weights(name, str(weights), classes=names, dropout=0.2)


@pytest.fixture(scope="module")
def original() -> State:
    """A state dict of torchvision's own model."""
    torch.manual_seed(0)
    return plain_model(NAME).state_dict()


def assert_backbone(network: Any, state: State) -> None:
    """All of the features come from the state dict."""
    found = network.features.state_dict()
    assert found
    for name, value in found.items():
        assert torch.equal(value, state[f"features.{name}"].to(value.dtype)), name


def one_line(caught: pytest.ExceptionInfo[BaseException]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
@pytest.mark.parametrize("classifier", [True, False])
def test_files_of_torchvision(original: State, tmp_path: Path, kind: str, classifier: bool) -> None:
    state = {k: v for k, v in original.items() if classifier or not k.startswith("classifier")}
    path = tmp_path / f"weights.{kind}"
    save_file(state, path) if kind == "safetensors" else torch.save(state, path)
    network = filled(weights=path)
    assert_backbone(network, original)
    assert network.head.weight.shape == (3, 1280)


def test_the_head_of_torchvision_is_never_taken(original: State, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(original, path)
    network = filled(weights=path, classes=1000)
    assert not torch.equal(network.head.weight, original["classifier.1.weight"])


def test_half_precision_becomes_single(original: State, tmp_path: Path) -> None:
    halved = {k: v.half() if v.is_floating_point() else v for k, v in original.items()}
    path = tmp_path / "half.safetensors"
    save_file(halved, path)
    network = filled(weights=path)
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    assert_backbone(network, halved)


def test_old_files_without_a_count_of_batches(original: State, tmp_path: Path) -> None:
    old = {k: v for k, v in original.items() if not k.endswith("num_batches_tracked")}
    path = tmp_path / "old.pth"
    torch.save(old, path)
    assert_backbone(filled(weights=path), original)


def run_state(classes: int) -> State:
    torch.manual_seed(1)
    return build(NAME, classes=classes).state_dict()


def write_run(path: Path, state: State, classes: Sequence[str]) -> Path:
    """Weights of a run, as its best epoch's or its last checkpoint keeps them."""
    if path.suffix == ".ckpt":
        inner = {f"network.{k}": v for k, v in state.items()} | {"loss.weight": torch.ones(3)}
        whole = {"epoch": 4, "state_dict": inner, "plateau": {"best": 0.5}}
        torch.save(whole | {"classes": list(classes)}, path)
    else:
        write_state(path, state, classes=classes, epoch=4)
    return path


@pytest.mark.parametrize("kind", ["best.safetensors", "last.ckpt"])
@pytest.mark.parametrize(
    ("of_run", "kept"),
    [
        (("a", "b", "c"), True),
        (("b", "a", "c"), False),
        (("a", "b", "d"), False),
        (("a", "b"), False),
        ((), False),
    ],
)
def test_weights_of_a_run(tmp_path: Path, kind: str, of_run: tuple[str, ...], kept: bool) -> None:
    state = run_state(classes=len(of_run) or 3)
    path = write_run(tmp_path / kind, state, of_run)
    torch.manual_seed(2)
    network = build_with_weights(NAME, str(path), classes=["a", "b", "c"], dropout=0.2)
    found = network.state_dict()
    assert all(torch.equal(found[k], v) for k, v in state.items() if k.startswith("features."))
    assert torch.equal(found["head.weight"], state["head.weight"]) == kept
    assert found["head.weight"].shape[0] == 3


def test_a_run_that_lost_its_bias(tmp_path: Path) -> None:
    state = run_state(classes=3)
    del state["head.bias"]
    path = write_run(tmp_path / "best.safetensors", state, ["class 0", "class 1", "class 2"])
    with pytest.raises(WeightsError, match=r"1 tensors are missing .*head\.bias"):
        filled(weights=path)


@pytest.mark.parametrize("other", ["mobilenet_v3_small", "resnet18"])
def test_weights_of_another_network(original: State, tmp_path: Path, other: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save(original, path)
    with pytest.raises(WeightsError, match=f"not the weights of {other}") as caught:
        filled(other, path)
    assert str(path) in one_line(caught)


def test_tensors_that_are_missing(original: State, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({k: v for k, v in original.items() if k != "features.0.0.weight"}, path)
    with pytest.raises(WeightsError, match=r"1 tensors are missing .*features\.0\.0\.weight"):
        filled(weights=path)


def test_tensors_too_many(original: State, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(original | {"extra.weight": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match=r"1 too many, such as extra\.weight"):
        filled(weights=path)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


@pytest.mark.parametrize("kind", ["torch", "pickle", "old torch"])
@pytest.mark.parametrize("suffix", ["pth", "safetensors", "ckpt"])
def test_code_in_a_file_is_never_run(tmp_path: Path, kind: str, suffix: str) -> None:
    canary, path = tmp_path / "canary", tmp_path / f"evil.{suffix}"
    evil = {"state_dict": {"features.0.0.weight": Trap(canary)}}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(evil, protocol=2))
    else:
        torch.save(evil, path, _use_new_zipfile_serialization=kind == "torch")
    with pytest.raises(WeightsError, match="not a safetensors file or a state dict") as caught:
        filled(weights=path)
    one_line(caught)
    assert not canary.exists()
    with path.open("rb") as file:
        if kind == "pickle":
            pickle.load(file)
            assert canary.exists()  # the trap does work


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"text\n", b"\x80", b"(dp0\n", b"PK\x03\x04" + bytes(40), bytes(range(256)) * 9],
)
def test_files_of_another_kind(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"other.{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="not a safetensors file or a state dict") as caught:
        read_state(path)
    assert str(path) in one_line(caught)


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_a_file_that_was_cut(original: State, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"cut.{kind}"
    save_file(original, path) if kind == "safetensors" else torch.save(original, path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(WeightsError):
        read_state(path)


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"state_dict": {"a": "b"}}, 3.5])
def test_tensors_are_expected(tmp_path: Path, content: object) -> None:
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match="not a state dict"):
        read_state(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such weight file"):
        filled(weights=tmp_path / "gone.pth")
    with pytest.raises(WeightsError, match="a folder, and not that of a run"):
        filled(weights=tmp_path)


class Server:
    """Serves files from memory and counts the requests."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                content = outer.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                """Stay silent."""

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


class Remote:
    """torchvision's weights of one network, moved to a server of our own."""

    def __init__(self, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.cache = home / "hub" / "checkpoints"
        self.monkeypatch = monkeypatch

    def offer(self, content: bytes, digest: str) -> Path:
        name = f"{NAME}-{digest[:8]}.pth"
        self.server.files[f"/{name}"] = content
        self.point_to(name)
        return self.cache / name

    def point_to(self, name: str) -> None:
        from dataclasses import replace

        member = models.MobileNet_V2_Weights.IMAGENET1K_V1
        moved = replace(member.value, url=f"{self.server.root}/{name}")
        self.monkeypatch.setattr(member, "_value_", moved)


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    server = Server()
    yield Remote(server, tmp_path / "torch", monkeypatch)
    server.close()


@pytest.fixture(scope="module")
def served(original: State) -> bytes:
    buffer = io.BytesIO()
    torch.save(original, buffer)
    return buffer.getvalue()


def test_imagenet_is_downloaded_once(remote: Remote, served: bytes, original: State) -> None:
    file = remote.offer(served, hashlib.sha256(served).hexdigest())
    assert_backbone(filled(weights="imagenet"), original)
    assert file.read_bytes() == served
    remote.server.files.clear()
    assert_backbone(filled(weights="imagenet"), original)
    assert remote.server.requests == 1


def test_a_wrong_hash_is_refused(remote: Remote, served: bytes) -> None:
    file = remote.offer(served, "0" * 64)
    with pytest.raises(WeightsError, match="invalid hash value") as caught:
        filled(weights="imagenet")
    assert str(file) in one_line(caught)
    assert not file.exists()


def test_a_page_that_is_not_there(remote: Remote) -> None:
    remote.point_to("mobilenet_v2-01234567.pth")
    with pytest.raises(WeightsError, match="404") as caught:
        filled(weights="imagenet")
    assert isinstance(caught.value.__cause__, urllib.error.HTTPError)
    caught.value.__cause__.close()
    message = one_line(caught)
    assert str(remote.cache / "mobilenet_v2-01234567.pth") in message
    assert f"{remote.server.root}/mobilenet_v2-01234567.pth" in message
    assert "--weights" in message


def test_no_server_at_all(remote: Remote) -> None:
    remote.point_to("mobilenet_v2-01234567.pth")
    remote.server.close()
    with pytest.raises(WeightsError, match="put it at") as caught:
        filled(weights="imagenet")
    assert str(remote.cache / "mobilenet_v2-01234567.pth") in one_line(caught)


def test_a_broken_file_in_the_cache_is_named(remote: Remote) -> None:
    remote.point_to("mobilenet_v2-01234567.pth")
    remote.cache.mkdir(parents=True)
    file = remote.cache / "mobilenet_v2-01234567.pth"
    for content in (b"", b"not weights", pickle.dumps(Trap(file.parent / "canary"), protocol=2)):
        file.write_bytes(content)
        with pytest.raises(WeightsError, match="put it at") as caught:
            filled(weights="imagenet")
        assert str(file) in one_line(caught)
    assert remote.server.requests == 0
    assert not (file.parent / "canary").exists()


@pytest.mark.parametrize("name", ["no_such_network", "", "resnet"])
def test_imagenet_weights_of_an_unknown_network(name: str) -> None:
    with pytest.raises(WeightsError, match="no IMAGENET1K_V1 weights"):
        filled(name, "imagenet")
