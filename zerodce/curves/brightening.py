"""The light-enhancement curves, applied to photos of any size.

One iteration is `x + r * (x**2 - x)` with a parameter r in [-1, 1] for each pixel and channel (Guo et al., CVPR
2020, equation 3, with the sign of the released code): r < 0 brightens, and [0, 1] stays [0, 1].
"""

import functools

import cv2
import numpy as np

from zerodce.curves.tones import ITERATIONS, highest, smoothstep, tone
from zerodce.images.pixels import brightest

HUE = (0.05, 0.25, 0.25, 0.5)
"""Hue preservation rises over this range of brightness (first two) and this range of saturation (last two)."""

HUE_KEPT = 0.65
"""Weight of hue preservation, in [0, 1]. At 1, gold that becomes paler looks salmon, and blue looks violet."""

SATURATION = 0.5
"""Share of the saturation that such a colour keeps. More is less like the references; less leaves lamps pale."""

COLOUR_NOISE = 2
"""A brightness of this many standard deviations of noise keeps half of the colour that lifting adds."""

SURROUNDINGS = 8
"""The averaging window of the brightness around a pixel is the long side divided by this."""

EDGE = 0.002
"""Guided-filter epsilon, on sqrt(brightness): an edge of this local variance is half preserved. Prevents halos."""

_LEVELS = np.arange(256, dtype=np.float32) / 255

_ROOTS = np.linspace(0, 1, 256, dtype=np.float32) ** 2  # finest where curves are steepest

_ITSELF = np.array([[[1, 0]]], np.float32)  # the surroundings of a pixel are the pixel itself


def surroundings(small: np.ndarray) -> np.ndarray:
    """The brightness around each pixel, as a function of the pixel's own: a fast guided filter (He and Sun, 2015).

    Strengths by the brightness around a pixel keep the contrast between neighbours, as the local weights of exposure
    fusion do. The filter averages the root of brightness and stops at edges (`EDGE`).

    Args:
        small: uint8 (height, width, channels): a small copy of the photo.

    Returns:
        Float32 (height, width, 2), spread over the photo: slope and offset for the root of its brightness.
    """
    root = np.sqrt(brightest(small).astype(np.float32) / 255)
    side = max(root.shape) // SURROUNDINGS | 1

    def average(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE)

    mean = average(root)
    variance = np.maximum(average(root * root) - mean * mean, 0)
    slope = variance**2 / (variance**2 + EDGE**2)  # squared: 0.5 at EDGE, close to 0 below it and to 1 above it
    return np.dstack([average(slope), average(mean * (1 - slope))])


