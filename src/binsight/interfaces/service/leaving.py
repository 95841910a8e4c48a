"""Clients that go before they have their answer: what nobody waits for any more is not begun."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

__all__ = ["departure", "unless_left"]

T = TypeVar("T")


@asynccontextmanager
async def departure(request: Request) -> AsyncIterator[asyncio.Task[None]]:
    """A task that is done as soon as the client has gone.

    Args:
        request: whose body has been read to its end.
    """
    gone = asyncio.create_task(_gone(request))
    try:
        yield gone
    finally:
        gone.cancel()
        await asyncio.wait([gone])


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def unless_left(gone: asyncio.Task[None], job: Future[T]) -> T:
    """Wait for what a worker does.

    Args:
        gone: of `departure`.
        job: for a worker; one that none has begun is taken back if the client goes, and one that
            was begun is waited for, as it still takes what the request holds.

    Raises:
        ClientDisconnect: the client has gone.
    """
    answer = asyncio.wrap_future(job)
    either: set[asyncio.Future[Any]] = {answer, gone}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and job.cancel():
            raise ClientDisconnect
        told = await answer
    finally:
        answer.cancel()
    if gone.done():
        raise ClientDisconnect
    return told
