"""The README's picture, from what `make enhance` leaves: `python -m benchmarks.picture out docs/before-after.jpg`."""

import argparse
from pathlib import Path

from PIL import Image

SCENE = "still-life-1.jpg"
WIDTH = 760
"""Size of each half in pixels."""


def main() -> None:
    """Puts a scene and its enhanced photo side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the folder that holds scenes/ and enhanced/")
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    halves = [Image.open(arguments.out / folder / SCENE) for folder in ("scenes", "enhanced/enhanced")]
    height = round(WIDTH * halves[0].height / halves[0].width)
    picture = Image.new("RGB", (2 * WIDTH + 8, height), "white")
    for index, half in enumerate(halves):
        picture.paste(half.resize((WIDTH, height), Image.Resampling.LANCZOS), (index * (WIDTH + 8), 0))
    picture.save(arguments.picture, quality=88)


if __name__ == "__main__":
    main()
