"""The service keeps to its own OpenAPI document, whatever is sent (schemathesis makes it up)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from serving import encoded, service
from small_bundle import SmallBundle, squares

TOKEN = "a-token-for-schemathesis"
PATIENT: Any = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
PHOTOS = st.sampled_from([encoded(one) for one in squares(5)]) | st.binary()

for kind in ("image/jpeg", "image/png", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, PHOTOS)


@pytest.fixture(scope="module")
def api(small_bundle: SmallBundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("schema") / "corrections"
    with service(small_bundle.path, corrections=folder, tokens=(TOKEN,)) as client:
        yield schemathesis.openapi.from_asgi("/openapi.json", client.app)


OPERATIONS = [
    ("/healthz", "GET"),
    ("/metrics", "GET"),
    ("/readyz", "GET"),
    ("/v1/classify", "POST"),
    ("/v1/corrections", "POST"),
    ("/v1/model", "GET"),
]


def test_all_that_the_document_names_is_tried(api: Any) -> None:
    found = [one.ok() for one in api.get_all_operations()]
    assert sorted((one.path, one.method.upper()) for one in found) == OPERATIONS


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_it_keeps_to_its_document(api: Any, path: str, method: str) -> None:
    try_out(api[path][method], examples=5)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_it_keeps_to_its_document_whatever_is_sent(api: Any, path: str, method: str) -> None:
    # Among so many are wrong ones that nobody can tell: a form knows no boolean but its text, and a
    # query parameter that is not known is ignored.
    try_out(api[path][method], negative_data_rejection, examples=200)


def try_out(operation: Any, *excluded: Any, examples: int) -> None:
    """Send what the document allows, and where it can be made up, what it does not."""

    def send(case: schemathesis.Case) -> None:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        # No schema can say which bytes are a photo, so valid ones may be refused as well.
        unwanted = [positive_data_acceptance, *excluded]
        case.call_and_validate(headers=bearer, excluded_checks=unwanted)

    modes = [GenerationMode.POSITIVE]
    if operation.method.upper() == "POST":
        modes.append(GenerationMode.NEGATIVE)
    for mode in modes:
        check = given(case=operation.as_strategy(generation_mode=mode))(send)
        settings(max_examples=examples, derandomize=True, **PATIENT)(check)()
