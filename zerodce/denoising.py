"""Noise-aware smoothing of what the curves lifted: the photo's noise, amplified as its curves do, filtered out.

The filter is the guided filter (He, Sun and Tang, TPAMI 2013) in its fast form (He and Sun, 2015), each of
Y, Cr and Cb guided by itself: where the local variance is well above that of the noise a channel stays as it
is, elsewhere it becomes what the same filter makes of the photo at half size, and so on down to an eighth: that takes
out grain and blotches wider than a pixel. docs/denoising.md has the measurements.
"""

import cv2
import numpy as np

from zerodce import grain
from zerodce.curves import brighten
from zerodce.noise import SIZES, Noise, estimate_noise
from zerodce.pixels import on_pixels

STRENGTH = 2.2
"""Detail of this many standard deviations of the noise loses half its contrast."""

COARSER = 0.3
"""A window also varies by its slope, which is the next size's grain: this share of it counts as noise here."""

GAIN_SIZE = 128
"""Long side of the map of amplification in pixels."""

GRID = 2**SIZES
"""Pixels between the points at which the strength of the filter is known."""

BAND, HALO = 512, 64
"""Rows filtered at a time and rows around them that the filter sees: multiples of `GRID`."""


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


def smooth(photo: np.ndarray, noise: Noise, noise_gain: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Filters noise out of a photo.

    Args:
        photo: uint8 or uint16 (height, width, 3 or 1), the full range of its type. Not changed.
        noise: That of the photo, or of the photo that it was made from by curves.
        noise_gain: Float (any height, any width), spread over the photo: what multiplies the noise there.
        strength: Multiplies the noise everywhere; 0 is no filter.

    Returns:
        The filtered photo, shaped and typed as `photo`; the photo itself where there is nothing to filter.

    Raises:
        ValueError: The strength is negative.
    """
    if strength < 0:
        raise ValueError(f"the strength of denoising is 0 or more, not {strength}")
    height, width, channels = photo.shape
    variances = _variances(noise, noise_gain, (-(-height // GRID), -(-width // GRID))) * np.float32(strength**2)
    if variances.max() < 0.25:  # half a step of 255
        return photo
    unit = np.float32(255 / np.iinfo(photo.dtype).max)
    rows = np.ascontiguousarray(photo).reshape(height, width * channels)
    filtered = np.empty_like(rows)
    for top in range(0, height, BAND):
        start, bottom = max(0, top - HALO), min(height, top + BAND)
        local = variances[:, :, start // GRID : -(-min(height, bottom + HALO) // GRID)]
        slope, offset = _lines(rows, start, unit, local)
        grain.draw_photo(rows, top, bottom, start, unit, slope, offset, filtered)
    return filtered.reshape(photo.shape)


def _variances(noise: Noise, noise_gain: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Float32 (SIZES, channels, *grid): the variance at which half the contrast is lost, in steps of 1/255."""
    local = np.square(noise.local())
    local[:-1] += COARSER**2 * local[1:]
    gain = cv2.resize(np.square(noise_gain, dtype=np.float32), local.shape[:1:-1], interpolation=cv2.INTER_LINEAR)
    local *= STRENGTH**2 * gain
    flat = [cv2.resize(plane, grid[::-1], interpolation=cv2.INTER_LINEAR) for plane in local.reshape(-1, *gain.shape)]
    return np.stack(flat).reshape(*local.shape[:2], *grid)


def _lines(rows: np.ndarray, start: int, unit: np.float32, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The guided filter's lines for rows of a photo from `start` on, at half size: slopes and offsets."""
    _, channels, height, width = variances.shape
    means: list[np.ndarray] = []
    squares: list[np.ndarray] = []
    for size in range(SIZES):
        shape = (channels, height * (GRID >> size + 1), width * (GRID >> size + 1))
        mean, square = np.empty(shape, np.float32), np.empty(shape, np.float32)
        if size:
            grain.halve(means[-1], mean, square)
        else:
            grain.halve_photo(rows, start, unit, mean, square)
        means.append(mean)
        squares.append(square)
    base = np.empty((0, 0, 0), np.float32)
    for size in range(SIZES - 1, -1, -1):
        mean, square = means[size], squares[size]
        local = np.stack(
            [cv2.resize(plane, mean.shape[:0:-1], interpolation=cv2.INTER_LINEAR) for plane in variances[size]]
        )
        slope, offset = np.empty_like(mean), np.empty_like(mean)
        grain.fit(mean, square, local, base, slope, offset)
        if size:
            base = np.empty_like(means[size - 1])
            grain.draw(means[size - 1], slope, offset, base)
    return slope, offset
