"""PSNR and SSIM between two images of one size."""

import math

import cv2
import numpy as np


def psnr_from_error(squared_error: float, count: int) -> float:
    """PSNR in dB from a sum.

    Args:
        squared_error: Sum of squared differences, in steps of 1/255.
        count: Number of values summed, > 0.

    Returns:
        10 log10(255^2 / mean squared difference); infinity where there is none.
    """
    return 10 * math.log10(255**2 * count / squared_error) if squared_error else math.inf


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """PSNR in dB of two uint8 arrays of one shape; infinity where they are equal."""
    return psnr_from_error(cv2.norm(first, second, cv2.NORM_L2SQR), first.size)


def mean(image: np.ndarray) -> float:
    """Mean of a uint8 image (height, width, channels) over pixels and channels, in [0, 1]."""
    channels = image.shape[2]
    return sum(cv2.mean(image)[:channels]) / (255 * channels)


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Structural similarity of two uint8 RGB images of one shape, as `tf.image.ssim` with maximum value 1.

    Computed in bands of rows, so that memory does not grow with the image; images of fewer than 11 pixels a side,
    the size of the window, have no SSIM and give NaN.
    """
    from keras import ops

    window, band = 11, 256
    height, width, _ = first.shape
    if min(height, width) < window:
        return math.nan
    total = 0.0
    for top in range(0, height - window + 1, band):
        rows = np.s_[top : top + band + window - 1]
        pair = (ops.convert_to_tensor(image[rows][np.newaxis].astype(np.float32) / 255) for image in (first, second))
        positions = min(band, height - window + 1 - top)
        total += float(ops.image.ssim(*pair, max_val=1.0)[0]) * positions
    return total / (height - window + 1)
