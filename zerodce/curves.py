"""The light-enhancement curves: as backend-neutral ops for training, and compiled for photos of any size.

One iteration is `x + r * (x**2 - x)` with a parameter r in [-1, 1] for each pixel and channel (Guo et al., CVPR
2020, equation 3, with the sign of the released code): r < 0 brightens, and [0, 1] stays [0, 1].
"""

import functools

import numpy as np
from keras import KerasTensor

from zerodce.tones import ITERATIONS, tone

HUE = (0.05, 0.25, 0.25, 0.5)
"""Brightness from and to which, and saturation from and to which, a colour comes to keep its hue wholly."""

SATURATION = 0.2
"""How much of its saturation it keeps then: more costs likeness to the references, less leaves lamps pale."""

_LEVELS = np.arange(256, dtype=np.float32) / 255


def apply_curves(images: KerasTensor, maps: KerasTensor) -> KerasTensor:
    """Applies curves to images of the maps' size.

    Args:
        images: Float (batch, height, width, channels) in [0, 1].
        maps: Float (batch, height, width, channels * iterations) in [-1, 1], iteration after iteration.

    Returns:
        The enhanced images, shaped and ranged as `images`.
    """
    channels = images.shape[-1]
    for start in range(0, maps.shape[-1], channels):
        images = images + maps[..., start : start + channels] * (images * images - images)
    return images


def brighten(photo: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Brightens a photo of any size, each pixel by the strength of its brightness and place.

    A strength s stands for the curve parameter -s in all iterations; the brightness of a pixel is its largest channel.
    Cells of the tables are interpolated bilinearly between their centres (as `tf.image.resize` and OpenCV do) inside
    the loop that uses them: nothing but the result is held at full size. Of saturated colours that are not black
    (`HUE`) the middle channel keeps its place between the other two, and so they their hue, and the smallest a part
    (`SATURATION`) of its ratio to the largest. Releases the GIL.

    Args:
        photo: uint8 or uint16 (height, width, channels), RGB or grey, the full range of its type. Not changed.
        tables: Float (rows, columns, levels, channels or 1) in [-1, 1]: strengths at brightness 0 to 1, evenly spaced.

    Returns:
        The enhanced photo, shaped as `photo` and rounded to its type.

    Raises:
        TypeError: The photo is of another type.
        ValueError: The shapes do not fit each other.
    """
    from zerodce.kernel import apply_rows, look_up

    if photo.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"a photo is uint8 or uint16, not {photo.dtype}")
    channels = photo.shape[2] if photo.ndim == 3 else 0
    if channels not in (1, 3) or tables.ndim != 4 or tables.shape[3] not in (1, channels):
        raise ValueError(f"tables of shape {tables.shape} do not fit a photo of shape {photo.shape}")
    photo = np.ascontiguousarray(photo)
    enhanced = np.empty_like(photo)
    if photo.dtype == np.uint8 and photo.shape[2] == 3 and tables.shape == (1, 1, 256, 1):  # four times as fast
        strengths = tables.reshape(256, 1).astype(np.float32)
        tones = np.clip(tone(_LEVELS[np.newaxis], strengths), 0, 1) * np.float32(255)
        look_up(photo, tones, _kept_hue(), np.float32(SATURATION), enhanced)
        return enhanced
    tables = np.concatenate([tables, tables[:, :, -1:]], axis=2).astype(np.float32)
    apply_rows(
        photo,
        tables,
        enhanced,
        float(np.iinfo(photo.dtype).max),
        ITERATIONS,
        np.asarray((*HUE, SATURATION), np.float32),
    )
    return enhanced


@functools.cache
def _kept_hue() -> np.ndarray:
    """How much of its hue a pixel keeps: float32 (256, 256), by its brightness and its smallest channel."""
    saturation = 1 - _LEVELS[np.newaxis] / np.maximum(_LEVELS[:, np.newaxis], 1e-6)
    keep = _smoothstep(_LEVELS[:, np.newaxis], *HUE[:2]) * _smoothstep(saturation, *HUE[2:])
    return keep.astype(np.float32)


def _smoothstep(value: np.ndarray, start: float, end: float) -> np.ndarray:
    share = np.clip((value - start) / (end - start), 0, 1)
    return share * share * (3 - 2 * share)
