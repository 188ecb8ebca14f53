"""The compiled loop that applies small curve maps to a photo of any size; numba keeps the machine code on disk."""

import numba
import numpy as np

TILE = 768
"""Values worked on at a time: the parameters of a tile, 2 x 8 x 768 floats, stay in the first-level cache."""


@numba.njit(nogil=True, cache=True)
def position(at, size, map_size):
    """Where a pixel of a photo of `size` lies in a map of `map_size`, both along one axis."""
    return min(max((at + 0.5) * map_size / size - 0.5, 0.0), map_size - 1.0)


@numba.njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def apply_rows(photo, maps, enhanced, levels):
    """Writes the enhanced rows of a photo.

    Args:
        photo: uint8 or uint16 (height, width * channels), the channels side by side.
        maps: float32 (iterations, map height, map width, channels).
        enhanced: Written to; shaped and typed as `photo`.
        levels: The largest value of that type, a float.
    """
    height, length = photo.shape
    iterations, map_height, map_width, channels = maps.shape
    width = length // channels
    flat = maps.reshape(iterations, map_height, map_width * channels)
    left, right = np.empty(length, np.int32), np.empty(length, np.int32)
    across = np.empty(length, np.float32)
    for x in range(width):
        place = position(x, width, map_width)
        for channel in range(channels):
            left[x * channels + channel] = int(place) * channels + channel
            right[x * channels + channel] = min(int(place) + 1, map_width - 1) * channels + channel
            across[x * channels + channel] = place - int(place)
    top = np.empty((iterations, TILE), np.float32)
    step = np.empty((iterations, TILE), np.float32)
    values = np.empty(TILE, np.float32)
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
        for start in range(0, length, TILE):
            end_of_tile = min(start + TILE, length)
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
