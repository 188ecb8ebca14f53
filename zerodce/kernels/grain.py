"""The compiled loops that measure and filter grain, a row at a time; numba keeps the machine code on disk.

Rows of pixels are first split into planes of red, green and blue: a compiler vectorises loops over planes, but hardly
loops over every third value. Y, Cr and Cb are float32 in steps of 1/255. A plane of half the size covers the larger
plane exactly: outside the photo, values repeat the edge.
"""

import numpy as np

from zerodce.kernels.compiling import numba

RED, GREEN, BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)
TO_CR, TO_CB = np.float32(0.713), np.float32(0.564)
"""Coefficients of Y, Cr and Cb as in OpenCV, without the offset of Cr and Cb."""

BLOCK = 16
"""Pixels between the points of the filter's strength, and rows of a photo in one step of the filter."""

SIZES = 4
"""Sizes that are filtered: the photo's, and a half, a quarter and an eighth of it."""

MEAN, SQUARE, LOST, ADDED = range(4)
"""Per size: means of 2x2 values, means of their squares, the share of contrast that the guided filter removes (1 - its
slope), and its offset."""

_compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")


@_compiled
def _split(row, planes):
    """Writes the channels of one row of pixels into planes (channels, at least as wide)."""
    channels, length = planes.shape
    width = len(row) // channels
    if channels == 1:
        grey = planes[0]
        for x in range(width):
            grey[x] = row[x]
    else:
        red, green, blue = planes[0], planes[1], planes[2]
        for x in range(width):
            red[x], green[x], blue[x] = row[3 * x], row[3 * x + 1], row[3 * x + 2]
    for channel in range(channels):
        edge = planes[channel, width - 1]
        for x in range(width, length):
            planes[channel, x] = edge


@_compiled
def _merge(planes, row):
    """Writes planes into a row of pixels."""
    channels = len(planes)
    if channels == 1:
        grey = planes[0]
        for x in range(len(row)):
            row[x] = grey[x]
    else:
        red, green, blue = planes[0], planes[1], planes[2]
        for x in range(len(row) // 3):
            row[3 * x], row[3 * x + 1], row[3 * x + 2] = red[x], green[x], blue[x]


@_compiled
def _ycrcb(red, green, blue):
    luma = RED * red + GREEN * green + BLUE * blue
    return luma, TO_CR * (red - luma), TO_CB * (blue - luma)


@_compiled
def _convert(levels, unit, row):
    """Writes Y, Cr and Cb (or grey) of a row of integers split into planes; `unit` is one level in steps of 1/255."""
    channels, width = levels.shape
    if channels == 1:
        greys, luma = levels[0], row[0]
        for x in range(width):
            luma[x] = np.float32(greys[x]) * unit
    else:
        reds, greens, blues = levels[0], levels[1], levels[2]
        luma, to_red, to_blue = row[0], row[1], row[2]
        for x in range(width):
            red, green, blue = np.float32(reds[x]) * unit, np.float32(greens[x]) * unit, np.float32(blues[x]) * unit
            luma[x], to_red[x], to_blue[x] = _ycrcb(red, green, blue)


@_compiled
def read(photo, unit, planes):
    """Writes planes (channels, height, width) of a photo's Y, Cr and Cb, or grey.

    Args:
        photo: uint8 or uint16 (height, width * channels), the channels side by side.
        unit: One level of the photo in steps of 1/255.
        planes: Written to.
    """
    channels, height, width = planes.shape
    levels, row = np.empty((channels, width), photo.dtype), np.empty((channels, width), np.float32)
    for y in range(height):
        _split(photo[y], levels)
        _convert(levels, unit, row)
        for channel in range(channels):
            plane, values = planes[channel, y], row[channel]
            for x in range(width):
                plane[x] = values[x]


@_compiled
def measure(planes, side, means, deviations):
    """Writes means and standard deviations (channels, patches) of square patches, without their slope."""
    channels, height, width = planes.shape
    middle = (side - 1) / 2
    leverage = side * side * (side * side - 1) / 12
    totals, squares, slopes = np.empty(width), np.empty(width), np.empty(width)
    across_row = width // side
    for channel in range(channels):
        for top in range(0, height, side):
            for x in range(width):
                totals[x], squares[x], slopes[x] = 0, 0, 0
            for y in range(side):
                row, lever = planes[channel, top + y], y - middle
                for x in range(width):
                    value = np.float64(row[x])
                    totals[x] += value
                    squares[x] += value * value
                    slopes[x] += lever * value
            for patch in range(across_row):
                total, square, across, down = 0.0, 0.0, 0.0, 0.0
                for x in range(side):
                    at = patch * side + x
                    total += totals[at]
                    square += squares[at]
                    down += slopes[at]
                    across += (x - middle) * totals[at]
                rest = square - total * total / (side * side) - (across * across + down * down) / leverage
                number = top // side * across_row + patch
                means[channel, number] = total / (side * side)
                deviations[channel, number] = np.sqrt(max(rest, 0.0) / (side * side - 3))


@_compiled
def _pool_pixels(planes, unit, sums, converted, mean, square):
    """Writes the means of 2x2 pixels in Y, Cr and Cb, and of their squares, from two rows split into planes.

    The sum of squares follows from the squares of the sum and of the three differences of the four pixels. These fit in
    small integers (`sums`: (4, channels, width)), so colours are converted at half the width (`converted`, alike).
    """
    for channel in range(len(mean)):
        upper, lower = planes[0, channel], planes[1, channel]
        total, across, down, diagonal = sums[0, channel], sums[1, channel], sums[2, channel], sums[3, channel]
        for x in range(len(total)):
            a, b, c, d = upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1]
            total[x] = a + b + c + d
            across[x] = a - b + c - d
            down[x] = a + b - c - d
            diagonal[x] = a - b - c + d
    for part in range(4):
        _convert(sums[part], np.float32(0.25) * unit, converted[part])
    for channel in range(len(mean)):
        total, across = converted[0, channel], converted[1, channel]
        down, diagonal = converted[2, channel], converted[3, channel]
        means, squares = mean[channel], square[channel]
        for x in range(len(total)):
            a, b, c, d = total[x], across[x], down[x], diagonal[x]
            means[x] = a
            squares[x] = (a * a + b * b) + (c * c + d * d)


