"""Photos back into files: the format, the quality, the alpha and the metadata of the original."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pipelines.formats import PhotoError

if TYPE_CHECKING:
    from pipelines.photos import Photo

_HOLDS_METADATA = frozenset({"JPEG", "PNG", "WEBP", "TIFF", "AVIF"})
_EXIF_LIMIT = 65533 - 2


def encode(
    photo: "Photo", pixels: np.ndarray | Image.Image, *, quality: int | None = None, strip_metadata: bool = False
) -> bytes:
    """Writes pixels as the file that the photo came from would be written.

    Args:
        photo: The original.
        pixels: Shaped and typed as `photo.pixels`, or an 8-bit image of its size.
        quality: For JPEG, WebP and AVIF, 1 to 100; None for about the original's.
        strip_metadata: Leave out EXIF, ICC profile, XMP and DPI.

    Raises:
        PhotoError: It cannot be encoded.
    """
    image = pixels if isinstance(pixels, Image.Image) else _image(pixels)
    options: dict[str, Any] = _quality(photo, image, quality)
    if not strip_metadata:
        options |= _metadata(photo, image)
    if photo.alpha is not None:
        image = image.copy()
        image.putalpha(Image.fromarray(photo.alpha))
    buffer = io.BytesIO()
    try:
        image.save(buffer, photo.format, **options)
    except Exception as error:  # whatever an encoder raises: one photo, not the run
        raise PhotoError("encode", str(error) or type(error).__name__) from error
    return buffer.getvalue()


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _quality(photo: "Photo", image: Image.Image, quality: int | None) -> dict[str, Any]:
    if photo.format == "JPEG":
        options: dict[str, Any] = {}
        if photo.quantization is not None:
            tables, subsampling = photo.quantization
            options["subsampling"] = subsampling
            if quality is None:
                return options | {"qtables": tables}
        return options | {"quality": 95 if quality is None else quality}
    if photo.format == "PNG":
        return {"compress_level": 3}
    if photo.format == "WEBP":
        return {"lossless": photo.lossless and quality is None, "quality": quality or 90, "exact": True}
    if photo.format == "AVIF":
        return {"quality": quality or 90}
    if photo.format == "TIFF":
        return {"compression": "tiff_adobe_deflate"}
    return {}


def _metadata(photo: "Photo", image: Image.Image) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if photo.dpi:
        options["dpi"] = photo.dpi
    if photo.format in _HOLDS_METADATA:
        if photo.exif:
            options["exif"] = photo.exif.updated(image, _EXIF_LIMIT)
        if photo.icc_profile:
            options["icc_profile"] = photo.icc_profile
        if photo.xmp:
            options["xmp"] = photo.xmp
    return options
