"""Which pixels the cells of a feature map look at.

A map of 7 x 7 cells over 224 pixels is usually drawn as if the first cell's middle were at pixel
16. A convolution of 3 x 3 with stride 2 and padding 1 on both sides, as MobileNet, ResNet and
EfficientNet have five of, keeps the first cell's middle on the first pixel: its middle stays at 0.5
(Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning"; Araujo et al. 2019,
"Computing Receptive Fields of Convolutional Neural Networks"). Drawn the usual way, such a map lies
15.5 pixels too far right and down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["PIXELS", "Grid", "grid_of_graph"]

Floats = NDArray[np.float32]
SLIDING = {"Conv", "MaxPool", "AveragePool"}
EVERYWHERE = {"GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax"}


@dataclass(frozen=True)
class Grid:
    """Where cells lie, the same across and down.

    Args:
        first: middle of the first cell, in pixels of the square that the network sees.
        step: from one cell's middle to the next, in pixels.
    """

    first: float
    step: float

    def after(self, *, kernel: int, stride: int, padding: int, dilation: int = 1) -> Grid:
        """The cells that a convolution or a pooling makes of these."""
        return Grid(
            self.first + (dilation * (kernel - 1) / 2 - padding) * self.step, self.step * stride
        )

    def spread(self, heat_hw: Floats, size: int) -> Floats:
        """Interpolate bilinearly between the cells' middles, over the square: (size, size).

        Beyond the outermost middles their values go on.

        Args:
            heat_hw: one value a cell.
            size: side of the square, in pixels.
        """
        before, after = self.first, size - self.first - self.step * max(heat_hw.shape)
        beyond = 2 + math.ceil(max(before, after, 0) / self.step)
        padded_hw = np.pad(np.asarray(heat_hw, np.float32), beyond, mode="edge")
        pace, start = 1 / self.step, beyond + 0.5 - self.first / self.step
        moved = Image.fromarray(padded_hw).transform(
            (size, size),
            Image.Transform.AFFINE,
            (pace, 0.0, start, 0.0, pace, start),
            Image.Resampling.BILINEAR,
            fillcolor=0.0,
        )
        return np.asarray(moved)


PIXELS = Grid(0.5, 1.0)  # of the square itself


def grid_of_graph(model: Any, *, given: str, wanted: str) -> Grid:
    """Follow an ONNX graph from its images to a feature map.

    Args:
        model: an ONNX ModelProto; its convolutions are as high as wide and padded alike all round.
        given: name of the images.
        wanted: name of the feature map.
    """
    found: dict[str, Grid] = {given: PIXELS}
    for node in model.graph.node:
        grid = next((found[name] for name in node.input if name in found), None)
        if grid is None or node.op_type in EVERYWHERE:
            continue
        if node.op_type in SLIDING:
            grid = grid.after(**_sliding(node, model))
        found |= dict.fromkeys(node.output, grid)
    return found[wanted]


def _sliding(node: Any, model: Any) -> dict[str, int]:
    from onnx import helper

    known = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    kernel = known.get("kernel_shape")
    if kernel is None:
        kernel = next(one.dims[2:] for one in model.graph.initializer if one.name == node.input[1])
    return {
        "kernel": int(kernel[0]),
        "stride": int(known.get("strides", [1])[0]),
        "padding": int(known.get("pads", [0])[0]),
        "dilation": int(known.get("dilations", [1])[0]),
    }
