"""Camera RAW files, developed by LibRaw with the camera's settings."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from pipelines.photos.errors import PhotoError
from pipelines.photos.raw_exif import exif_of_raw, others_of_raw

DNG_VERSION_TAG = 50706


def open_raw(
    content: bytes,
    max_pixels: int,
    admit: Callable[[int, int], None] = lambda pixels, bits: None,
    half_size: bool = False,
) -> Image.Image:
    """Develops a RAW file: camera white balance, no brightening, 8 bits, upright.

    Args:
        content: The file.
        max_pixels: Photos with more pixels are refused before they are developed.
        admit: Called before the photo is developed, with its number of pixels and the bits of a value.
        half_size: Whether to develop it at half the width and height, in a quarter of the time.

    Returns:
        An RGB image of the format "RAW". Its `info` has the EXIF block, or None if EXIF of such a file cannot be read.

    Raises:
        PhotoError: rawpy is not installed or does not know the file (unsupported), or the photo is too large.
    """
    try:
        import rawpy
    except ImportError:
        raise PhotoError("unsupported", "camera RAW needs rawpy: pip install 'zerodce[raw]'") from None
    try:
        with rawpy.imread(io.BytesIO(content)) as raw:
            width, height = raw.sizes.width, raw.sizes.height
            if width * height > max_pixels:
                raise PhotoError("too_large", f"{width}x{height} is more than --max-pixels {max_pixels}")
            admit(width * height, 16)  # LibRaw works with 16 bits
            pixels = raw.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=8, half_size=half_size)
    except rawpy.LibRawFileUnsupportedError:
        raise PhotoError("unsupported", "LibRaw does not know this RAW file") from None
    except rawpy.LibRawError as error:
        raise PhotoError("decode", f"damaged RAW file ({type(error).__name__})") from None
    image = Image.fromarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)
    image.format = "RAW"
    image.info.update(exif=exif_of_raw(content), **others_of_raw(content))
    return image
