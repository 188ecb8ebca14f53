"""JPEG files: decoded whole or at a fraction of their size, and what the decoder says of damage."""

from typing import NamedTuple

import numpy as np
from PIL import Image, JpegImagePlugin

DAMAGED = "the file is damaged"
"""What to say of a file that the decoder warns of, and decodes all the same."""

_COLOURS = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}  # Pillow's modes, and the decoder's names
_SCALES = (8, 4, 2)  # the fractions that Pillow decodes at
_NOT_OF_PIXELS = ("bad ICC marker",)


class Decoded(NamedTuple):
    """What became of a file.

    Attributes:
        pixels: As they lie, uint8 (height, width, 3 or 1), those that Pillow decodes; None where Pillow has to.
        damage: A sentence on what the decoder warns of; empty if it warns of nothing.
    """

    pixels: np.ndarray | None
    damage: str = ""


def decode_jpeg(image: Image.Image, content: bytes, at_least: tuple[int, int] | None = None) -> Decoded:
    """Decodes a JPEG in colour or grey in less time than Pillow, which says nothing of damage.

    Args:
        image: The file, opened with Pillow and not loaded; pixels of CMYK and other files are left to Pillow.
        content: The file.
        at_least: Width and height that the pixels may not fall below, as in Pillow's `draft`; None for all pixels.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.mode not in _COLOURS:
        return Decoded(None)
    import simplejpeg

    width, height = image.size
    fits = min(width // at_least[0], height // at_least[1]) if at_least else 1
    scale = next((scale for scale in _SCALES if scale <= fits or image.mode == "CMYK"), 1)  # of CMYK only the damage

    least_height, least_width = -(-height // scale), -(-width // scale)
    try:
        pixels = simplejpeg.decode_jpeg(
            content, _COLOURS[image.mode], min_height=least_height, min_width=least_width, strict=True
        )
    except ValueError as error:
        warning = str(error).removeprefix("Corrupt JPEG data: ")
    else:
        return Decoded(None if image.mode == "CMYK" else pixels)
    # Pillow decodes what it can, and refuses what ends too early
    return Decoded(None, "" if warning in _NOT_OF_PIXELS else f'{DAMAGED}: the decoder reports "{warning}"')
