"""The light-enhancement curves: as backend-neutral ops for training, and compiled for photos of any size.

One iteration is `x + r * (x**2 - x)` with a parameter r in [-1, 1] for each pixel and channel (Guo et al., CVPR
2020, equation 3, with the sign of the released code): r < 0 brightens, and [0, 1] stays [0, 1].
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import KerasTensor


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


def brighten(photo: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Applies maps of any size to a photo of any size, as if the maps were resized to it first.

    The maps are interpolated bilinearly between pixel centres (as `tf.image.resize` and OpenCV do) inside
    the loop that uses them: no full-size map is ever held. Releases the GIL.

    Args:
        photo: uint8 or uint16 (height, width, channels), the full range of its type. Not changed.
        maps: Float (map height, map width, channels * iterations) in [-1, 1].

    Returns:
        The enhanced photo, shaped as `photo` and rounded to its type.

    Raises:
        TypeError: The photo is of another type.
        ValueError: The shapes do not fit each other.
    """
    if photo.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"a photo is uint8 or uint16, not {photo.dtype}")
    if photo.ndim != 3 or maps.ndim != 3 or maps.shape[2] % photo.shape[2]:
        raise ValueError(f"maps of shape {maps.shape} do not fit a photo of shape {photo.shape}")
    height, width, _ = maps.shape
    channels = photo.shape[2]
    planes = np.ascontiguousarray(
        maps.astype(np.float32, copy=False).reshape(height, width, -1, channels).transpose(3, 2, 0, 1)
    )
    enhanced = np.empty_like(photo, order="C")
    _kernel()(np.ascontiguousarray(photo), planes, enhanced, float(np.iinfo(photo.dtype).max))
    return enhanced


def merge_channels(maps: np.ndarray, channels: int = 3) -> np.ndarray:
    """The maps of a one-channel photo: the channels' mean, (height, width, channels * n) -> (height, width, n)."""
    height, width, _ = maps.shape
    return maps.reshape(height, width, -1, channels).mean(axis=3)


@functools.cache
def _kernel() -> Callable[..., Any]:
    """Compiles the loop (numba keeps the machine code on disk for the next process)."""
    import numba

    tile_width = 512  # the parameters of one tile, 2 x 8 x 512 floats, stay in the first-level cache

    @numba.njit(nogil=True, cache=True, fastmath={"contract"})
    def expand(row, width, start, out):
        """Interpolates a row of a map at the photo's columns from `start`, scaled to `width` columns."""
        last = row.size - 1
        for x in range(out.size):
            position = min(max((start + x + 0.5) * row.size / width - 0.5, 0.0), float(last))
            left = int(position)
            right = min(left + 1, last)
            out[x] = row[left] + np.float32(position - left) * (row[right] - row[left])

    @numba.njit(nogil=True, cache=True)
    def map_row(y, height, map_height):
        """The position among the map's rows of the photo's row y."""
        return min(max((y + 0.5) * map_height / height - 0.5, 0.0), map_height - 1.0)

    @numba.njit(nogil=True, cache=True, fastmath={"contract"})
    def kernel(photo, planes, enhanced, levels):
        height, width, channels = photo.shape
        _, iterations, map_height, _ = planes.shape
        top = np.empty((iterations, tile_width), np.float32)
        step = np.empty((iterations, tile_width), np.float32)
        values = np.empty(tile_width, np.float32)
        unit = np.float32(1 / levels)
        scale = np.float32(levels)
        half = np.float32(0.5)
        first = 0
        while first < height:
            # all rows between the same two rows of the maps
            upper = int(map_row(first, height, map_height))
            lower = min(upper + 1, map_height - 1)
            end = first + 1
            while end < height and int(map_row(end, height, map_height)) == upper:
                end += 1
            for start in range(0, width, tile_width):
                n = min(tile_width, width - start)
                for channel in range(channels):
                    for i in range(iterations):
                        expand(planes[channel, i, upper], width, start, top[i, :n])
                        expand(planes[channel, i, lower], width, start, step[i, :n])
                        for x in range(n):
                            step[i, x] -= top[i, x]
                    for y in range(first, end):
                        weight = np.float32(map_row(y, height, map_height) - upper)
                        for x in range(n):
                            values[x] = photo[y, start + x, channel] * unit
                        for i in range(iterations):
                            for x in range(n):
                                v = values[x]
                                values[x] = v + (top[i, x] + weight * step[i, x]) * (v * v - v)
                        for x in range(n):
                            # float rounding can step just outside [0, 1]
                            v = min(max(values[x], np.float32(0)), np.float32(1))
                            enhanced[y, start + x, channel] = int(v * scale + half)
            first = end

    return kernel
