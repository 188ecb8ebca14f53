"""Decodes JPEG files at full size or at a fraction of it, and reports damage. Encodes small pictures for pages."""

from typing import NamedTuple

import numpy as np
from PIL import Image, JpegImagePlugin

DAMAGED = "the file is damaged"
"""The note about a file that the decoder decodes with a warning."""

_COLOURS = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}  # Pillow's modes, and the decoder's names
_SCALES = (8, 4, 2)  # the fractions at which Pillow can decode
_NOT_OF_PIXELS = ("bad ICC marker",)  # warnings that do not concern the pixels


class Decoded(NamedTuple):
    """A decoded file.

    Attributes:
        pixels: The pixels as stored (not turned upright), uint8 (height, width, 3 or 1), equal to Pillow's; None if
            Pillow has to decode the file.
        damage: A sentence with the decoder's warning; empty if there is none.
    """

    pixels: np.ndarray | None
    damage: str = ""


def decode_jpeg(image: Image.Image, content: bytes, at_least: tuple[int, int] | None = None) -> Decoded:
    """Decodes a JPEG in colour or grey. It is faster than Pillow, and Pillow does not report damage.

    Args:
        image: The file, opened with Pillow and not loaded. CMYK and other files are left to Pillow.
        content: The file.
        at_least: The smallest width and height of the result, as in Pillow's `draft`; None for full size.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.mode not in _COLOURS:
        return Decoded(None)
    import simplejpeg

    width, height = image.size
    fits = min(width // at_least[0], height // at_least[1]) if at_least else 1
    scale = next(
        (scale for scale in _SCALES if scale <= fits or image.mode == "CMYK"), 1
    )  # CMYK is decoded only to find damage

    least_height, least_width = -(-height // scale), -(-width // scale)
    try:
        pixels = simplejpeg.decode_jpeg(
            content, _COLOURS[image.mode], min_height=least_height, min_width=least_width, strict=True
        )
    except ValueError as error:
        warning = str(error).removeprefix("Corrupt JPEG data: ")
    else:
        return Decoded(None if image.mode == "CMYK" else pixels)
    # Pillow decodes damaged files as far as possible, and refuses files that end too early
    return Decoded(None, "" if warning in _NOT_OF_PIXELS else f'{DAMAGED}: the decoder reports "{warning}"')


def encode_small(image: Image.Image, quality: int, full_colour: bool = False) -> bytes:
    """A JPEG of a small picture, without metadata.

    Args:
        image: The picture, 8-bit RGB or L.
        quality: Quality of the JPEG, 1 to 100.
        full_colour: Whether the colours keep the full size; else they get half of it (4:2:0).
    """
    import simplejpeg  # releases the GIL while it encodes, unlike Pillow

    grey = image.mode == "L"
    pixels = np.asarray(image)[..., np.newaxis] if grey else np.asarray(image)
    options = ("GRAY", "Gray") if grey else ("RGB", "444" if full_colour else "420")
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, *options)
