"""Makes the README's picture from `make enhance`: `python -m benchmarks.picture out docs/before-after.jpg`."""

import argparse
from pathlib import Path

from PIL import Image

SCENES = ("still-life-1.jpg", "still-life-3.jpg")
FOLDERS = ("scenes", "enhanced/enhanced")
WIDTH, GAP = 754, 8
"""Width of each image, and the gap between images, in pixels."""


def main() -> None:
    """Puts scenes and their enhanced versions side by side, one scene a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the folder that holds scenes/ and enhanced/")
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    rows = [[Image.open(arguments.out / folder / scene) for folder in FOLDERS] for scene in SCENES]
    heights = [round(WIDTH * row[0].height / row[0].width) for row in rows]
    size = len(FOLDERS) * (WIDTH + GAP) - GAP, sum(heights) + GAP * (len(rows) - 1)
    picture = Image.new("RGB", size, "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, image in enumerate(row):
            picture.paste(image.resize((WIDTH, height), Image.Resampling.LANCZOS), (column * (WIDTH + GAP), top))
        top += height + GAP
    picture.save(arguments.picture, quality=88)


if __name__ == "__main__":
    main()
