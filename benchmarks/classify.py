"""binsight beside the plain tutorial way, on the same photos: python benchmarks/classify.py.

Each way works in a process of its own and takes turns with the other, in random order. binsight is
`Classifier.classify` (ONNX Runtime). The tutorial way is torchvision's network of the same
architecture in eval mode, one photo at a time under ``torch.no_grad``, with torchvision's
transforms at the same size. Its weights are random, which costs the same time.
"""
# ruff: noqa: PLC0415, S101 - each way pays for its own imports, and for no others

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
MIB = 2**20
Job = dict[str, Any]
Classify = Callable[[list[str]], list[str]]


def binsight_way(job: Job) -> Classify:
    """As the README shows it."""
    from binsight import Classifier

    classifier = Classifier(job["bundle"], threads=job["threads"])
    return lambda photos: [answer.label for answer in classifier.classify(photos)]


def tutorial_way(job: Job) -> Classify:
    """As tutorials show it."""
    import torch
    from PIL import Image
    from torchvision import models, transforms

    torch.set_num_threads(job["threads"])
    network = models.get_model(job["architecture"], num_classes=len(job["classes"]))
    network.load_state_dict(torch.load(job["weights"], weights_only=True))
    network.eval()
    prepare = transforms.Compose(
        [
            transforms.Resize(job["resize_to"]),
            transforms.CenterCrop(job["size"]),
            transforms.ToTensor(),
            transforms.Normalize(job["mean"], job["std"]),
        ]
    )

    def classify(photos: list[str]) -> list[str]:
        labels = []
        for photo in photos:
            with Image.open(photo) as image, torch.no_grad():
                probs = network(prepare(image.convert("RGB")).unsqueeze(0)).softmax(dim=1)
            labels.append(job["classes"][int(probs.argmax())])
        return labels

    return classify


WAYS = {"binsight": binsight_way, "tutorial": tutorial_way}


def work(way: str) -> None:
    """Answer one photo, say so, and then time all photos for each line on stdin."""
    job = json.loads(sys.stdin.readline())
    classify = WAYS[way](job)
    say(classify(job["photos"][:1]))
    for _ in sys.stdin:
        started = time.perf_counter()
        classify(job["photos"])
        say({"seconds": time.perf_counter() - started, "peak_mib": peak_mib()})


def say(value: object) -> None:
    print(json.dumps(value), flush=True)


def peak_mib() -> float:
    """Largest resident memory of this program so far."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux lets ru_maxrss begin at the parent's memory
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024 / MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB  # bytes on macOS


class Worker:
    """One way in a process of its own, which has answered its first photo."""

    def __init__(self, way: str, job: Job) -> None:
        started = time.perf_counter()
        command = [sys.executable, __file__, "--work", way]
        self.process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ask(job)
        self.first_answer_s = time.perf_counter() - started

    def ask(self, question: object) -> Any:
        """Send a line, and return the answer to it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit("a worker ended early, for the reason above")
        return json.loads(answer)

    def stop(self) -> None:
        """Let it end."""
        self.process.communicate()


def shuffled(seed: random.Random) -> list[str]:
    """Both ways, in random order, so that neither always follows the other."""
    return seed.sample(list(WAYS), k=len(WAYS))


def measure(job: Job, *, repeats: int, starts: int, seed: int) -> dict[str, Any]:
    """Start each way several times, then let both classify all photos in turns."""
    order = random.Random(seed)  # noqa: S311
    first: dict[str, list[float]] = {way: [] for way in WAYS}
    workers: dict[str, Worker] = {}
    for _ in range(starts):
        for way in shuffled(order):
            if way in workers:
                workers[way].stop()
            workers[way] = Worker(way, job)
            first[way].append(workers[way].first_answer_s)
    turns: dict[str, list[Any]] = {way: [] for way in WAYS}
    for turn in range(repeats + 1):
        for way in shuffled(order):
            answer = workers[way].ask("again")
            if turn:  # the first turn warms up
                turns[way].append(answer)
    for worker in workers.values():
        worker.stop()
    return {way: summary(first[way], turns[way], len(job["photos"])) for way in WAYS}


