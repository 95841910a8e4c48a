"""What a client gets: answers, and for each thing that can be wrong its own status."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from serving import JPEG, encoded, form, service
from small_bundle import (
    CLASSES,
    SmallBundle,
    expected_probs,
    small_model,
    squares,
    write_small_bundle,
)
from typer.testing import CliRunner

from binsight import Classifier, load_bins
from binsight.corrections import read_corrections
from binsight.images import ImageLimits
from binsight.interfaces.cli import app as command_line
from binsight.interfaces.service.answers import Answers, Kept, ModelAnswer
from binsight.interfaces.service.problems import Problem

EXAMPLES = sorted((Path(__file__).parents[4] / "examples").glob("*.jpg"))
BROKEN = b"\x89PNG\r\n\x1a\n and nothing more"
LIMITS = ImageLimits(max_bytes=20_000, max_pixels=100 * 100)


@pytest.fixture(scope="module")
def client(small_bundle: SmallBundle) -> Iterator[TestClient]:
    with service(small_bundle.path) as client:
        yield client


@pytest.fixture(scope="module")
def narrow(small_bundle: SmallBundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service with limits that a small body reaches."""
    folder = tmp_path_factory.mktemp("narrow")
    settings = {"limits": LIMITS, "max_photos": 3, "max_request_bytes": 50_000}
    with service(small_bundle.path, corrections=folder / "corrections", **settings) as client:
        yield client


