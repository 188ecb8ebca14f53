"""Exposure fusion (Mertens, Kautz and Van Reeth, Pacific Graphics 2007): one photo from several exposures."""

from collections.abc import Sequence

import cv2
import numpy as np

from zerodce.images.pixels import to_uint8

MOST_EXPOSURES = 9
"""A longer series is thinned to this many exposures for its reference."""


def fuse(
    exposures: Sequence[np.ndarray], contrast: float = 1, saturation: float = 1, exposedness: float = 1
) -> np.ndarray:
    """Fuses exposures with OpenCV: each pixel mostly from its best exposure, blended over a pyramid.

    Args:
        exposures: uint8 (height, width, 3), RGB, at least one, all of one size. OpenCV would divide floats by 255.
        contrast, saturation, exposedness: Exponents of the three measures that weigh a pixel; 0 ignores the measure.

    Returns:
        Float32 (height, width, 3), RGB, clipped to [0, 1], because a pyramid overshoots at edges.
    """
    return np.clip(cv2.createMergeMertens(contrast, saturation, exposedness).process(list(exposures)), 0, 1)


def bracket_reference(images: Sequence[np.ndarray]) -> np.ndarray:
    """The fusion of an exposure series: a reference for each of its shots.

    Args:
        images: uint8 (height, width, 3), RGB, all of one size, in the order of the series. At most `MOST_EXPOSURES`
            of them count, evenly spaced.

    Returns:
        The fusion by all three measures, uint8 (height, width, 3).
    """
    if len(images) > MOST_EXPOSURES:
        images = [images[i] for i in np.linspace(0, len(images) - 1, MOST_EXPOSURES).round().astype(int)]
    return to_uint8(fuse(images))