def summary(first: list[float], turns: list[Any], photos: int) -> dict[str, float]:
    """Medians, and the slowest and fastest turn."""
    rates = [photos / turn["seconds"] for turn in turns]
    return {
        "photos_per_second": statistics.median(rates),
        "slowest": min(rates),
        "fastest": max(rates),
        "first_answer_seconds": statistics.median(first),
        "peak_mib": max(turn["peak_mib"] for turn in turns),
    }


@contextmanager
def described(bundle: str | None, photos: list[str], threads: int | None) -> Iterator[Job]:
    """What both ways are told, with weights of the bundle's architecture in a file."""
    from torch import save
    from torchvision import models

    from binsight import Classifier
    from binsight.cpus import available_cpus

    classifier = Classifier(bundle)
    metadata, spec = classifier.metadata, classifier.metadata.preprocess
    if (spec.resize, spec.interpolation) != ("shorter", "bilinear"):
        sys.exit(f"{classifier.path}: the tutorial way has no {spec.resize} {spec.interpolation}")
    network = models.get_model(metadata.architecture, num_classes=len(metadata.classes))
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pt"
        save(network.state_dict(), weights)
        yield {
            "bundle": str(classifier.path),
            "architecture": metadata.architecture,
            "classes": metadata.classes,
            "size": spec.size,
            "resize_to": spec.resize_to,
            "mean": spec.mean,
            "std": spec.std,
            "weights": str(weights),
            "threads": threads or available_cpus(),
            "photos": photos,
        }


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=EXAMPLES, help="of photos")
    parser.add_argument("--model", help="a bundle, or the name of a built-in one")
    parser.add_argument("--photos", type=int, default=48, help="in one turn, repeating them")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each way")
    parser.add_argument("--starts", type=int, default=3, help="fresh processes of each way")
    parser.add_argument("--threads", type=int, help="all CPUs of this process if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--work", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if min(arguments.photos, arguments.repeats, arguments.starts) < 1:
        parser.error("--photos, --repeats and --starts must be at least 1")
    return arguments


def photos_of(folder: Path, count: int) -> list[str]:
    """So many photos of a folder, in order, again from the first where they are too few."""
    from binsight.images import PHOTO_SUFFIXES

    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
    if not found:
        sys.exit(f"no photos in {folder}")
    return [str(found[number % len(found)]) for number in range(count)]


def print_table(told: dict[str, Any]) -> None:
    """Both ways side by side, and how many times better binsight is."""
    ours, theirs = told["binsight"], told["tutorial"]
    print(
        f"{told['architecture']} at {told['size']} px, {told['photos']} photos a turn, "
        f"threads {told['threads']}, CPUs {told['cpus']}, load {told['load']:.1f}\n"
    )
    print(f"{'':24} {'binsight':>10} {'tutorial':>10} {'ratio':>7}")
    for name, key, up in (
        ("photos a second", "photos_per_second", True),
        ("first answer, seconds", "first_answer_seconds", False),
        ("peak memory, MiB", "peak_mib", False),
    ):
        ratio = ours[key] / theirs[key] if up else theirs[key] / ours[key]
        print(f"{name:24} {ours[key]:>10,.2f} {theirs[key]:>10,.2f} {ratio:>6.2f}x")
    for way in WAYS:
        print(f"{way}: {told[way]['slowest']:.2f} to {told[way]['fastest']:.2f} photos a second")


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    if arguments.work:
        work(arguments.work)
        return
    photos = photos_of(arguments.folder, arguments.photos)
    with described(arguments.model, photos, arguments.threads) as job:
        told = measure(job, repeats=arguments.repeats, starts=arguments.starts, seed=arguments.seed)
        told |= {name: job[name] for name in ("architecture", "size", "threads")}
    told |= {
        "photos": len(photos),
        "repeats": arguments.repeats,
        "ratio": told["binsight"]["photos_per_second"] / told["tutorial"]["photos_per_second"],
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    if arguments.json:
        print(json.dumps(told, indent=2))
    else:
        print_table(told)


if __name__ == "__main__":
    main()
