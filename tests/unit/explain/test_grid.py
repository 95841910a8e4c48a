"""Where cells lie, against gradients: the pixels that a cell depends on are centred on it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from binsight.explain.grid import PIXELS, Grid, grid_of_graph

STACKS = {
    "3x3, stride 2, padding 1, three times": ([(3, 2, 1)] * 3, Grid(0.5, 8)),
    "patches": ([(4, 4, 0), (2, 2, 0)], Grid(4, 8)),
    "7x7, then a pooling of 3x3": ([(7, 2, 3), (3, 2, 1)], Grid(0.5, 4)),
    "without padding": ([(3, 1, 0), (3, 2, 0)], Grid(2.5, 2)),
}


@pytest.mark.parametrize("name", STACKS)
def test_a_cell_lies_in_the_middle_of_what_it_depends_on(name: str):
    torch = pytest.importorskip("torch")
    stack, expected = STACKS[name]
    image = torch.zeros(1, 1, 64, 64, requires_grad=True)
    cells, grid = image, PIXELS
    for kernel, stride, padding in stack:
        ones = torch.ones(1, 1, kernel, kernel)
        cells = torch.nn.functional.conv2d(cells, ones, stride=stride, padding=padding)
        grid = grid.after(kernel=kernel, stride=stride, padding=padding)
    assert grid == expected
    cell = cells.shape[-1] // 2
    (gradient,) = torch.autograd.grad(cells[0, 0, cell, cell], image)
    weight = gradient[0, 0].sum(dim=0).numpy()
    middle = float(weight @ (np.arange(64) + 0.5) / weight.sum())
    assert middle == pytest.approx(grid.first + cell * grid.step, abs=1e-4)


def test_a_dilated_kernel_is_as_wide_as_it_reaches():
    assert PIXELS.after(kernel=3, stride=1, padding=2, dilation=2) == PIXELS
    assert PIXELS.after(kernel=3, stride=1, padding=0, dilation=2) == Grid(2.5, 1)


def test_values_lie_at_the_middles_of_their_cells_and_go_on_beyond():
    spread = Grid(0.5, 32).spread(np.array([[0, 0], [0, 1]], np.float32), 64)
    assert spread.shape == (64, 64)
    assert spread[32, 32] == spread[63, 63] == spread[32, 50] == 1.0
    assert spread[0].max() == spread[:, 0].max() == 0.0
    assert spread[32, 16] == pytest.approx(0.5)
    assert spread[16, 16] == pytest.approx(0.25)


def test_cells_that_tile_the_square_are_placed_as_pillow_resizes():
    from PIL import Image

    values = np.random.default_rng(0).random((7, 7), np.float32)
    resized = Image.fromarray(values).resize((224, 224), Image.Resampling.BILINEAR)
    assert np.allclose(Grid(16, 32).spread(values, 224), np.asarray(resized), atol=1e-4)


def test_a_grid_far_to_one_side_reaches_the_other():
    assert (Grid(-15, 1).spread(np.ones((20, 20), np.float32), 40) == 1.0).all()
    assert (Grid(30, 1).spread(np.ones((5, 5), np.float32), 40) == 1.0).all()


def test_a_graph_is_followed_past_shortcuts_and_gates():
    nodes = [
        helper.make_node("Conv", ["images", "w3"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["a"], ["pooled"]),
        helper.make_node("Sigmoid", ["pooled"], ["gate"]),
        helper.make_node("Mul", ["gate", "a"], ["gated"]),
        helper.make_node("MaxPool", ["gated"], ["b"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["b", "w1"], ["c"], kernel_shape=[1, 1]),
        helper.make_node("Add", ["c", "b"], ["feature_map"]),
    ]
    weights = {"w3": np.ones((3, 3, 3, 3), np.float32), "w1": np.ones((3, 3, 1, 1), np.float32)}
    graph = helper.make_graph(
        nodes,
        "gated",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 32, 32))],
        [helper.make_tensor_value_info("feature_map", TensorProto.FLOAT, (1, 3, 8, 8))],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    onnx.checker.check_model(model)
    assert grid_of_graph(model, given="images", wanted="feature_map") == Grid(1.5, 4)
