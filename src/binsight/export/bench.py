"""How fast exported files are here, side by side: latency, throughput, cold start, memory, size.

All files take turns in one process, so that whatever else the machine does befalls all of them
alike, and ratios mean more than milliseconds. Cold start and memory are those of fresh processes.
Photos are not decoded here: a file gets tensors, as `preprocess.apply` makes them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from pydantic import BaseModel

from binsight.bundle import Precision
from binsight.cpus import available_cpus
from binsight.errors import UsageError

from .described import FormatName, size_of
from .formats import Exported, open_exported
from .measured import Floats, Runner

__all__ = ["Bench", "Rate", "bench"]

WARM_UP = 3
RATE_TURNS = 5
Progress = Callable[[int, int], None]


class Rate(BaseModel):
    """Throughput: images a second by batch and threads, the median of some turns."""

    batch: int
    threads: int
    images_per_second: float


class Bench(BaseModel):
    """What was measured of one file.

    Args:
        latency_ms: ``median``, ``p95`` and ``p99`` of one image on all threads.
        times_as_fast: the first file's median latency by this one's.
        first_answer_seconds: from the start of a fresh process to its first answer; median.
        peak_mib: largest resident memory of such a process; ``None`` if that was not asked for.
    """

    file: str
    format: FormatName
    precision: Precision
    bytes: int
    threads: int
    runs: int
    latency_ms: dict[str, float]
    times_as_fast: float
    rates: tuple[Rate, ...]
    first_answer_seconds: float | None
    peak_mib: float | None


def bench(
    paths: Sequence[Path],
    *,
    runs: int = 50,
    batches: Sequence[int] = (1, 8),
    threads: Sequence[int] | None = None,
    starts: int = 3,
    progress: Progress | None = None,
) -> list[Bench]:
    """Measure files.

    Args:
        paths: exported files; the first one is what others are compared with.
        runs: turns for the latency, of one image each.
        batches: images in one call, for the throughput.
        threads: for the throughput; ``None`` for one, and for all that this process may use.
        starts: fresh processes of each file; 0 leaves cold start and memory out.
        progress: called with (done, total) steps.

    Raises:
        BundleError: a file cannot be used.
        MissingExtraError: what runs a file is not installed.
        UsageError: a file cannot be run on this system, or a number is below 1.
    """
    counts = sorted(set(threads or (1, available_cpus())))
    if not paths or min(runs, *batches, *counts) < 1 or starts < 0:
        raise UsageError("give at least one file, run, image in a batch, and thread")
    files = [open_exported(path) for path in paths]
    steps = _Steps(1 + len(counts) * len(batches) + len(files) * starts, progress)
    latencies = _latencies(files, runs, counts[-1])
    steps.done()
    rates = _rates(files, batches, counts, steps)
    fresh = [_fresh(one.path, starts, steps) for one in files]
    first = float(np.median(latencies[0]))
    return [
        Bench(
            file=str(one.path),
            format=one.format.name,
            precision=one.description.precision,
            bytes=size_of(one.path),
            threads=counts[-1],
            runs=runs,
            latency_ms=_quantiles(taken),
            times_as_fast=first / float(np.median(taken)),
            rates=tuple(its_rates),
            first_answer_seconds=seconds,
            peak_mib=peak,
        )
        for one, taken, its_rates, (seconds, peak) in zip(
            files, latencies, rates, fresh, strict=True
        )
    ]


class _Steps:
    """Counts what is done."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._count, self._total, self._progress = 0, total, progress

    def done(self) -> None:
        self._count += 1
        if self._progress:
            self._progress(self._count, self._total)


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    values = np.quantile(np.array(seconds) * 1e3, [0.5, 0.95, 0.99])
    return dict(zip(("median", "p95", "p99"), map(float, values), strict=True))


def _latencies(files: Sequence[Exported], runs: int, threads: int) -> list[list[float]]:
    """Seconds of every run of each file."""
    runners = [one.open(threads) for one in files]
    images = [_images(one, 1) for one in files]
    taken: list[list[float]] = [[] for _ in files]
    for turn in range(WARM_UP + runs):
        for runner, images_nchw, seconds in zip(runners, images, taken, strict=True):
            took = _seconds(runner, images_nchw)
            if turn >= WARM_UP:
                seconds.append(took)
    return taken


def _rates(
    files: Sequence[Exported], batches: Sequence[int], threads: Sequence[int], steps: _Steps
) -> list[list[Rate]]:
    rates: list[list[Rate]] = [[] for _ in files]
    for count in threads:
        runners = [one.open(count) for one in files]
        for batch in batches:
            images = [_images(one, batch) for one in files]
            taken: list[list[float]] = [[] for _ in files]
            for _ in range(RATE_TURNS):
                for runner, images_nchw, seconds in zip(runners, images, taken, strict=True):
                    seconds.append(_seconds(runner, images_nchw))
            for its, seconds in zip(rates, taken, strict=True):
                rate = batch / median(seconds)
                its.append(Rate(batch=batch, threads=count, images_per_second=rate))
            steps.done()
    return rates


def _seconds(runner: Runner, images_nchw: Floats) -> float:
    start = time.perf_counter()
    runner.run(images_nchw)
    return time.perf_counter() - start


def _images(one: Exported, batch: int) -> Floats:
    size = one.description.preprocess.size
    random = np.random.default_rng(0)
    return random.standard_normal((batch, 3, size, size), np.float32)


def _fresh(path: Path, starts: int, steps: _Steps) -> tuple[float | None, float | None]:
    """Seconds to the first answer, and peak memory in MiB."""
    seconds, peaks = [], []
    for _ in range(starts):
        start = time.perf_counter()
        command = [sys.executable, "-m", "binsight.export.first_answer", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        seconds.append(time.perf_counter() - start)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UsageError(f"{path}: does not answer in a fresh process ({last})")
        peaks.append(float(done.stdout.split()[-1]))
        steps.done()
    return (median(seconds), median(peaks)) if starts else (None, None)
