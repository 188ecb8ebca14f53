"""Noise-aware smoothing of what the curves lifted: estimated in the photo, amplified as its curves do, filtered out.

The filter is the guided filter (He, Sun and Tang, TPAMI 2013) in its fast form (He and Sun, 2015), each of
Y, Cr and Cb guided by itself: where the local variance is well above that of the noise a channel stays as it
is, elsewhere it becomes the local mean. Means and variances live at half size; and what is left at half
size goes through the same filter, which takes out grain coarser than a pixel. docs/denoising.md has the measurements.
"""

from typing import Any

import cv2
import numpy as np
from skimage.restoration import estimate_sigma

from zerodce.curves import brighten
from zerodce.pixels import on_pixels

LEVELS = 2
"""Sizes at which there is a filter: the photo's and half of it."""

CROP, CROPS = 64, 3
"""Noise is estimated on 3 x 3 crops of 64 x 64 pixels, spread over the photo."""

CODING_NOISE = np.array([[1.0, 2.0, 2.0], [0.25, 0.5, 0.5]], np.float32)
"""What rounding and JPEG do to Y, Cr and Cb at each size, in steps of 1/255; it is too regular for an estimator."""

STRENGTH = 1.6
"""Detail of this many standard deviations of the noise loses half its contrast."""

GAIN_SIZE = 128
"""Long side of the map of amplification in pixels."""

BAND, HALO, GRID = 256, 24, 8
"""Rows filtered at a time, rows around them that the filter sees, and what both are multiples of."""

_DITHER = np.random.default_rng(0).normal(0, 1e-6, (CROP, CROP, 3)).astype(np.float32)


