"""The service keeps to its own OpenAPI document, whatever is sent (schemathesis makes it up)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from serving import service
from small_bundle import SmallBundle

TOKEN = "a-token-for-schemathesis"
FEW = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def api(small_bundle: SmallBundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("schema") / "corrections"
    with service(small_bundle.path, corrections=folder, tokens=(TOKEN,)) as client:
        yield schemathesis.openapi.from_asgi("/openapi.json", client.app)


lazy = schemathesis.pytest.from_fixture("api")


@lazy.parametrize()
@FEW
def test_it_keeps_to_its_document(case: schemathesis.Case) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.mark.slow
@lazy.parametrize()
@MANY
def test_it_keeps_to_its_document_whatever_is_sent(case: schemathesis.Case) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"})
