"""Noise-aware smoothing of what the curves lifted: the photo's noise, amplified as its curves do, filtered out.

The filter is the guided filter (He, Sun and Tang, TPAMI 2013) in its fast form (He and Sun, 2015), each of
Y, Cr and Cb guided by itself: where the local variance is well above that of the noise a channel stays as it
is, elsewhere it becomes what the same filter makes of the photo at half size, and so on down to an eighth: that takes
out grain and blotches wider than a pixel. docs/denoising.md has the measurements.
"""

import dataclasses

import cv2
import numpy as np

from zerodce.applying.noise import SIZES, Noise, estimate_noise
from zerodce.curves.brightening import brighten
from zerodce.images.pixels import on_pixels
from zerodce.kernels import grain

STRENGTH = 2.2
"""Detail of this many standard deviations of the noise loses half its contrast."""

COARSER = 0.3
"""A window also varies by its slope, which is the next size's grain: this share of it counts as noise here."""

GAIN_SIZE = 128
"""Long side of the map of amplification in pixels."""

NEGLIGIBLE = 0.25
"""Rows are left as they are where no variance that is filtered reaches this: half a step of 1/255, squared."""

APART = 8
"""Blocks of rows from a row that is filtered to the next one from which on those between are left out."""


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


def amplification(small: np.ndarray, tables: np.ndarray, around: np.ndarray | None = None) -> np.ndarray:
    """How much noise curves add to that of a photo: from their derivative in the tones of a small copy.

    Args:
        small: uint8 (height, width, 3), RGB.
        tables: Strengths as `zerodce.curves.brightening.brighten` takes them.
        around: The same.

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
        brighten(np.clip(moved, 0, 65535).astype(np.uint16), tables, around).astype(np.float32)
        for moved in (image + step, image - step)
    )
    gain = (above - below).mean(axis=2) / (2 * step)
    return np.sqrt(np.maximum(gain * gain - 1, 0))


def smooth(photo: np.ndarray, noise: Noise, noise_gain: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Filters noise out of a photo, in place.

    Args:
        photo: uint8 or uint16 (height, width, 3 or 1), the full range of its type. Written to.
        noise: That of the photo, or of the photo that it was made from by curves.
        noise_gain: Float (any height, any width), spread over the photo: what multiplies the noise there.
        strength: Multiplies the noise everywhere; 0 is no filter.

    Returns:
        The filtered photo: `photo` itself, or a copy of one that is not contiguous.

    Raises:
        ValueError: The strength is negative.
    """
    if strength < 0:
        raise ValueError(f"the strength of denoising is 0 or more, not {strength}")
    photo = np.ascontiguousarray(photo)
    height, width, channels = photo.shape
    variances = _variances(noise, noise_gain, height, width) * np.float32(strength**2)
    blocks, half = variances.shape[1] - 1, grain.BLOCK // 2 * (variances.shape[2] - 1)
    sums = np.empty((4, channels, half), np.int16 if photo.dtype == np.uint8 else np.int32)
    sizes = tuple(np.empty((4, 2 * grain.BLOCK >> size, channels, half >> size), np.float32) for size in range(SIZES))
    unit = np.float32(255 / np.iinfo(photo.dtype).max)
    lifted = np.flatnonzero(variances.max(axis=(0, 2, 3)) >= NEGLIGIBLE)
    for rows in np.split(lifted, np.flatnonzero(np.diff(lifted) > APART) + 1):
        if rows.size:
            start, stop = max(int(rows[0]) - 2, 0), min(int(rows[-1]) + 1, blocks)
            grain.smooth_rows(photo.reshape(height, -1), start, stop, unit, variances, sums, sizes)
    return photo


def _variances(noise: Noise, noise_gain: np.ndarray, height: int, width: int) -> np.ndarray:
    """The variance at which half the contrast is lost, in steps of 1/255, as `grain.smooth_rows` takes it."""
    local = np.square(dataclasses.replace(noise, luminance=_at_points(noise.luminance, height, width)).local())
    local[:-1] += COARSER**2 * local[1:]
    gain = _at_points(np.square(noise_gain, dtype=np.float32), height, width)
    local *= STRENGTH**2 * gain[..., np.newaxis]
    return local


def _at_points(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """A map of a photo of some height and width, interpolated at the corners of its blocks."""
    rows, columns = (-(-side // grain.BLOCK) + 1 for side in (height, width))
    across, down = grain.BLOCK * values.shape[1] / width, grain.BLOCK * values.shape[0] / height
    to_map = np.array([[across, 0, -0.5], [0, down, -0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, to_map, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
