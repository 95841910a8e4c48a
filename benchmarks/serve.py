"""What `binsight serve` does when far more is asked than it can answer: python benchmarks/serve.py.

Starts the service, measures how many photos a second it answers when nobody waits in vain, and then
asks at a multiple of that rate. Every answer is compared with the classifier's own for that very
photo. The client is a few lines of HTTP/1.1 on asyncio, to leave the CPUs to the service; it shares
them all the same.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from binsight import Classifier

MIB = 2**20
TOLERANCE = 1e-3  # of a probability; the service runs the graph with another number of threads
RUN = "from binsight.interfaces.cli import main; main()"


@dataclass
class Tally:
    """What came back.

    Args:
        statuses: how often each; 0 is a connection that ended without an answer.
        wrong: answers that are not this photo's.
        seconds: from request to answer, by status.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    unhelpful: int = 0  # 503 without Retry-After
    seconds: dict[int, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A photo as it is sent, and what the classifier says of it."""

    body: bytes
    probs: dict[str, float]


class User:
    """One client with a connection that is kept open.

    Args:
        port: of the service.
        tally: to count in.
    """

    def __init__(self, port: int, tally: Tally) -> None:
        self._port, self._tally = port, tally
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, photo: Asked) -> int:
        """Send one photo, check the answer, and return its status."""
        started = time.perf_counter()
        try:
            status, headers, body = await self._exchange(photo.body)
        except (OSError, EOFError, asyncio.IncompleteReadError):
            status, headers, body = 0, {}, b""
            self.close()
        tally = self._tally
        tally.statuses[status] += 1
        tally.seconds.setdefault(status, []).append(time.perf_counter() - started)
        if status == 200:
            tally.wrong += not same(json.loads(body)["photos"], photo.probs)
        elif status == 503:
            tally.unhelpful += "retry-after" not in headers
        if headers.get("connection") == "close":
            self.close()
        return status

    def close(self) -> None:
        """Let go of the connection."""
        if self._streams:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, content: bytes) -> tuple[int, dict[str, str], bytes]:
        if self._streams and self._streams[0].at_eof():  # the service ends idle connections
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = (
            "POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode("ascii") + content)
        await writer.drain()
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines if line)
        headers = {name.lower(): value for name, value in pairs}
        return (
            int(first.split()[1]),
            headers,
            await reader.readexactly(int(headers["content-length"])),
        )


def same(told: list[dict[str, Any]], probs: dict[str, float]) -> bool:
    """Whether an answer is the one of this photo."""
    return len(told) == 1 and all(
        abs(told[0]["probs"][name] - value) < TOLERANCE for name, value in probs.items()
    )


def drawn(number: int, side: int) -> bytes:
    """A photo of coloured blots unlike any other's."""
    random = np.random.default_rng(number)
    small = random.integers(0, 256, (6, 6, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def photos(model: str, count: int, side: int) -> list[Asked]:
    """Photos with the answers that they must get."""
    bodies = [drawn(number, side) for number in range(count)]
    answers = Classifier(model).classify(bodies)
    return [Asked(one, dict(said.probs)) for one, said in zip(bodies, answers, strict=True)]


async def capacity(
    port: int, asked: list[Asked], users: int, seconds: float
) -> tuple[float, Tally]:
    """Answers a second when each user waits for an answer before asking again."""
    tally, end = Tally(), time.perf_counter() + seconds

    async def work(first: int) -> None:
        user, number = User(port, tally), first
        while time.perf_counter() < end:
            await user.ask(asked[number % len(asked)])
            number += users
        user.close()

    started = time.perf_counter()
    await asyncio.gather(*(work(first) for first in range(users)))
    return tally.statuses[200] / (time.perf_counter() - started), tally


async def flood(
    port: int, asked: list[Asked], rate: float, seconds: float, memory: Any
) -> tuple[Tally, list[float], float]:
    """Ask at a steady rate, whatever comes back; also memory in MiB, each second, and the rate."""
    tally, idle, running, rss = Tally(), [], set(), []
    users: list[User] = idle

    async def one(photo: Asked) -> None:
        user = users.pop() if users else User(port, tally)
        await user.ask(photo)
        users.append(user)

    started = time.perf_counter()
    number = 0
    while (now := time.perf_counter() - started) < seconds:
        while number < now * rate:
            task = asyncio.create_task(one(asked[number % len(asked)]))
            running.add(task)
            task.add_done_callback(running.discard)
            number += 1
        if now >= len(rss):
            rss.append(memory())
        await asyncio.sleep(0.005)
    offered = number / (time.perf_counter() - started)
    await asyncio.gather(*running)
    rss.append(memory())
    for user in users:
        user.close()
    return tally, rss, offered


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024 / MIB


def started(model: str) -> tuple[subprocess.Popen[str], int]:
    """The service in a process of its own, and its port."""
    command = [sys.executable, "-c", RUN, "serve", "--model", model, "--port", "0"]
    process = subprocess.Popen(  # noqa: S603
        command, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stderr is not None  # noqa: S101
    for line in process.stderr:
        told = json.loads(line)
        if told["event"] == "serving":
            return process, int(told["url"].rpartition(":")[2])
    sys.exit("the service did not start, for the reason above")


async def swallow(process: subprocess.Popen[str]) -> None:
    """Read the log, so that its pipe is never full."""
    assert process.stderr is not None  # noqa: S101
    stream = process.stderr
    await asyncio.to_thread(lambda: sum(1 for _ in stream))


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what it can serve, then ask for a multiple of that."""
    asked = photos(options.model, options.photos, options.side)
    process, port = started(options.model)
    log = asyncio.create_task(swallow(process))
    try:
        await capacity(port, asked, 2, 2.0)  # warms up
        rate, calm = await capacity(port, asked, 4, options.seconds)
        before = resident_mib(process.pid)
        tally, rss, offered = await flood(
            port, asked, options.times * rate, options.seconds, lambda: resident_mib(process.pid)
        )
    finally:
        process.terminate()
        process.wait()
        await log
    return {
        "model": options.model,
        "served_per_second": rate,
        "calm_statuses": dict(calm.statuses),
        "offered_per_second": offered,
        "times": offered / rate,
        "flood_statuses": dict(tally.statuses),
        "flood_served_per_second": tally.statuses[200] / options.seconds,
        "wrong": calm.wrong + tally.wrong,
        "without_retry_after": tally.unhelpful,
        "median_ms": {
            status: float(np.median(seconds)) * 1000 for status, seconds in tally.seconds.items()
        },
        "p99_ms": {
            status: float(np.quantile(seconds, 0.99)) * 1000
            for status, seconds in tally.seconds.items()
        },
        "memory_mib": {"before": before, "highest": max(rss), "after": rss[-1]},
        "exit": process.returncode,
    }


def main() -> None:
    """Read the command line, measure, print, and fail if an answer was lost, wrong or a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="small", help="a bundle or a built-in name")
    parser.add_argument("--photos", type=int, default=200, help="different photos to ask about")
    parser.add_argument("--side", type=int, default=512, help="of a photo, in pixels")
    parser.add_argument("--seconds", type=float, default=20, help="of each of the two parts")
    parser.add_argument("--times", type=float, default=4, help="what it can serve")
    told = asyncio.run(measure(parser.parse_args()))
    print(json.dumps(told, indent=2))
    statuses = {**told["calm_statuses"], **told["flood_statuses"]}
    if told["wrong"] or told["without_retry_after"] or not set(statuses) <= {200, 503}:
        sys.exit("answers were lost, wrong or faults")


if __name__ == "__main__":
    main()
