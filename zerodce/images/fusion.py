"""Exposure fusion (Mertens, Kautz and Van Reeth, Pacific Graphics 2007): one photo out of several exposures of it."""

from collections.abc import Sequence

import cv2
import numpy as np

from zerodce.images.pixels import to_uint8

MOST_EXPOSURES = 9
"""A longer series is thinned to so many for its reference."""


def fuse(
    exposures: Sequence[np.ndarray], contrast: float = 1, saturation: float = 1, exposedness: float = 1
) -> np.ndarray:
    """Fuses exposures, each pixel mostly from those where it is exposed best, blended over a pyramid (OpenCV's).

    Args:
        exposures: uint8 (height, width, 3), RGB, at least one and all of one size. Not floats: OpenCV would divide
            them by 255.
        contrast, saturation, exposedness: Exponents of the three measures that weigh a pixel; 0 ignores the measure.

    Returns:
        Float32 (height, width, 3), RGB, clipped to [0, 1]: a pyramid overshoots at edges.
    """
    return np.clip(cv2.createMergeMertens(contrast, saturation, exposedness).process(list(exposures)), 0, 1)


def bracket_reference(images: Sequence[np.ndarray]) -> np.ndarray:
    """What the shots of a bracketed series together say the scene looks like: a reference for each of them.

    Args:
        images: uint8 (height, width, 3), RGB, all of one size, in the order of the series. Of more than
            `MOST_EXPOSURES`, so many count, evenly spaced.

    Returns:
        The fusion by all three measures, uint8 (height, width, 3).
    """
    if len(images) > MOST_EXPOSURES:
        images = [images[i] for i in np.linspace(0, len(images) - 1, MOST_EXPOSURES).round().astype(int)]
    return to_uint8(fuse(images))
