"""Images as users hold them, as the pixels that everything here works on: uint8 or uint16, with a channel axis."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps


def on_pixels(function: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """Applies a function of pixels to an image.

    Args:
        function: From uint8 or uint16 (height, width, 3 or 1) to an array shaped and typed alike.
        image: (height, width, 3) RGB, (height, width) or (height, width, 1) grey; uint8, uint16, or float in [0, 1].

    Returns:
        An image shaped, typed and ranged as `image`; floats pass through the function as uint16.

    Raises:
        TypeError: The image is of another type.
        ValueError: The image is of another shape, or empty.
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or not image.size:
        raise ValueError(f"an image is (height, width, 3) or (height, width), not {image.shape}")
    floating = np.issubdtype(image.dtype, np.floating)
    pixels = np.rint(np.clip(image, 0, 1) * 65535).astype(np.uint16) if floating else image
    if pixels.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"an image is uint8, uint16 or float, not {image.dtype}")
    result = function(pixels.reshape(*pixels.shape[:2], -1)).reshape(image.shape)
    return (result / 65535).astype(image.dtype) if floating else result


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Float images in [0, 1], clipped and rounded to 8 bits."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def autocontrast(image: np.ndarray) -> np.ndarray:
    """`PIL.ImageOps.autocontrast` of a uint8 RGB image: the baseline that costs nothing."""
    return np.asarray(ImageOps.autocontrast(Image.fromarray(image)))
