"""What watching costs while nothing happens: CPU time for each second of a camera's pictures.

python benchmarks/watch.py
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from binsight.interfaces.watch.frames import open_source, video_frames
from binsight.interfaces.watch.scene import Scene
from binsight.interfaces.watch.source import source_of

RATE = 30  # pictures a second, as cameras give them
SIZES = {"640 x 480": (640, 480), "1280 x 720": (1280, 720), "1920 x 1080": (1920, 1080)}
CODECS = {"MJPEG": ("mjpeg", ".avi", "yuvj420p"), "H.264": ("h264", ".mp4", "yuv420p")}


def main() -> None:
    """Write videos of an empty table, look at them, and print a table or JSON."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=int, default=10, help="length of each video")
    options.add_argument("--rate", type=float, default=5, help="pictures a second to look at")
    options.add_argument("--json", action="store_true")
    asked = options.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for codec in CODECS:
            for size in SIZES:
                path = _write(Path(folder), codec, size, asked.seconds)
                rows.append({"codec": codec, "size": size} | _measure(path, asked))
    if asked.json:
        print(json.dumps({"load": os.getloadavg()[0], "rows": rows}, indent=2))
        return
    print(f"load {os.getloadavg()[0]:.1f}; {asked.rate:g} pictures a second of {RATE}")
    for row in rows:
        print(
            f"{row['codec']:>6} {row['size']:>12}: {row['core_share']:6.1%} of a core, "
            f"{row['times_real_time']:.0f} times as fast as the camera, {row['events']} events"
        )


def _write(folder: Path, codec: str, size: str, seconds: int) -> Path:
    name, suffix, pixels = CODECS[codec]
    width, height = SIZES[size]
    random = np.random.default_rng(0)
    table = random.uniform(120, 200, (height // 40, width // 40, 3))
    table = np.kron(table, np.ones((40, 40, 1)))
    noise = random.normal(0, 3, (height, width, 1))
    path = folder / f"{codec}-{width}{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(name, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, table.shape[0], pixels
        for number in range(seconds * RATE):
            view = table + np.roll(noise, 7 * number, axis=0)[: table.shape[0]]
            frame = av.VideoFrame.from_ndarray(np.clip(view, 0, 255).astype(np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _measure(path: Path, asked: argparse.Namespace) -> dict[str, float]:
    scene = Scene()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    events = sum(
        scene.look(frame.grey_hw_u8, frame.at_s)
        for frame in video_frames(open_source(source_of(str(path))), rate=asked.rate)
    )
    return {
        "core_share": (time.process_time() - cpu_s) / asked.seconds,
        "times_real_time": asked.seconds / (time.perf_counter() - wall_s),
        "events": events,
    }


if __name__ == "__main__":
    main()
