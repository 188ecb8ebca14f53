"""PSNR of 8-bit images, from the images or from a sum of squared differences."""

import math

import numpy as np


def psnr_from_error(squared_error: float, count: int) -> float:
    """PSNR in dB.

    Args:
        squared_error: Sum of squared differences, in steps of 1/255.
        count: Number of values summed, > 0.

    Returns:
        10 log10(255^2 / mean squared difference); infinity where there is none.
    """
    return 10 * math.log10(255**2 * count / squared_error) if squared_error else math.inf


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """PSNR in dB of two uint8 arrays of one shape; infinity where they are equal."""
    difference = np.subtract(first, second, dtype=np.int16).astype(np.int32)
    return psnr_from_error(float(np.sum(difference * difference, dtype=np.int64)), first.size)
