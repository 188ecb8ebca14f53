"""The light-enhancement curves: as backend-neutral ops for training, and compiled for photos of any size.

One iteration is `x + r * (x**2 - x)` with a parameter r in [-1, 1] for each pixel and channel (Guo et al., CVPR
2020, equation 3, with the sign of the released code): r < 0 brightens, and [0, 1] stays [0, 1].
"""

import functools

import cv2
import numpy as np

from zerodce.curves.tones import ITERATIONS, highest, smoothstep, tone

HUE = (0.05, 0.25, 0.25, 0.5)
"""Brightness from and to which, and saturation from and to which, a colour comes to keep its hue as far as any does."""

HUE_KEPT = 0.65
"""How far that is: wholly, and gold that becomes paler would look salmon and blue violet, as the eye has it."""

SATURATION = 0.5
"""How much of its saturation it keeps then: more costs likeness to the references, less leaves lamps pale."""

COLOUR_NOISE = 2
"""A brightness of so many standard deviations of noise keeps half the colour of what it is lifted by."""

SURROUNDINGS = 8
"""Share of the long side, one in so many, over which the brightness around a pixel is averaged."""

EDGE = 0.002
"""Variance of the root of brightness at which its average stops half at an edge, so that no light has a halo."""

_LEVELS = np.arange(256, dtype=np.float32) / 255

_ROOTS = np.linspace(0, 1, 256, dtype=np.float32) ** 2  # finest where curves are steepest

_ITSELF = np.array([[[1, 0]]], np.float32)  # around a pixel is the pixel


def surroundings(small: np.ndarray) -> np.ndarray:
    """How the brightness around each pixel of a photo follows from its own: a fast guided filter (He and Sun, 2015).

    Curves whose strength is that of the brightness around a pixel keep the contrast between neighbours, as the local
    weights of exposure fusion do. The average is of the root of brightness, and stops at edges (`EDGE`).

    Args:
        small: uint8 (height, width, channels): a small copy of the photo.

    Returns:
        Float32 (height, width, 2), spread over the photo: slope and offset for the root of its brightness.
    """
    root = np.sqrt(small.max(axis=2).astype(np.float32) / 255)
    side = max(root.shape) // SURROUNDINGS | 1

    def average(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE)

    mean = average(root)
    variance = np.maximum(average(root * root) - mean * mean, 0)
    slope = variance**2 / (variance**2 + EDGE**2)  # squared: half of it at EDGE, and all but none or all around it
    return np.dstack([average(slope), average(mean * (1 - slope))])


def brighten(photo: np.ndarray, tables: np.ndarray, around: np.ndarray | None = None, noise: float = 0.0) -> np.ndarray:
    """Brightens a photo of any size, each pixel by the strength of its brightness and place.

    A strength s stands for the curve parameter -s in all iterations; the brightness of a pixel is its largest channel.
    Cells of the tables are interpolated bilinearly between their centres (as `tf.image.resize` and OpenCV do) inside
    the loop that uses them: nothing but the result is held at full size. Of saturated colours that are not black
    (`HUE`) the middle channel keeps its place between the other two, and so they their hue, by `HUE_KEPT`, and the
    smallest by `SATURATION` its ratio to the largest. Releases the GIL.

    Args:
        photo: uint8 or uint16 (height, width, channels), RGB or grey, the full range of its type. Not changed.
        tables: Float (rows, columns, levels, channels or 1) in [-1, 1]: strengths at brightness 0 to 1, evenly spaced.
        around: The photo's `surroundings`, for tables of one cell and channel: a pixel's channels are multiplied by
            what the strength of the brightness around it would make of the largest of them, as far as that does not
            exceed `zerodce.curves.tones.highest`, over what its own strength makes of it.
        noise: Standard deviation of the photo's noise in its darkest tones, in [0, 1]: what is lifted out of it keeps
            the less of its colour the nearer to it (`COLOUR_NOISE`).

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
    """The highest tone at each brightness: the bound of all, or what its own strength makes of it."""
    brightness = np.linspace(0, 1, tables.shape[2])
    own = tone(brightness, tables.max(axis=(0, 1, 3)))
    return np.maximum(highest(brightness), own).astype(np.float32)


def _colours(tables: np.ndarray, noise: float) -> np.ndarray:
    """The part of its colour that a brightness keeps: of what it is lifted by, as much as its signal is above noise."""
    brightness = np.linspace(0, 1, tables.shape[2])
    signal = brightness**2 / (brightness**2 + (COLOUR_NOISE * noise) ** 2 + 1e-12)
    lift = tone(brightness, np.maximum(tables.max(axis=(0, 1, 3)), 0)) / np.maximum(brightness, 1e-6)
    return (1 - (1 - signal) * (1 - 1 / np.maximum(lift, 1))).astype(np.float32)


def _lifts(strengths: np.ndarray, tones: np.ndarray, caps: np.ndarray) -> np.ndarray:
    """What `look_up` multiplies channels by, of strengths, tones and caps at brightness 0 to 255."""
    around = np.interp(_ROOTS, _LEVELS, strengths).astype(np.float32)
    lifted = np.minimum(tone(_LEVELS[:, np.newaxis], around), caps[:, np.newaxis])
    return lifted / np.maximum(tones, 1e-6)[:, np.newaxis]


@functools.cache
def _kept_hue() -> np.ndarray:
    """How much of its hue a pixel keeps: float32 (256, 256), by its brightness and its smallest channel."""
    saturation = 1 - _LEVELS[np.newaxis] / np.maximum(_LEVELS[:, np.newaxis], 1e-6)
    keep = smoothstep(_LEVELS[:, np.newaxis], *HUE[:2]) * smoothstep(saturation, *HUE[2:])
    return (HUE_KEPT * keep).astype(np.float32)