@_compiled
def _pool(upper, lower, mean, square):
    """Writes the means of 2x2 values of two rows, and of their squares."""
    quarter = np.float32(0.25)
    for x in range(len(mean)):
        a, b, c, d = upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1]
        mean[x] = quarter * ((a + b) + (c + d))
        square[x] = quarter * ((a * a + b * b) + (c * c + d * d))


@_compiled
def _spread(points, row):
    """Interpolates a row linearly between evenly spaced points; the first and last are at its ends."""
    cell = len(row) // (len(points) - 1)
    for i in range(len(points) - 1):
        value, step = points[i], (points[i + 1] - points[i]) / np.float32(cell)
        for x in range(cell):
            row[i * cell + x] = value + step * (np.float32(x) + np.float32(0.5))


@_compiled
def _fit(means, squares, noise, down, sums, loss, rest):
    """Writes a row of guided-filter coefficients (lines), relative to the mean of the window.

    Args:
        means: Three rows (above, at, below) of means of 2x2 values. The windows are 3x3 of them.
        squares: Three rows of means of their squares.
        noise: Two rows of the variance at which half of the contrast is lost.
        down: Position of this row between the two rows of `noise`, in [0, 1].
        sums: Buffer for two rows with one more pixel on each side.
        loss: Written to: the share of contrast removed, near 0 where a window varies more than noise, else near 1.
        rest: Written to: the offset that is added.
    """
    width = len(loss)
    ninth, tiny, zero = np.float32(1 / 9), np.float32(1e-6), np.float32(0)
    m0, m1, m2 = means
    s0, s1, s2 = squares
    n0, n1 = noise
    mean, square = sums
    for x in range(width):
        mean[x + 1] = m0[x] + m1[x] + m2[x]
        square[x + 1] = s0[x] + s1[x] + s2[x]
    mean[0], mean[width + 1] = mean[1], mean[width]
    square[0], square[width + 1] = square[1], square[width]
    for x in range(width):
        average = ninth * (mean[x] + mean[x + 1] + mean[x + 2])
        variance = max(ninth * (square[x] + square[x + 1] + square[x + 2]) - average * average, zero)
        grain = n0[x] + down * (n1[x] - n0[x])
        lost = grain / (variance + grain + tiny)
        loss[x] = lost
        rest[x] = average * lost


