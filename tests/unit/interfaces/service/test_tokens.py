"""Who may ask, and that nothing of a token is told."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest
from serving import JPEG, encoded, service
from small_bundle import SmallBundle, squares

from binsight.errors import UsageError
from binsight.interfaces.service.problems import RefusedError
from binsight.interfaces.service.tokens import Tokens, read_tokens

ONE, TWO = "one-token-of-16-letters", "two+token/of~16.letters=="


def test_only_a_token_opens_what_answers(small_bundle: SmallBundle) -> None:
    photo = encoded(squares(1)[0])
    with service(small_bundle.path, tokens=(ONE, TWO)) as client:
        without = client.post("/v1/classify", content=photo, headers=JPEG)
        assert without.status_code == 401
        assert without.headers["www-authenticate"].startswith("Bearer")
        assert without.headers["content-type"] == "application/problem+json"
        for method, path in [
            ("GET", "/v1/model"),
            ("HEAD", "/v1/model"),
            ("POST", "/v1/corrections?label=glass"),
        ]:
            assert client.request(method, path).status_code == 401
        for token in (ONE, TWO):
            bearer = {"Authorization": f"Bearer {token}"}
            answer = client.post("/v1/classify", content=photo, headers=JPEG | bearer)
            assert answer.status_code == 200
        for path in ("/healthz", "/readyz", "/metrics", "/docs"):
            assert client.get(path).status_code == 200
        assert client.get("/openapi.json").json()["components"]["securitySchemes"]


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", ONE, f"Basic {ONE}", f"Bearer {ONE}x", f"Bearer {ONE[:-1]}"],
)
def test_what_is_no_token_is_refused(header: str | None) -> None:
    with pytest.raises(RefusedError) as refused:
        Tokens([ONE]).check(header)
    assert refused.value.status == 401
    assert ONE not in str(refused.value)


def test_every_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    compare = hmac.compare_digest

    def noted(given: bytes, known: bytes) -> bool:
        lengths.append((len(given), len(known)))
        return compare(given, known)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    Tokens([ONE, TWO]).check(f"bearer {ONE}")
    assert lengths == [(32, 32)] * 2


def test_tokens_come_from_a_file_and_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# kitchen\n{ONE}\n\n  {TWO}  \n")
    third = "3" * 16
    assert read_tokens(file, {"BINSIGHT_TOKENS": f"{third}, {ONE}"}) == (third, ONE, TWO)
    assert read_tokens(None, {}) == ()


@pytest.mark.parametrize(
    "text", ["", "# none\n", "short\n", "letters of 16 with spaces\n", "ä" * 20]
)
def test_a_file_of_no_or_wrong_tokens_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(UsageError, match="token") as refused:
        read_tokens(file, {})
    assert not text.strip() or text.strip() not in str(refused.value)


def test_tokens_that_cannot_be_read_open_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_tokens(tmp_path / "none", {})
    with pytest.raises(UsageError, match="is empty"):
        read_tokens(None, {"BINSIGHT_TOKENS": " "})
