"""An image file to 8-bit RGB pixels of the size that a data set asks for."""

import io

from PIL import Image, ImageOps

FILTER = "bilinear, anti-aliased (Pillow; JPEG scaled in the DCT and large images box-reduced to twice the size before)"
_GAP = 2.0  # how far above the asked size the cheap reductions stop, as Pillow's thumbnail() has it


def target(
    source: tuple[int, int], size: tuple[int, int], resize: str
) -> tuple[tuple[int, int], tuple[float, float, float, float]]:
    """Size of the result, and the part of the source that it shows.

    Args:
        source: Width and height of the source.
        size: Width and height asked for.
        resize: `stretch`: all of the source, its shape changed; `fit`: all of it, its shape kept, so the result may be
            narrower or lower than asked; `crop`: the largest centred part that has the shape asked for.

    Returns:
        (width, height), (left, upper, right, lower).
    """
    width, height = source
    scales = size[0] / width, size[1] / height
    if resize == "fit":
        scale = min(scales)
        return (max(1, round(width * scale)), max(1, round(height * scale))), (0, 0, width, height)
    if resize == "crop":
        scale = max(scales)
        left, upper = (width - size[0] / scale) / 2, (height - size[1] / scale) / 2
        return size, (max(0, left), max(0, upper), min(width, width - left), min(height, height - upper))
    return size, (0, 0, width, height)


def load_resized(content: bytes, size: tuple[int, int], resize: str) -> tuple[Image.Image, list[str]]:
    """Decodes and resizes an image file, its orientation applied.

    Returns:
        8-bit RGB, and what had to be done to get there.
    """
    with Image.open(io.BytesIO(content)) as image:
        notes = []
        image.draft("RGB", (round(max(size) * _GAP), round(max(size) * _GAP)))
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):
            upright = upright.point(lambda value: value / 257, "L")
            notes.append("16 bit reduced to 8")
        if upright.mode != "RGB":
            notes.append(f"{upright.mode} converted to RGB")
            upright = upright.convert("RGB")
        output, box = target(upright.size, size, resize)
        return upright.resize(output, Image.Resampling.BILINEAR, box=box, reducing_gap=_GAP), notes
