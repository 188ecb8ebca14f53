"""Measures the noise of a photo on its flat patches: at several sizes and tones, in brightness and colour."""

import dataclasses

import cv2
import numpy as np

from zerodce.kernels import grain

SIZES = grain.SIZES
"""Sizes at which noise is measured: the photo's, and a half, a quarter and an eighth of it."""

TONES = np.array([0.8, 2.2, 4.4, 9, 20, 50, 130], np.float32)
"""Luminances at which noise is measured, in steps of 1/255; it is interpolated between them."""

BOUNDS = np.array([1.5, 3, 6, 12, 32, 80], np.float32)
"""Luminances that separate the patches of neighbouring tones, in steps of 1/255."""

PATCH = 8
"""Side of a patch, in pixels of each size: that of a JPEG block."""

CROP, CROPS = PATCH * 2 ** (SIZES - 1), 14
"""Patches lie in crops of 64 x 64 pixels, at most 14 x 14 of them, spread over the photo."""

LOWEST, LOWEST_OF_NOISE = 0.1, 0.885
"""The quantile of the patches' standard deviations that is used; on white noise it is 0.885 of the true deviation."""

FEWEST = 12
"""A tone with fewer patches than this borrows from its neighbours."""

WIDENING = (2.5, 1.6, 1.1)
"""Largest growth of grain from one size to the next (8 pixels wide: 2.3, 1.4, 1.0). Texture grows more."""

TONE_CONTRAST = 1.6
"""Noise grows by at most this factor from one tone to the next. Texture grows more."""

MOST = 3.0
"""Noise above this, in steps of 1/255, counts only if it is white: if it halves from one size to the next."""

CODING = np.array([[1.0, 2.0, 2.0], [0.3, 1.0, 1.0], [0.25, 0.7, 0.7], [0.25, 0.5, 0.5]], np.float32)
"""Noise of rounding and JPEG in Y, Cr and Cb at each size, in steps of 1/255. Flat JPEG blocks hide it."""

MAP = 128
"""Long side of the map of tones in pixels."""


@dataclasses.dataclass(frozen=True)
class Noise:
    """The noise of one photo.

    Attributes:
        deviations: Float32 (SIZES, len(TONES), 3 or 1): standard deviations of Y, Cr and Cb, or of grey, inside a
            flat patch of 8 x 8 pixels of each size, in steps of 1/255.
        luminance: Float32 (height, width) of at most `MAP` pixels a side: luminance of the photo, in steps of 1/255.
    """

    deviations: np.ndarray
    luminance: np.ndarray

    def with_coding(self) -> "Noise":
        """This noise plus that of rounding and JPEG, which the estimate cannot see."""
        coding = CODING[:, np.newaxis, : self.deviations.shape[2]]
        return dataclasses.replace(self, deviations=np.hypot(self.deviations, coding))

    def local(self) -> np.ndarray:
        """Float32 (SIZES, height, width, 3 or 1): the standard deviations for the tone of each pixel of `luminance`."""
        maps = np.empty((SIZES, *self.luminance.shape, self.deviations.shape[2]), np.float32)
        for size, planes in zip(maps, self.deviations, strict=True):
            for channel, tones in enumerate(planes.T):
                size[..., channel] = np.interp(self.luminance, TONES, tones)
        return maps

    def floor(self) -> float:
        """The standard deviation of luminance in the darkest tones that the photo has, in steps of 1/255.

        All grain up to 64 pixels wide counts: the variance inside 8 x 8 pixels, and the variance of the means of
        8 x 8 pixels inside 64 x 64. Detail below this cannot be told from noise. The result is at least the noise of
        rounding, which flat JPEG blocks hide.
        """
        darkest = float(np.quantile(self.luminance, 0.05))
        fine, coarse = (float(np.interp(darkest, TONES, self.deviations[size, :, 0])) for size in (0, SIZES - 1))
        return max(12**-0.5, float(np.hypot(fine, coarse)))