@_compiled
def _double(near, far, between, row):
    """Writes a row of a plane enlarged bilinearly to twice its size; `between` is a buffer for a row and two pixels."""
    width = len(row) // 2
    much, little = np.float32(0.75), np.float32(0.25)
    for x in range(width):
        between[x + 1] = much * near[x] + little * far[x]
    between[0], between[width + 1] = between[1], between[width]
    for x in range(width):
        row[2 * x] = much * between[x + 1] + little * between[x]
        row[2 * x + 1] = much * between[x + 1] + little * between[x + 2]


@_compiled
def _draw_pixels(planes, unit, loss, rest):
    """Applies a row of lines to a row of pixels split into planes, in place."""
    channels, width = planes.shape
    top, scale = np.float32(255) / unit, np.float32(1) / unit
    one, zero, half = np.float32(1), np.float32(0), np.float32(0.5)
    if channels == 1:
        greys, loss_y, rest_y = planes[0], loss[0], rest[0]
        for x in range(width):
            grey = np.float32(greys[x])
            greys[x] = np.int32(min(max(grey + (rest_y[x] * scale - loss_y[x] * grey), zero), top) + half)
    else:
        reds, greens, blues = planes[0], planes[1], planes[2]
        loss_y, loss_cr, loss_cb = loss[0], loss[1], loss[2]
        rest_y, rest_cr, rest_cb = rest[0], rest[1], rest[2]
        for x in range(width):
            red, green, blue = np.float32(reds[x]), np.float32(greens[x]), np.float32(blues[x])
            y, cr, cb = _ycrcb(red, green, blue)
            change = rest_y[x] * scale - loss_y[x] * y
            more_red = change + (rest_cr[x] * scale - loss_cr[x] * cr) * (one / TO_CR)
            more_blue = change + (rest_cb[x] * scale - loss_cb[x] * cb) * (one / TO_CB)
            more_green = (change - RED * more_red - BLUE * more_blue) * (one / GREEN)
            reds[x] = np.int32(min(max(red + more_red, zero), top) + half)
            greens[x] = np.int32(min(max(green + more_green, zero), top) + half)
            blues[x] = np.int32(min(max(blue + more_blue, zero), top) + half)


