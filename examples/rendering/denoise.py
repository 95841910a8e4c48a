"""Non-local means with known noise: smooths what sampling left, keeps texture and edges.

The rendering passes are split into two halves. How alike two places are is judged on one
half and the averaging is done on the other, so that noise cannot pass for structure.
"""

import numpy as np

from rendering.shapes import Array

SEARCH = 7
PATCH = 2
STRENGTH = 0.55


def denoise(passes: list[Array]) -> Array:
    """Average equally long rendering passes into one smooth picture."""
    stack = np.stack(passes)
    if len(stack) < 4:
        return stack.mean(axis=0)
    first, second = stack[0::2], stack[1::2]
    variance = _blur((stack.var(axis=0, ddof=1) / len(first)), 1)
    first, second = first.mean(axis=0), second.mean(axis=0)
    return (_filtered(second, first, variance) + _filtered(first, second, variance)) / 2


def _filtered(image: Array, guide: Array, variance: Array) -> Array:
    """Average every pixel of `image` with those whose surroundings look alike in `guide`."""
    rows, columns = image.shape[:2]
    image, guide, spread = (
        np.pad(a, ((SEARCH, SEARCH), (SEARCH, SEARCH), (0, 0)), "reflect")
        for a in (image, guide, variance)
    )
    here = (slice(SEARCH, SEARCH + rows), slice(SEARCH, SEARCH + columns))
    total, weights = np.zeros((rows, columns, 3)), np.zeros((rows, columns, 1))
    for dy in range(2 * SEARCH + 1):
        for dx in range(2 * SEARCH + 1):
            there = (slice(dy, dy + rows), slice(dx, dx + columns))
            noise = spread[here] + np.minimum(spread[here], spread[there])
            far = (guide[here] - guide[there]) ** 2 - noise
            far /= 1e-8 + STRENGTH**2 * (spread[here] + spread[there])
            alike = _blur(far.mean(axis=-1, keepdims=True), PATCH)
            weight = np.exp(-np.maximum(alike, 0.0))
            total += weight * image[there]
            weights += weight
    return total / weights


def _blur(field: Array, reach: int) -> Array:
    """Average over a square of 2 * reach + 1 pixels a side."""
    for axis in (0, 1):
        pad = [(0, 0)] * field.ndim
        pad[axis] = (reach + 1, reach)
        sums = np.cumsum(np.pad(field, pad, "edge"), axis=axis)
        length = field.shape[axis]
        ahead = np.take(sums, range(2 * reach + 1, 2 * reach + 1 + length), axis=axis)
        field = (ahead - np.take(sums, range(length), axis=axis)) / (2 * reach + 1)
    return field
