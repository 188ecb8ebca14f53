"""How near an image is to a reference, and how brightening changed its lights, colours and noise."""

import math

import cv2
import numpy as np

CLIPPED, UNCLIPPED = 251, 247
"""A pixel is clipped from the first level of 255 on, and unclipped below the second. JPEG blurs the exact end."""

CELL, BLOCK = 4, 16
"""Sides in pixels. Variation inside a cell is noise; variation between the cells of a block is structure."""

DARK = (0.01, 0.15)
"""Range of the mean of a dark block. A darker block may be black, and shows no noise."""

FLAT = 0.25
"""The share of the dark blocks that counts as flat: those with the least structure."""


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """PSNR in dB of two uint8 arrays of one shape; infinity where they are equal."""
    squared_error = cv2.norm(first, second, cv2.NORM_L2SQR)
    return 10 * math.log10(255**2 * first.size / squared_error) if squared_error else math.inf


def mean(image: np.ndarray) -> float:
    """Mean of a uint8 image (height, width, channels) over pixels and channels, in [0, 1]."""
    channels = image.shape[2]
    return sum(cv2.mean(image)[:channels]) / (255 * channels)


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Structural similarity of two uint8 RGB images of one shape (Wang et al., IEEE TIP 2004).

    As `tf.image.ssim` with maximum value 1: a Gaussian window of 11 pixels and deviation 1.5, at each place where it
    fits, and the mean over places and channels. Images of fewer than 11 pixels a side give NaN.

    Computed in bands of rows, so memory does not grow with the image.
    """
    window, band, c1, c2 = 11, 256, 0.01**2, 0.03**2
    height, width, _ = first.shape
    if min(height, width) < window:
        return math.nan
    kernel = cv2.getGaussianKernel(window, 1.5)
    inner = np.s_[window // 2 : -(window // 2), window // 2 : -(window // 2)]
    total = 0.0
    for top in range(0, height - window + 1, band):
        rows = np.s_[top : top + band + window - 1]
        x, y = (image[rows].astype(np.float64) / 255 for image in (first, second))
        mean_x, mean_y, squares, products = (
            cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel)[inner] for values in (x, y, x * x + y * y, x * y)
        )
        both, sums = mean_x * mean_y, mean_x**2 + mean_y**2
        likeness = (2 * both + c1) / (sums + c1) * (2 * (products - both) + c2) / (squares - sums + c2)
        total += float(likeness.mean()) * len(likeness)
    return total / (height - window + 1)


def newly_clipped(before: np.ndarray, after: np.ndarray) -> float:
    """Share of all pixels, in [0, 1], that a method clipped: from `CLIPPED` on after it, below `UNCLIPPED` before.

    Args:
        before: uint8 (height, width, 3), RGB, the input. A pixel's largest channel decides.
        after: Like `before`, the method's output.
    """
    return float(np.mean((after.max(axis=2) >= CLIPPED) & (before.max(axis=2) < UNCLIPPED)))


def hue_rotation(before: np.ndarray, after: np.ndarray) -> float:
    """How far a method rotates the hue of lights: mean over pixels that are bright and saturated in the input.

    Their largest channel is at least half of 255 and below `UNCLIPPED`. Their smallest channel is at most half of the
    largest (HSV saturation of at least 0.5). A pixel that becomes grey has no hue, and does not count.

    Args:
        before: uint8 (height, width, 3), RGB, the input.
        after: Like `before`, the method's output.

    Returns:
        The absolute difference of HSV hue, the shorter way round, in degrees, [0, 180]; NaN if no pixel counts.
    """
    high, low = before.max(axis=2), before.min(axis=2)
    lights = (high >= 128) & (high < UNCLIPPED) & (high - low >= high / 2)
    lights &= after.max(axis=2) > after.min(axis=2)
    if not lights.any():
        return math.nan
    first, second = (
        cv2.cvtColor(image[lights][np.newaxis].astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[..., 0]
        for image in (before, after)
    )
    difference = np.abs(first - second)
    return float(np.minimum(difference, 360 - difference).mean())


def dark_noise(before: np.ndarray, after: np.ndarray) -> float:
    """The fine noise that a method leaves in the flat dark places of an image, luminance and chroma together.

    The places are `DARK` blocks of the input with the least variance between the means of their cells. This choice
    does not bias the noise, because the mean and the variance of Gaussian noise in a cell are independent. The measure
    is the variance within cells, so grain of several pixels counts little.

    Args:
        before: uint8 (height, width, 3), RGB, the input.
        after: Like `before`, the method's output.

    Returns:
        Standard deviation in steps of 1/255, root mean square over the blocks and over R, G and B. Noise of standard
        deviation s in each channel gives s, for any division into luminance and chroma. NaN if no block is dark.
    """
    rows, columns = before.shape[0] // BLOCK, before.shape[1] // BLOCK
    grid = (rows, BLOCK // CELL, CELL, columns, BLOCK // CELL, CELL, 3)
    first, second = (image[: rows * BLOCK, : columns * BLOCK].reshape(grid) for image in (before, after))
    cells = first.mean(axis=(2, 5), dtype=np.float32)
    level = cells.mean(axis=(1, 3, 4)) / 255
    dark = (level > DARK[0]) & (level < DARK[1])
    if not dark.any():
        return math.nan
    structure = cells.var(axis=(1, 3)).mean(axis=2)
    flat = dark & (structure <= np.quantile(structure[dark], FLAT))
    noise = second.var(axis=(2, 5), dtype=np.float32, ddof=1).mean(axis=(1, 3, 4))
    return math.sqrt(noise[flat].mean())