def denoise(image: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Takes the noise out of one image, as much as it has; edges and texture above the noise stay.

    Args:
        image: (height, width, 3) RGB or (height, width) grey; uint8, uint16, or float in [0, 1]. Not changed.
        strength: Multiplies the noise found: 0 takes out nothing.

    Returns:
        The filtered image, shaped, typed and ranged as `image`.

    Raises:
        TypeError: The image is of another type.
        ValueError: The image is of another shape or empty, or the strength is negative.
    """
    everywhere = np.ones((1, 1), np.float32)
    return on_pixels(lambda photo: smooth(photo.copy(), estimate_noise(photo), everywhere, strength), image)


def estimate_noise(photo: np.ndarray) -> np.ndarray:
    """Estimates the noise of a photo at each size of the filter.

    The estimator is scikit-image's, the median of the finest wavelet coefficients (Donoho and Johnstone, 1994), on
    crops. A crop that is half clipped tells nothing; among the others a low quantile counts, since texture passes
    for noise.

    Args:
        photo: uint8 or uint16 (height, width, 3 or 1), RGB or grey, the full range of its type.

    Returns:
        Float32 (LEVELS, 3 or 1): standard deviations of Y, Cr and Cb, or of grey, in steps of 1/255.
    """
    estimates: list[list[list[float]]] = []
    for crop in _crops(photo):
        if min(crop.shape[:2]) < CROP // 4:
            continue
        pixels = _planes(crop)
        if np.mean((pixels[..., 0] <= 0) | (pixels[..., 0] >= 1)) > 0.5:
            continue
        pixels += _DITHER[: crop.shape[0], : crop.shape[1], : crop.shape[2]]  # a flat crop has no coefficients at all
        estimates.append([])
        for _ in range(LEVELS):
            estimates[-1].append(estimate_sigma(pixels, channel_axis=2))
            pixels = _halve(pixels)
    if not estimates:
        return np.zeros((LEVELS, photo.shape[2]), np.float32)
    noise = 255 * np.quantile(estimates, 0.25, axis=0).astype(np.float32)
    # grain never more than doubles from a size to the next; texture does
    return np.minimum(noise, noise[:1] * 2 ** np.arange(LEVELS, dtype=np.float32)[:, np.newaxis])


def amplification(small: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """How much noise curves add to that of a photo: from their derivative in the tones of a small copy.

    Args:
        small: uint8 (height, width, 3), RGB.
        tables: Strengths as `zerodce.curves.brighten` takes them.

    Returns:
        Float32 (height, width) of at most `GAIN_SIZE` pixels a side: the standard deviation added to noise of
        standard deviation 1, sqrt(gain^2 - 1); 0 where nothing is amplified.
    """
    if not tables.any():
        return np.zeros((1, 1), np.float32)
    scale = min(1.0, GAIN_SIZE / max(small.shape[:2]))
    size = [max(1, round(side * scale)) for side in small.shape[1::-1]]
    image = cv2.resize(small, size, interpolation=cv2.INTER_AREA).astype(np.int32) * 257
    step = 2 * 257  # as large as noise is: near black half of it is clipped, and so is half of this
    above, below = (
        brighten(np.clip(moved, 0, 65535).astype(np.uint16), tables).astype(np.float32)
        for moved in (image + step, image - step)
    )
    gain = (above - below).mean(axis=2) / (2 * step)
    return np.sqrt(np.maximum(gain * gain - 1, 0))


def smooth(photo: np.ndarray, noise: np.ndarray, amplified: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Filters noise out of a photo.

    Args:
        photo: uint8 or uint16 (height, width, 3 or 1), the full range of its type. Not changed.
        noise: Standard deviations as `estimate_noise` returns them.
        amplified: Float (any height, any width), spread over the photo: what multiplies the noise there.
        strength: Multiplies the noise everywhere; 0 is no filter.

    Returns:
        The filtered photo, shaped and typed as `photo`; the photo itself where there is nothing to filter.

    Raises:
        ValueError: The strength is negative.
    """
    if strength < 0:
        raise ValueError(f"the strength of denoising is 0 or more, not {strength}")
    height, width, channels = photo.shape
    variances = (STRENGTH * strength / 255 * noise) ** 2
    squares = np.square(amplified, dtype=np.float32)
    if variances.max() * squares.max() < (0.5 / 255) ** 2:
        return photo
    grid = cv2.resize(squares, (-(-width // GRID), -(-height // GRID)), interpolation=cv2.INTER_LINEAR)
    filtered = np.empty_like(photo)
    for top in range(0, height, BAND):
        start, stop = max(0, top - HALO), min(height, top + BAND + HALO)
        rows = grid[start // GRID : -(-stop // GRID)]
        right, below = rows.shape[1] * GRID - width, rows.shape[0] * GRID - (stop - start)
        around = cv2.copyMakeBorder(photo[start:stop], 0, below, 0, right, cv2.BORDER_REPLICATE)
        result = _guided(_planes(around.reshape(stop - start + below, width + right, channels)), rows, variances)
        end = min(height, top + BAND)
        filtered[top:end] = _pixels(result, photo.dtype)[top - start : end - start, :width]
    return filtered


def _guided(planes: np.ndarray, squares: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """The filter at the size of `planes`, and at the sizes below it: one row of `variances` for each."""
    height, width, _ = planes.shape
    half = _halve(planes)
    mean = _box(half)
    variance = np.maximum(_box(_halve(planes * planes)) - mean * mean, 0)
    local = cv2.resize(squares, half.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., np.newaxis]
    keep = variance / (variance + local * variances[0] + np.float32(1e-9))
    base = _box(_guided(half, squares, variances[1:])) if len(variances) > 1 else mean
    line: list[np.ndarray] = [
        cv2.resize(_box(part), (width, height), interpolation=cv2.INTER_LINEAR).reshape(planes.shape)
        for part in (keep, (1 - keep) * base)
    ]
    slope, offset = line
    slope *= planes
    slope += offset
    return slope


def _box(planes: np.ndarray) -> np.ndarray:
    return cv2.boxFilter(planes, -1, (3, 3)).reshape(planes.shape)


def _halve(planes: np.ndarray) -> np.ndarray:
    height, width, channels = planes.shape
    return cv2.resize(planes, (width // 2, height // 2), interpolation=cv2.INTER_AREA).reshape(-1, width // 2, channels)


def _planes(pixels: np.ndarray) -> np.ndarray:
    """Float32 Y, Cr and Cb, or grey, around [0, 1]."""
    height, _, channels = pixels.shape
    unit: Any = 1 / np.iinfo(pixels.dtype).max
    planes = cv2.multiply(pixels.reshape(height, -1), unit, dtype=cv2.CV_32F).reshape(pixels.shape)
    return cv2.cvtColor(planes, cv2.COLOR_RGB2YCrCb) if channels == 3 else planes


def _pixels(planes: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The opposite of `_planes`."""
    height, _, channels = planes.shape
    levels: Any = float(np.iinfo(dtype).max)
    depth = cv2.CV_8U if dtype == np.uint8 else cv2.CV_16U
    if channels == 3:
        planes = cv2.cvtColor(planes, cv2.COLOR_YCrCb2RGB)
    return cv2.multiply(planes.reshape(height, -1), levels, dtype=depth).reshape(planes.shape)  # rounds and clips


def _crops(photo: np.ndarray) -> list[np.ndarray]:
    """Crops spread evenly over the photo; all of a photo that is smaller."""
    tops, lefts = (
        sorted({int(position) for position in np.linspace(0, max(0, side - CROP), 2 * CROPS + 1)[1::2]})
        for side in photo.shape[:2]
    )
    return [np.ascontiguousarray(photo[top : top + CROP, left : left + CROP]) for top in tops for left in lefts]
