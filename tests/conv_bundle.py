"""The small bundle with three convolutions that together change nothing, and photos of its classes.

Quantising or rounding them changes answers a little, so numpy's own answers still tell what is
right.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from PIL import Image
from small_bundle import CLASSES, SIZE, SmallBundle, expected_probs, small_model, write_small_bundle

WIDTH = 64


def conv_model(spoilt: float = 0.0) -> onnx.ModelProto:
    """As `small_model`; its feature map is the images again, up to rounding.

    ``spoilt`` makes one channel between the convolutions that many times too large for 8 bits.
    """
    random = np.random.default_rng(0)
    first = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))[0]
    turn = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))[0]
    weights = [first[:, :3], turn, (turn @ first[:, :3]).T]
    biases = [np.zeros(WIDTH), np.zeros(WIDTH), np.zeros(3)]
    if spoilt:
        biases[1][0] = spoilt
        biases[2] = -weights[2][:, 0] * spoilt
    model = small_model()
    graph = model.graph
    names = ["images", "wide", "turned", "feature_map"]
    nodes = [
        helper.make_node(
            "Conv",
            [names[place], f"conv{place}.weight", f"conv{place}.bias"],
            [names[place + 1]],
            kernel_shape=[1, 1],
        )
        for place in range(3)
    ]
    kept = [*nodes, *graph.node[1:]]  # without the Identity
    kept[3].input[0] = "feature_map"  # pooled; images are, in the small model
    del graph.node[:]
    graph.node.extend(kept)
    for place, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        values = weight.astype(np.float32)[:, :, None, None]
        graph.initializer.append(numpy_helper.from_array(values, f"conv{place}.weight"))
        graph.initializer.append(
            numpy_helper.from_array(bias.astype(np.float32), f"conv{place}.bias")
        )
    onnx.checker.check_model(model)
    return model


def write_conv_bundle(path: Path, *, spoilt: float = 0.0) -> SmallBundle:
    """A sealed bundle of `conv_model`."""
    return write_small_bundle(path, model=conv_model(spoilt))


def labelled_photos(folder: Path, each: int = 12) -> Path:
    """Photos in a folder for each class, by what the small bundle says of them."""
    random = np.random.default_rng(4)
    counts = dict.fromkeys(CLASSES, 0)
    while min(counts.values()) < each:
        pixels = random.integers(0, 256, (1, 1, 3)) + random.integers(-8, 9, (SIZE, SIZE, 3))
        photo = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        name = CLASSES[int(expected_probs(photo).argmax())]
        if counts[name] < each:
            (folder / name).mkdir(parents=True, exist_ok=True)
            photo.save(folder / name / f"{counts[name]}.png")
            counts[name] += 1
    return folder


def split_of(photos: Path, path: Path) -> Path:
    """Half for training, half for validation."""
    from binsight.data.catalog import scan
    from binsight.data.split import split_by_ratios, write_split

    split = split_by_ratios(scan([photos], duplicates=False), {"train": 0.5, "val": 0.5}, seed=0)
    write_split(path, split)
    return path