@_compiled
def _read_block(photo, block, unit, planes, sums, converted, sizes):
    """Reads a block of rows into the ring of the largest size, and halves it down to the smallest size."""
    height, channels = len(photo), planes.shape[1]
    ring = sizes[0].shape[1]
    for k in range(BLOCK // 2):
        y = BLOCK // 2 * block + k
        for row in range(2):
            _split(photo[min(2 * y + row, height - 1)], planes[row])
        _pool_pixels(planes, unit, sums, converted, sizes[0][MEAN, y % ring], sizes[0][SQUARE, y % ring])
    for size in range(1, SIZES):
        above, below = sizes[size - 1], sizes[size]
        ring, rows = below.shape[1], BLOCK // 2 >> size
        for y in range(rows * block, rows * (block + 1)):
            for c in range(channels):
                upper, lower = above[MEAN, 2 * y % (2 * ring), c], above[MEAN, (2 * y + 1) % (2 * ring), c]
                _pool(upper, lower, below[MEAN, y % ring, c], below[SQUARE, y % ring, c])


@_compiled
def _fit_block(block, blocks, variances, noise, padded, sizes):
    """Fits the lines of all sizes up to the second-last row of a block: a line needs the row after it."""
    for size in range(SIZES):
        here, rows = sizes[size], BLOCK // 2 >> size
        ring, width = here.shape[1], here.shape[3]
        last = rows * blocks - 1
        for c in range(here.shape[2]):
            for point in range(2):
                _spread(variances[size, min(block + point, blocks), :, c], noise[point][:width])
            for k in range(rows):
                y = rows * block - 1 + k
                if 0 <= y <= last:
                    a, b, d = max(y - 1, 0) % ring, y % ring, min(y + 1, last) % ring
                    mean, square = here[MEAN], here[SQUARE]
                    _fit(
                        (mean[a, c], mean[b, c], mean[d, c]),
                        (square[a, c], square[b, c], square[d, c]),
                        (noise[0], noise[1]),
                        np.float32(max(k - 0.5, 0) / rows),
                        (padded[0], padded[1]),
                        here[LOST, b, c],
                        here[ADDED, b, c],
                    )


@_compiled
def _draw_block(photo, block, blocks, start, stop, unit, padded, lines, planes, sizes):
    """Draws the lines of a block from the smallest size up to the photo. Only blocks `start` to `stop` change."""
    height, channels = len(photo), planes.shape[1]
    for size in range(SIZES - 2, -2, -1):
        smaller, rows = sizes[size + 1], BLOCK >> (size + 1)
        ring, width = smaller.shape[1], 2 * smaller.shape[3]
        last = rows * blocks - 1
        for y in range(max(rows * (block - 2) + 1, 0), min(rows * (block - 1), last) + 1):
            near = y // 2
            far = min(max(near + 2 * (y % 2) - 1, 0), last // 2)
            for kind in range(2):
                for c in range(channels):
                    plane = smaller[LOST + kind]
                    _double(plane[near % ring, c], plane[far % ring, c], padded[0], lines[kind, c][:width])
            if size >= 0:
                at = y % (2 * ring)
                for c in range(channels):
                    mean, loss, rest = sizes[size][MEAN, at, c], sizes[size][LOST, at, c], sizes[size][ADDED, at, c]
                    lost, added = lines[0, c], lines[1, c]
                    for x in range(width):
                        rest[x] = loss[x] * (mean[x] - lost[x] * mean[x] + added[x])
            elif BLOCK * start <= y < min(BLOCK * stop, height):
                _split(photo[y], planes[0])
                _draw_pixels(planes[0], unit, lines[0], lines[1])
                _merge(planes[0], photo[y])


@_compiled
def smooth_rows(photo, start, stop, unit, variances, sums, sizes):
    """Filters rows of a photo, in place.

    It works in blocks of `BLOCK` rows. A line needs the row after it, and a row needs the lines on both sides of it at
    every size. So each phase runs behind the one before:

        read   the rows of block b, and their means at every size
        fit    the lines of all sizes, from the last row of block b - 1 to the second-last row of block b
        draw   the rows of block b - 2 except its first, and the first row of block b - 1

    Rings of two blocks for each size hold the rows, so a photo of any height needs little memory.

    Args:
        photo: uint8 or uint16 (height, width * channels), the channels side by side.
        start: The first block of `BLOCK` rows to filter.
        stop: The block after the last.
        unit: One level of the photo in steps of 1/255.
        variances: Float32 (SIZES, rows, columns, channels): the variance at which half of the contrast is lost, at
            points `BLOCK` pixels apart, from the photo's upper left corner on.
        sums: Buffer: int16 or, for uint16, int32 (4, channels, half the width up to the last point).
        sizes: Buffers by size: float32 (4, 32, channels, that half), then (4, 16, channels, half of it) and so on.
    """
    blocks, channels = variances.shape[1] - 1, variances.shape[3]
    half = sums.shape[2]
    converted = np.empty(sums.shape, np.float32)
    planes = np.empty((2, channels, 2 * half), photo.dtype)
    noise, padded = np.empty((2, half), np.float32), np.empty((2, half + 2), np.float32)
    lines = np.empty((2, channels, 2 * half), np.float32)
    for block in range(max(start - 2, 0), stop + 2):
        if block < blocks:
            _read_block(photo, block, unit, planes, sums, converted, sizes)
        if block <= blocks:
            _fit_block(block, blocks, variances, noise, padded, sizes)
        _draw_block(photo, block, blocks, start, stop, unit, padded, lines, planes, sizes)
