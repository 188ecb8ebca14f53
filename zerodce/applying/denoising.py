"""The noise filter: removes the noise that the curves add to a photo.

It is the guided filter (He, Sun and Tang, TPAMI 2013) in its fast form (He and Sun, 2015). Y, Cr and Cb are each guided
by themselves. Where the local variance is well above that of the noise, a channel stays as it is. Elsewhere the result
of the same filter at half size replaces it, and so on down to an eighth. This removes grain and blotches wider than a
pixel. docs/denoising.md has the measurements.
"""

import dataclasses

import cv2
import numpy as np

from zerodce.applying.noise import SIZES, Noise, estimate_noise
from zerodce.curves.brightening import brighten
from zerodce.images.pixels import on_pixels
from zerodce.kernels import grain

STRENGTH = 2.2
"""Detail of this many standard deviations of the noise loses half of its contrast: the guided-filter epsilon."""

COARSER = 0.3
"""Share of the next size's noise that also counts here: its coarser grain is a slope inside a window."""

GAIN_SIZE = 128
"""Long side of the map of amplification in pixels."""

NEGLIGIBLE = 0.25
"""Rows whose variances all stay below this are not filtered: half a step of 1/255, squared."""

APART = 8
"""If two filtered blocks of rows are further apart than this, the blocks between them are skipped."""


def denoise(image: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Removes the noise of one image. Edges, and texture above the noise, stay.

    Args:
        image: (height, width, 3) RGB or (height, width) grey; uint8, uint16, or float in [0, 1]. Not changed.
        strength: Factor on the measured noise; 0 removes nothing.

    Returns:
        The filtered image, shaped, typed and ranged as `image`.

    Raises:
        TypeError: The image is of another type.
        ValueError: The image is of another shape or empty, or the strength is negative.
    """
    everywhere = np.ones((1, 1), np.float32)
    return on_pixels(lambda photo: smooth(photo.copy(), estimate_noise(photo), everywhere, strength), image)


def amplification(small: np.ndarray, tables: np.ndarray, around: np.ndarray | None = None) -> np.ndarray:
    """How much noise the curves add, by their derivative at the tones of a small copy.

    Args:
        small: uint8 (height, width, 3), RGB.
        tables: Strengths as `zerodce.curves.brightening.brighten` takes them.
        around: As `brighten` takes it.

    Returns:
        Float32 (height, width) of at most `GAIN_SIZE` pixels a side: the standard deviation added to noise of
        standard deviation 1, sqrt(gain^2 - 1); 0 where nothing is amplified.
    """
    if not tables.any():
        return np.zeros((1, 1), np.float32)
    scale = min(1.0, GAIN_SIZE / max(small.shape[:2]))
    size = [max(1, round(side * scale)) for side in small.shape[1::-1]]
    image = cv2.resize(small, size, interpolation=cv2.INTER_AREA).astype(np.int32) * 257
    step = 2 * 257  # about the size of noise: near black, half of either is clipped
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
        noise: Noise of the photo, or of the photo before the curves.
        noise_gain: Float (any height, any width), spread over the photo: factor on the noise at each place.
        strength: Factor on the noise everywhere; 0 filters nothing.

    Returns:
        The filtered photo: `photo` itself, or a copy if `photo` is not contiguous.

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
    """Interpolates a photo's map at the corners of the blocks."""
    rows, columns = (-(-side // grain.BLOCK) + 1 for side in (height, width))
    across, down = grain.BLOCK * values.shape[1] / width, grain.BLOCK * values.shape[0] / height
    to_map = np.array([[across, 0, -0.5], [0, down, -0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, to_map, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
