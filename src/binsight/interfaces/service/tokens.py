"""Who may ask: bearer tokens (RFC 6750), from a file or the environment."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from binsight.errors import UsageError

from .problems import RefusedError

__all__ = ["VARIABLE", "Tokens", "read_tokens"]

VARIABLE = "BINSIGHT_TOKENS"
SHORTEST = 16  # letters; 16 random ones cannot be guessed
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1
BEARER = {"WWW-Authenticate": 'Bearer realm="binsight"'}


class Tokens:
    """Which tokens open the service.

    Args:
        tokens: any of which does.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = tuple(_digest(one) for one in tokens)

    def check(self, authorization: str | None) -> None:
        """Let a request pass whose header carries one of the tokens.

        Raises:
            RefusedError: 401.
        """
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise RefusedError(401, "send a token: Authorization: Bearer TOKEN", BEARER)
        digest = _digest(given.strip())
        # All are compared, and in constant time, so that nothing is learned from how long it takes.
        same = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(same):
            wrong = {"WWW-Authenticate": f'{BEARER["WWW-Authenticate"]}, error="invalid_token"'}
            raise RefusedError(401, "the token is not one of this service's", wrong)


def read_tokens(file: Path | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Tokens of a file, one a line (``#`` begins a comment), and of the environment.

    Raises:
        UsageError: the file cannot be read or holds none, or a token is too short or of other
            letters than a header can carry. The message does not show it.
    """
    words = environment.get(VARIABLE, "").replace(",", " ").split()
    if VARIABLE in environment and not words:
        raise UsageError(f"{VARIABLE} is empty; put a token there, or unset it")
    found = [_checked(word, VARIABLE) for word in words]
    if file is not None:
        found += _of_file(file)
    return tuple(dict.fromkeys(found))


def _of_file(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UsageError(f"{file}: {reason}") from error
    meant = [(number, line.strip()) for number, line in enumerate(lines, start=1)]
    found = [
        _checked(line, f"{file}, line {number}")
        for number, line in meant
        if line and not line.startswith("#")
    ]
    if not found:
        raise UsageError(f"{file}: holds no token; write one a line")
    return found


def _checked(token: str, where: str) -> str:
    if len(token) < SHORTEST or not TOKEN.fullmatch(token):
        raise UsageError(
            f"{where}: a token needs {SHORTEST} or more letters, digits and . _ ~ + / -; make one "
            "with: openssl rand -hex 32"
        )
    return token


def _digest(token: str) -> bytes:
    """Of the same length for every token, so that lengths are not told either."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
