"""Curve strengths as a function of brightness: knots, interpolation between them, and the highlight bound.

The brightness of a pixel is its largest channel (V of HSV), so no channel can exceed the tone of V.
"""

from typing import Any

import numpy as np

ITERATIONS = 8
"""Curve iterations, as in the paper."""

KNOTS = 16
"""Number of knots. Knot k has brightness (k / 15)**2: the spacing is finest at dark tones."""

SPAN, POWER = 0.08, 0.45
"""Parameters of the highlight bound: `highest`."""


def highest(brightness: np.ndarray) -> np.ndarray:
    """The highest tone that a brightness may get: the highlight bound.

    It is 1 - 0.08 (1 - v)**0.45, or v if that is larger. Values that were not clipped (below 247 of 255) stay below
    251. The bound rises with brightness, so texture in highlights keeps contrast.

    Args:
        brightness: Float in [0, 1].

    Returns:
        Float, shaped as `brightness`, in [0.92, 1], never below it.
    """
    brightness = np.asarray(brightness, np.float64)
    return np.maximum(1 - SPAN * (1 - brightness) ** POWER, brightness)


def iterated(value: Any, strength: Any) -> Any:
    """One iteration of the curve: v + s (v - v**2) (Guo et al., CVPR 2020, equation 3, with r = -s)."""
    return value + strength * (value - value * value)


def tone(brightness: Any, strength: Any) -> Any:
    """The tone of a brightness under a strength s: eight iterations of v + s (v - v**2), the curves with r = -s.

    Args:
        brightness: Float in [0, 1], an array or a tensor of any shape.
        strength: Float in [0, 1], broadcast against `brightness`.

    Returns:
        Float in [0, 1], nowhere darker than `brightness`.
    """
    if isinstance(brightness, np.ndarray) and isinstance(strength, np.ndarray | np.floating | float):
        from zerodce.kernels.brightening import iterate  # takes a third of the time of NumPy's loops

        kind = np.result_type(brightness, strength)
        values, strengths = (np.array(each, kind, order="C") for each in np.broadcast_arrays(brightness, strength))
        iterate(values.reshape(-1), strengths.reshape(-1), ITERATIONS)
        return values
    for _ in range(ITERATIONS):
        brightness = iterated(brightness, strength)
    return brightness


def apply_curves(images: Any, maps: Any) -> Any:
    """Applies curves to images of the maps' size.

    Args:
        images: Float (..., channels) in [0, 1], an array or a tensor.
        maps: Float (..., channels * iterations) in [-1, 1], iteration after iteration.

    Returns:
        The enhanced images, shaped and ranged as `images`.
    """
    channels = images.shape[-1]
    for start in range(0, maps.shape[-1], channels):
        images = images + maps[..., start : start + channels] * (images * images - images)
    return images


def smoothstep(value: Any, start: Any, end: Any) -> Any:
    """0 up to `start`, 1 from `end` on, and 3 t^2 - 2 t^3 of the share t of the way between them."""
    share = np.clip((value - start) / (end - start), 0, 1)
    return share * share * (3 - 2 * share)


