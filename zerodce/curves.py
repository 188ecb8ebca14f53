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
    parameters = np.ascontiguousarray(maps.reshape(height, width, -1, channels).transpose(2, 0, 1, 3), np.float32)
    photo = np.ascontiguousarray(photo)
    enhanced = np.empty_like(photo)
    rows = (len(photo), -1)  # channels side by side: the loops run over plain vectors
    _kernel()(photo.reshape(rows), parameters, enhanced.reshape(rows), float(np.iinfo(photo.dtype).max))
    return enhanced


def merge_channels(maps: np.ndarray, channels: int = 3) -> np.ndarray:
    """The maps of a one-channel photo: the channels' mean, (height, width, channels * n) -> (height, width, n)."""
    height, width, _ = maps.shape
    return maps.reshape(height, width, -1, channels).mean(axis=3)


@functools.cache
def _kernel() -> Callable[..., Any]:
    """Compiles the loop (numba keeps the machine code on disk for the next process)."""
    import numba

    tile = 768  # values; the parameters of one tile, 2 x 8 x 768 floats, stay in the first-level cache

    @numba.njit(nogil=True, cache=True)
    def position(at, size, map_size):
        """Where a pixel of a photo of `size` lies in a map of `map_size`, both along one axis."""
        return min(max((at + 0.5) * map_size / size - 0.5, 0.0), map_size - 1.0)

    @numba.njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
    def kernel(photo, maps, enhanced, levels):
        height, length = photo.shape
        iterations, map_height, map_width, channels = maps.shape
        width = length // channels
        flat = maps.reshape(iterations, map_height, map_width * channels)
        left, right = np.empty(length, np.int32), np.empty(length, np.int32)
        across = np.empty(length, np.float32)
        for x in range(width):
            at = position(x, width, map_width)
            for channel in range(channels):
                left[x * channels + channel] = int(at) * channels + channel
                right[x * channels + channel] = min(int(at) + 1, map_width - 1) * channels + channel
                across[x * channels + channel] = at - int(at)
        top = np.empty((iterations, tile), np.float32)
        step = np.empty((iterations, tile), np.float32)
        values = np.empty(tile, np.float32)
        unit, scale = np.float32(1 / levels), np.float32(levels)
        zero, half, one = np.float32(0), np.float32(0.5), np.float32(1)
        first = 0
        while first < height:
            # all rows between the same two rows of the maps
            upper = int(position(first, height, map_height))
            lower = min(upper + 1, map_height - 1)
            end = first + 1
            while end < height and int(position(end, height, map_height)) == upper:
                end += 1
            for start in range(0, length, tile):
                end_of_tile = min(start + tile, length)
                n = end_of_tile - start
                at, after, share = left[start:end_of_tile], right[start:end_of_tile], across[start:end_of_tile]
                for i in range(iterations):
                    above, below, parameter, slope = flat[i, upper], flat[i, lower], top[i], step[i]
                    for x in range(n):
                        parameter[x] = above[at[x]] + share[x] * (above[after[x]] - above[at[x]])
                        slope[x] = below[at[x]] + share[x] * (below[after[x]] - below[at[x]]) - parameter[x]
                for y in range(first, end):
                    down = np.float32(position(y, height, map_height) - upper)
                    before, after_curves = photo[y, start:end_of_tile], enhanced[y, start:end_of_tile]
                    for x in range(n):
                        values[x] = np.float32(before[x]) * unit
                    for i in range(iterations):
                        parameter, slope = top[i], step[i]
                        for x in range(n):
                            v = values[x]
                            values[x] = v + (parameter[x] + down * slope[x]) * (v * v - v)
                    for x in range(n):
                        # float rounding can step just outside [0, 1]
                        after_curves[x] = np.int32(min(max(values[x], zero), one) * scale + half)
            first = end

    return kernel
