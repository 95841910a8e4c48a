"""The service keeps to its own OpenAPI document, whatever is sent (schemathesis makes it up)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serving import encoded, service
from small_bundle import SmallBundle, squares

TOKEN = "a-token-for-schemathesis"
FEW = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
PHOTOS = st.sampled_from([encoded(one) for one in squares(5)]) | st.binary()

for kind in ("image/jpeg", "image/png", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, PHOTOS)


@pytest.fixture(scope="module")
def api(small_bundle: SmallBundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("schema") / "corrections"
    with service(small_bundle.path, corrections=folder, tokens=(TOKEN,)) as client:
        yield schemathesis.openapi.from_asgi("/openapi.json", client.app)


def check(case: schemathesis.Case) -> None:
    """No schema can say which bytes are a photo, so valid ones may be refused as well."""
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    case.call_and_validate(headers=bearer, excluded_checks=[positive_data_acceptance])


lazy = schemathesis.pytest.from_fixture("api")


@lazy.parametrize()
@FEW
def test_it_keeps_to_its_document(case: schemathesis.Case) -> None:
    check(case)


@pytest.mark.slow
@lazy.parametrize()
@MANY
def test_it_keeps_to_its_document_whatever_is_sent(case: schemathesis.Case) -> None:
    check(case)
