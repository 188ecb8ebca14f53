"""Decodes the image of a record. Another format or size is refused before it takes memory."""

import io

from PIL import Image

from tfrecord_tools.manifest import DatasetError
from tfrecord_tools.records import StoredImage


def decode(stored: StoredImage) -> Image.Image:
    """Decodes a stored image.

    Raises:
        DatasetError: The image has another format or size than its record says, or is damaged.
    """
    try:
        image = Image.open(io.BytesIO(stored.encoded), formats=[stored.format])
        if image.size != (stored.width, stored.height):
            raise ValueError(f"{image.width}x{image.height} instead of {stored.width}x{stored.height}")
        image.load()
    except Exception as error:  # decoders raise almost any exception on bad input
        raise DatasetError(
            f"{stored.label} cannot be decoded ({error}); `zerodce records verify` says where it is"
        ) from None
    return image