def refused(response: httpx.Response, status: int) -> str:
    """Why a request got a problem of that status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    told = Problem.model_validate(response.json())
    assert told.status == status
    assert told.title
    return told.detail


def test_one_raw_photo_gets_the_answer_that_numpy_works_out(client: TestClient) -> None:
    photo = squares(1)[0]
    response = client.post("/v1/classify", content=encoded(photo), headers=JPEG)
    assert response.status_code == 200, response.text
    told = Answers.model_validate(response.json())
    (answer,) = told.photos
    assert answer.probs is not None
    assert list(answer.probs) == list(CLASSES)
    assert list(answer.probs.values()) == pytest.approx(expected_probs(photo), abs=1e-5)
    assert answer.label == CLASSES[int(np.argmax(expected_probs(photo)))]


def test_photos_of_a_form_are_answered_in_their_order(client: TestClient) -> None:
    photos = squares(12, seed=3)
    files = form(*((f"{number}.png", encoded(one)) for number, one in enumerate(photos)))
    answers = client.post("/v1/classify", files=files).json()["photos"]
    assert [one["name"] for one in answers] == [f"{number}.png" for number in range(12)]
    for photo, answer in zip(photos, answers, strict=True):
        assert list(answer["probs"].values()) == pytest.approx(expected_probs(photo), abs=1e-5)


def test_examples_get_what_the_command_line_and_python_say(
    client: TestClient, small_bundle: SmallBundle
) -> None:
    files = form(*((path.name, path.read_bytes()) for path in EXAMPLES))
    served = client.post("/v1/classify", files=files).json()["photos"]
    arguments = ["classify", *map(str, EXAMPLES), "--json", "--model", str(small_bundle.path)]
    printed = CliRunner().invoke(command_line, arguments).stdout.splitlines()
    python = Classifier(small_bundle.path).classify(EXAMPLES)
    assert len(served) == len(printed) == len(python) == 6
    for answer, line, prediction in zip(served, map(json.loads, printed), python, strict=True):
        assert answer["label"] == line["label"] == prediction.label
        assert answer["probs"] == pytest.approx(line["probs"], abs=1e-5)
        assert answer["probs"] == pytest.approx(dict(prediction.probs), abs=1e-5)
        assert (answer["sure"], answer["why"]) == (prediction.sure, prediction.why)


def test_a_broken_photo_has_its_error_and_the_others_their_answers(narrow: TestClient) -> None:
    good, bomb = encoded(squares(1)[0]), encoded(Image.new("RGB", (101, 100)))
    files = form(("a", good), ("b", BROKEN), ("c", bomb))
    response = narrow.post("/v1/classify", files=files)
    assert response.status_code == 200
    first, second, third = response.json()["photos"]
    assert first["label"] in CLASSES
    assert second["error"]["status"] == 422
    assert "broken" in second["error"]["detail"] or "not an image" in second["error"]["detail"]
    assert third["error"]["status"] == 413
    assert "101 x 100 is more than 10,000 pixels" in third["error"]["detail"]


def test_a_photo_of_too_many_bytes_leaves_the_others_theirs(narrow: TestClient) -> None:
    good = encoded(squares(1)[0])
    files = form(("a", bytes(20_001)), ("b", good))
    large, small = narrow.post("/v1/classify", files=files).json()["photos"]
    assert (large["name"], large["error"]["status"]) == ("a", 413)
    assert small["label"] in CLASSES


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 422, "the file is empty"),
        (BROKEN, 422, "image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", 422, "not an image"),
        (bytes(20_001), 413, "more than 20,000 bytes"),
        (bytes(50_001), 413, "more than 50,000 bytes in one request"),
        (encoded(Image.new("RGB", (101, 100))), 413, "more than 10,000 pixels"),
    ],
)
def test_one_photo_that_cannot_be_used_is_a_problem(
    narrow: TestClient, body: bytes, status: int, reason: str
) -> None:
    assert reason in refused(narrow.post("/v1/classify", content=body, headers=JPEG), status)


def test_a_body_that_hides_its_length_is_counted_as_it_comes(narrow: TestClient) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while taken < 10_000:
            taken += 1
            yield bytes(1000)

    response = narrow.post("/v1/classify", content=endless(), headers=JPEG)
    assert "in one request" in refused(response, 413)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/x-www-form-urlencoded"},  # what curl says of --data-binary
        {"Content-Type": "application/json"},
        {"Content-Type": "image/jpeg", "Content-Encoding": "gzip"},
    ],
)
def test_another_kind_of_body_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    detail = refused(client.post("/v1/classify", content=b"x", headers=headers), 415)
    assert "send" in detail


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--a--\r\n"),
        ("multipart/form-data; boundary=a", b"no boundary at all"),
        ("multipart/form-data; boundary=" + "a" * 300, b"x"),
        (
            "multipart/form-data; boundary=a",
            b'--a\r\nContent-Disposition: form-data; name="photos"\r\n\r\ncut off',
        ),
    ],
)
def test_a_broken_form_is_refused(client: TestClient, kind: str, body: bytes) -> None:
    refused(client.post("/v1/classify", content=body, headers={"Content-Type": kind}), 400)


def test_a_form_without_photos_or_with_other_fields_is_refused(narrow: TestClient) -> None:
    good = encoded(squares(1)[0])
    empty = {"Content-Type": "multipart/form-data; boundary=a"}
    assert "no photo" in refused(
        narrow.post("/v1/classify", content=b"--a--\r\n", headers=empty), 422
    )
    wrong = narrow.post("/v1/classify", files={"picture": ("a.png", good)})
    assert "unknown field 'picture'" in refused(wrong, 422)
    many = narrow.post("/v1/classify", files=form(*[("a", good)] * 4))
    assert "more than 3 photos" in refused(many, 413)
    maybe = narrow.post("/v1/classify?heatmap=maybe", content=good, headers=JPEG)
    assert "heatmap" in refused(maybe, 422)


def test_paths_and_methods_that_are_not_there(client: TestClient) -> None:
    assert "GET /openapi.json lists" in refused(client.get("/v2/classify"), 404)
    response = client.get("/v1/classify")
    assert refused(response, 405) == "GET is not answered here; send POST"
    assert response.headers["allow"] == "POST"


def test_a_heat_map_is_a_picture_of_the_photo(client: TestClient) -> None:
    photo = encoded(squares(1)[0].resize((1500, 750)))
    response = client.post("/v1/classify?heatmap=true", content=photo, headers=JPEG)
    (answer,) = Answers.model_validate(response.json()).photos
    told = answer.heatmap
    assert told is not None
    assert (told.of, told.width, told.height) == (answer.label, 1500, 750)
    with Image.open(io.BytesIO(base64.b64decode(told.base64))) as picture:
        assert Image.MIME[picture.format or ""] == told.media_type
        assert picture.size == (1024, 512)


def test_a_model_without_heat_maps_says_so_and_answers(tmp_path: Path) -> None:
    model = small_model()
    del model.graph.node[3:]  # Gemm and Softmax give way to what is no linear layer
    from onnx import helper

    model.graph.node.append(helper.make_node("Softmax", ["embedding"], ["probs"], axis=1))
    bundle = write_small_bundle(tmp_path / "odd.onnx", model=model)
    photo = encoded(squares(1)[0])
    with service(bundle.path) as client:
        assert client.post("/v1/classify", content=photo, headers=JPEG).status_code == 200
        response = client.post("/v1/classify?heatmap=true", content=photo, headers=JPEG)
        assert "no heat maps" in refused(response, 422)


def test_bins_are_in_the_answers(small_bundle: SmallBundle) -> None:
    photo = encoded(squares(1)[0])
    with service(small_bundle.path, bins="berlin") as client:
        (answer,) = client.post("/v1/classify", content=photo, headers=JPEG).json()["photos"]
        assert client.get("/v1/model").json()["bins"]
    classifier = Classifier(small_bundle.path)
    probs = classifier.classify(photo).probs
    decision = load_bins("berlin").decide(probs, threshold=classifier.metadata.threshold)
    assert answer["bin"] == decision.to_dict()


def test_the_model_says_what_the_bundle_says(client: TestClient, small_bundle: SmallBundle) -> None:
    told = ModelAnswer.model_validate(client.get("/v1/model").json())
    assert told.digest == small_bundle.digest
    assert told.metadata.classes == CLASSES
    assert told.bins is None


def test_it_says_that_it_lives_and_is_ready(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/model"])
def test_head_is_answered_as_get_is_without_a_body(client: TestClient, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert int(head.headers["content-length"]) > 0
    assert list(client.get("/openapi.json").json()["paths"][path]) == ["get"]
    wrong = client.post(path)
    assert refused(wrong, 405) == f"POST is not answered here; send {wrong.headers['allow']}"
    assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_a_correction_is_kept_with_what_the_model_said(
    tmp_path: Path, small_bundle: SmallBundle
) -> None:
    photo, folder = encoded(squares(1)[0]), tmp_path / "corrections"
    with service(small_bundle.path, corrections=folder) as client:
        files = {"photo": ("a.png", photo, "image/png")}
        first = client.post("/v1/corrections", files=files, data={"label": "metal"})
        again = client.post("/v1/corrections?label=metal", content=photo, headers=JPEG)
    assert (first.status_code, again.status_code) == (201, 201), first.text
    told = Kept.model_validate(first.json())
    assert (folder / told.file).read_bytes() == photo
    (correction,) = read_corrections(folder)
    assert (correction.person, correction.model) == ("metal", small_bundle.digest)
    assert correction.said.label == told.said.label
    assert again.json()["file"] == told.file


def test_corrections_that_cannot_be_kept(
    narrow: TestClient, client: TestClient, tmp_path: Path, small_bundle: SmallBundle
) -> None:
    photo = encoded(squares(1)[0])

    def sent(to: TestClient, query: str, content: bytes = photo) -> httpx.Response:
        return to.post(f"/v1/corrections{query}", content=content, headers=JPEG)

    assert "--corrections" in refused(sent(client, "?label=glass"), 403)
    assert "no label" in refused(sent(narrow, ""), 422)
    assert "cannot name a class" in refused(sent(narrow, "?label=../up"), 422)
    refused(sent(narrow, "?label=glass", BROKEN), 422)
    two = {"data": {"label": ["a", "b"]}, "files": {"photo": ("a", photo)}}
    assert "there twice" in refused(narrow.post("/v1/corrections", **two), 422)
    long = {"data": {"label": "a" * 2000}, "files": {"photo": ("a", photo)}}
    assert "too long" in refused(narrow.post("/v1/corrections", **long), 413)
    (tmp_path / "file").write_text("in the way")
    with service(small_bundle.path, corrections=tmp_path / "file") as blocked:
        response = sent(blocked, "?label=glass")
    refused(response, 503)
    assert int(response.headers["retry-after"]) > 0


def test_an_error_in_the_service_tells_nothing_of_its_cause(
    small_bundle: SmallBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service(small_bundle.path) as client:
        monkeypatch.setattr("binsight.interfaces.service.model.Model.tell", lambda *_, **__: 1 / 0)
        named = {**JPEG, "X-Request-ID": "mine"}
        response = client.post("/v1/classify", content=b"x", headers=named)
        assert "division" not in refused(response, 500)
        assert response.headers["x-request-id"] == "mine"
        figures = client.get("/metrics").text
        assert 'status="500"} 1.0' in figures
        took = 'binsight_request_seconds_sum{route="/v1/classify"} '
        assert float(figures.partition(took)[2].split()[0]) > 0


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[ONNXRuntimeError] : 6 : std::bad_alloc")]
)
def test_a_photo_for_which_there_is_no_memory_is_not_called_broken(
    small_bundle: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    large, small = encoded(squares(1)[0].resize((64, 64))), encoded(squares(1)[0])
    classify = Classifier.classify

    def short_of_memory(classifier: Classifier, photo: Any) -> Any:
        if photo == large:
            raise error
        return classify(classifier, photo)

    with service(small_bundle.path, corrections=tmp_path / "kept") as client:
        monkeypatch.setattr(Classifier, "classify", short_of_memory)
        for path in ("/v1/classify", "/v1/corrections?label=glass"):
            response = client.post(path, content=large, headers=JPEG)
            assert refused(response, 503) == "not enough memory now; try again"
            assert int(response.headers["retry-after"]) > 0
        files = form(("large", large), ("small", small))
        first, second = client.post("/v1/classify", files=files).json()["photos"]
        assert first["error"]["status"] == 503
        assert second["label"] in CLASSES
        assert 'binsight_photo_errors_total{status="503"} 3.0' in client.get("/metrics").text


def test_no_memory_elsewhere_is_a_reason_to_come_back_as_well(
    small_bundle: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short_of_memory(*_: Any, **__: Any) -> None:
        raise MemoryError

    photo = encoded(squares(1)[0])
    with service(small_bundle.path, corrections=tmp_path / "kept") as client:
        for place in ("work.add_correction", "application.read_body"):
            monkeypatch.setattr(f"binsight.interfaces.service.{place}", short_of_memory)
            response = client.post("/v1/corrections?label=glass", content=photo, headers=JPEG)
            assert refused(response, 503) == "not enough memory now; try again"
            assert int(response.headers["retry-after"]) > 0
