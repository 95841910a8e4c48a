"""Everything that can go wrong in a request, in one form: problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from binsight.errors import ImageTooLargeError

__all__ = [
    "NO_MEMORY",
    "PROBLEM_JSON",
    "Problem",
    "RefusedError",
    "full",
    "install",
    "problem",
    "status_of",
    "stopping",
    "unanswered",
    "unexpected",
]

PROBLEM_JSON = "application/problem+json"
RETRY_SECONDS = 1
NO_MEMORY = "not enough memory now; try again"
LEFT = 499  # the client has gone; HTTP has no status for it, and nginx made this one usual


class Problem(BaseModel):
    """Why a request or a photo got no answer; RFC 9457.

    Args:
        type: ``about:blank``: the status says what kind it is.
        title: the status in words.
        status: as in HTTP.
        detail: what is wrong here, and what to do.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class RefusedError(Exception):
    """A request that is answered with a problem.

    Args:
        status: of HTTP.
        detail: what is wrong, and what to do.
        headers: that the status calls for.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = dict(headers or {})
        super().__init__(detail)


def problem(status: int, detail: str) -> Problem:
    """Describe what went wrong."""
    return Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)


def status_of(error: Exception) -> int:
    """The status of a photo that got no answer."""
    if isinstance(error, MemoryError):
        return 503
    return 413 if isinstance(error, ImageTooLargeError) else 422


def full(detail: str) -> RefusedError:
    """No room now; the client should come back."""
    return RefusedError(503, detail, {"Retry-After": str(RETRY_SECONDS)})


def unanswered(status: int, detail: str) -> RefusedError:
    """A request that is all about one photo, which got no answer."""
    return full(detail) if status == 503 else RefusedError(status, detail)


def install(app: FastAPI) -> None:
    """Let the application answer every error that it knows as a problem."""
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(HTTPException, _by_framework)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(MemoryError, _no_memory)


def unexpected() -> JSONResponse:
    """Say nothing of the cause, which the log has."""
    return _response(500, "an error in the service; its log says more")


def stopping() -> JSONResponse:
    """Of a request that could not be finished in time."""
    error = full("the service is stopping; try again")
    return _response(error.status, str(error), error.headers)


def _response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    content = problem(status, detail).model_dump()
    return JSONResponse(content, status, headers, media_type=PROBLEM_JSON)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)
    return _response(error.status, str(error), error.headers)


async def _by_framework(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = "no such path; GET /openapi.json lists those that there are"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and error.headers:
        detail = f"{request.method} is not answered here; send {error.headers['Allow']}"
    return _response(error.status_code, detail, error.headers)


async def _not_valid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    wrong = (f"{_place(one)}: {one['msg']}" for one in error.errors())
    return _response(422, "; ".join(wrong))


def _place(error: Mapping[str, Any]) -> str:
    return " ".join(map(str, error["loc"]))


async def _no_memory(request: Request, _: Exception) -> JSONResponse:
    return await _refused(request, full(NO_MEMORY))


async def _left(_: Request, __: Exception) -> Response:
    """Nobody is there to read it; log and figures tell it from others."""
    return Response(status_code=LEFT)
