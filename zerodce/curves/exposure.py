"""How bright a photo becomes: one factor on the strengths of its curves, found on its small copy."""

import functools
import math
from typing import Literal

import numpy as np

MIDDLE = 0.45
"""The mean brightness of a well-exposed photo: with `pull`, `auto` moves dark photos towards it."""

WELL_EXPOSED = 0.4
"""From this mean on a photo is bright enough: it changes by at most `MAX_CHANGE`."""

MAX_CHANGE = 0.055
"""Largest root mean square change of a well-exposed photo: 25 dB PSNR; its mean moves by no more than this."""

MAX_FACTOR = 1.5
"""The largest factor: beyond it the blacks of a night scene turn into noise."""

AUTO_MAX_FACTOR = 1.25
"""The largest factor that `auto` chooses for a model that does not see the whole photo."""

NIGHT = (0.05, 8.0)
"""Bound of the aim for a photo of mean m: 0.05 + 8 m, so a night scene stays one with any model."""


LEVEL = 0.465
"""Mean brightness of an evenly brightened photo."""

APPROACH = 1.5
"""A photo is brightened by at most this multiple of its distance below `WELL_EXPOSED`."""

MAX_EVEN = 0.55
"""The largest even strength: beyond it the blacks of a night scene turn into noise."""


def even_aim(mean: float, level: float = LEVEL, night: float = NIGHT[0]) -> float:
    """The mean to which a photo is evenly brightened; `zerodce.curves.tensors.even_strength` does this for tensors.

    Args:
        mean: Mean of the photo, in [0, 1].
        level: The mean of a photo that is neither a night scene nor nearly bright enough.
        night: The mean that a black photo gets; `NIGHT[1]` times the photo's mean is added.

    Returns:
        In [0, 1]; at most the photo's mean from `WELL_EXPOSED` on.
    """
    return min(level, night + NIGHT[1] * mean, mean + APPROACH * (WELL_EXPOSED - mean))


def find_factor(
    small: np.ndarray,
    grid: np.ndarray,
    exposure: float | Literal["auto"],
    *,
    most: float = 1.0,
    steepest: float = math.inf,
    pull: bool = False,
    around: np.ndarray | None = None,
) -> float:
    """Finds the factor on strengths that brings a photo nearest to its exposure aim.

    `auto` accepts the mean that the model reaches. With `pull` it aims between this mean and `MIDDLE`: all of the way
    for a photo of mean `WELL_EXPOSED`, less for a darker photo. A photo brighter than `MIDDLE` keeps its mean. A value
    is the aim itself, but a night scene stays one: `NIGHT`. The root mean square change is always bounded: by
    `MAX_CHANGE` for a well-exposed photo, and by two more for each unit of mean below. All of this is continuous, so
    the shots of a series come out alike.

    Args:
        small: uint8 (height, width, 3), RGB: a small copy of the photo.
        grid: Float (rows, columns, KNOTS, channels or 1) in [-1, 1]: the strengths that the model gives it.
        exposure: "auto", or the mean brightness to aim at, in [0, 1].
        most: Upper bound of the aim of `auto`, in [0, 1].
        steepest: As `zerodce.curves.tones.tables` takes it.
        pull: Whether `auto` moves the mean towards `MIDDLE`, by a factor of up to `AUTO_MAX_FACTOR`; else by up to 1.
        around: As `zerodce.curves.brightening.brighten` takes it.

    Returns:
        The factor: 0 leaves the photo as it is, 1 is the output of the model; at most `MAX_FACTOR`.
    """
    from zerodce.curves.brightening import brighten
    from zerodce.curves.tones import tables

    sixteen = small.astype(np.uint16) * 257  # fine enough for the bisection
    image = small.astype(np.float32) / 255
    mean = float(image.mean())
    max_change = MAX_CHANGE + 2 * max(0.0, WELL_EXPOSED - mean)
    night = NIGHT[0] + NIGHT[1] * mean

    @functools.lru_cache(maxsize=1)
    def enhanced(factor: float) -> np.ndarray:
        return brighten(sixteen, tables(grid * factor, steepest=steepest), around).astype(np.float32) / 65535

    if exposure != "auto":
        aim, largest = min(exposure, max(night, mean)), MAX_FACTOR
    else:
        models = float(enhanced(1).mean())
        share = min(1.0, mean / WELL_EXPOSED) if pull else 0.0  # a darker photo would gain more noise
        aim = min(models + share * (max(MIDDLE, mean) - models), most)
        largest = AUTO_MAX_FACTOR if pull else 1.0

    def reached(factor: float) -> bool:
        result = enhanced(factor)
        return float(result.mean()) > aim or float(((result - image) ** 2).mean()) > max_change**2

    if not reached(largest):
        return largest
    low, high = 0.0, largest
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return low
