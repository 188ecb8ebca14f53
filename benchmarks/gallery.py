"""Makes the pictures of docs/gallery.md: `python -m benchmarks.gallery docs/gallery`.

Every picture is a grid: the scenes of `benchmarks.scenes` as taken, and as `zerodce.enhance` makes them.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import zerodce
from benchmarks.picture import side_by_side
from benchmarks.scenes import HEIGHT, SCENES, WIDTH, balls, photograph, render

PICTURE_WIDTH = 900
"""About the width of a picture in pixels."""

SERIES = "still-life-1"
EXPOSURES = (0.02, 0.06, 0.2, 1.0)
"""Shares of a proper exposure."""

STRENGTHS = (0.0, 0.5, 1.0, 2.0)

Taken = Callable[[str, float], np.ndarray]
"""Photographs a scene, by its name, at a share of a proper exposure: uint8 (height, width, 3)."""


def looks(taken: Taken, name: str) -> list[list[np.ndarray]]:
    """One row: a scene as taken, in the natural look, in the bright look."""
    photo = taken(name, SCENES[name][1])
    return [[photo, zerodce.enhance(photo), zerodce.enhance(photo, look="bright")]]


def exposures(taken: Taken) -> list[list[np.ndarray]]:
    """Three rows: one scene at several exposures as taken, in the natural look, in the bright look."""
    photos = [taken(SERIES, exposure) for exposure in EXPOSURES]
    lit = [zerodce.enhance(photo, look="bright") for photo in photos]
    return [photos, [zerodce.enhance(photo) for photo in photos], lit]


def strengths(taken: Taken) -> list[list[np.ndarray]]:
    """One row: a scene at several strengths."""
    photo = taken(SERIES, SCENES[SERIES][1])
    return [[zerodce.enhance(photo, strength=strength) for strength in STRENGTHS]]


def main() -> None:
    """Writes every picture of the gallery into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    lights = {name: render(balls(seed), WIDTH, HEIGHT) for name, (seed, _) in SCENES.items()}

    def taken(name: str, exposure: float) -> np.ndarray:
        return photograph(lights[name], exposure, SCENES[name][0])

    grids = {name: looks(taken, name) for name in SCENES}
    grids |= {"exposures": exposures(taken), "strengths": strengths(taken)}
    for name, grid in grids.items():
        rows = [[Image.fromarray(image) for image in row] for row in grid]
        picture = side_by_side(rows, PICTURE_WIDTH // len(rows[0]))
        picture.save(arguments.folder / f"{name}.jpg", quality=70, optimize=True)


if __name__ == "__main__":
    main()
