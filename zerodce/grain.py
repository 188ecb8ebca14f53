"""The compiled loops that measure and filter grain; numba keeps the machine code on disk.

Every function works on planes (channels, height, width) of float32 in steps of 1/255, and every plane that is half
of another covers it exactly: widths and heights are multiples of two, what lies outside the photo repeats its edge.
"""

import numba
import numpy as np

RED, GREEN, BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)
TO_CR, TO_CB = np.float32(0.713), np.float32(0.564)
"""Y, Cr and Cb as OpenCV has them, without the offset of Cr and Cb."""


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")
def _read(row, unit, planes):
    """Writes Y, Cr and Cb (or grey) of one row of pixels side by side into planes (channels, at least as wide)."""
    channels, length = planes.shape
    width = len(row) // channels
    luma = planes[0]
    if channels == 1:
        for x in range(width):
            luma[x] = np.float32(row[x]) * unit
    else:
        to_red, to_blue = planes[1], planes[2]
        for x in range(width):
            red = np.float32(row[3 * x]) * unit
            green = np.float32(row[3 * x + 1]) * unit
            blue = np.float32(row[3 * x + 2]) * unit
            y = RED * red + GREEN * green + BLUE * blue
            luma[x] = y
            to_red[x] = TO_CR * (red - y)
            to_blue[x] = TO_CB * (blue - y)
    for channel in range(channels):
        for x in range(width, length):
            planes[channel, x] = planes[channel, width - 1]


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")
def _pool(upper, lower, mean, square):
    """Writes the means of 2x2 values of two rows, and of their squares."""
    quarter = np.float32(0.25)
    for x in range(len(mean)):
        a, b, c, d = upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1]
        mean[x] = quarter * ((a + b) + (c + d))
        square[x] = quarter * ((a * a + b * b) + (c * c + d * d))


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")
def read(photo, unit, planes):
    """Writes planes of a photo's Y, Cr and Cb (or grey), the photo being laid out as for `halve_photo`."""
    for y in range(len(photo)):
        _read(photo[y], unit, planes[:, y])


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")
def measure(planes, side, means, deviations):
    """Writes means and standard deviations (channels, patches) of square patches, their slope taken out."""
    channels, height, width = planes.shape
    middle = (side - 1) / 2
    leverage = np.float32(side * side * (side * side - 1) / 12)
    values, freedom = np.float32(side * side), np.float32(side * side - 3)
    zero = np.float32(0)
    for channel in range(channels):
        patch = 0
        for top in range(0, height, side):
            for left in range(0, width, side):
                first = planes[channel, top, left]  # differences from it keep their precision
                total, squares, across, down = zero, zero, zero, zero
                for y in range(side):
                    line = zero
                    for x in range(side):
                        value = planes[channel, top + y, left + x] - first
                        line += value
                        squares += value * value
                        across += np.float32(x - middle) * value
                    total += line
                    down += np.float32(y - middle) * line
                rest = squares - total * total / values - (across * across + down * down) / leverage
                means[channel, patch] = first + total / values
                deviations[channel, patch] = np.sqrt(max(rest, zero) / freedom)
                patch += 1


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")
def halve_photo(photo, start, unit, mean, square):
    """Writes half-size planes of a photo's Y, Cr and Cb, and of their squares, from row `start` on.

    Args:
        photo: uint8 or uint16 (height, width * channels), the channels side by side.
        start: A row, even.
        unit: What one level of the photo is in steps of 1/255.
        mean: Written to: (channels, any height, at least half the width).
        square: Written to: shaped as `mean`.
    """
    channels, height, width = mean.shape
    upper, lower = np.empty((2, channels, 2 * width), np.float32)
    for y in range(height):
        _read(photo[min(start + 2 * y, len(photo) - 1)], unit, upper)
        _read(photo[min(start + 2 * y + 1, len(photo) - 1)], unit, lower)
        for channel in range(channels):
            _pool(upper[channel], lower[channel], mean[channel, y], square[channel, y])


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")
def halve(planes, mean, square):
    """Writes half-size planes, and those of the squares."""
    channels, height, _ = mean.shape
    for channel in range(channels):
        for y in range(height):
            _pool(planes[channel, 2 * y], planes[channel, 2 * y + 1], mean[channel, y], square[channel, y])


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")
def fit(mean, square, variance, base, slope, offset):
    """Writes the line of the guided filter: slope near 1 where a 3x3 window varies more than noise, else near 0.

    Args:
        mean: (channels, height, width), means of 2x2 values.
        square: Means of their squares, shaped as `mean`.
        variance: What half the contrast is lost at, shaped as `mean`.
        base: What is left where the slope is 0, shaped as `mean`; empty for the mean of the window.
        slope: Written to, shaped as `mean`.
        offset: Written to, shaped as `mean`.
    """
    channels, height, width = mean.shape
    ninth, tiny = np.float32(1 / 9), np.float32(1e-6)
    one, zero = np.float32(1), np.float32(0)
    means, squares = np.empty(width + 2, np.float32), np.empty(width + 2, np.float32)
    for channel in range(channels):
        for y in range(height):
            above, below = max(y - 1, 0), min(y + 1, height - 1)
            m0, m1, m2 = mean[channel, above], mean[channel, y], mean[channel, below]
            s0, s1, s2 = square[channel, above], square[channel, y], square[channel, below]
            for x in range(width):
                means[x + 1] = m0[x] + m1[x] + m2[x]
                squares[x + 1] = s0[x] + s1[x] + s2[x]
            means[0], means[width + 1] = means[1], means[width]
            squares[0], squares[width + 1] = squares[1], squares[width]
            noise, line, rest = variance[channel, y], slope[channel, y], offset[channel, y]
            for x in range(width):
                average = ninth * (means[x] + means[x + 1] + means[x + 2])
                spread = max(ninth * (squares[x] + squares[x + 1] + squares[x + 2]) - average * average, zero)
                line[x] = spread / (spread + noise[x] + tiny)
                rest[x] = average
            if base.size:
                for x in range(width):
                    rest[x] = base[channel, y, x]
            for x in range(width):
                rest[x] *= one - line[x]


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")
def _double(small, y, between, row):
    """Writes row `y` of a plane enlarged bilinearly to twice its size; `between` is room for a row of `small`."""
    height, width = small.shape
    near, far = small[y // 2], small[min(max(y // 2 + 2 * (y % 2) - 1, 0), height - 1)]
    much, little = np.float32(0.75), np.float32(0.25)
    for x in range(width):
        between[x + 1] = much * near[x] + little * far[x]
    between[0], between[width + 1] = between[1], between[width]
    for x in range(width):
        row[2 * x] = much * between[x + 1] + little * between[x]
        row[2 * x + 1] = much * between[x + 1] + little * between[x + 2]


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")
def draw(planes, slope, offset, drawn):
    """Applies lines of half the size to planes, and writes the result to `drawn`."""
    channels, height, width = planes.shape
    between = np.empty(width // 2 + 2, np.float32)
    factor, addend = np.empty((2, width), np.float32)
    for channel in range(channels):
        for y in range(height):
            _double(slope[channel], y, between, factor)
            _double(offset[channel], y, between, addend)
            row, result = planes[channel, y], drawn[channel, y]
            for x in range(width):
                result[x] = row[x] * factor[x] + addend[x]


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")
def draw_photo(photo, start, stop, first, unit, slope, offset, filtered):
    """Applies lines of half the size to rows of a photo.

    Args:
        photo: uint8 or uint16 (height, width * channels), the channels side by side.
        start: The first row to filter.
        stop: The row after the last.
        first: The photo's row at which the lines begin, even.
        unit: What one level of the photo is in steps of 1/255.
        slope: (channels, any height, at least half the width).
        offset: Shaped as `slope`.
        filtered: Written to, shaped and typed as `photo`.
    """
    channels, _, half = slope.shape
    between = np.empty(half + 2, np.float32)
    factor = np.empty(2 * half, np.float32)
    planes, change = np.empty((2, channels, 2 * half), np.float32)
    width = photo.shape[1] // channels
    top = np.float32(255) / unit
    scale, zero, rounding = np.float32(1) / unit, np.float32(0), np.float32(0.5)
    one = np.float32(1)
    for y in range(start, stop):
        row, out = photo[y], filtered[y]
        _read(row, unit, planes)
        for channel in range(channels):
            before, after = planes[channel], change[channel]
            _double(slope[channel], y - first, between, factor)
            _double(offset[channel], y - first, between, after)
            for x in range(width):
                after[x] = (after[x] - (one - factor[x]) * before[x]) * scale
        luma = change[0]
        if channels == 1:
            for x in range(width):
                out[x] = np.int32(min(max(np.float32(row[x]) + luma[x], zero), top) + rounding)
        else:
            to_red, to_blue = change[1], change[2]
            for x in range(width):
                red = luma[x] + to_red[x] * (one / TO_CR)
                blue = luma[x] + to_blue[x] * (one / TO_CB)
                green = (luma[x] - RED * red - BLUE * blue) * (one / GREEN)
                out[3 * x] = np.int32(min(max(np.float32(row[3 * x]) + red, zero), top) + rounding)
                out[3 * x + 1] = np.int32(min(max(np.float32(row[3 * x + 1]) + green, zero), top) + rounding)
                out[3 * x + 2] = np.int32(min(max(np.float32(row[3 * x + 2]) + blue, zero), top) + rounding)
