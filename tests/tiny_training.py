"""Drawn photos and trainings that take seconds: runs to resume, export and compare.

As a program it trains one run, and kills itself in the middle of an epoch:

    python tiny_training.py RUN EPOCH BATCH
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

KILLED = 9
CLASSES = ("glass", "metal", "paper")
SMALL: dict[str, Any] = {
    "architecture": "mobilenet_v2",
    "size": 32,
    "eval_size": 32,
    "eval_resize_to": 36,
    "batch": 6,
    "epochs": 3,
    "precision": "32-true",
}


def draw_photos(folder: Path, each: int = 10, seed: int = 0) -> Path:
    """Noisy 64 px photos in one folder a class: each class has its own colour."""
    random = np.random.default_rng(seed)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        colour = np.eye(3)[number] * 120
        for count in range(each):
            noise = random.integers(0, 136, (64, 64, 3))
            Image.fromarray((colour + noise).astype(np.uint8)).save(folder / name / f"{count}.png")
    return folder


def write_weights(
    file: Path, architecture: str = SMALL["architecture"], size: int = SMALL["size"]
) -> Path:
    """First weights whose features tell drawn photos apart, though nothing was learned.

    Random layers shrink what they pass on until nothing is left. Here every BatchNorm knows the
    mean and variance of what it sees.
    """
    import torch

    from binsight.model.network import build
    from binsight.model.weights import write_state

    torch.manual_seed(0)
    network = build(architecture, classes=len(CLASSES)).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train().momentum = 1.0
    colours = torch.rand(32, 3, 1, 1) * 4 - 2
    with torch.no_grad():
        network(colours + torch.randn(32, 3, size, size))
    write_state(file, network.state_dict(), classes=CLASSES, epoch=0)
    return file


def make_run(
    photos: Path,
    folder: Path,
    recipe: str,
    *,
    weights: str | Path = "none",
    shares: dict[str, float] | None = None,
    teachers: tuple[str, ...] = (),
    **changes: Any,
) -> Any:
    """A run folder with a small network on a split of drawn photos; nothing is trained yet."""
    from binsight.data.catalog import scan
    from binsight.data.split import split_by_ratios
    from binsight.training.recipe import load_recipe
    from binsight.training.run import create_run

    values = SMALL | changes
    catalog = scan([photos], duplicates=False)
    return create_run(
        folder,
        recipe=load_recipe(recipe, [f"{key}={value}" for key, value in values.items()]),
        split=split_by_ratios(catalog, {"train": 0.7, "val": 0.3}, seed=0),
        sources=(photos,),
        weights=str(weights),
        shares=shares,
        teachers=teachers,
    )


def train_run(run: Any, **changes: Any) -> float:
    """Train on the CPU, in this process."""
    from binsight.training.train import train

    values = {"workers": 0, "progress": False, "accelerator": "cpu"} | changes
    return train(run, run.photos(), **values)


def pretend(run: Any, epochs: int) -> None:
    """Leave behind what a training of so many epochs would, apart from weights."""
    rows = [{"epoch": epoch, "val_accuracy": 0.5} for epoch in range(epochs)]
    (run.folder / "metrics.json").write_text(json.dumps({"best": rows[0], "epochs": rows}))
    run.last.touch()


def kill_at(epoch: int, batch: int) -> None:
    """Let this process die without a word in the middle of an epoch."""
    from binsight.training.module import Classification

    step = Classification.training_step

    def dying(self: Classification, data: Any) -> Any:
        if (self.current_epoch, self.trainer.fit_loop.batch_idx) == (epoch, batch):
            os._exit(KILLED)
        return step(self, data)

    Classification.training_step = dying  # type: ignore[method-assign]


def main() -> None:
    """Train a run until death; see the top of this file."""
    import torch

    from binsight.training.run import open_run

    torch.set_num_threads(1)
    folder, epoch, batch = sys.argv[1:]
    kill_at(int(epoch), int(batch))
    train_run(open_run(Path(folder)))


if __name__ == "__main__":
    main()
