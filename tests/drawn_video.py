"""A view of a table as a camera sees it: things come, lie, go; lamps flicker; and a video of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WIDTH, HEIGHT, RATE = 320, 240, 10  # pixels, pixels, pictures a second
RED, BLUE, HAND = (200, 40, 40), (40, 60, 190), (150, 110, 90)


@dataclass(frozen=True)
class Thing:
    """A box of one colour: where its left upper corner is at each second, or nowhere."""

    colour: tuple[int, int, int]
    place: Callable[[float], tuple[int, int] | None]
    size: tuple[int, int] = (80, 60)


def lying(from_s: float, to_s: float, place: tuple[int, int] = (120, 90)):
    """There from one second to another."""
    return lambda at_s: place if from_s <= at_s < to_s else None


def passing(from_s: float, to_s: float):
    """Moves from the left edge to the right."""

    def place(at_s: float) -> tuple[int, int] | None:
        if not from_s <= at_s < to_s:
            return None
        return round((at_s - from_s) / (to_s - from_s) * (WIDTH - 80)), 60

    return place


def drawn(
    seconds: float,
    things: Iterable[Thing] = (),
    *,
    light: Callable[[float], float] = lambda _: 1.0,
    rate: float = RATE,
    seed: int = 0,
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (seconds, picture): pictures are (H, W, 3) uint8 RGB, with a sensor's noise."""
    random = np.random.default_rng(seed)
    table = np.kron(random.uniform(130, 190, (HEIGHT // 20, WIDTH // 20, 1)), np.ones((20, 20, 3)))
    table = table.astype(np.float32)
    noise = random.normal(0, 4, table.shape).astype(np.float32)
    for number in range(round(seconds * rate)):
        at_s = number / rate
        view = table.copy()
        for thing in things:
            if (corner := thing.place(at_s)) is not None:
                (left, top), (width, height) = corner, thing.size
                view[top : top + height, left : left + width] = thing.colour
        view *= np.float32(light(at_s))
        view += np.roll(noise, 7 * number, axis=0)  # fresh noise for each picture takes long
        yield at_s, np.clip(view, 0, 255).astype(np.uint8)


def write_video(
    path: Path, pictures: Iterable[np.ndarray], *, rate: int = RATE, codec: str = "mpeg4"
) -> Path:
    """Encode pictures."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate = 4_000_000
        stream.width, stream.height = WIDTH, HEIGHT
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path
