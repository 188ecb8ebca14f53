"""The compiled loop that shrinks a photo by whole blocks of pixels."""

import numpy as np

from zerodce.kernels.compiling import numba


@numba.njit(nogil=True, cache=True, error_model="numpy")
def average_blocks(photo, top, left, block, averaged):
    """Writes the means of square blocks of pixels, rounded half to even, like OpenCV's INTER_AREA.

    Args:
        photo: uint8 (height, width * 3), the channels side by side.
        top: The first row of the first blocks.
        left: The first column, in pixels.
        block: Side of a block in pixels, 3 to 256.
        averaged: Written to; uint8 (rows, columns * 3).
    """
    rows, columns = averaged.shape[0], averaged.shape[1] // 3
    share = np.float32(1) / np.float32(block * block)
    sums = np.empty(columns * block * 3, np.uint16)
    for y in range(rows):
        sums[:] = 0
        for k in range(block):
            row = photo[top + y * block + k, 3 * left : 3 * left + sums.size]
            for x in range(sums.size):
                sums[x] += row[x]
        means = averaged[y]
        at = 0
        for x in range(columns):
            red, green, blue = np.uint32(0), np.uint32(0), np.uint32(0)
            for _ in range(block):
                red += sums[at]
                green += sums[at + 1]
                blue += sums[at + 2]
                at += 3
            means[3 * x] = np.uint8(np.rint(np.float32(red) * share))
            means[3 * x + 1] = np.uint8(np.rint(np.float32(green) * share))
            means[3 * x + 2] = np.uint8(np.rint(np.float32(blue) * share))
