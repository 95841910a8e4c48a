"""Render the example pictures: python examples/render.py [NAME ...] [--out DIR] [--samples N]."""

import argparse
from pathlib import Path

import mitsuba as mi

mi.set_variant("scalar_rgb")

from rendering.scenes import SHOTS  # noqa: E402 - Mitsuba wants its variant chosen first
from rendering.studio import photograph  # noqa: E402

HERE = Path(__file__).resolve().parent


def parse_size(text: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT."""
    width, height = (int(part) for part in text.split("x"))
    return width, height


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(SHOTS)}")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--samples", type=int, default=128, help="light paths for each pixel")
    parser.add_argument("--size", type=parse_size, default=(640, 480), help="WIDTHxHEIGHT")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(SHOTS)
    if unknown:
        parser.error(f"no such picture: {', '.join(sorted(unknown))}")
    return arguments


def main() -> None:
    """Render the named pictures, or all six."""
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or SHOTS:
        image = photograph(SHOTS[name](), arguments.size, arguments.samples)
        unfinished = arguments.out / f".{name}.jpg.part"
        image.save(unfinished, "JPEG", quality=88, optimize=True)
        unfinished.replace(arguments.out / f"{name}.jpg")
        print(arguments.out / f"{name}.jpg", flush=True)


if __name__ == "__main__":
    main()