def brighten(photo: np.ndarray, tables: np.ndarray, around: np.ndarray | None = None, noise: float = 0.0) -> np.ndarray:
    """Brightens a photo of any size, each pixel by the strength of its brightness and place.

    A strength s is the curve parameter -s in all iterations. The brightness of a pixel is its largest channel. The loop
    interpolates cells of the tables bilinearly between their centres (as `tf.image.resize` and OpenCV do), so only the
    result is held at full size. Saturated colours that are not black (`HUE`) keep their hue by `HUE_KEPT`: the middle
    channel keeps its place between the other two. Their smallest channel keeps its ratio to the largest by
    `SATURATION`. Releases the GIL.

    Args:
        photo: uint8 or uint16 (height, width, channels), RGB or grey, the full range of its type. Not changed.
        tables: Float (rows, columns, levels, channels or 1) in [-1, 1]: strengths at brightness 0 to 1, evenly spaced.
        around: The photo's `surroundings`, for tables of one cell and channel. The channels of a pixel are multiplied
            by a ratio of two tones of the largest channel: by the strength of the brightness around the pixel, bounded
            by `zerodce.curves.tones.highest`, over that by its own strength.
        noise: Standard deviation of the photo's noise in its darkest tones, in [0, 1]. The nearer to it a lifted tone
            is, the less of its colour it keeps (`COLOUR_NOISE`).

    Returns:
        The enhanced photo, shaped as `photo` and rounded to its type.

    Raises:
        TypeError: The photo is of another type.
        ValueError: The shapes do not fit each other.
    """
    from zerodce.kernels.brightening import Hue, apply_rows, look_up

    if photo.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"a photo is uint8 or uint16, not {photo.dtype}")
    channels = photo.shape[2] if photo.ndim == 3 else 0
    if channels not in (1, 3) or tables.ndim != 4 or tables.shape[3] not in (1, channels):
        raise ValueError(f"tables of shape {tables.shape} do not fit a photo of shape {photo.shape}")
    photo = np.ascontiguousarray(photo)
    enhanced = np.empty_like(photo)
    photo = photo.view()
    photo.flags.writeable = False  # as the pixels of a decoded photo are; numba would compile both kinds
    if around is not None and tables.shape[:2] + tables.shape[3:] != (1, 1, 1):
        raise ValueError(f"tables of shape {tables.shape} differ by place or channel; surroundings are for others")
    caps = _caps(tables)
    if photo.dtype == np.uint8 and photo.shape[2] == 3 and tables.shape == (1, 1, 256, 1):  # four times as fast
        own = tables.ravel().astype(np.float32)
        tones = np.clip(tone(_LEVELS, own[:, np.newaxis]), 0, 1)
        lifts = np.ones((256, 1), np.float32) if around is None else _lifts(own, tones.diagonal(), caps)
        map_ = _ITSELF if around is None else around
        colours = _colours(tables, noise)
        look_up(photo, tones * np.float32(255), lifts, _kept_hue(), np.float32(SATURATION), map_, colours, enhanced)
        return enhanced
    tables = np.concatenate([tables, tables[:, :, -1:]], axis=2).astype(np.float32)
    hue = Hue(*map(np.float32, (*HUE, HUE_KEPT, SATURATION)))
    local = np.empty((0, 1, 2), np.float32) if around is None else around
    levels = float(np.iinfo(photo.dtype).max)
    colours = _colours(tables[:, :, :-1], noise)
    ends = (np.append(values, values[-1:]) for values in (caps, colours if noise else colours[:0]))
    apply_rows(photo, tables, enhanced, levels, ITERATIONS, hue, local, *ends)
    return enhanced


def _caps(tables: np.ndarray) -> np.ndarray:
    """The highest tone at each brightness: `highest`, or the tone of its own strength if that is higher."""
    brightness = np.linspace(0, 1, tables.shape[2])
    own = tone(brightness, tables.max(axis=(0, 1, 3)))
    return np.maximum(highest(brightness), own).astype(np.float32)


def _colours(tables: np.ndarray, noise: float) -> np.ndarray:
    """The share of its colour that each brightness keeps: all without lift, the signal's share with much lift."""
    brightness = np.linspace(0, 1, tables.shape[2])
    signal = brightness**2 / (brightness**2 + (COLOUR_NOISE * noise) ** 2 + 1e-12)
    lift = tone(brightness, np.maximum(tables.max(axis=(0, 1, 3)), 0)) / np.maximum(brightness, 1e-6)
    return (1 - (1 - signal) * (1 - 1 / np.maximum(lift, 1))).astype(np.float32)


def _lifts(strengths: np.ndarray, tones: np.ndarray, caps: np.ndarray) -> np.ndarray:
    """The factors on channels for `look_up`, from strengths, tones and caps at brightness 0 to 255."""
    around = np.interp(_ROOTS, _LEVELS, strengths).astype(np.float32)
    lifted = np.minimum(tone(_LEVELS[:, np.newaxis], around), caps[:, np.newaxis])
    return lifted / np.maximum(tones, 1e-6)[:, np.newaxis]


@functools.cache
def _kept_hue() -> np.ndarray:
    """Share of its hue that a pixel keeps: float32 (256, 256), by its brightness and its smallest channel."""
    saturation = 1 - _LEVELS[np.newaxis] / np.maximum(_LEVELS[:, np.newaxis], 1e-6)
    keep = smoothstep(_LEVELS[:, np.newaxis], *HUE[:2]) * smoothstep(saturation, *HUE[2:])
    return (HUE_KEPT * keep).astype(np.float32)