def estimate_noise(photo: np.ndarray) -> Noise:
    """Estimates the noise of a photo.

    The estimate is a low quantile of the standard deviations of many patches, after removing their slope: it comes
    from flat patches. Noise changes little with size and tone (`WIDENING`, `TONE_CONTRAST`); texture changes more, and
    does not count. Neither do black and white patches. A photo of less than 64 pixels a side has no patches.

    Args:
        photo: uint8 or uint16 (height, width, 3 or 1), RGB or grey, the full range of its type.
    """
    unit = np.float32(255 / np.iinfo(photo.dtype).max)
    channels = photo.shape[2]
    noise = np.zeros((SIZES, len(TONES), channels), np.float32)
    if min(photo.shape[:2]) >= CROP:
        crops = _crops(photo)
        planes = np.empty((channels, CROP, crops.shape[1] // channels), np.float32)
        grain.read(crops, unit, planes)
        for size in range(SIZES):
            measured = _of_tones(*_patches(planes))
            noise[size] = noise[max(size - 1, 0)] if measured is None else measured
            planes = _halved(planes)
        _refuse_texture(noise)
    return Noise(noise, _luminance(photo, unit))


def _patches(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations (patches, channels) of the patches of planes, without their slope."""
    number = planes[0].size // PATCH**2
    means, deviations = np.empty((2, len(planes), number), np.float32)
    grain.measure(planes, PATCH, means, deviations)
    return means.T, deviations.T


def _halved(planes: np.ndarray) -> np.ndarray:
    """Planes of half the size: means of 2x2 values."""
    channels, height, width = planes.shape
    side_by_side = planes.reshape(channels * height, width)
    size = width // 2, channels * height // 2
    return cv2.resize(side_by_side, size, interpolation=cv2.INTER_AREA).reshape(channels, height // 2, width // 2)


def _of_tones(mean: np.ndarray, deviations: np.ndarray) -> np.ndarray | None:
    """Standard deviations (tones, channels); None where no tone has enough patches."""
    seen = (mean[:, 0] > 0.5) & (mean[:, 0] < 250)
    tones = np.digitize(mean[:, 0], BOUNDS)
    found = {}
    for tone in range(len(TONES)):
        patches = deviations[seen & (tones == tone)]
        if len(patches) >= FEWEST:
            found[tone] = _lowest(patches) / LOWEST_OF_NOISE
    if not found:
        return None
    known = np.array(list(found.values()))
    return np.stack([np.interp(TONES, TONES[list(found)], channel) for channel in known.T], axis=1)


def _lowest(values: np.ndarray) -> np.ndarray:
    """The quantile `LOWEST` of each column, equal to `numpy.quantile` in a tenth of the time."""
    at = LOWEST * (len(values) - 1)
    low = int(at)
    below, above = np.partition(values, (low, low + 1), axis=0)[low : low + 2]
    return below + (at - low) * (above - below)


def _refuse_texture(noise: np.ndarray) -> None:
    """Lowers values, in place, to what noise can be next to the larger size and the neighbouring tones."""
    # noise that JPEG has erased does not bound what it left
    least = CODING[:, : noise.shape[2]] / 2
    white = noise[1] < 0.7 * noise[0]
    noise[0] = np.where(white, noise[0], np.minimum(noise[0], MOST))
    for size in range(1, SIZES):
        noise[size] = np.minimum(noise[size], np.maximum(0.7 * noise[size - 1], MOST))
    for size in range(SIZES):
        if size:
            noise[size] = np.minimum(noise[size], WIDENING[size - 1] * np.maximum(noise[size - 1], least[size - 1]))
        for tones in (range(1, len(TONES)), range(len(TONES) - 2, -1, -1)):
            for tone in tones:
                beside = noise[size, tone - tones.step]
                noise[size, tone] = np.minimum(noise[size, tone], TONE_CONTRAST * np.maximum(beside, least[size]))


def _crops(photo: np.ndarray) -> np.ndarray:
    """Crops spread evenly over the photo, aligned to JPEG blocks, side by side: (CROP, n * CROP * channels)."""
    tops, lefts = (
        [int(at) // PATCH * PATCH for at in np.linspace(0, side - CROP, min(CROPS, side // CROP))]
        for side in photo.shape[:2]
    )
    crops = [photo[top : top + CROP, left : left + CROP].reshape(CROP, -1) for top in tops for left in lefts]
    return np.concatenate(crops, axis=1)


def _luminance(photo: np.ndarray, unit: np.float32) -> np.ndarray:
    """Float32 map of at most `MAP` pixels a side, from sparse pixels: accurate enough, and reads little."""
    height, width, channels = photo.shape
    step = max(1, max(height, width) // (4 * MAP))
    scale = min(1.0, MAP / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    top, left = min(step, height) // 2, min(step, width) // 2  # a narrow strip keeps at least one row
    sparse = photo[top::step, left::step].astype(np.float32) * unit
    luminance = cv2.cvtColor(sparse, cv2.COLOR_RGB2GRAY) if channels == 3 else sparse
    return cv2.resize(luminance, size, interpolation=cv2.INTER_AREA)