def strength_for(brightness: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The strength that takes a brightness to a tone, by bisection: the inverse of `tone`.

    Args:
        brightness: Float in [0, 1].
        wanted: Float in [0, 1], shaped alike.

    Returns:
        Float64 in [-1, 1], shaped alike: below 0 where the tone is darker than the brightness, 1 where no strength
        reaches the tone.
    """
    from zerodce.kernels.brightening import find_strengths

    values, tones = (np.ascontiguousarray(array, np.float64).ravel() for array in (brightness, wanted))
    strengths = np.empty_like(values)
    find_strengths(values, tones, ITERATIONS, 24, strengths)
    return strengths.reshape(np.shape(brightness))


KNOT_BRIGHTNESS = (np.arange(KNOTS) / (KNOTS - 1)) ** 2
"""Brightness of each knot, in [0, 1]."""

KNOT_BOUND = np.maximum(strength_for(KNOT_BRIGHTNESS, highest(KNOT_BRIGHTNESS)), 0)  # any strength keeps white
"""The largest strength at each knot, in [0, 1]: its tone is `highest`; 0 for white."""


def knot_weights(brightness: np.ndarray) -> np.ndarray:
    """Weight of each knot for a brightness: linear between the two nearest, in the root of the brightness.

    `zerodce.curves.tensors.knot_weights` is the same for tensors.

    Args:
        brightness: Float (...) in [0, 1].

    Returns:
        Float (..., KNOTS) that add up to 1.
    """
    position = np.sqrt(brightness)[..., np.newaxis] * brightness.dtype.type(KNOTS - 1)
    return np.maximum(1 - np.abs(position - np.arange(KNOTS, dtype=brightness.dtype)), 0)


LEVELS = 256
"""Brightnesses of a table of strengths, from 0 to 1."""

_BRIGHTNESS = np.linspace(0, 1, LEVELS)
_HIGHEST = highest(_BRIGHTNESS)
LEVEL_WEIGHTS = knot_weights(_BRIGHTNESS)
"""`knot_weights` of the brightnesses of a table: float64 (LEVELS, KNOTS)."""


def tables(grid: np.ndarray, floor: float = 0.0, steepest: float = np.inf) -> np.ndarray:
    """Strengths at every brightness, from those at the knots, for `zerodce.curves.brightening.brighten`.

    No tone exceeds `highest`, and no tone is darker than that of a lower brightness.

    Args:
        grid: Float (rows, columns, KNOTS, channels): strengths of the cells of a photo; cut to [-1, 1].
        floor: Noise, in [0, 1]. Brightness up to `floor` stays as it is. From twelve times `floor` on nothing is held
            back. The transition is gentle, because a steep slope would amplify the noise to grain.
        steepest: The largest slope of the tones over brightness, and so the largest factor on noise.

    Returns:
        Float64 (rows, columns, LEVELS, channels) in [-1, 1].
    """
    strengths = np.einsum("lk,yxkc->yxlc", LEVEL_WEIGHTS, np.clip(grid, -1, 1))
    brightness = _BRIGHTNESS[:, np.newaxis]
    if floor:
        held = np.clip((brightness - floor) / (11 * floor), 0, 1)
        strengths = strengths * (held * held * (3 - 2 * held))
    made = tone(brightness, strengths)
    allowed = np.maximum.accumulate(np.minimum(made, _HIGHEST[:, np.newaxis]), axis=2)
    if np.isfinite(steepest):
        line = steepest * brightness
        allowed = np.minimum(allowed, line + np.minimum.accumulate(allowed - line, axis=2))
    changed = made != allowed
    strengths[changed] = strength_for(np.broadcast_to(brightness, made.shape)[changed], allowed[changed])
    return strengths


def grid_of(image: np.ndarray, maps: np.ndarray, size: int) -> np.ndarray:
    """Converts the curve parameters of an image to a bilateral grid: strengths by cell and brightness.

    Each channel of a pixel gets the one strength that is equivalent to its eight parameters. The strength of a cell is
    the mean over its pixels, weighted by the effect of a strength on them, and smoothed over neighbouring cells. A cell
    without pixels of a brightness gets the photo's mean of that brightness (Chen, Paris and Durand, SIGGRAPH 2007).

    Args:
        image: Float (height, width, channels) in [0, 1].
        maps: Float (height, width, 8 * channels) in [-1, 1], the output of a network.
        size: Cells along each side of the image.

    Returns:
        Float64 (rows, columns, KNOTS, channels) in [-1, 1].
    """
    height, width, channels = image.shape
    image = np.asarray(image, np.float64)
    strengths = strength_for(image, apply_curves(image, maps))
    step = 1e-3
    weights = ((tone(image, strengths + step) - tone(image, strengths - step)) / (2 * step)) ** 2
    near = knot_weights(image.max(axis=2).astype(np.float32)).astype(np.float64)
    rows, columns = min(size, height), min(size, width)
    across = np.arange(width) * columns // width
    down = np.arange(height) * rows // height
    total, sums = np.zeros((2, rows, columns, KNOTS, channels))
    for row in range(rows):
        for column in range(columns):
            cell = np.s_[down == row][:, np.newaxis] & (across == column)
            total[row, column] = near[cell].T @ weights[cell]
            sums[row, column] = near[cell].T @ (weights[cell] * strengths[cell])
    overall = _mean(sums.sum((0, 1)), total.sum((0, 1)), sums.sum((0, 1, 2)) / np.maximum(total.sum((0, 1, 2)), 1e-12))
    for axis in (0, 1, 2):
        total, sums = _blurred(total, axis), _blurred(sums, axis)
    return _mean(sums, total, overall)


def _mean(sums: np.ndarray, total: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Weighted means, closer to `otherwise` where there is less weight."""
    few = 0.05
    return (sums + few * otherwise) / (total + few)


def _blurred(values: np.ndarray, axis: int) -> np.ndarray:
    """Smooths by the filter (1 2 1) / 4 along an axis."""
    edges = [(1, 1) if i == axis else (0, 0) for i in range(values.ndim)]
    padded = np.pad(values, edges, mode="edge")
    before, here, after = (np.take(padded, range(start, start + values.shape[axis]), axis) for start in range(3))
    return (before + 2 * here + after) / 4
