"""Decodes an image file to 8-bit RGB pixels with the size of a data set."""

from PIL import Image

from pipelines import photos

FILTER = "bilinear, anti-aliased (Pillow); above twice the size JPEG is scaled in the DCT, and the rest by a box filter"
_GAP = 2  # the cheap scaling stops at this multiple of the requested size, as in Pillow's thumbnail()


def load_resized(
    content: bytes, path: str, size: tuple[int, int], resize: str, reject_damaged: bool = False
) -> tuple[Image.Image, list[str]]:
    """Decodes an image file, turns it upright and resizes it.

    Args:
        content: The file.
        path: Name of the file.
        size: Width and height.
        resize: `stretch`, `fit` or `crop`, as in `target`.
        reject_damaged: Whether to refuse a JPEG for which the decoder gives a warning.

    Returns:
        8-bit RGB, and a short sentence for each thing that was changed or left out.

    Raises:
        photos.PhotoError: It cannot be read, or is refused.
    """
    at_least = (_GAP * max(size),) * 2 if resize == "fit" else (_GAP * size[0], _GAP * size[1])
    image, notes = photos.decode(content, path, at_least, reject_damaged=reject_damaged)
    output, box = target(image.size, size, resize)
    return image.resize(output, Image.Resampling.BILINEAR, box, reducing_gap=_GAP), notes


def target(
    source: tuple[int, int], size: tuple[int, int], resize: str
) -> tuple[tuple[int, int], tuple[float, float, float, float]]:
    """The size of the result, and the part of the source that it shows.

    Args:
        source: Width and height of the source.
        size: Width and height requested.
        resize: `stretch`: all of the source, with the requested shape. `fit`: all of the source, with its own shape, so
            that one side may be shorter. `crop`: the largest centred part with the requested shape.

    Returns:
        (width, height), (left, upper, right, lower).
    """
    width, height = source
    scales = size[0] / width, size[1] / height
    if resize == "fit":
        output = max(1, round(width * min(scales))), max(1, round(height * min(scales)))
        return output, (0, 0, width, height)
    if resize == "crop":
        left, upper = (width - size[0] / max(scales)) / 2, (height - size[1] / max(scales)) / 2
        return size, (max(0, left), max(0, upper), min(width, width - left), min(height, height - upper))
    return size, (0, 0, width, height)
