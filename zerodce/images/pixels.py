"""Converts users' images to the pixels that all code here works on: uint8 or uint16, with a channel axis."""

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageOps

FLOAT_SLACK = 1e-3
"""How far a float may lie outside [0, 1], by resampling or rounding; it is clipped."""

PREVIEW = 800
"""Long side of a preview in pixels."""


def on_pixels(function: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """Applies a function of pixels to an image.

    Args:
        function: Function from uint8 or uint16 (height, width, 3 or 1) to an array shaped and typed alike.
        image: (height, width, 3) RGB, (height, width) or (height, width, 1) grey; uint8, uint16, or float in [0, 1].

    Returns:
        An image shaped, typed and ranged as `image`; floats pass through the function as uint16.

    Raises:
        TypeError: The image is of another type.
        ValueError: The image is of another shape, or empty, or of floats outside [0, 1].
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or not image.size:
        raise ValueError(f"an image is (height, width, 3) or (height, width), not {image.shape}")
    floating = np.issubdtype(image.dtype, np.floating)
    if floating and not (image.min() >= -FLOAT_SLACK and image.max() <= 1 + FLOAT_SLACK):  # NaN fails too
        raise ValueError(
            f"an image of floats is in [0, 1], not from {image.min():g} to {image.max():g}; divide 8 bits by 255"
        )
    pixels = np.rint(np.clip(image, 0, 1) * 65535).astype(np.uint16) if floating else image
    if pixels.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"an image is uint8, uint16 or float, not {image.dtype}")
    result = function(pixels.reshape(*pixels.shape[:2], -1)).reshape(image.shape)
    return (result / 65535).astype(image.dtype) if floating else result


def small_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Height and width with the longer side at most `long_side`: never enlarged, aspect kept, at least 1."""
    scale = min(1.0, long_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def preview(photo: np.ndarray) -> np.ndarray:
    """A copy for thumbnails and for smaller copies.

    Averages whole blocks of pixels first, which takes a third of the time. This leaves out less than half a block at
    the border of the photo.

    Args:
        photo: uint8 or uint16 (height, width, channels), the full range of its type.

    Returns:
        uint8 (height, width, channels), the longer side at most `PREVIEW`, never enlarged. May be `photo` itself.
    """
    height, width = photo.shape[:2]
    size = small_size(height, width, PREVIEW)
    block = min(height // size[0], width // size[1])
    rows, columns = height // block, width // block
    top, left = height % block // 2, width % block // 2
    if photo.dtype == np.uint8 and photo.shape[2] == 3 and 3 <= block <= 256:  # twice as fast as OpenCV
        from zerodce.kernels.blocks import average_blocks

        blocks = np.empty((rows, columns, 3), np.uint8)
        flat = np.ascontiguousarray(photo).reshape(height, -1)
        average_blocks(flat, top, left, block, blocks.reshape(rows, -1))
    else:
        blocks = _averaged(photo[top : top + rows * block, left : left + columns * block], (rows, columns))
    return _eight_bits(_averaged(blocks, size))


def small_copy(photo: np.ndarray, long_side: int) -> np.ndarray:
    """The copy on which the curves of a photo are estimated; the copy of its `preview` is the same.

    Args:
        photo: uint8 or uint16 (height, width, 3 or 1), RGB or grey, the full range of its type.
        long_side: Upper bound of the longer side in pixels. Up to `PREVIEW`, the copy is made from the preview.

    Returns:
        uint8 (height, width, 3), RGB, never enlarged. May be `photo` itself.
    """
    source = preview(photo) if long_side <= PREVIEW else photo
    height, width = source.shape[:2]
    small = _eight_bits(_averaged(source, small_size(height, width, long_side)))
    return cv2.cvtColor(small, cv2.COLOR_GRAY2RGB) if small.shape[2] == 1 else small


def brightest(image: np.ndarray) -> np.ndarray:
    """The largest channel of each pixel: (height, width) of an image (height, width, 3) of any type of number."""
    red, green, blue = cv2.split(image)  # `max(axis=2)` takes ten times as long
    return cv2.max(cv2.max(red, green), blue)


def _averaged(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Shrinks a photo to a height and width: each pixel is the mean of the area that it covers."""
    if size == photo.shape[:2]:
        return photo
    return cv2.resize(photo, size[::-1], interpolation=cv2.INTER_AREA).reshape(*size, photo.shape[2])


def _eight_bits(photo: np.ndarray) -> np.ndarray:
    """uint8 of uint8 or uint16 values, rounded."""
    return photo if photo.dtype == np.uint8 else np.rint(photo / 257).astype(np.uint8)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Float images in [0, 1], clipped and rounded to 8 bits."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def autocontrast(image: np.ndarray) -> np.ndarray:
    """`PIL.ImageOps.autocontrast` of a uint8 RGB image: the simplest baseline."""
    return np.asarray(ImageOps.autocontrast(Image.fromarray(image)))
