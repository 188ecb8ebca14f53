"""Makes the README's picture from `make enhance`: `python -m benchmarks.picture out docs/before-after.jpg`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

SCENES = ("still-life-1.jpg", "still-life-3.jpg")
FOLDERS = ("scenes", "enhanced/enhanced")
WIDTH = 754
"""Width of each image in pixels."""

GAP = 8
"""Between images, in pixels."""


def side_by_side(rows: Sequence[Sequence[Image.Image]], width: int) -> Image.Image:
    """Puts images into rows and columns, on white.

    Args:
        rows: Rows of equally many images. All images of a row have the shape of its first.
        width: Width of each image in pixels; its height follows.
    """
    heights = [round(width * row[0].height / row[0].width) for row in rows]
    size = len(rows[0]) * (width + GAP) - GAP, sum(heights) + GAP * (len(rows) - 1)
    picture = Image.new("RGB", size, "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, image in enumerate(row):
            picture.paste(image.resize((width, height), Image.Resampling.LANCZOS), (column * (width + GAP), top))
        top += height + GAP
    return picture


def main() -> None:
    """Puts scenes and their enhanced versions side by side, one scene a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the folder that holds scenes/ and enhanced/")
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    rows = [[Image.open(arguments.out / folder / scene) for folder in FOLDERS] for scene in SCENES]
    side_by_side(rows, WIDTH).save(arguments.picture, quality=88)


if __name__ == "__main__":
    main()
